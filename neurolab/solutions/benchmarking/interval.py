"""Chapter 8's exercise on certainty: the bootstrap's interval of a median."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from neurolab.exercises import Exercise, Mistake, register

Case = tuple[tuple[Any, ...], dict[str, Any]]


def interval(x: np.ndarray, draws: np.ndarray, sure: float) -> np.ndarray:
    """x (n,), draws (R, n) of 0 .. n - 1 -> low, high (2,): where a share `sure` of the medians lies."""
    medians = np.median(x[draws], axis=1)  # (R,)
    return np.quantile(medians, [(1 - sure) / 2, (1 + sure) / 2])


def _cases(rng: np.random.Generator) -> list[Case]:
    def made(x: Any, resamples: int, sure: float) -> Case:
        x = np.asarray(x, float)
        return ((x, rng.integers(0, len(x), (resamples, len(x))), sure), {})

    cases = [
        made([7.0], 5, 0.9),
        made([1.0, 2.0, 9.0], 40, 0.8),
        made([3.0, 3.0, 3.0, 3.0], 30, 0.95),
        ((np.array([1.0, 5.0]), np.array([[0, 0], [1, 1], [0, 1], [1, 0]]), 0.5), {}),
    ]
    for n, resamples, sure in ((10, 300, 0.95), (25, 200, 0.9), (31, 400, 0.5)):
        cases.append(made(rng.lognormal(0, 0.4, n) + (rng.random(n) < 0.15) * 3, resamples, sure))
    return cases


def _wrong(how: str) -> Callable[[np.ndarray, np.ndarray, float], np.ndarray]:
    """An interval with one thing wrong."""

    def wrong(x: np.ndarray, draws: np.ndarray, sure: float) -> np.ndarray:
        ends = [(1 - sure) / 2, (1 + sure) / 2]
        medians = np.median(x[draws], axis=1)
        if how == "runs":
            return np.quantile(x, ends)
        if how == "means":
            return np.quantile(x[draws].mean(1), ends)
        if how == "one tail":
            return np.quantile(medians, [1 - sure, sure])
        if how == "axis":
            return np.quantile(np.median(x[draws], axis=0), ends)
        if how == "all":
            return np.array([medians.min(), medians.max()])
        if how == "bell":
            wide = 1.96 * x.std(ddof=min(1, len(x) - 1)) / len(x) ** 0.5
            return np.array([np.median(x) - wide, np.median(x) + wide])
        return np.quantile(medians, ends[::-1])

    return wrong


register(
    Exercise(
        name="benchmarking.interval",
        chapter=8,
        minutes=8,
        difficulty="medium",
        task="`x` (n,) holds the times of n runs. `draws` (R, n) says, row by row, which runs a sample "
        "takes: n "
        "numbers from 0 to n - 1, drawn with putting back. Take the median of each sample, and return the "
        "two ends `low, high` between which the middle share `sure` of these R medians lies (by "
        "`np.quantile`), equally much cut off at either end.",
        reference=interval,
        cases=_cases,
        stub="def interval(x, draws, sure):\n    ...",
        mistakes=[
            Mistake(
                _wrong("runs"),
                "That says where single *runs* lie. Asked is where their *median* would: draw, and take the "
                "median of each sample first.",
            ),
            Mistake(
                _wrong("means"),
                "Those are means of the samples. One slow run moves a mean, and hardly a median.",
            ),
            Mistake(
                _wrong("one tail"),
                "You cut off 1 - sure at *each* end. It is to be divided among the two: (1 - sure) / 2.",
            ),
            Mistake(
                _wrong("axis"),
                "The median over the wrong axis: a sample is a row of `x[draws]`, so `axis=1`.",
            ),
            Mistake(
                _wrong("all"),
                "From the smallest to the largest median: the more samples, the wider. Take quantiles.",
            ),
            Mistake(
                _wrong("bell"),
                "That is the rule for a mean of bell-shaped numbers. Times have a long tail; use the "
                "samples.",
            ),
            Mistake(
                _wrong("turned"),
                "The ends are the wrong way round.",
            ),
        ],
        hints=[
            "`x[draws]` has the shape (R, n): R samples at once.",
            "`np.median(x[draws], axis=1)` are the R medians.",
            "`return np.quantile(medians, [(1 - sure) / 2, (1 + sure) / 2])`.",
        ],
    )
)
