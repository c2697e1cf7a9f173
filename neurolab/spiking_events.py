"""The spiking assistant event by event: a spike is added where it goes, and where none goes nothing is done.

One token at a time. Every population keeps its drives z; a spike s of neuron n adds s times one column of
weights to the drives that read it. A population is visited only if something reached it, it fired at the step
before, or its step weight has changed: otherwise it would see what it saw when it did not fire. Products of
two spiking operands are kept up with as they change,

    S_q(t) S_k(t)^T - S_q(t-1) S_k(t-1)^T = S_q(t) s_k(t)^T + s_q(t) S_k(t-1)^T

where the keys of the tokens before no longer change. Equal to `spiking_rules.IntegerSpikes` at every step.
Compiled where the optional numba is there; without it the same code runs in numpy, some hundred times slower.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurolab.neurons_fast import has_numba
from neurolab.spiking import SIGNED, UNSIGNED, bounds, logits
from neurolab.spiking_event_step import Network, State, step_of
from neurolab.spiking_files import Spiking
from neurolab.spiking_state import rest_of


class Events:
    """One sequence, token by token, step by step. kind: a schedule of `spiking.schedule`; T as in `Stop`.

    additions, visits, spikes: totals so far, of synaptic additions, of neurons looked at, of spikes.
    """

    def __init__(
        self, net: Spiking, kind: str = "halving", T: int | None = None, compiled: bool | None = None
    ) -> None:
        self.net, c = net, net.config
        self.low, self.high = bounds(SIGNED, net.bits)
        self.top = bounds(UNSIGNED, net.bits)[1]
        self.weights = rest_of(kind, c, net.bits, T)
        self.make = step_of(has_numba() if compiled is None else compiled)
        self.p = _columns(net)
        layers, D, F, H, L = c.layers, c.width, c.hidden, c.heads, c.context

        def zeros(*shape: int, dtype: Any = np.int64) -> Any:
            return np.zeros(shape, dtype=dtype)

        self.c = State(
            x=zeros(2 * layers + 1, D),
            S_norm=zeros(2 * layers + 1, D),
            z_read=zeros(layers, 3 * D, dtype=np.int32),
            S_read=zeros(layers, 3 * D),
            z_attention=zeros(layers, H, L, dtype=np.int32),
            A=zeros(layers, H, L),
            total=zeros(layers, H),
            z_mix=zeros(layers, D),
            S_mix=zeros(layers, D),
            z_up=zeros(layers, F, dtype=np.int32),
            S_hidden=zeros(layers, F),
            keys=zeros(layers, L, D),
            values=zeros(layers, L, D),
            awake=zeros(layers + 1, 6, dtype=np.bool_),
            where=zeros(3 * D + F + H * L),
            sign=zeros(3 * D + F + H * L),
        )
        self.position, self.t = -1, 0
        self.additions, self.visits, self.spikes = 0, 0, 0

    def begin(self, token: int) -> None:
        """The next token. ValueError for one that is none, or where positions have run out."""
        p, c = self.net.p, self.c
        if not 0 <= token < self.net.config.vocabulary:
            raise ValueError(f"token {token}: must be 0 to {self.net.config.vocabulary - 1}")
        if self.position + 1 >= self.net.config.context:
            raise ValueError(f"token {self.position + 1}: there are {self.net.config.context} positions")
        self.position, self.t = self.position + 1, 0
        for S in (c.S_norm, c.S_read, c.A, c.S_mix, c.S_hidden, c.z_mix):
            S[...] = 0
        c.awake[...] = False
        c.z_read[...], c.z_up[...], c.total[...] = self.p.read_b, self.p.up_b, 1
        c.z_attention[...] = -self.p.offset[:, :, None]
        x = (
            p["embedding.W"][token] * p["embedding.unit"]
            + p["position.W"][self.position] * p["position.unit"]
        )
        c.x[...] = x.numpy().astype(np.int64)

    def step(self) -> int:
        """One step of the present token; returns its spikes."""
        w, wide = (
            self.weights[kind][min(self.t, len(self.weights[kind]) - 1)] for kind in (SIGNED, UNSIGNED)
        )
        new = self.t == 0 or any(
            ws[min(self.t, len(ws) - 1)] != ws[min(self.t, len(ws)) - 1] for ws in self.weights.values()
        )
        spikes, additions, visits = self.make(
            self.p, self.c, self.position, w, wide, new, self.low, self.high, self.top
        )
        self.t += 1
        self.spikes += spikes
        self.additions += additions
        self.visits += visits
        return int(spikes)

    def logits(self) -> Tensor:
        """Integer logits (V) of the present token as it is now."""
        return logits(self.net.p, torch.from_numpy(self.c.S_norm[-1]).float())


def _columns(net: Spiking) -> Network:
    p, c = net.p, net.config

    def stack(name: str, dtype: Any = np.int64) -> Any:
        return np.stack([p[name.format(i)].numpy().astype(dtype) for i in range(c.layers)])

    def columns(*names: str, unit: str = "") -> Any:
        found = []
        for i in range(c.layers):
            W = torch.cat([p[name.format(i)] for name in names])  # (N, inputs)
            W = W * p[unit.format(i)] if unit else W
            found.append(np.ascontiguousarray(W.T.numpy().astype(np.int32 if unit else np.int8)))
        return np.stack(found)

    read = [f"{{}}.{part}" for part in ("query", "key", "value")]
    norms = [p[f"{i}.{part}.K"] for i in range(c.layers) for part in ("norm1", "norm2")]
    return Network(
        read=columns(*(f"{name}.W" for name in read)),
        read_b=np.concatenate([stack(f"{name}.b", np.int32) for name in read], 1),
        read_theta=np.concatenate([stack(f"{name}.theta") for name in read], 1),
        attention_theta=np.repeat(stack("{}.attention.theta")[:, :, None], c.context, 2),
        offset=stack("{}.attention.offset", np.int32),
        out=columns("{}.out.W", unit="{}.out.unit"),
        up=columns("{}.up.W"),
        up_b=stack("{}.up.b", np.int32),
        up_theta=stack("{}.up.theta"),
        down=columns("{}.down.W", unit="{}.down.unit"),
        norm_K=np.stack([K.numpy().astype(np.int64) for K in (*norms, p["norm.K"])]),
        mix_K=stack("{}.mix.K"),
    )


def work(
    net: Spiking, sequences: Sequence[Sequence[int]], kind: str = "halving", T: int = 20
) -> dict[str, list[float]]:
    """What each step of a run cost: spikes, additions, visits and seconds, one number a step and token."""
    found: dict[str, list[float]] = {"spikes": [], "additions": [], "visits": [], "seconds": []}
    warm = Events(net, kind, T)
    warm.begin(0)
    warm.step()
    for ids in sequences:
        events = Events(net, kind, T)
        for token in ids:
            events.begin(token)
            for _ in range(T):
                before = events.additions, events.visits
                began = time.perf_counter()
                found["spikes"].append(events.step())
                found["seconds"].append(time.perf_counter() - began)
                found["additions"].append(events.additions - before[0])
                found["visits"].append(events.visits - before[1])
    return found
