"""Which kernel for which matrix: every way to multiply W (R, C) by x (C, N), and a dispatcher that picks.

`KERNELS` has three dense ones (`DENSE`: MKL, oneDNN, and our block kernel with every block kept) and five
that skip zeros. `Dispatcher.ready(W, N)` hands out the one to call. It times once for each shape, density and
kind of zeros, keeps what it found, and stays dense unless a sparse kernel is surely faster.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neurolab.block_kernel import BlockSparse, CsrKernel, engines
from neurolab.provenance import processor
from neurolab.pruned_speed import undisturbed
from neurolab.sparse_formats import BLOCK, Bsr, Csr

Kernel = Callable[[Tensor], Tensor]


def _onednn(weight: Tensor) -> Kernel:
    linear = torch.ops.mkldnn._linear_pointwise  # the call that torch.compile makes
    return lambda x: linear(weight, x.T, None, "none", [], "")


KERNELS: dict[str, Callable[[Tensor], Kernel]] = {
    "mkl": lambda weight: weight.matmul,  # torch's own; on other processors it may be another library
    "onednn": _onednn,
    "block_full": lambda weight: BlockSparse(weight, every=True),
    "block": BlockSparse,
    "gather_bmm": lambda weight: Bsr.of(weight).matmul,
    "torch_bsr": lambda weight: Bsr.of(weight).torch().matmul,
    "csr": CsrKernel,
    "torch_csr": lambda weight: Csr.of(weight).torch().matmul,
}
"""name: what makes W (R, C) ready; that takes x (C, N) and gives W x (R, N)."""

DENSE = ("mkl", "onednn", "block_full")
_BLOCKED = ("block_full", "block", "gather_bmm", "torch_bsr")


def kernels(weight: Tensor) -> tuple[str, ...]:
    """The names of those that run here and can take a matrix of this shape."""
    missing = set() if torch.backends.mkldnn.is_available() else {"onednn"}
    missing |= set() if "c" in engines() else {"csr"}
    if any(side % BLOCK for side in weight.shape):
        missing |= set(_BLOCKED)
    return tuple(name for name in KERNELS if name not in missing)


def ready(name: str, weight: Tensor) -> Kernel:
    """The kernel of that name with W in its own format. ValueError where it does not run here."""
    if name not in kernels(weight):
        raise ValueError(f"kernel is {name!r}; for {tuple(weight.shape)} it must be one of {kernels(weight)}")
    return KERNELS[name](weight)


@dataclass(frozen=True)
class Choice:
    """The kernel to call, and how many times faster than the best dense one it was (low: surely).

    seconds: what each kernel's fastest call took.
    """

    kernel: str
    dense: str
    ratio: float
    low: float
    seconds: dict[str, float]


def nonzero(weight: Tensor) -> tuple[float, float]:
    """The share of numbers, and of 16 x 16 blocks, that are not zero (1 where 16 does not divide a side)."""
    numbers = float((weight != 0).float().mean())
    return numbers, 1.0 if any(side % BLOCK for side in weight.shape) else Bsr.of(weight).density


class Dispatcher:
    """Profiles once and picks.

    file: where what was found is kept as JSON (None: in memory only); what another processor found is not
    used. margin: how many times faster than dense a sparse kernel must surely be. deterministic: nothing is
    timed; a matrix without a kept choice is multiplied by MKL, so every run gives the same numbers.
    Timed with the number of threads that torch has at that moment; our own kernels use one.
    """

    def __init__(
        self, file: Path | None = None, *, margin: float = 1.02, deterministic: bool = False
    ) -> None:
        if margin < 1:
            raise ValueError(f"margin is {margin}; it must be at least 1")
        self.file, self.margin, self.deterministic = file, margin, deterministic
        self.choices: dict[str, Choice] = _load(file) if file is not None and file.exists() else {}

    @staticmethod
    def key(weight: Tensor, columns: int) -> str:
        """Shared by matrices of one shape, with as many columns, and like shares of numbers and blocks."""
        numbers, blocks = nonzero(weight)
        R, C = weight.shape
        return f"{R}x{C}x{columns} numbers {numbers:.2f} blocks {blocks:.2f}"

    def choose(self, weight: Tensor, columns: int) -> Choice:
        """The choice for W (R, C) and x with so many columns. ValueError for a matrix that is none."""
        if weight.ndim != 2 or weight.dtype != torch.float32 or columns < 1:
            raise ValueError(
                f"weight is {tuple(weight.shape)} of {weight.dtype} and columns {columns}; "
                "they must be (R, C) of torch.float32 and at least 1"
            )
        key = self.key(weight, columns)
        if key not in self.choices:
            if self.deterministic:
                return Choice("mkl", "mkl", 1.0, 1.0, {})
            self.choices[key] = profile(weight, columns, self.margin)
            self._keep()
        return self.choices[key]

    def ready(self, weight: Tensor, columns: int) -> Kernel:
        """What to call with x (C, columns); in the dense case torch's product, nothing around it."""
        kernel = self.choose(weight, columns).kernel
        return ready(kernel if kernel in kernels(weight) else "mkl", weight)

    def _keep(self) -> None:
        if self.file is None:
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        found = {"processor": processor(), "choices": {k: asdict(c) for k, c in self.choices.items()}}
        part = self.file.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(found, indent=1), encoding="utf-8")
        os.replace(part, self.file)


def _load(file: Path) -> dict[str, Choice]:
    """The choices kept in `file`; none where another processor made them. ValueError for a broken file."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        choices = {key: Choice(**fields) for key, fields in found["choices"].items()}
        return choices if found["processor"] == processor() else {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"file is {file}; it must hold what a Dispatcher kept ({error})") from error


def profile(weight: Tensor, columns: int, margin: float = 1.02) -> Choice:
    """The fastest dense kernel, or a sparse one that is surely faster than it.

    All are timed for a moment; the two sparse ones that look best then run in turns with the dense one, and
    the lower end of that interval decides.
    """
    x = torch.randn(weight.shape[1], columns, generator=torch.Generator().manual_seed(0))
    calls = {name: partial(ready(name, weight), x) for name in kernels(weight)}
    dense = best_dense({name: calls[name] for name in DENSE if name in calls})
    seconds = {name: fastest(call) for name, call in calls.items()}
    best = Choice(dense, dense, 1.0, 1.0, seconds)
    sparse = sorted(seconds.keys() - set(DENSE), key=lambda name: seconds[name])
    for name in sparse[:2]:
        if seconds[name] * margin > seconds[dense]:
            continue
        found = undisturbed(calls[name], calls[dense], blocks=7, calls=8)
        if found.low >= margin and found.median > best.ratio:
            best = Choice(name, dense, found.median, found.low, seconds)
    return best


def best_dense(calls: Mapping[str, Callable[[], Any]], turns: int = 15) -> str:
    """The fastest of `calls`, in turns; each one's fastest call counts, as an interruption only adds."""
    least = {name: fastest(call, 1) for name, call in calls.items()}
    for _ in range(turns):
        least = {name: min(least[name], fastest(call, 1)) for name, call in calls.items()}
    return min(least, key=lambda name: least[name])


def fastest(call: Callable[[], Any], calls: int = 7, limit: float = 0.1) -> float:
    """Seconds of the fastest of a few calls, after one to warm up; of fewer once `limit` is over."""
    call()
    seconds: list[float] = []
    while not seconds or (len(seconds) < calls and sum(seconds) < limit):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
