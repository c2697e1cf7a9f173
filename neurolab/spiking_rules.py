"""Rules of whole numbers for the one network of `spiking`: at rest, spiking, and bit by bit.

Drives arrive as float32 that hold whole numbers (`spiking_files.prove`: every sum stays below 2^24) and are
compared as integers here. A membrane is z - theta S + w theta / 2; nothing is halved, since for whole numbers

    z - theta S + w theta / 2 >= w theta   is   2 (z - theta S) >=  w theta
    z - theta S + w theta / 2 <  0         is   2 (z - theta S) <  -w theta

Integers are int32 where the largest of both sides provably fits, int64 where not, and OverflowError where
even that could not hold them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neurolab.spiking import FIRST, bounds
from neurolab.spiking_files import EXACT


def whole(z: Tensor, theta: Tensor, reach: int) -> tuple[Tensor, Tensor]:
    """z and theta as int32 if 2 |z| + 2 reach theta fits in it, else int64. OverflowError if neither."""
    if z.numel() == 0:
        return z.int(), theta.int()
    most = 2 * float(z.abs().max()) + 2 * (reach + 1) * float(theta.max())
    if most < 2**31 - 1:
        return z.int(), theta.int()
    if most < 2**62:
        return z.long(), theta.long()
    raise OverflowError(f"membranes could reach {most:.3g}: an int64 holds less than 2^63")


def product(K: Tensor, total: Tensor) -> Tensor:
    """The threshold K x total, exactly. total: a sum of whole numbers that are not negative, as float32.

    OverflowError unless the sum stays below 2^24: if it does, so did every partial sum, and nothing was ever
    rounded. int32 where the product fits, else int64.
    """
    most = float(total.max()) if total.numel() else 0.0
    if most >= EXACT:
        raise OverflowError(f"a sum reached {most:.0f}: float32 holds every whole number only below 2^24")
    if most * float(K.max()) < 2**31 - 1:
        return K.int() * total.int()
    return K.long() * total.long()


def neuron(z: Tensor, theta: Tensor, S: Tensor, w: int, low: int, high: int) -> Tensor:
    """One step of one population: the count S after it. z, theta, S: integers of one type."""
    u = 2 * (z - theta * S)
    moved = S + w * ((u >= w * theta).to(S.dtype) - (u < -w * theta).to(S.dtype))
    return torch.where((moved >= low) & (moved <= high), moved, S)


class IntegerRest:
    """S = clip(floor((2 z + theta) / (2 theta))) by integer division: the network of integers."""

    def __init__(self, bits: int = 4) -> None:
        self.bits = bits

    def __call__(self, name: str, z: Tensor, theta: Tensor, kind: str) -> Tensor:
        low, high = bounds(kind, self.bits)
        n, d = whole(z, theta, high - low)
        code = torch.div(2 * n + d, 2 * d, rounding_mode="floor")
        return code.clamp_(low, high).to(z.dtype)

    def grow(self, K: Tensor, total: Tensor) -> Tensor:
        return product(K, total)

    def past(self, S: Tensor) -> Tensor:
        return S


class IntegerSpikes:
    """S(1..T) of signed integrate-and-fire neurons in integers: the spiking network, stage by stage.

    weights: step weights by kind, from `spiking.schedule`. together: a token meets the earlier ones as they
    are at the same step; otherwise they have had their T steps (tokens come one after another). `spikes`
    counts the spikes of each population of the last run.
    """

    def __init__(self, weights: dict[str, tuple[int, ...]], bits: int = 4, together: bool = False) -> None:
        self.weights, self.bits, self.together = weights, bits, together
        self.spikes: dict[str, float] = {}

    def __call__(self, name: str, z: Tensor, theta: Tensor, kind: str) -> Tensor:
        weights, (low, high) = self.weights[kind], bounds(kind, self.bits)
        n, d = whole(z, theta, high - low + weights[0])
        moving, growing = name not in FIRST, name not in FIRST and d.ndim == z.ndim
        S = torch.zeros_like(n[0] if moving else n)
        counts, spikes = z.new_empty(len(weights), *S.shape), 0.0
        for t, w in enumerate(weights):
            new = neuron(n[t] if moving else n, d[t] if growing and d.shape[0] > 1 else d, S, w, low, high)
            spikes += float((new != S).sum())
            S = new
            counts[t] = S
        self.spikes[name] = spikes
        return counts

    def grow(self, K: Tensor, total: Tensor) -> Tensor:
        return product(K, total)

    def past(self, S: Tensor) -> Tensor:
        return S if self.together else S[-1:]


class IntegerRadix:
    """Populations one after another, `bits` steps each: spikes weigh 2^(bits - 1), ..., 2, 1.

    offset=True: a population starts at S_min, which its readers know, and only counts up; its spikes are the
    binary digits of S - S_min. offset=False: it starts at 0, spikes are +1 or -1, steps are those of the
    halving schedule with one more 1 for signed counts, so a small count costs few spikes. Both rest at
    clip(floor(z / theta + 1/2)) in `bits` steps, since the drive is final before the population begins.

    Proof. Let r = z / theta - S. With offset, after the step of weight 2^b the count is the largest multiple
    of 2^b above S_min, not past S_max, with r >= -1/2 (or S_min itself): digits of a floor. Without offset
    a step of weight w that finds |r| <= 3 w / 2 leaves |r| <= w / 2, which is 3/2 of the next weight or less;
    where z lies so far out that it never gets there, every step fires outwards and ends at the bound. After
    w = 1, S is the nearest whole number or the bound.
    """

    def __init__(self, bits: int = 4, offset: bool = True) -> None:
        self.bits, self.offset = bits, offset
        self.spikes: dict[str, float] = {}

    def __call__(self, name: str, z: Tensor, theta: Tensor, kind: str) -> Tensor:
        low, high = bounds(kind, self.bits)
        n, d = whole(z, theta, 2 * (high - low + 1))
        S = torch.full_like(n, low if self.offset else 0)
        spikes = torch.zeros_like(S)
        weights = [2**b for b in reversed(range(self.bits))]
        if not self.offset and low < 0:
            weights = [*weights[1:], 1]
        for w in weights:
            if self.offset:  # fire where V = z - theta S + theta / 2 >= w theta
                new = S + w * (2 * (n - d * S) + d >= 2 * w * d).to(S.dtype)
            else:
                new = neuron(n, d, S, w, low, high)
            spikes += new != S
            S = new
        self.fired(name, spikes)
        return S.to(z.dtype)

    def fired(self, name: str, count: Tensor) -> None:
        """Called with each population's spikes, neuron by neuron."""
        self.spikes[name] = float(count.sum())

    def grow(self, K: Tensor, total: Tensor) -> Tensor:
        return product(K, total)

    def past(self, S: Tensor) -> Tensor:
        return S
