"""Our block kernel: y = W x, where only the 16 x 16 blocks of W that hold anything are multiplied.

Three things make it fast, and none of them is sparsity:

- a panel of X's columns is packed side by side, so that a block reads neighbours only;
- the sums of a strip of rows stay in registers (C) or in the nearest cache (numba) until its blocks are done;
- every instruction multiplies and adds a whole vector.

The C source is `block_kernel_c.KERNELS`; `four_by_four` does the same in numba where there is no compiler,
`Bsr.matmul` where numba is missing too. One thread; results differ from torch's in the last digits, because
the sums run in another order, and are the same in every run.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurolab.block_kernel_c import PANEL, library
from neurolab.neurons_fast import has_numba
from neurolab.sparse_formats import BLOCK, Bsr, Csr

ENGINES = ("c", "numba", "torch")
ACTIVATIONS = (None, "relu")
_WIDE = 128  # columns that numba takes at a time


def engines() -> tuple[str, ...]:
    """Those that run here, the fastest first."""
    there = {"c": library() is not None, "numba": has_numba(), "torch": True}
    return tuple(name for name in ENGINES if there[name])


def _engine(asked: str | None) -> str:
    if asked is None:
        return engines()[0]
    if asked not in engines():
        raise ValueError(f"engine is {asked!r}; here it must be one of {', '.join(engines())}")
    return asked


def _given(x: Tensor, rows: int) -> Tensor:
    """x as the kernels read it; ValueError unless it is (rows, N), float32."""
    if x.ndim != 2 or x.shape[0] != rows or x.dtype != torch.float32:
        raise ValueError(f"x is {tuple(x.shape)} of {x.dtype}; it must be ({rows}, N) of torch.float32")
    return x.contiguous()


def _activation(name: str | None) -> bool:
    if name not in ACTIVATIONS:
        raise ValueError(f"activation is {name!r}; it must be one of {ACTIVATIONS}")
    return name == "relu"


class BlockSparse:
    """W (R, C) float32 by its blocks, with a bias (R), ready to be multiplied.

    R and C must be multiples of 16. every: keep empty blocks too (the kernel at 100 % density).
    engine: c | numba | torch; None: the fastest there is. ValueError otherwise.
    """

    def __init__(
        self, weight: Tensor, bias: Tensor | None = None, *, every: bool = False, engine: str | None = None
    ) -> None:
        self.engine = _engine(engine)
        self.blocks = Bsr.of(weight.detach().float(), BLOCK, every=every)
        self.shape = self.blocks.shape
        if bias is not None and bias.shape != (self.shape[0],):
            raise ValueError(f"bias is {tuple(bias.shape)}; it must be ({self.shape[0]},)")
        self.bias = torch.zeros(self.shape[0]) if bias is None else bias.detach().float().contiguous()
        self.start, self.cols = self.blocks.start.int(), self.blocks.cols.int()
        self.values = self.blocks.values.transpose(1, 2).contiguous()  # column after column of each block
        self.panel = torch.empty(self.shape[1] * (PANEL if self.engine == "c" else _WIDE))
        self.call = [t.data_ptr() for t in (self.start, self.cols, self.values, self.bias)]

    @property
    def density(self) -> float:
        """The share of blocks that are kept."""
        return self.blocks.density

    @property
    def bytes(self) -> int:
        """The working set beside x and y: blocks, indices and the panel."""
        return self.blocks.bytes + 4 * self.panel.numel()

    def __call__(self, x: Tensor, activation: str | None = None) -> Tensor:
        """f(W x + bias) for x (C, N), in one pass: (R, N). activation: None | relu."""
        relu, x = _activation(activation), _given(x, self.shape[1])
        if self.engine == "torch":
            y = self.blocks.matmul(x) + self.bias[:, None]
            return y.relu_() if relu else y
        y = torch.empty(self.shape[0], x.shape[1])
        if self.engine == "c":
            found: Any = library()
            last = (x.data_ptr(), *x.shape, self.panel.data_ptr(), y.data_ptr())
            found.block_matmul(self.shape[0] // BLOCK, *self.call, relu, *last)
            return y
        weight = (t.numpy() for t in (self.start, self.cols, self.values.flatten(), self.bias))
        _numba()(*weight, relu, x.numpy(), self.panel.numpy(), y.numpy())
        return y


class CsrKernel:
    """The same for scattered zeros: W (R, C) by its numbers, in C (`csr_matmul`); no numba version.

    ValueError where there is no C compiler.
    """

    def __init__(self, weight: Tensor) -> None:
        _engine("c")
        csr = Csr.of(weight.detach().float())
        self.shape, self.bytes = csr.shape, csr.bytes
        self.start, self.cols, self.values = csr.start.int(), csr.cols.int(), csr.values.contiguous()
        self.panel = torch.empty(self.shape[1] * PANEL)

    def __call__(self, x: Tensor) -> Tensor:
        """W x for x (C, N): (R, N)."""
        x = _given(x, self.shape[1])
        y = torch.empty(self.shape[0], x.shape[1])
        weight = (t.data_ptr() for t in (self.start, self.cols, self.values))
        found: Any = library()
        found.csr_matmul(self.shape[0], *weight, x.data_ptr(), *x.shape, self.panel.data_ptr(), y.data_ptr())
        return y


@lru_cache(maxsize=1)
def _numba() -> Any:
    """The kernel, compiled by numba.

    `four_by_four` multiplies four rows by four columns of a block in one sweep over a panel, so that each
    number read takes part in four products. "contract" lets product and sum be one instruction.
    """
    import numba

    P = _WIDE

    @numba.njit(fastmath={"contract", "reassoc"}, error_model="numpy")
    def four_by_four(w, x, y):  # type: ignore[no-untyped-def]
        for r in range(0, 16, 4):
            y4 = y[r * P : (r + 4) * P]
            for k in range(0, 16, 4):
                x4 = x[k * P : (k + 4) * P]
                w4 = w[k * 16 + r : k * 16 + r + 52]
                a0, a1, a2, a3 = w4[0], w4[16], w4[32], w4[48]
                b0, b1, b2, b3 = w4[1], w4[17], w4[33], w4[49]
                c0, c1, c2, c3 = w4[2], w4[18], w4[34], w4[50]
                d0, d1, d2, d3 = w4[3], w4[19], w4[35], w4[51]
                for j in range(P):
                    x0, x1, x2, x3 = x4[j], x4[P + j], x4[2 * P + j], x4[3 * P + j]
                    y4[j] += a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3
                    y4[P + j] += b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3
                    y4[2 * P + j] += c0 * x0 + c1 * x1 + c2 * x2 + c3 * x3
                    y4[3 * P + j] += d0 * x0 + d1 * x1 + d2 * x2 + d3 * x3

    @numba.njit(error_model="numpy")
    def run(start, cols, values, bias, relu, x, panel, y):  # type: ignore[no-untyped-def]
        C, N = x.shape
        sums = np.empty(16 * P, np.float32)
        panel[:] = 0
        for p in range(0, N, P):
            n = min(P, N - p)
            for c in range(C):
                panel[c * P : c * P + n] = x[c, p : p + n]
            for row in range(start.size - 1):
                for r in range(16):
                    sums[r * P : (r + 1) * P] = bias[row * 16 + r]
                for i in range(start[row], start[row + 1]):
                    at = cols[i] * 16 * P
                    four_by_four(values[i * 256 : (i + 1) * 256], panel[at : at + 16 * P], sums)
                if relu:
                    sums[:] = np.maximum(sums, np.float32(0))
                for r in range(16):
                    y[row * 16 + r, p : p + n] = sums[r * P : r * P + n]

    return run
