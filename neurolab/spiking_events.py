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
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from neurolab.neurons_fast import has_numba
from neurolab.spiking import MIX_SHIFT, NORM_SHIFT, SIGNED, UNSIGNED, bounds, logits
from neurolab.spiking_files import Spiking
from neurolab.spiking_state import rest_of


class Network(NamedTuple):
    """Weights by reading neuron (columns), blocks in front: everything an event needs, in one piece each."""

    read: Any  # (layers, D, 3 D): query, key, value, by norm1 neuron
    read_b: Any  # (layers, 3 D)
    read_theta: Any
    attention_theta: Any  # (layers, H, L)
    offset: Any  # (layers, H)
    out: Any  # (layers, D, D), times its unit
    up: Any  # (layers, D, F)
    up_b: Any
    up_theta: Any
    down: Any  # (layers, F, D), times its unit
    norm_K: Any  # (2 layers + 1, D): norm1, norm2, norm1, ..., norm
    mix_K: Any  # (layers, D)


class State(NamedTuple):
    """One token's drives z and counts S; keys and values of all tokens; what is awake."""

    x: Any  # (2 layers + 1, D): the residual stream as each norm sees it
    S_norm: Any
    z_read: Any  # (layers, 3 D)
    S_read: Any
    z_attention: Any  # (layers, H, L)
    A: Any
    total: Any  # (layers, H): sum of A + 1
    z_mix: Any  # (layers, D)
    S_mix: Any
    z_up: Any  # (layers, F)
    S_hidden: Any
    keys: Any  # (layers, L, D)
    values: Any
    awake: Any  # (layers, 6) and the last norm in row `layers`: fired at the step before
    where: Any  # scratch: which neurons fired
    sign: Any  # scratch: by how much


@cache
def _step(compiled: bool) -> Any:
    """The function that makes one step; see `Events.step`."""
    shift_norm, shift_mix = 2**NORM_SHIFT, 2**MIX_SHIFT

    def plainly(f: Any) -> Any:
        return f

    jit: Any = plainly
    if compiled:
        from numba import njit

        jit = njit(cache=True)

    def add_numpy(z: Any, row: Any, s: Any) -> None:
        z += s * row.astype(z.dtype)

    def add_loop(z: Any, row: Any, s: Any) -> None:
        for n in range(z.shape[0]):
            z[n] += s * row[n]

    def visit_numpy(
        z: Any, theta: Any, S: Any, w: Any, low: Any, high: Any, where: Any, sign: Any, at: Any
    ) -> Any:
        u = 2 * (z.astype(np.int64) - theta * S)
        s = w * ((u >= w * theta).astype(np.int64) - (u < -w * theta))
        s[(S + s < low) | (S + s > high)] = 0
        found = np.nonzero(s)[0]
        S += s
        where[at : at + len(found)], sign[at : at + len(found)] = found, s[found]
        return at + len(found)

    def visit_loop(
        z: Any, theta: Any, S: Any, w: Any, low: Any, high: Any, where: Any, sign: Any, at: Any
    ) -> Any:
        for n in range(z.shape[0]):
            u = 2 * (np.int64(z[n]) - theta[n] * S[n])
            s = w * (u >= w * theta[n]) - w * (u < -w * theta[n])
            if s != 0 and low <= S[n] + s <= high:
                S[n] += s
                where[at], sign[at] = n, s
                at += 1
        return at

    add, visit = (jit(add_loop), jit(visit_loop)) if compiled else (add_numpy, visit_numpy)

    @jit
    def step(p: Any, c: Any, here: int, w: int, wide: int, new: bool, low: int, high: int, top: int) -> Any:
        layers, D = c.z_mix.shape
        H = c.total.shape[1]
        E = D // H
        where, sign = c.where, c.sign
        dx = np.zeros(D, dtype=np.int32)
        moved, spikes, additions, visits = False, 0, 0, 0
        for i in range(layers + 1):
            # norm1 (and, above all blocks, the last norm)
            found = 0
            if moved or new or c.awake[i, 0]:
                c.x[2 * i] += dx
                grown = p.norm_K[2 * i] * (np.abs(c.x[2 * i]).sum() + 1)
                found = visit(c.x[2 * i] * shift_norm, grown, c.S_norm[2 * i], w, low, high, where, sign, 0)
                visits += D
            c.awake[i, 0] = found > 0
            spikes += found
            if i == layers:
                break
            # query, key, value
            for f in range(found):
                add(c.z_read[i], p.read[i, where[f]], sign[f])
            additions += found * 3 * D
            if found or new or c.awake[i, 1]:
                found = visit(c.z_read[i], p.read_theta[i], c.S_read[i], w, low, high, where, sign, 0)
                visits += 3 * D
            c.awake[i, 1] = found > 0
            spikes += found
            # scores: query spikes meet keys as they were, then key spikes meet queries as they are
            values_from = found
            for f in range(found):
                n, s = where[f], sign[f]
                if n < D:
                    h = n // E
                    for j in range(here + 1):
                        c.z_attention[i, h, j] += s * c.keys[i, j, n]
                    additions += here + 1
            for f in range(found):
                n, s = where[f], sign[f]
                if D <= n < 2 * D:
                    c.keys[i, here, n - D] += s
                    c.z_attention[i, (n - D) // E, here] += s * c.S_read[i, n - D]
                    additions += 1
            end = values_from
            if found or new or c.awake[i, 2]:
                fired = 0
                for h in range(H):
                    begin = end
                    end = visit(
                        c.z_attention[i, h, : here + 1],
                        p.attention_theta[i, h, : here + 1],
                        c.A[i, h, : here + 1],
                        wide,
                        0,
                        top,
                        where,
                        sign,
                        begin,
                    )
                    for f in range(begin, end):
                        c.total[i, h] += sign[f]
                        add(
                            c.z_mix[i, h * E : h * E + E],
                            c.values[i, where[f], h * E : h * E + E],
                            sign[f],
                        )
                    fired += end - begin
                visits += H * (here + 1)
                additions += fired * (E + 1)
                spikes += fired
                c.awake[i, 2] = fired > 0
            reached = end > values_from
            for f in range(values_from):  # own values: their spikes meet attention as it is
                n, s = where[f] - 2 * D, sign[f]
                if n >= 0:
                    c.values[i, here, n] += s
                    c.z_mix[i, n] += s * c.A[i, n // E, here]
                    additions += 1
                    reached = True
            # mix, into the residual stream
            found = 0
            if reached or new or c.awake[i, 3]:
                for h in range(H):
                    part = slice(h * E, h * E + E)
                    begin = found
                    found = visit(
                        c.z_mix[i, part] * shift_mix,
                        p.mix_K[i, part] * c.total[i, h],
                        c.S_mix[i, part],
                        w,
                        low,
                        high,
                        where,
                        sign,
                        begin,
                    )
                    for f in range(begin, found):
                        where[f] += h * E
                visits += D
            c.awake[i, 3] = found > 0
            spikes += found
            for f in range(found):
                add(dx, p.out[i, where[f]], sign[f])
            additions += found * D
            moved = moved or found > 0
            # norm2
            found = 0
            if moved or new or c.awake[i, 4]:
                c.x[2 * i + 1] += dx
                grown = p.norm_K[2 * i + 1] * (np.abs(c.x[2 * i + 1]).sum() + 1)
                found = visit(
                    c.x[2 * i + 1] * shift_norm, grown, c.S_norm[2 * i + 1], w, low, high, where, sign, 0
                )
                visits += D
            c.awake[i, 4] = found > 0
            spikes += found
            # hidden, into the residual stream
            for f in range(found):
                add(c.z_up[i], p.up[i, where[f]], sign[f])
            additions += found * c.z_up.shape[1]
            if found or new or c.awake[i, 5]:
                found = visit(c.z_up[i], p.up_theta[i], c.S_hidden[i], wide, 0, top, where, sign, 0)
                visits += c.z_up.shape[1]
            c.awake[i, 5] = found > 0
            spikes += found
            for f in range(found):
                add(dx, p.down[i, where[f]], sign[f])
            additions += found * D
            moved = moved or found > 0
        return spikes, additions, visits

    return step


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
        self.make = _step(has_numba() if compiled is None else compiled)
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
