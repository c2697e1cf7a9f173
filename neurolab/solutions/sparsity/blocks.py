"""Chapter 6's exercise on block-sparse matrices: a product that only knows the blocks that are there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from neurolab.exercises import Exercise, Mistake, register

Case = tuple[tuple[Any, ...], dict[str, Any]]
Tensor = torch.Tensor


def multiply(
    blocks: torch.Tensor, row: list[int], column: list[int], x: torch.Tensor, rows: int
) -> torch.Tensor:
    """blocks (m, b, b) at block rows and columns (m,) of a matrix W (rows, C); x (C, n) -> W x (rows, n)."""
    b = blocks.shape[1]
    y = x.new_zeros(rows, x.shape[1])
    for w, i, j in zip(blocks, row, column, strict=True):
        y[i * b : (i + 1) * b] += w @ x[j * b : (j + 1) * b]
    return y


def _cases(rng: np.random.Generator) -> list[Case]:
    def drawn(R: int, C: int, b: int, n: int, density: float, shuffled: bool = False) -> Case:
        there = np.argwhere(rng.random((R, C)) < density)
        there = rng.permutation(there) if shuffled else there
        blocks = torch.tensor(rng.normal(size=(len(there), b, b)))
        x = torch.tensor(rng.normal(size=(C * b, n)))
        return ((blocks, there[:, 0].tolist(), there[:, 1].tolist(), x, R * b), {})

    one = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]], dtype=torch.float64)
    x = torch.tensor([[1.0], [1.0], [10.0], [20.0]], dtype=torch.float64)
    cases: list[Case] = [((one, [0], [1], x, 2), {}), ((one, [1], [0], x, 4), {})]
    cases += [((torch.cat((one, -one)), [0, 0], [0, 1], x, 2), {})]  # two in one row add up
    none = torch.zeros(0, 2, 2, dtype=torch.float64)
    cases += [((none, [], [], x, 4), {})]  # nothing there
    return [*cases, drawn(3, 2, 2, 3, 0.5), drawn(4, 4, 4, 2, 0.3, True), drawn(2, 5, 3, 4, 1.0, True)]


def _wrong(how: str) -> Callable[[Tensor, list[int], list[int], Tensor, int], Tensor]:
    """A product with one thing wrong."""

    def wrong(blocks: Tensor, row: list[int], column: list[int], x: Tensor, rows: int) -> Tensor:
        b = blocks.shape[1]
        y = x.new_zeros(rows, x.shape[1])
        for w, i, j in zip(blocks, row, column, strict=True):
            w = w.T if how == "transposed" else w
            i, j = (j, i) if how == "swapped" else (i, j)
            source = x[j : j + b] if how == "numbers" else x[j * b : (j + 1) * b]
            at = slice(i, i + b) if how == "numbers" else slice(i * b, (i + 1) * b)
            y[at] = w @ source if how == "last" else y[at] + w @ source
        return y[: b * (max(row, default=-1) + 1)] if how == "short" else y

    return wrong


register(
    Exercise(
        name="sparsity.blocks",
        chapter=6,
        minutes=8,
        difficulty="medium",
        task="A matrix W is cut into squares of b x b, and most of them are zero. Kept are only the "
        "others: `blocks` (m, b, b), and for each of them its block row and block column in the lists "
        "`row` and `column`: block i stands at rows `row[i] * b` to `(row[i] + 1) * b` of W, and at "
        "columns `column[i] * b` and so on. Return W @ x, with shape (rows, n), for x (C, n). The blocks "
        "come in any order, and W itself may not be built.",
        reference=multiply,
        cases=_cases,
        stub="def multiply(blocks, row, column, x, rows):\n    ...",
        mistakes=[
            Mistake(
                _wrong("last"),
                "Each block overwrites what others have written into its rows. Their contributions add up: "
                "`+=`.",
            ),
            Mistake(
                _wrong("transposed"),
                "The blocks are used turned over: `w @ part of x`, not `w.T`.",
            ),
            Mistake(
                _wrong("swapped"),
                "Row and column are swapped: the block's *column* says which part of x it reads, its row "
                "where it adds the result.",
            ),
            Mistake(
                _wrong("numbers"),
                "`row` and `column` count blocks, not numbers: block row 3 begins at row 3 * b.",
            ),
            Mistake(
                _wrong("short"),
                "Rows of W without any block give zeros, but they are there: the result always has `rows` "
                "rows.",
            ),
        ],
        hints=[
            "Begin with `y = x.new_zeros(rows, x.shape[1])` and go through the blocks.",
            "Block i reads `x[column[i] * b : (column[i] + 1) * b]`, which is (b, n).",
            "`y[i * b : (i + 1) * b] += w @ x[j * b : (j + 1) * b]`.",
        ],
    )
)
