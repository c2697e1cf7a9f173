"""Radix spikes that are never taken back: the sparing way to say a count.

A halving neuron of `spiking_rules` fires as soon as that brings it nearer to its drive: from 0 it says 3 as
4 - 1. That is right while drives still change. In radix mode they are final before a population begins, so a
neuron may be cautious and fire only what it will keep. It needs nothing but another threshold for spikes that
weigh w:

    +1 where V >= w theta        -1 where V < -(w - 1) theta        V = z - theta S + theta / 2

which at w = 1 are the two thresholds of every other neuron here. So a count costs as many spikes as its size
has binary ones: 3 costs two, 4 costs one, all of one sign.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neurolab.spiking import bounds
from neurolab.spiking_rules import IntegerRadix, whole


class IntegerDigits(IntegerRadix):
    """Counts S = clip(floor(z / theta + 1/2)) in `bits` steps, one spike for each binary one of |S|.

    Proof. Write S* for floor(z / theta + 1/2). With z = theta (S + r) the conditions are floor(r + 1/2) >= w
    and floor(r + 1/2) <= -w: fire where S* - S is w or more (-w or less). So the walk never passes S*, and it
    is the one that finds the binary digits of |S*|: with weights 2^(b-1), ..., 2, 1 it ends there for every
    |S*| below 2^b. A bound forbids the steps that would pass it and no others, and each bound is itself such
    a number, so where S* lies beyond a bound the walk ends at the bound.
    """

    def __init__(self, bits: int = 4) -> None:
        super().__init__(bits, offset=False)

    def __call__(self, name: str, z: Tensor, theta: Tensor, kind: str) -> Tensor:
        low, high = bounds(kind, self.bits)
        n, d = whole(z, theta, 2 * (high - low + 1))
        S = torch.zeros_like(n)
        spikes = torch.zeros_like(S)
        for w in (2**b for b in reversed(range(self.bits))):
            V = 2 * (n - d * S) + d  # twice the membrane: whole numbers
            moved = S + w * ((2 * w * d <= V).to(S.dtype) - (-2 * (w - 1) * d > V).to(S.dtype))
            new = torch.where((moved >= low) & (moved <= high), moved, S)
            spikes += new != S
            S = new
        self.fired(name, spikes)
        return S.to(z.dtype)
