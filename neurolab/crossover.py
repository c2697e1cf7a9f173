"""Density x size: how many times faster than the best dense product each kernel is, measured here and now.

The best dense product is the fastest of `dispatch.DENSE` at that size: MKL, oneDNN, our own kernel with no
block left out. Dense bf16 stands beside them as a rival of another precision, its numbers already in bf16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from neurolab import dispatch
from neurolab.benchmark import Ratio
from neurolab.pruned_speed import undisturbed
from neurolab.sparse_formats import BLOCK

PATTERNS = ("blocks", "scattered")
SIZES = (128, 256, 512, 1024, 2048)
DENSITIES = (0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
COLUMNS = 256
SLOW = 0.06  # seconds a call: what takes longer is called six times only
RIVALS = ("block", "gather_bmm", "torch_bsr", "csr", "torch_csr", "bf16", "dispatch")


def pruned(size: int, density: float, pattern: str = "blocks", seed: int = 0) -> Tensor:
    """A random matrix (size, size) of which a share `density` is there: whole 16 x 16 blocks, or numbers.

    Exactly round(density n) of the n blocks or numbers, at least one. ValueError for another pattern, a
    density outside (0, 1], a size that 16 does not divide.
    """
    if pattern not in PATTERNS:
        raise ValueError(f"pattern is {pattern!r}; it must be one of {', '.join(PATTERNS)}")
    if not 0 < density <= 1:
        raise ValueError(f"density is {density}; it must be above 0 and at most 1")
    if size < BLOCK or size % BLOCK:
        raise ValueError(f"size is {size}; it must be a multiple of {BLOCK}")
    generator = torch.Generator().manual_seed(seed)
    side = size // BLOCK if pattern == "blocks" else size
    there = torch.zeros(side * side)
    there[torch.randperm(side * side, generator=generator)[: max(1, round(density * side * side))]] = 1
    mask = there.view(side, side)
    if pattern == "blocks":
        mask = mask.repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)
    return torch.randn(size, size, generator=generator) * mask


def best_dense(weight: Tensor, x: Tensor) -> tuple[str, Callable[[], Any]]:
    """The fastest dense product of W and x here: its name, and the call."""
    names = [name for name in dispatch.DENSE if name in dispatch.kernels(weight)]
    calls = {name: partial(dispatch.ready(name, weight), x) for name in names}
    name = dispatch.best_dense(calls)
    return name, calls[name]


def rival(name: str, weight: Tensor, x: Tensor, dispatcher: dispatch.Dispatcher | None = None) -> Any:
    """The call that multiplies W and x by a kernel, by dense bf16, or by what a dispatcher picks."""
    if name == "bf16":
        return partial(weight.bfloat16().matmul, x.bfloat16())
    if name == "dispatch":
        return partial((dispatcher or dispatch.Dispatcher()).ready(weight, x.shape[1]), x)
    return partial(dispatch.ready(name, weight), x)


@dataclass(frozen=True)
class Cell:
    """One place of the map: ratio is the best dense product's time over the kernel's; dense says which."""

    size: int
    density: float
    pattern: str
    kernel: str
    dense: str
    ratio: Ratio


def cell(
    size: int,
    density: float,
    kernel: str,
    pattern: str = "blocks",
    columns: int = COLUMNS,
    *,
    blocks: int = 7,
    calls: int = 8,
    dispatcher: dispatch.Dispatcher | None = None,
) -> Cell:
    """Measure one place, on one thread. ValueError as `pruned`, or for a kernel that does not run here."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        weight = pruned(size, density, pattern)
        x = torch.randn(size, columns, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            call = rival(kernel, weight, x, dispatcher)
            dense, reference = best_dense(weight, x)
            slow = dispatch.fastest(call, 1) > SLOW
            found = undisturbed(call, reference, min(blocks, 3) if slow else blocks, 2 if slow else calls)
    finally:
        torch.set_num_threads(threads)
    return Cell(size, density, pattern, kernel, dense, found)


def crossover(
    sizes: Sequence[int] = SIZES[:4],
    densities: Sequence[float] = DENSITIES,
    kernels: Sequence[str] = ("block", "torch_bsr", "csr", "torch_csr"),
    pattern: str = "blocks",
    progress: Callable[[float], None] | None = None,
) -> Iterator[Cell]:
    """The map, cell after cell, quickly (a few seconds a size); progress is told the share that is done."""
    places = [(s, d, k) for s in sizes for d in densities for k in kernels]
    for done, (size, density, kernel) in enumerate(places, start=1):
        yield cell(size, density, kernel, pattern, blocks=3, calls=3)
        if progress is not None:
            progress(done / len(places))
