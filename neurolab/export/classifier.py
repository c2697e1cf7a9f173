"""Chapter 2's classifier of handwritten digits, with a reset of your choice, ready for export."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from neurolab import digits
from neurolab.export.nir import Layer
from neurolab.neurons import LIF
from neurolab.surrogates import arctan

T = 16
"""Steps for which a picture is shown, as in chapter 2."""


def train(reset: str = "zero", rounds: int = 15, seed: int = 0) -> list[Layer]:
    """Train 64 -> 128 -> 10 LIF neurons (beta 0.9, theta 1) as the chapter does: about 5 seconds.

    reset: one of `neurons.RESETS`. Same seed, same weights. Leaves torch's global generator as it was.
    """
    if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 0:
        raise ValueError(f"rounds = {rounds!r}; must be a whole number of at least 0")
    x, y = (torch.tensor(a) for a in digits.load()[:2])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        first, second, neuron = nn.Linear(64, 128), nn.Linear(128, 10), LIF(0.9, 1.0, reset, arctan(2.0))
        optimiser = torch.optim.Adam([*first.parameters(), *second.parameters()], lr=3e-3)
        for _ in range(rounds):
            for part in torch.randperm(len(x)).split(64):
                rate = neuron(second(neuron(first(x[part]), T))).mean(0)  # (B, 10) spikes a step
                loss = cross_entropy(10 * rate, y[part])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
    return [Layer(fc.weight.detach(), fc.bias.detach(), 0.9, 1.0, reset) for fc in (first, second)]
