"""The same tiles through torch's own block-sparse attention (FlexAttention), compiled for this machine.

Dong et al., *Flex Attention*, 2024. torch.compile writes a kernel in C++ for each shape, so it needs a C++
compiler (a reader may have none) and some seconds the first time. Not compiled, `flex_attention` makes all
N x M scores and does not even look at which blocks were chosen, only at a function of the two places.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

COMPILERS = ("g++", "clang++", "cl")


def has_compiler() -> bool:
    """Whether torch.compile will find a C++ compiler here."""
    return any(shutil.which(name) for name in COMPILERS)


def block_mask(chosen: Tensor, tile: int) -> BlockMask:
    """chosen (B, H, n, m) bool, as `topk_attention.tiles` gives it -> FlexAttention's mask of its blocks."""
    if chosen.ndim != 4 or chosen.dtype != torch.bool or not bool(chosen.any(-1).all()):
        raise ValueError(
            f"chosen of shape {tuple(chosen.shape)}, {chosen.dtype}: must be (B, H, n, m) of bool, "
            "a tile at least in every row"
        )
    order = chosen.int().argsort(dim=-1, descending=True, stable=True).int()  # the chosen ones first
    length = (chosen.shape[2] * tile, chosen.shape[3] * tile)
    return BlockMask.from_kv_blocks(
        chosen.sum(-1, dtype=torch.int32), order, BLOCK_SIZE=(tile, tile), seq_lengths=length
    )


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    if not has_compiler():
        raise RuntimeError(f"torch.compile needs a C++ compiler ({', '.join(COMPILERS)}), and none is here")
    made: Callable[..., Any] = torch.compile(function, dynamic=False)
    return made


@torch.no_grad()
def compiled(q: Tensor, k: Tensor, v: Tensor, mask: BlockMask) -> Tensor:
    """FlexAttention, compiled: the first call for a shape takes seconds. RuntimeError without a compiler."""
    made: Tensor = _compiled(flex_attention)(q, k, v, block_mask=mask)
    return made


def compile_seconds(function: Callable[..., Any], *given: Any) -> tuple[Callable[..., Any], float]:
    """torch.compile's version of `function`, and what its first call on `given` took in seconds.

    RuntimeError without a compiler.
    """
    made = _compiled(function)
    began = time.perf_counter()
    made(*given)
    return made, time.perf_counter() - began
