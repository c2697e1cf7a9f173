"""Chapter 8's exercise on trade-offs: the points that no other point beats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from neurolab.exercises import Exercise, Mistake, register

Case = tuple[tuple[Any, ...], dict[str, Any]]


def front(cost: np.ndarray, good: np.ndarray) -> np.ndarray:
    """cost (n,), good (n,) -> (n,) bool: no other point costs at most as much, is at least as good, and is
    better in one of the two."""
    no_worse = (cost[None] <= cost[:, None]) & (good[None] >= good[:, None])  # (n, n): by the column
    better = (cost[None] < cost[:, None]) | (good[None] > good[:, None])
    return np.logical_not((no_worse & better).any(1))


def _cases(rng: np.random.Generator) -> list[Case]:
    few: list[tuple[list[float], list[float]]] = [
        ([3.0], [0.5]),
        ([1, 2, 3], [0.5, 0.7, 0.9]),  # dearer and better: all
        ([1, 2, 3], [0.9, 0.7, 0.5]),  # dearer and worse: the first
        ([2, 2, 2], [0.5, 0.9, 0.7]),  # one price
        ([1, 2, 3], [0.8, 0.8, 0.8]),  # one quality
        ([2, 2, 5], [0.6, 0.6, 0.9]),  # twins
        ([1, 2, 3, 4], [0.1, 0.2, 0.3, 0.9]),  # in a hollow, and beaten by nobody
        ([4, 1, 3, 2, 2], [0.9, 0.2, 0.6, 0.6, 0.1]),  # in no order
        ([2, 4, 6, 8], [0.5, 0.49, 0.48, 0.6]),
    ]
    cases: list[Case] = [((np.array(c, float), np.array(g, float)), {}) for c, g in few]
    for n, levels in ((12, 5), (30, 8), (40, 60)):
        cases.append(((rng.integers(1, levels, n) * 1.0, rng.integers(0, levels, n) / levels), {}))
    return cases


def _wrong(how: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """A front with one thing wrong."""

    def wrong(cost: np.ndarray, good: np.ndarray) -> np.ndarray:
        if how == "dear":
            return front(-cost, good)
        if how == "bad":
            return front(cost, -good)
        if how == "indices":
            return np.flatnonzero(front(cost, good))
        if how == "turned":
            return ~front(cost, good)
        c, g = cost[:, None], good[:, None]
        if how == "strict":
            return np.logical_not(((cost[None] < c) & (good[None] > g)).any(1))
        if how == "twins":
            beats = (cost[None] <= c) & (good[None] >= g)
            np.fill_diagonal(beats, False)
            return np.logical_not(beats.any(1))
        if how == "either":
            return np.logical_not(((cost[None] < c) | (good[None] > g)).any(1))
        order = np.argsort(cost, kind="stable")  # sweep: ties in price go by their place
        keep, best = np.zeros(len(cost), bool), -np.inf
        for i in order:
            keep[i], best = good[i] > best, max(best, good[i])
        return keep

    return wrong


register(
    Exercise(
        name="benchmarking.front",
        chapter=8,
        minutes=9,
        difficulty="medium",
        task="Each of n files has a `cost` (n,), the less the better, and is `good` (n,), the more the "
        "better. "
        "One file *beats* another if it costs no more, is no worse, and is really better in one of the "
        "two. Return a mask (n,) of truth values: which files are beaten by none? (Two files that are "
        "equal in both do not beat each other.)",
        reference=front,
        cases=_cases,
        stub="def front(cost, good):\n    ...",
        mistakes=[
            Mistake(
                _wrong("strict"),
                "A file that costs *the same* and is better beats as well. With `<` and `>` on both you miss "
                "those: no worse in both, better in one.",
            ),
            Mistake(
                _wrong("twins"),
                "Two equal files have beaten each other, and both are gone. To beat takes being better in "
                "one.",
            ),
            Mistake(
                _wrong("dear"),
                "You look for the dearest. Less cost is better.",
            ),
            Mistake(
                _wrong("bad"),
                "You look for the worst. More good is better.",
            ),
            Mistake(
                _wrong("either"),
                "Better in one is not enough to beat: the other must not be worse. Otherwise nearly "
                "nobody is "
                "left.",
            ),
            Mistake(
                _wrong("sweep"),
                "Going up in cost and keeping what is better than all before is a good plan, but files of "
                "equal "
                "cost came in the order in which they stood. Sort those by quality, and mind twins.",
            ),
            Mistake(
                _wrong("indices"),
                "Those are numbers of files. Asked is a mask, a truth value a file.",
            ),
            Mistake(
                _wrong("turned"),
                "Those are the beaten ones.",
            ),
        ],
        hints=[
            "For one file i: which others have `cost <= cost[i]` and `good >= good[i]`?",
            "Of those, does any have `cost < cost[i]` or `good > good[i]`? Then i is beaten.",
            "`beaten = ((cost <= cost[i]) & (good >= good[i]) & ((cost < cost[i]) | (good > "
            "good[i]))).any()`; "
            "the mask is `not beaten`, for each i.",
        ],
    )
)
