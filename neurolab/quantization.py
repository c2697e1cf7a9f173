"""Rounding to few bits: symmetric and affine, with a step a tensor, a channel or a group.

Symmetric, a weight w becomes a code q = clip(round(w / s), -2^(b-1), 2^(b-1) - 1) and comes back as s q.
Affine, q = clip(round(w / s) + z, 0, 2^b - 1) comes back as s (q - z): z is the code of 0. Halves round to
the even code, as in IEEE 754, ONNX and PyTorch. s is the step (or scale), z the zero point, b the bits.

Which numbers share a step: all (`tensor`), those of a row (`channel`: an output; for an embedding, a token),
or n neighbours in a row (`group32`). Source: Jacob et al., Quantization and training of neural networks for
efficient integer-arithmetic-only inference, CVPR 2018 (section 2.1).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from neurolab.quantized import Coded

Model = TypeVar("Model", bound=nn.Module)
Ranges = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Numbers (..., n) -> the smallest and the largest (...) of each n that is to have a code."""

TERNARY = 1.58
"""log2(3): the "bits" of the codes -1, 0 and 1."""


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
    return best_steps(w, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1, candidates)


def best_steps(w: Tensor, lowest: int, highest: int, candidates: int = 100) -> Tensor:
    """`best_scales` for codes lowest..highest: steps (R, 1) of the rows of w (R, C) with the least error."""
    largest = w.abs().amax(1, keepdim=True)  # (R, 1)
    best, least = torch.ones_like(largest), torch.full_like(largest, torch.inf)
    for i in range(1, candidates + 1):
        s = largest * (i / candidates) / max(highest, 1)
        s = torch.where(s > 0, s, torch.ones_like(s))
        error = (w - torch.round(w / s).clamp(lowest, highest) * s).square().sum(1, keepdim=True)
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


def code_range(bits: float, *, affine: bool = False, narrow: bool = False) -> tuple[int, int]:
    """The lowest and the highest code: symmetric -2^(b-1), 2^(b-1) - 1; affine 0, 2^b - 1; ternary -1, 1.

    narrow: symmetric without the code -2^(b-1), so that both sides reach equally far. ValueError for bits
    other than 2 to 8 and TERNARY (which is symmetric).
    """
    if bits == TERNARY and not affine:
        return -1, 1
    check_bits(bits)  # type: ignore[arg-type]
    if affine:
        return 0, 2 ** int(bits) - 1
    top = 2 ** (int(bits) - 1) - 1
    return (-top if narrow else -top - 1), top


def shared(w: Tensor, granularity: str) -> Tensor:
    """w (R, ...) as (R', C', n), the n numbers that share a step: (1, 1, all), (R, 1, C) or (R, C / n, n).

    granularity: "tensor", "channel" or "group" with n, as "group32". ValueError where w is empty, holds NaN
    or infinity, or n does not divide the C numbers of a row.
    """
    if w.numel() == 0 or not torch.isfinite(w).all():
        raise ValueError(f"w of shape {tuple(w.shape)}: must hold at least one number, no NaN, no infinity")
    if granularity == "tensor":
        return w.reshape(1, 1, -1)
    if granularity == "channel":
        return w.reshape(len(w), 1, -1)
    found = re.fullmatch(r"group([1-9]\d*)", granularity)
    if not found:
        raise ValueError(f"granularity {granularity!r}: must be 'tensor', 'channel' or, say, 'group32'")
    n, in_row = int(found[1]), w[0].numel()
    if in_row % n:
        raise ValueError(f"granularity {granularity!r}: {n} must divide the {in_row} numbers of a row")
    return w.reshape(len(w), in_row // n, n)


def extremes(x: Tensor) -> tuple[Tensor, Tensor]:
    """The smallest and the largest of x (..., n), each (...): nothing is clipped."""
    return x.amin(-1), x.amax(-1)


def step_and_zero(
    low: Tensor, high: Tensor, bits: float, *, affine: bool = False, narrow: bool = False
) -> tuple[Tensor, Tensor | None]:
    """Step s, float32, and zero point z, int16 (None: symmetric), so that low..high (...) gets codes.

    Zero always has a code, so the range is stretched to hold it. Symmetric, the farther end decides:
    s = max(|low|, |high|) / (highest code). A range of zeros gets the step 1.
    """
    lowest, highest = code_range(bits, affine=affine, narrow=narrow)
    low, high = low.float().clamp(max=0), high.float().clamp(min=0)
    s = (high - low) / (highest - lowest) if affine else torch.maximum(-low, high) / highest
    s = torch.where(s > 0, s, torch.ones_like(s))
    return s, torch.round(-low / s).clamp(lowest, highest).to(torch.int16) if affine else None


def codes(x: Tensor, s: Tensor, z: Tensor | None, lowest: int, highest: int) -> Tensor:
    """clip(round(x / s) + z, lowest, highest), int16, s and z of a shape that fits x (...)."""
    q = torch.round(x / s)
    return (q if z is None else q + z).clamp(lowest, highest).to(torch.int16)


def encode(
    w: Tensor,
    bits: float,
    granularity: str = "channel",
    *,
    affine: bool = False,
    narrow: bool = False,
    ranges: Ranges = extremes,
) -> Coded:
    """w (R, ...) rounded to the nearest codes; `ranges` says how far each step's codes reach.

    Raises ValueError as `code_range` and `shared` do.
    """
    lowest, highest = code_range(bits, affine=affine, narrow=narrow)
    x = shared(w.detach().float(), granularity)  # (R', C', n)
    s, z = step_and_zero(*ranges(x), bits, affine=affine, narrow=narrow)  # (R', C')
    q = codes(x, s[..., None], None if z is None else z[..., None], lowest, highest)
    if granularity == "tensor":
        s, z = s[0, 0], None if z is None else z[0, 0]
    return Coded(q.reshape(w.shape), s, z)


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
