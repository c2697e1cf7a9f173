"""Chapter 7's exercise on equality: numbers that differ a little, and answers that can't."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from neurolab.exercises import Exercise, Mistake, register

Case = tuple[tuple[Any, ...], dict[str, Any]]
Tensor = torch.Tensor


def proved(logits: torch.Tensor, off: float) -> float:
    """logits (n, V), every score off by `off` at most: the share of rows whose winner can't change."""
    first, second = logits.topk(2, dim=1).values.unbind(1)  # (n,) each
    return float((first - second > 2 * off).double().mean())


def _cases(rng: np.random.Generator) -> list[Case]:
    few: list[tuple[list[list[float]], float]] = [
        ([[3.0, 1.0, 0.0]], 0.9),  # 2 > 1.8
        ([[3.0, 1.0, 0.0]], 1.0),  # exactly 2 * off: the two could meet
        ([[0.0, 2.0, 1.5], [5.0, 1.0, 4.5]], 0.4),  # a lead of 0.5 is not enough
        ([[1.0, 1.0]], 0.0),  # a tie
        ([[-3.0, -1.0, -9.0], [-1.0, -8.0, -8.5]], 2.0),
        ([[9.0, -9.0, 8.9]], 0.1),
    ]
    cases: list[Case] = [((torch.tensor(s, dtype=torch.float64), off), {}) for s, off in few]
    for n, V, off in ((20, 5, 0.2), (40, 12, 0.05), (12, 30, 0.5), (30, 4, 0.0)):
        cases.append(((torch.tensor(rng.normal(size=(n, V))), off), {}))
    return cases


def _wrong(
    times: float = 2.0, least: bool = False, strict: bool = True, middle: bool = False, count: bool = False,
    size: bool = False,
) -> Callable[[Tensor, float], float]:  # fmt: skip
    """A proof with one thing wrong."""

    def wrong(logits: Tensor, off: float) -> float:
        order = (logits.abs() if size else logits).sort(dim=1, descending=True).values
        other = order[:, -1] if least else logits.mean(1) if middle else order[:, 1]
        lead = order[:, 0] - other
        safe = lead > times * off if strict else lead >= times * off
        return float(safe.double().sum() if count else safe.double().mean())

    return wrong


register(
    Exercise(
        name="export.proof",
        chapter=7,
        minutes=7,
        difficulty="medium",
        task="Each row of `logits` (n, V) holds torch's scores for the next piece; the largest wins. Another "
        "runtime gives other numbers, but none of them is further away than `off`. In some rows the same "
        "piece must win there, whatever the errors are: even if they are as unlucky as can be. Return the "
        "share of such rows (0 to 1). If two scores could *meet*, nothing is proved.",
        reference=proved,
        cases=_cases,
        stub="def proved(logits, off):\n    ...",
        mistakes=[
            Mistake(
                _wrong(times=1.0),
                "You allow for one error. At worst there are two: the winner loses `off`, and the second "
                "gains `off`.",
            ),
            Mistake(
                _wrong(strict=False),
                "With a lead of exactly 2 off the two could meet, and then nobody knows who wins: `>`.",
            ),
            Mistake(
                _wrong(least=True),
                "You compare with the last. The danger comes from the second.",
            ),
            Mistake(
                _wrong(middle=True),
                "You compare with the mean. The danger comes from the second.",
            ),
            Mistake(
                _wrong(count=True),
                "That is how many; asked is the share.",
            ),
            Mistake(
                _wrong(size=True),
                "A large negative score is no winner: compare the scores with their signs.",
            ),
        ],
        hints=[
            "`logits.topk(2, dim=1).values` gives the best and the second score of each row, (n, 2).",
            "How much can the lead shrink? The best may lose `off` while the second gains as much.",
            "`(first - second > 2 * off).double().mean()`, as a float.",
        ],
    )
)
