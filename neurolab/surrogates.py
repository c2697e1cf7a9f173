"""Surrogates: what a spike's derivative is taken to be, so that spiking networks can learn.

A spike is s = H(u) with u = v - theta, the membrane above its threshold. H's derivative is zero everywhere
but at 0, where it does not exist. Training keeps H on the way forward and puts a bump h(u) in the
derivative's place on the way back (Neftci, Mostafa and Zenke 2019). Four bumps are here:

    sigmoid           h(u) = k q (1 - q), q = 1 / (1 + exp(-k u))     (Zenke and Ganguli 2018)
    fast sigmoid      h(u) = 1 / (1 + k |u|)^2                         (Zenke and Ganguli 2018)
    piecewise linear  h(u) = max(0, 1 - k |u|)                         (Esser et al. 2016)
    arctan            h(u) = (k / 2) / (1 + (pi k u / 2)^2)            (Fang et al. 2021)

`sigmoid`, `fast_sigmoid` and `arctan` have snnTorch's definitions and defaults, so the gradients agree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

KINDS = ("sigmoid", "fast sigmoid", "piecewise linear", "arctan")


class _Spike(torch.autograd.Function):
    """H(u) forward, g h(u) backward."""

    @staticmethod
    def forward(ctx, u: Tensor, surrogate: Surrogate) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(u)
        ctx.surrogate = surrogate
        return (u > 0).to(u.dtype)

    @staticmethod
    def backward(ctx, g: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        (u,) = ctx.saved_tensors
        return g * ctx.surrogate.slope(u), None


@dataclass(frozen=True)
class Surrogate:
    """A spike with a derivative: `surrogate(u)` is 1 where u > 0, else 0; its gradient is `.slope(u)`.

    kind: one of KINDS. k > 0: how narrow the bump is. ValueError for anything else.
    """

    kind: str
    k: float

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind = {self.kind!r} is not a surrogate; choose one of {', '.join(KINDS)}")
        if not (isinstance(self.k, (int, float)) and math.isfinite(self.k) and self.k > 0):
            raise ValueError(f"k = {self.k!r} must be a positive, finite number")

    def __call__(self, u: Tensor) -> Tensor:
        """u (...): v - theta. Returns spikes (...), 0 or 1, in u's dtype."""
        return _Spike.apply(u, self)

    def slope(self, u: Tensor) -> Tensor:
        """h(u) (...): the bump that stands in for the derivative."""
        k = self.k
        if self.kind == "sigmoid":
            e = torch.exp(-k * u.abs())  # k q (1 - q), written so that nothing overflows or cancels
            return k * e / (1 + e) ** 2
        if self.kind == "fast sigmoid":
            return 1 / (1 + k * u.abs()) ** 2
        if self.kind == "piecewise linear":
            return (1 - k * u.abs()).clamp_min(0)
        return (k / 2) / (1 + (math.pi / 2 * k * u) ** 2)

    def curve(self, u: Tensor) -> Tensor:
        """The smooth curve whose derivative is h, 1/2 at u = 0: the step that the learner sees."""
        k = self.k
        if self.kind == "sigmoid":
            return torch.sigmoid(k * u)
        if self.kind == "fast sigmoid":
            return 0.5 + u / (1 + k * u.abs())
        if self.kind == "piecewise linear":
            a = u.clamp(-1 / k, 1 / k)
            return 0.5 + a - k * a * a.abs() / 2
        return 0.5 + torch.atan(math.pi / 2 * k * u) / math.pi


def sigmoid(k: float = 25.0) -> Surrogate:
    """h(u) = k q (1 - q) with q = 1 / (1 + exp(-k u))."""
    return Surrogate("sigmoid", k)


def fast_sigmoid(k: float = 25.0) -> Surrogate:
    """h(u) = 1 / (1 + k |u|)^2."""
    return Surrogate("fast sigmoid", k)


def piecewise_linear(k: float = 1.0) -> Surrogate:
    """h(u) = max(0, 1 - k |u|)."""
    return Surrogate("piecewise linear", k)


def arctan(k: float = 2.0) -> Surrogate:
    """h(u) = (k / 2) / (1 + (pi k u / 2)^2)."""
    return Surrogate("arctan", k)
