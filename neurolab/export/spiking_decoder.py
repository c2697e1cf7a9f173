"""The spiking assistant as a graph that any runtime of matrices can run: its steps unrolled, its spikes sums.

`SpikingDecoder` has the interface of `decoder.Decoder`: ids and a cache in, scores of the last token and the
longer cache out. No runtime has a spiking neuron. But all that one does is compare, and add, so a few steps
of it are a few comparisons and sums, written one behind another:

    u = 2 (z - theta S)        S <- S + w (u >= w theta) - w (u < -w theta), where that stays in its bounds

T = None: at rest. Every population has its `bits` steps, most significant spike first, before the next one
begins (`spiking_rules.IntegerRadix`): the answers are those of the integer network, in every bit.
T steps: spikes go through all populations in every step (`IntegerSpikes`), which here means that a
population has T drives, one a step, and its T comparisons stand one behind another.

A token's keys and values stay as it leaves them, so the cache holds counts: whole numbers, as float32.
Everything is float32 that holds whole numbers below 2^24 (`spiking_files.prove` shows it from the weights),
so the order in which a runtime adds does not matter; only the norms, which shift by 14 bits, are int64.
Weights are int8 in the file, a byte each, and are made floats as it is opened.

Shapes: B sequences, n new tokens, P tokens in the cache, M = P + n, D width, H heads of size E, F hidden, V
vocabulary. A population's counts are a list, one tensor a step, or one tensor at rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from neurolab.spiking import MIX_SHIFT, NORM_SHIFT, SIGNED, UNSIGNED, bounds, schedule, split
from neurolab.spiking_files import EXACT, Spiking, SpikingError, accumulators

if TYPE_CHECKING:
    import onnx


def moved(z: Tensor, theta: Tensor, S: Tensor, w: int, low: int, high: int) -> Tensor:
    """One step of one population: the counts S after it. z, theta, S: whole numbers of one type."""
    u = 2 * (z - theta * S)
    new = S + w * ((u >= w * theta).to(S.dtype) - (u < -w * theta).to(S.dtype))
    return torch.where((new >= low) & (new <= high), new, S)


def settled(z: Tensor, theta: Tensor, bits: int, low: int) -> Tensor:
    """A population alone with a drive that stands still, for `bits` steps: clip(floor(z / theta + 1/2)).

    It begins at S_min = low and counts up; its spikes are the binary digits of S - S_min. It fires where
    z - theta S + theta / 2 >= w theta, which without fractions is 2 (z - theta S) >= (2 w - 1) theta.
    """
    S = torch.full_like(z, low)
    for w in (2**b for b in reversed(range(bits))):
        S = S + w * (2 * (z - theta * S) >= (2 * w - 1) * theta).to(S.dtype)
    return S


class SpikingDecoder(nn.Module):
    """A network of `spiking_run.load` as a decoder for export.

    T: steps a token, or None for rest. kind: the schedule of step weights (`spiking.schedule`); default what
    the network was trained with, or halving. looped: whether `graph` has a loop. ValueError for a T below 1
    or an unknown kind, SpikingError for sums that would not be exact.
    """

    def __init__(
        self, net: Spiking, T: int | None = None, kind: str | None = None, looped: bool = True
    ) -> None:
        super().__init__()
        self.net, self.looped = net, looped
        self.config, self.bits, self.T = net.config, net.bits, T
        self.kind = "radix" if T is None else schedule_of(net, kind)
        self.weights = None if T is None else schedule(T, self.kind, net.bits)
        check(net)
        self.scale = float(net.p["scale"])
        for name, x in net.p.items():
            if name == "scale" or name.endswith(".unit"):
                continue
            if name.endswith(".W"):
                x = x.to(torch.int8)
            elif _is_norm(name):
                x = x.to(torch.int64)
            self.register_buffer(name.replace(".", "_"), x.detach().clone(), persistent=True)
        self.eval()
        self.units = {name: float(x) for name, x in net.p.items() if name.endswith(".unit")}

    def graph(self) -> onnx.ModelProto:
        """The same function as an ONNX model, without following it step by step; see `spiking_graph`."""
        from neurolab.export.spiking_graph import spiking_graph

        return spiking_graph(self.net, self.T, self.kind if self.T else None, self.looped)

    def part(self, name: str) -> Tensor:
        """The tensor of this name in `Spiking.p`; matrices as float32."""
        x = getattr(self, name.replace(".", "_"))
        return x.float() if name.endswith(".W") else x

    def forward(self, ids: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        """ids (B, n), int64; cache (layers, 2, B, H, P, E), float32: counts of keys and values.

        Gives integer logits (B, V) of the last token, float32 (times `scale` they are natural logits), and
        the cache (layers, 2, B, H, M, E).
        """
        n, past = ids.shape[1], cache.shape[4]
        at = past + torch.arange(n, device=ids.device)
        seen = torch.arange(past + n, device=ids.device)
        causal = (seen[None, :] <= at[:, None]).float()  # (n, M)
        own = (seen[None, :] == at[:, None]).float()
        x = self.part("embedding.W")[ids] * self.units["embedding.unit"]
        x = x + self.part("position.W")[at] * self.units["position.unit"]  # (B, n, D)
        xs, kept = [x], []
        for i in range(self.config.layers):
            S, present = self.attend(i, self.norm(xs, f"{i}.norm1"), cache[i], causal, own)
            kept.append(present)
            xs = self.add(xs, S, f"{i}.out")
            S = self.fire(self.drive(self.norm(xs, f"{i}.norm2"), f"{i}.up"), f"{i}.up", UNSIGNED)
            xs = self.add(xs, S, f"{i}.down")
        last = self.norm([x[:, -1:] for x in xs], "norm")[-1][:, 0]  # (B, D), as it is after the last step
        return last @ self.part("embedding.W").T + self.part("logits.b"), torch.stack(kept)

    def drive(self, S: list[Tensor], name: str) -> list[Tensor]:
        """The drives W S + b of a population, step by step."""
        return [s @ self.part(f"{name}.W").T + self.part(f"{name}.b") for s in S]

    def add(self, xs: list[Tensor], S: list[Tensor], name: str) -> list[Tensor]:
        """The residual stream with what a matrix writes into it, step by step."""
        written = [(s @ self.part(f"{name}.W").T) * self.units[f"{name}.unit"] for s in S]
        return [(xs[t] if len(xs) > 1 else xs[0]) + w for t, w in enumerate(written)]

    def fire(self, z: list[Tensor], name: str, kind: str, theta: list[Tensor] | None = None) -> list[Tensor]:
        """The counts of a population with drives z: one a step, or (at rest, or where nothing changes) one.

        theta: thresholds, as many as drives; default the constant one called `name`.theta.
        """
        thetas = theta or [self.part(f"{name}.theta")]
        low, high = bounds(kind, self.bits)
        if self.weights is None:
            return [settled(z[0], thetas[0], self.bits, low)]
        S, counts = torch.zeros_like(z[0]), []
        for t, w in enumerate(self.weights[kind]):
            S = moved(z[min(t, len(z) - 1)], thetas[min(t, len(thetas) - 1)], S, w, low, high)
            counts.append(S)
        return counts

    def norm(self, xs: list[Tensor], name: str) -> list[Tensor]:
        """Counts of the residual stream, each token measured by its own sum of |x|, in int64."""
        whole = [x.to(torch.int64) for x in xs]
        theta = [self.part(f"{name}.K") * (x.abs().sum(-1, keepdim=True) + 1) for x in whole]
        counts = self.fire([x * 2**NORM_SHIFT for x in whole], name, SIGNED, theta)
        return [S.float() for S in counts]

    def attend(
        self, i: int, S: list[Tensor], cache: Tensor, causal: Tensor, own: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        """Attention of block i: counts of the norm (B, n, D) -> those of the mix (B, n, D), and the cache.

        A token meets its own key and value as they are at the same step, those before it as they ended.
        """
        heads = self.config.heads
        q, k, v = (
            [split(s, heads) for s in self.fire(self.drive(S, f"{i}.{part}"), f"{i}.{part}", SIGNED)]
            for part in ("query", "key", "value")
        )
        keys, values = torch.cat((cache[0], k[-1]), 2), torch.cat((cache[1], v[-1]), 2)  # (B, H, M, E)
        offset = self.part(f"{i}.attention.offset")[:, None, None]
        theta = [self.part(f"{i}.attention.theta")[:, None, None]]
        z = [a @ keys.transpose(-1, -2) for a in q]  # (B, H, n, M)
        if self.weights is not None:
            lacks = [(a * (b - k[-1])).sum(-1, keepdim=True) for a, b in zip(q, k, strict=True)]
            z = [a + b * own for a, b in zip(z, lacks, strict=True)]
        A = self.fire([(a - offset) * causal for a in z], f"{i}.attention", UNSIGNED, theta)
        A = [a * causal for a in A]
        z = [a @ values for a in A]  # (B, H, n, E)
        if self.weights is not None:
            mine = [(a * own).sum(-1, keepdim=True) for a in A]
            z = [a + b * (c - v[-1]) for a, b, c in zip(z, mine, v, strict=True)]
        K = self.part(f"{i}.mix.K").unflatten(0, (heads, -1))[:, None]  # (H, 1, E)
        growing = [K * (a.sum(-1, keepdim=True) + 1) for a in A]
        mixed = self.fire([a * 2**MIX_SHIFT for a in z], f"{i}.mix", SIGNED, growing)
        return [a.transpose(1, 2).flatten(2) for a in mixed], torch.stack((keys, values))


def schedule_of(net: Spiking, kind: str | None = None) -> str:
    """The schedule of step weights: `kind`, or what the network was trained with, or halving."""
    return kind or str(net.card.get("schedule") or "halving")


def _is_norm(name: str) -> bool:
    return name.endswith(".K") and "norm" in name


def check(net: Spiking) -> None:
    """Raise SpikingError unless every number of the graph is exact: float32 below 2^24, int64 below 2^63."""
    found = accumulators(net.p, net.config, net.bits)
    for name, most in found.items():
        if most >= EXACT:
            raise SpikingError(f"the sum {name!r} can reach {most}; must stay below 2^24 = {EXACT}")
    reach = 2 ** (net.bits + 1)  # above 2 w - 1, what a threshold is multiplied by
    for name, K in net.p.items():
        if (
            _is_norm(name)
            and 2 * (found["x"] << NORM_SHIFT)
            + 2 * reach * int(K.max()) * (net.config.width * found["x"] + 1)
            >= 2**63
        ):
            raise SpikingError(f"the membranes of {name!r} could pass int64")
        largest = int(K.max()) if name.endswith(".theta") else 0
        if name.endswith(".mix.K"):
            largest = int(K.max()) * (net.config.context * bounds(UNSIGNED, net.bits)[1] + 1)
        if reach * largest >= EXACT:
            raise SpikingError(f"{reach} thresholds {name!r} reach {reach * largest}; must stay below 2^24")
