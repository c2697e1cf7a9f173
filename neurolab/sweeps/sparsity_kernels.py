"""Kernels of chapter 6: rows sparsity.block, .kernels, .map, .dispatch, .fusion, .int8 and .formats.

One thread; every ratio is the best dense product's time over the kernel's (`crossover.best_dense`), in turns.
"""

from __future__ import annotations

import time
import warnings
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from neurolab import assistant, crossover, dispatch, pruning, video
from neurolab.benchmark import Ratio
from neurolab.block_kernel import BlockSparse, engines
from neurolab.crossover import COLUMNS, DENSITIES, SIZES, pruned
from neurolab.dispatch import Dispatcher, nonzero
from neurolab.int8_kernel import Int8Blocks
from neurolab.pruned_speed import undisturbed
from neurolab.sparse_formats import BLOCK, FORMATS
from neurolab.sweep import Job

LARGE = (512, 1024, 2048)
GOAL = 0.25
STRUCTURED, UNSTRUCTURED = ("block", "gather_bmm", "torch_bsr"), ("csr", "torch_csr")
KEPT = (32, 64, 128, 256)  # tokens of 256, through a layer of 192 to 768 numbers


def _figures(ratio: Ratio, name: str = "latency_ratio") -> dict[str, Any]:
    return {
        name: ratio.median,
        f"{name}_low": ratio.low,
        f"{name}_high": ratio.high,
        "seconds": ratio.a_seconds,
        "dense_seconds": ratio.b_seconds,
    }


def _given(size: int, columns: int) -> Tensor:
    return torch.randn(size, columns, generator=torch.Generator().manual_seed(1))


def block(size: int, density: float, columns: int) -> dict[str, Any]:
    """Our block kernel in float32 against the best dense float32, each dense one alone, and dense bf16."""
    weight, x = pruned(size, density), _given(size, columns)
    kernel = BlockSparse(weight)
    call = partial(kernel, x)
    dense, best = crossover.best_dense(weight, x)
    made = _figures(undisturbed(call, best, 9, 10))
    for name in (*dispatch.DENSE, "bf16"):
        if name == "bf16" or name in dispatch.kernels(weight):
            found = undisturbed(call, crossover.rival(name, weight, x), 5, 6)
            made[f"latency_ratio_{name}"] = found.median
    if "numba" in engines():
        numba = partial(BlockSparse(weight, engine="numba"), x)
        made["latency_ratio_numba"] = undisturbed(numba, best, 5, 6).median
    stored: dict[str, Any] = {"bytes": kernel.blocks.bytes, "bytes_dense": weight.numel() * 4}
    return made | stored | {"dense": dense, "engine": kernel.engine, "macs_ratio": 1 / kernel.density}


def block_int8(size: int, density: float, columns: int) -> dict[str, Any]:
    """The kernel in bytes against itself with every block kept and against torch's bare product of bytes."""
    weight, x = pruned(size, density), _given(size, columns)
    kernel, full = Int8Blocks(weight), Int8Blocks(weight, every=True)
    a, b = (torch.randint(-127, 128, (n, size), dtype=torch.int8) for n in (columns, size))
    rivals = {"block_full": partial(full, x), "torch_int_mm": partial(torch._int_mm, a, b.T)}
    dense = dispatch.best_dense(rivals)
    made = _figures(undisturbed(partial(kernel, x), rivals[dense], 9, 10))
    stored = {"bytes": kernel.bytes, "bytes_dense": weight.numel()}
    return made | stored | {"dense": dense, "engine": kernel.engine, "macs_ratio": 1 / density}


def time_share(kind: str, size: int, density: float) -> dict[str, Any]:
    """How much of the saved operations becomes saved time: (1 - time / dense time) / (1 - density).

    1: all of it; 0: the sparse product takes as long as the dense one; below 0: longer. Both sides are the
    fastest kernel that we have: of CSR ones for scattered numbers, of block ones for blocks.
    """
    names, pattern = (UNSTRUCTURED, "scattered") if kind == "unstructured" else (STRUCTURED, "blocks")
    weight, x = pruned(size, density, pattern), _given(size, COLUMNS)
    calls = {name: crossover.rival(name, weight, x) for name in names if name in dispatch.kernels(weight)}
    name = min(calls, key=lambda name: dispatch.fastest(calls[name]))
    dense, best = crossover.best_dense(weight, x)
    ratio = undisturbed(calls[name], best, 7, 8)
    share = (1 - 1 / ratio.median) / (1 - density)
    return {f"{kind}_time_share": share, "kernel": name, "dense": dense, **_figures(ratio)}


def place(size: int, density: float, pattern: str, kernel: str) -> dict[str, Any]:
    """One place of the map."""
    found = crossover.cell(size, density, kernel, pattern)
    return {**_figures(found.ratio), "dense": found.dense}


def dispatched(size: int, pattern: str) -> dict[str, Any]:
    """What the dispatcher picks at each density, and how much slower than the best dense it ever is."""
    dispatcher = Dispatcher()
    cells = [crossover.cell(size, d, "dispatch", pattern, dispatcher=dispatcher) for d in DENSITIES]
    slower = [100 * (1 / cell.ratio.median - 1) for cell in cells]
    picked = [dispatcher.choose(pruned(size, d, pattern), COLUMNS).kernel for d in DENSITIES]
    return {
        "worst_slowdown_percent": max(slower),
        "densities": list(DENSITIES),
        "slowdowns_percent": slower,
        "latency_ratios": [cell.ratio.median for cell in cells],
        "picked": picked,
    }


def fusion(size: int, density: float) -> dict[str, Any]:
    """Product, bias and activation in one pass, against three passes with the same kernel."""
    weight, x = pruned(size, density), _given(size, COLUMNS)
    bias = torch.randn(size, generator=torch.Generator().manual_seed(2))
    kernel, bare = BlockSparse(weight, bias), BlockSparse(weight)

    def three() -> Tensor:
        return (bare(x) + bias[:, None]).relu()

    largest = float((kernel(x, "relu") - three()).abs().max())
    ratio = undisturbed(lambda: kernel(x, "relu"), three, 9, 10)
    return {**_figures(ratio), "largest_difference": largest, "bytes_saved": 4 * 4 * size * COLUMNS}


def int8(kept: int) -> dict[str, Any]:
    """Packed tokens through a layer with ReLU: bytes against float32 (torch's linear), gather included."""
    generator = torch.Generator().manual_seed(3)
    weight, bias = torch.randn(768, 192, generator=generator), torch.randn(768, generator=generator)
    tokens = torch.randn(256, 192, generator=generator)
    keep = torch.randperm(256, generator=generator)[:kept].sort().values
    layer = Int8Blocks(weight, bias)

    def floats() -> Tensor:
        return F.relu(F.linear(tokens[keep], weight, bias))

    found, true = layer.tokens(tokens, keep, "relu"), floats()
    ratio = undisturbed(lambda: layer.tokens(tokens, keep, "relu"), floats, 9, 20)
    error = float((found - true).norm() / true.norm())
    size = {"bytes": layer.bytes, "bytes_dense": weight.numel() * 4}
    return {**_figures(ratio), "relative_error": error, **size, "engine": layer.engine}


@lru_cache(maxsize=1)
def _matrices() -> dict[str, Tensor]:
    model = assistant.load().model
    name = next(iter(pruning.prunable(model)))
    weight = dict(model.named_parameters())[f"{name.removesuffix('.weight')}.weight"].detach()
    weight = weight[: len(weight) // BLOCK * BLOCK, : weight.shape[1] // BLOCK * BLOCK]
    small = weight.abs().flatten().kthvalue(round(0.9 * weight.numel())).values
    squares = F.avg_pool2d((weight**2)[None, None], BLOCK)[0, 0]
    kept = squares > squares.flatten().kthvalue(round(0.75 * squares.numel())).values
    frames = video.clips([0]).frames
    before, after = video.tubelets(frames)[0].unflatten(1, (video.SLOT, -1)).unbind(1)
    moved = (after - before).abs().amax(1) > 0.1
    return {
        "weight_numbers": weight * (weight.abs() > small),
        "weight_blocks": weight * kept.repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1),
        "changed_tokens": video.tubelets(frames)[0] * moved[:, None],
    }


def stored(tensor: str, kind: str) -> dict[str, Any]:
    """A real matrix in one format: what it takes, and torch's own product of the format."""
    matrix = _matrices()[tensor]
    made = FORMATS[kind].of(matrix)
    x = _given(matrix.shape[1], COLUMNS)
    theirs = made.matmul if kind == "hybrid" else made.torch().matmul  # torch multiplies no hybrid one
    _, best = crossover.best_dense(matrix, x)
    ratio = undisturbed(partial(theirs, x), best, 7, 8)
    numbers, blocks = nonzero(matrix)
    dense = 4 * matrix.numel()
    size = {"bytes": made.bytes, "bytes_dense": dense, "bytes_ratio": dense / made.bytes}
    return {**_figures(ratio), **size, "numbers_there": numbers, "blocks_there": blocks}


def _quiet(make: Any, *args: Any) -> dict[str, Any]:
    """`make` on one thread, without gradients, and without torch's notice that CSR is in beta.

    cpu_share: the share of the time in which this process had a processor. Well under 1, others were at work,
    and a ratio of calls of many milliseconds is not to be trusted: the longer one is interrupted more often.
    """
    torch.set_num_threads(1)
    wall, cpu = time.perf_counter(), time.process_time()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore", UserWarning)
        made = dict(make(*args))
    share = (time.process_time() - cpu) / (time.perf_counter() - wall)
    return {**made, "cpu_share": round(share, 3)}


def _job(name: str, setting: dict[str, Any], make: Any, minutes: float, *args: Any) -> Job:
    return Job(f"sparsity.{name}", setting, partial(_quiet, make, *(args or setting.values())), minutes, 6)


def jobs() -> list[Job]:
    """Every row of this module."""
    made = []
    wanted = [(s, GOAL, COLUMNS) for s in LARGE] + [(1024, d, COLUMNS) for d in (0.1, 0.5)]
    wanted += [(1024, GOAL, n) for n in (32, 1024)]
    for size, density, columns in wanted:
        setting: dict[str, Any] = {"size": size, "density": density, "columns": columns}
        args = tuple(setting.values())
        made.append(_job("block", {**setting, "precision": "float32"}, block, 0.3, *args))
        if columns == COLUMNS and density == GOAL:
            made.append(_job("block", {**setting, "precision": "int8"}, block_int8, 0.2, *args))
    for kind, form in (("unstructured", "csr"), ("structured", "bsr")):
        for size in LARGE:
            for density in (0.05, 0.1, GOAL, 0.5):
                setting = {"format": form, "size": size, "density": density, "columns": COLUMNS}
                made.append(_job("kernels", setting, time_share, 0.2, kind, size, density))
    for pattern, kernels in (
        ("blocks", (*STRUCTURED, *UNSTRUCTURED, "bf16")),
        ("scattered", (*UNSTRUCTURED, "torch_bsr")),
    ):
        for size in SIZES:
            for density in DENSITIES:
                for kernel in kernels:
                    setting = {"size": size, "density": density, "pattern": pattern, "kernel": kernel}
                    made.append(_job("map", setting, place, 0.01 * size / 256))
            made.append(_job("dispatch", {"size": size, "pattern": pattern}, dispatched, 0.001 * size))
    made += [_job("fusion", {"size": s, "density": d}, fusion, 0.1) for s in LARGE for d in (0.05, GOAL)]
    made += [_job("int8", {"kept": kept}, int8, 0.1) for kept in KEPT]
    for tensor in ("weight_numbers", "weight_blocks", "changed_tokens"):
        made += [_job("formats", {"tensor": tensor, "format": kind}, stored, 0.1) for kind in FORMATS]
    return made
