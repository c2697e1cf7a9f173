"""Four ways to write a matrix down without its zeros, by hand: COO, CSR, BSR, hybrid.

All hold a float32 matrix (R, C) and give `dense()`, the matrix again; `matmul(x)`, its product with x (C, N);
`bytes`, what it takes in memory (indices of 4 bytes, as torch and MKL keep them at best); `torch()`, torch's
own tensor of the format. The names of the index arrays are those of Saad (2003, section 3.4), read aloud:
start says where a row begins, cols where a number stands in it.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

BLOCK = 16


def _checked(matrix: Tensor, name: str = "matrix") -> Tensor:
    if not isinstance(matrix, Tensor) or matrix.ndim != 2 or not matrix.numel():
        found = tuple(matrix.shape) if isinstance(matrix, Tensor) else type(matrix).__name__
        raise ValueError(f"{name} is {found}; it must be a tensor (R, C) with at least one number")
    if not matrix.is_floating_point():
        raise ValueError(f"{name} is of {matrix.dtype}; it must hold floating-point numbers")
    return matrix.detach()


def _columns(x: Tensor, shape: tuple[int, int]) -> Tensor:
    if _checked(x, "x").shape[0] != shape[1]:
        raise ValueError(f"x is {tuple(x.shape)}; for a matrix {shape} it must be ({shape[1]}, N)")
    return x


@dataclass(frozen=True)
class Format(ABC):
    """What the four have in common. shape: (R, C)."""

    shape: tuple[int, int]
    name: ClassVar[str]

    @property
    def bytes(self) -> int:
        """Memory of the numbers and of the indices, which count 4 bytes each."""
        arrays = [value for value in vars(self).values() if isinstance(value, Tensor)]
        return sum(a.numel() * (a.element_size() if a.is_floating_point() else 4) for a in arrays)

    @abstractmethod
    def dense(self) -> Tensor:
        """The matrix (R, C) with its zeros."""

    @abstractmethod
    def matmul(self, x: Tensor) -> Tensor:
        """The product with x (C, N): (R, N)."""

    @abstractmethod
    def torch(self) -> Tensor:
        """torch's own tensor of this format."""


@dataclass(frozen=True)
class Coo(Format):
    """Coordinates: each number with its row and its column. rows, cols (n) int64; values (n)."""

    rows: Tensor
    cols: Tensor
    values: Tensor
    name: ClassVar[str] = "coo"

    @classmethod
    def of(cls, matrix: Tensor) -> Coo:
        """The numbers of `matrix` that are not zero, row after row. ValueError unless (R, C), floating."""
        rows, cols = _checked(matrix).nonzero(as_tuple=True)
        return cls(tuple(matrix.shape), rows, cols, matrix.detach()[rows, cols])  # type: ignore[arg-type]

    def dense(self) -> Tensor:
        """The matrix (R, C) with its zeros."""
        return self.values.new_zeros(self.shape).index_put((self.rows, self.cols), self.values)

    def matmul(self, x: Tensor) -> Tensor:
        """Each number times a row of x (gather), added to a row of the result (scatter): (R, N)."""
        gathered = self.values[:, None] * _columns(x, self.shape)[self.cols]
        return x.new_zeros(self.shape[0], x.shape[1]).index_add_(0, self.rows, gathered)

    def torch(self) -> Tensor:
        """torch's COO tensor."""
        indices = torch.stack([self.rows, self.cols])
        return torch.sparse_coo_tensor(
            indices, self.values, self.shape, is_coalesced=True, check_invariants=True
        )


@dataclass(frozen=True)
class Csr(Format):
    """Compressed sparse rows: row r's numbers are values[start[r]:start[r + 1]]. start (R + 1), cols (n)."""

    start: Tensor
    cols: Tensor
    values: Tensor
    name: ClassVar[str] = "csr"

    @classmethod
    def of(cls, matrix: Tensor) -> Csr:
        """As `Coo.of`; the rows' column of indices shrinks to one number a row."""
        flat = Coo.of(matrix)
        counts = torch.bincount(flat.rows, minlength=flat.shape[0])
        return cls(flat.shape, _starts(counts), flat.cols, flat.values)

    def dense(self) -> Tensor:
        """The matrix (R, C) with its zeros."""
        return Coo(self.shape, _rows(self.start), self.cols, self.values).dense()

    def matmul(self, x: Tensor) -> Tensor:
        """Row after row: the numbers there are times the rows of x that they ask for: (R, N)."""
        rows = _columns(x, self.shape)
        made = []
        for lo, hi in zip(self.start[:-1].tolist(), self.start[1:].tolist(), strict=True):
            made.append(self.values[lo:hi] @ rows[self.cols[lo:hi]])
        return torch.stack(made)

    def torch(self) -> Tensor:
        """torch's CSR tensor, with indices of 4 bytes (MKL's)."""
        with warnings.catch_warnings():  # torch says that its CSR support is in beta
            warnings.simplefilter("ignore", UserWarning)
            start, cols = self.start.int(), self.cols.int()
            return torch.sparse_csr_tensor(start, cols, self.values, self.shape, check_invariants=True)


@dataclass(frozen=True)
class Bsr(Format):
    """Compressed rows of b x b blocks: start (R / b + 1), cols (n), values (n, b, b)."""

    start: Tensor
    cols: Tensor
    values: Tensor
    name: ClassVar[str] = "bsr"

    @classmethod
    def of(cls, matrix: Tensor, block: int = BLOCK, *, every: bool = False) -> Bsr:
        """The b x b blocks of `matrix` that hold anything but zeros (every: all blocks).

        ValueError where b does not divide R and C.
        """
        R, C = _checked(matrix).shape
        if block < 1 or R % block or C % block:
            raise ValueError(f"block is {block}; it must divide both sides of the matrix, {R} and {C}")
        blocks = matrix.detach().unflatten(1, (-1, block)).unflatten(0, (-1, block)).transpose(1, 2)
        there = (blocks != 0).any(-1).any(-1)
        there = torch.ones_like(there) if every else there
        return cls((R, C), _starts(there.sum(1)), there.nonzero()[:, 1], blocks[there].contiguous())

    @property
    def block(self) -> int:
        """The side of a block."""
        return self.values.shape[-1]

    @property
    def density(self) -> float:
        """The share of blocks that are kept."""
        return self.values.numel() / (self.shape[0] * self.shape[1])

    def dense(self) -> Tensor:
        """The matrix (R, C) with its zeros."""
        b = self.block
        grid = self.values.new_zeros(self.shape[0] // b, self.shape[1] // b, b, b)
        grid[_rows(self.start), self.cols] = self.values
        return grid.transpose(1, 2).reshape(self.shape)

    def matmul(self, x: Tensor) -> Tensor:
        """Gather and batched matmul: every block times its b rows of x, sums scattered: (R, N)."""
        b, N = self.block, x.shape[-1]
        gathered = _columns(x, self.shape).view(-1, b, N)[self.cols]
        products = torch.bmm(self.values, gathered)
        made = x.new_zeros(self.shape[0] // b, b, N).index_add_(0, _rows(self.start), products)
        return made.view(self.shape[0], N)

    def torch(self) -> Tensor:
        """torch's BSR tensor, with indices of 4 bytes."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            start, cols = self.start.int(), self.cols.int()
            return torch.sparse_bsr_tensor(start, cols, self.values, self.shape, check_invariants=True)


@dataclass(frozen=True)
class Hybrid(Format):
    """Sparse over rows, dense within them: what packed tokens are. rows (n) int64; values (n, C)."""

    rows: Tensor
    values: Tensor
    name: ClassVar[str] = "hybrid"

    @classmethod
    def of(cls, matrix: Tensor) -> Hybrid:
        """The rows of `matrix` that hold anything but zeros."""
        rows = (_checked(matrix) != 0).any(1).nonzero()[:, 0]
        return cls(tuple(matrix.shape), rows, matrix.detach()[rows])  # type: ignore[arg-type]

    def dense(self) -> Tensor:
        """The matrix (R, C) with its zeros."""
        return self.values.new_zeros(self.shape).index_copy(0, self.rows, self.values)

    def matmul(self, x: Tensor) -> Tensor:
        """One dense product of the rows there are, put back where they stand: (R, N)."""
        product = self.values @ _columns(x, self.shape)
        return x.new_zeros(self.shape[0], x.shape[1]).index_copy_(0, self.rows, product)

    def torch(self) -> Tensor:
        """torch's hybrid COO tensor: one sparse and one dense dimension."""
        return torch.sparse_coo_tensor(
            self.rows[None], self.values, self.shape, is_coalesced=True, check_invariants=True
        )


FORMATS: dict[str, type[Coo] | type[Csr] | type[Bsr] | type[Hybrid]] = {
    "coo": Coo,
    "csr": Csr,
    "bsr": Bsr,
    "hybrid": Hybrid,
}


def _starts(counts: Tensor) -> Tensor:
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def _rows(start: Tensor) -> Tensor:
    return torch.repeat_interleave(torch.arange(len(start) - 1), start.diff())
