"""A spiking layer alone, unrolled over T steps, as a module that every exporter can follow.

Nothing in it depends on a value: T comparisons and sums stand one behind another, so a runtime that knows
matrices, comparisons and `where` runs it. Two layers:

    Lif      chapter 2's neuron behind a matrix, in floats; what NIR calls Affine and LIF (`from_nir`)
    Signed   chapter 3's neuron behind a matrix, in whole numbers: a population of the spiking assistant

T time steps, B samples, C inputs, N neurons. Input (T, B, C), output (T, B, N): spikes, or counts.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from neurolab.export.spiking_decoder import moved
from neurolab.neurons import RESETS, lif_step
from neurolab.spiking import SIGNED, UNSIGNED, Integers, bounds, schedule
from neurolab.spiking_files import Spiking

PARTS = ("query", "key", "value", "up")


class LifLayer(NamedTuple):
    """W (N, C), b (N,), beta in [0, 1], theta > 0, reset of `neurons.RESETS`: the fields of `nir.Layer`."""

    W: Tensor
    b: Tensor
    beta: float
    theta: float
    reset: str = "zero"


class Lif(nn.Module):
    """A layer of leaky integrate-and-fire neurons: spikes (T, B, C) -> spikes (T, B, N) of 0 and 1.

    v(0) = 0, and each step is `neurons.lif_step`. ValueError for T below 1 or an unknown reset.
    """

    def __init__(self, layer: LifLayer, T: int) -> None:
        super().__init__()
        check_steps(T)
        if layer.reset not in RESETS:
            raise ValueError(f"reset = {layer.reset!r}; must be one of {', '.join(RESETS)}")
        self.T, self.beta, self.theta, self.reset = T, float(layer.beta), float(layer.theta), layer.reset
        self.inputs = layer.W.shape[1]
        self.register_buffer("W", layer.W.detach().clone())
        self.register_buffer("b", layer.b.detach().clone())
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """(T, B, C) -> (T, B, N)."""
        drives = (x @ self.W.T + self.b).unbind(0)  # type: ignore[operator, union-attr]
        v, spikes = torch.zeros_like(drives[0]), []
        for drive in drives:
            _, v = lif_step(v, drive, self.beta, self.theta, self.reset)
            spikes.append((v > self.theta).float())
        return torch.stack(spikes)


class Signed(nn.Module):
    """A population of chapter 3's network: counts (T, B, C) of the one before -> its own counts (T, B, N).

    p: the network's integers by name, or those of one block (`nir_block.from_nir`). part: query, key, value
    or up. kind: the schedule of step weights. ValueError for another part or T.
    """

    def __init__(
        self, p: Integers, T: int, part: str = "up", block: int = 0, bits: int = 4, kind: str = "halving"
    ) -> None:
        super().__init__()
        check_steps(T)
        if part not in PARTS or f"{block}.{part}.W" not in p:
            raise ValueError(f"part {part!r} of block {block}: must be one of {', '.join(PARTS)} of a block")
        sign = UNSIGNED if part == "up" else SIGNED
        self.T, self.weights, (self.low, self.high) = T, schedule(T, kind, bits)[sign], bounds(sign, bits)
        for name in ("W", "b", "theta"):
            self.register_buffer(name, p[f"{block}.{part}.{name}"].detach().float().clone())
        self.inputs = p[f"{block}.{part}.W"].shape[1]
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """(T, B, C) -> (T, B, N)."""
        drives = (x @ self.W.T + self.b).unbind(0)  # type: ignore[operator, union-attr]
        S, counts = torch.zeros_like(drives[0]), []
        for z, w in zip(drives, self.weights, strict=True):
            S = moved(z, self.theta, S, w, self.low, self.high)  # type: ignore[arg-type]
            counts.append(S)
        return torch.stack(counts)


def check_steps(T: int) -> None:
    """ValueError unless T is a whole number of at least 1."""
    if not isinstance(T, int) or isinstance(T, bool) or T < 1:
        raise ValueError(f"T = {T!r}: must be a whole number of at least 1")


def from_nir(layers: list[LifLayer], T: int) -> nn.Sequential:
    """The layers that `nir.from_nir` reads from a .nir file, one behind another."""
    if not layers:
        raise ValueError("layers []: give at least one")
    return nn.Sequential(*(Lif(LifLayer(*layer), T) for layer in layers))


def example(layer: Lif | Signed, samples: int = 8, seed: int = 0) -> Tensor:
    """Inputs (T, B, C) for a layer: for Lif spikes of 0 and 1, for Signed counts that walk up and down."""
    made = torch.Generator().manual_seed(seed)
    shape = (layer.T, samples, layer.inputs)
    if isinstance(layer, Lif):
        return (torch.rand(shape, generator=made) < 0.3).float()
    steps = torch.randint(-2, 3, shape, generator=made)
    return steps.cumsum(0).clamp(-8, 7).float()


def shipped(net: Spiking, T: int) -> Signed:
    """The hidden neurons of the first block of a shipped network."""
    return Signed(net.p, T, "up", 0, net.bits)


def random_lif(T: int, inputs: int = 160, neurons: int = 640, seed: int = 0) -> Lif:
    """A layer of chapter 2's neurons as large as the assistant's hidden one, with random weights."""
    made = torch.Generator().manual_seed(seed)
    W = torch.randn(neurons, inputs, generator=made) / inputs**0.5
    b = torch.randn(neurons, generator=made) * 0.1
    return Lif(LifLayer(W, b, 0.9, 1.0, "subtract"), T)
