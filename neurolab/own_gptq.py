"""GPTQ for large matrices: `neurolab.gptq` in blocks of columns, so that most of the work is matrix products.

Chapter 4's version changes all later columns after each single one: the whole matrix passes through the
processor once a column. Here the columns of a block make up for each other at once, and what a block as a
whole owes the columns behind it is paid in one product. The codes are the same but for rounding.

Source: Frantar et al., GPTQ: Accurate post-training quantization for generative pre-trained transformers,
ICLR 2023 (algorithm 1, with its lazy blocks). Shapes: R outputs, C inputs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neurolab.gptq import check, inverse_root
from neurolab.quantization import best_steps, check_bits, code_range
from neurolab.quantized import Coded

WIDTH = 128
"""Columns of a block."""


def compensate(
    W: Tensor,
    H: Tensor,
    step: Tensor,
    bits: int,
    *,
    damp: float = 0.01,
    keep: Tensor | None = None,
    width: int = WIDTH,
) -> Tensor:
    """Codes (R, C), int16, of W (R, C) for inputs with H = sum x x^T (C, C), on the grid of `step`.

    step: (R, G) of numbers above 0, G a divisor of C: one a row and group of C / G columns.  keep: (R, C) of
    bool, False where the code shall be 0 (pruned): the others make up for that, too.  Columns go in the order
    of falling H_jj, so that those that matter most are rounded while many are left to make up for it.
    ValueError where shapes do not fit or numbers are not finite.
    """
    check(W, H, damp)
    check_bits(bits)
    rows, columns = W.shape
    if step.ndim != 2 or step.shape[0] != rows or columns % step.shape[1] or not bool((step > 0).all()):
        raise ValueError(
            f"step of shape {tuple(step.shape)}: must be ({rows}, n) above 0, n dividing {columns}"
        )
    if keep is not None and keep.shape != W.shape:
        raise ValueError(f"keep of shape {tuple(keep.shape)}: must be {tuple(W.shape)}, as W")
    if width < 1:
        raise ValueError(f"width {width}: must be at least 1")
    low, high = code_range(bits)
    order = torch.argsort(H.diagonal(), descending=True, stable=True)
    U = inverse_root(H[order][:, order].double(), damp).float()
    rest = W.detach().float()[:, order]
    group = columns // step.shape[1]
    codes = torch.empty(rows, columns, dtype=torch.int16)
    for start in range(0, columns, width):
        end = min(start + width, columns)
        block, errors = rest[:, start:end], torch.empty(rows, end - start)
        for i in range(end - start):
            j = int(order[start + i])
            s = step[:, j // group]
            code = torch.round(block[:, i] / s).clamp_(low, high)
            if keep is not None:
                code *= keep[:, j]
            codes[:, j] = code.to(torch.int16)
            errors[:, i] = (block[:, i] - code * s) / U[start + i, start + i]
            block[:, i + 1 :].addr_(errors[:, i], U[start + i, start + i + 1 : end], alpha=-1)
        rest[:, end:].addmm_(errors, U[start:end, end:], alpha=-1)
    return codes


def steps(W: Tensor, bits: int, group: int = 0, candidates: int = 40) -> Tensor:
    """Steps (R, C / group), float16 held as float32, of least squared error for W (R, C); group 0: one a row.

    Where `group` does not divide C, a row has one step.
    """
    rows, columns = W.shape
    n = group if group and columns % group == 0 else columns
    low, high = code_range(bits)
    s = best_steps(W.detach().float().reshape(-1, n), low, high, candidates).reshape(rows, columns // n)
    return half(s)


def half(s: Tensor) -> Tensor:
    """Steps rounded to float16, unless one is beyond its normal range."""
    fits = bool(((s >= 2.0**-14) & (s < 2.0**15)).all())
    return s.half().float() if fits else s


def code(
    W: Tensor, H: Tensor, bits: int, *, group: int = 0, damp: float = 0.01, keep: Tensor | None = None
) -> Coded:
    """W (R, C) as codes of `bits` bits by GPTQ: `steps`, then `compensate`."""
    s = steps(W, bits, group)
    return Coded(compensate(W, H, s, bits, damp=damp, keep=keep), s)
