"""Rounding weights to few bits, one scale a channel: the smallest quantizer that is worth measuring.

A weight w becomes a code q = clip(round(w / s), -2^(b-1), 2^(b-1) - 1) and comes back as s q. The scale s
of each row (output channel; for an embedding, token) is the one of a fixed set of candidates that leaves the
smallest sum of squared errors.
"""

from __future__ import annotations

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Model = TypeVar("Model", bound=nn.Module)


def check_bits(bits: int) -> None:
    """Raise ValueError unless `bits` is a whole number from 2 to 8."""
    if not isinstance(bits, int) or isinstance(bits, bool) or not 2 <= bits <= 8:
        raise ValueError(f"bits {bits!r}: must be a whole number from 2 to 8")


def quantize(w: Tensor, s: Tensor, bits: int) -> Tensor:
    """Codes q (R, C), int8, of w (R, C) with scales s (R, 1) > 0."""
    check_bits(bits)
    return torch.clamp(torch.round(w / s), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1).to(torch.int8)


def dequantize(q: Tensor, s: Tensor) -> Tensor:
    """s q, (R, C)."""
    return q.to(s.dtype) * s


def best_scales(w: Tensor, bits: int, candidates: int = 100) -> Tensor:
    """Scales s (R, 1) of w (R, C): per row, the candidate with the smallest squared error.

    The candidates run in equal steps up to the largest |w| over 2^(b-1) - 1: with it nothing is clipped, and
    beyond it the steps only get coarser. A row of zeros gets scale 1. Raises ValueError on NaN, infinity or
    another shape.
    """
    check_bits(bits)
    if w.ndim != 2 or w.numel() == 0:
        raise ValueError(f"w of shape {tuple(w.shape)}: must be (R, C), with at least one weight")
    if not torch.isfinite(w).all():
        raise ValueError("w holds NaN or infinity: every weight must be finite")
    largest = w.abs().amax(1, keepdim=True)  # (R, 1)
    best, least = torch.ones_like(largest), torch.full_like(largest, torch.inf)
    for i in range(1, candidates + 1):
        s = largest * (i / candidates) / max(2 ** (bits - 1) - 1, 1)
        s = torch.where(s > 0, s, torch.ones_like(s))
        error = (w - dequantize(quantize(w, s, bits), s)).square().sum(1, keepdim=True)
        better = error < least
        best, least = torch.where(better, s, best), torch.where(better, error, least)
    return best


def round_matrices(model: Model, bits: int) -> Model:
    """A copy of `model` with every matrix, embeddings included, rounded to `bits` bits with a scale a row."""
    rounded = copy.deepcopy(model)
    with torch.no_grad():
        for p in rounded.parameters():
            if p.ndim == 2:
                s = best_scales(p, bits)
                p.copy_(dequantize(quantize(p, s, bits), s))
    return rounded


def round_ste(x: Tensor) -> Tensor:
    """round(x), with the derivative of the identity (straight-through: Bengio et al., 2013)."""
    return x + (torch.round(x) - x).detach()


class _Round(torch.autograd.Function):
    """clip(floor(u + 1/2)); backwards the identity where nothing was clipped (Esser et al., 2020)."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, low: int, high: int) -> Tensor:
        code = torch.floor(u + 0.5)
        ctx.save_for_backward((code >= low) & (code <= high))
        return code.clamp_(low, high)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return g * ctx.saved_tensors[0], None, None


def round_clip(u: Tensor, low: int, high: int) -> Tensor:
    """Codes clip(floor(u + 1/2), low, high) of u (...), whole numbers as floats, differentiable.

    With u = x / s and a learned step s, the number s x code has the gradients of learned step size
    quantization: within the bounds 1 for x and code - x / s for s, beyond them 0 and the bound. Source:
    Esser et al., Learned step size quantization, ICLR 2020, equation 3.
    """
    if low > high:
        raise ValueError(f"low {low}, high {high}: low must not be above high")
    return _Round.apply(u, low, high)  # type: ignore[no-any-return]
