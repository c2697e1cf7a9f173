"""Chapter 7's exercise on a wrong export: right at the first call, and wrong at all others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from neurolab.exercises import Exercise, Mistake, register

Case = tuple[tuple[Any, ...], dict[str, Any]]
Tensor = torch.Tensor
Call = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def mended(x: torch.Tensor, place: torch.Tensor, cache: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """x (n, D), place (C, D) a row for each place, cache (past, D) -> heard (n, D), cache (past + n, D)."""
    n, past = len(x), len(cache)
    x = x + place[past : past + n]
    seen = torch.cat((cache, x))
    s = x @ seen.T / x.shape[1] ** 0.5
    may = torch.ones(n, past + n).tril(past)
    return s.masked_fill(may == 0, -torch.inf).softmax(1) @ seen, seen


def broken(x: Tensor, place: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
    """What the chapter shows: three mistakes, each of them harmless while the cache is empty."""
    n = len(x)
    x = x + place[:n]
    seen = torch.cat((x, cache))
    s = x @ seen.T / x.shape[1] ** 0.5
    may = torch.ones(n, len(seen)).tril()
    return s.masked_fill(may == 0, -torch.inf).softmax(1) @ seen, seen


def _cases(rng: np.random.Generator) -> list[Case]:
    def drawn(n: int, past: int, D: int) -> Case:
        x, place, cache = (torch.tensor(rng.normal(size=(size, D))) for size in (n, 24, past))
        return ((x, place, cache), {})

    sizes = ((1, 0, 2), (1, 1, 2), (2, 1, 2), (3, 0, 4), (1, 6, 4), (4, 3, 4), (2, 9, 6), (6, 2, 3))
    return [drawn(*size) for size in sizes]


def _wrong(places: bool = True, order: bool = True, mask: str = "past") -> Call:
    """The export with some of its mistakes left. mask: "past" (right), "start", "none" or "short"."""

    def wrong(x: Tensor, place: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        n, past = len(x), len(cache)
        x = x + (place[past : past + n] if places else place[:n])
        seen = torch.cat((cache, x) if order else (x, cache))
        s = x @ seen.T / x.shape[1] ** 0.5
        diagonal = {"past": past, "start": 0, "none": past + n, "short": past - 1}[mask]
        may = torch.ones(n, past + n).tril(diagonal)
        if mask == "short":
            may[:, 0] = 1
        return s.masked_fill(may == 0, -torch.inf).softmax(1) @ seen, seen

    return wrong


_PLACES = "The places still begin at 0 in every call. The first new row stands at place `past`."
_ORDER = "New rows still come before old ones. `seen` is in the order of time: `(cache, x)`."
_MASK = (
    "`tril()` lets new row i see the first i + 1 rows of `seen`: with a cache those are old ones. It may see "
    "all of the cache and the new ones up to itself: `tril(past)`."
)

register(
    Exercise(
        name="export.mend",
        chapter=7,
        minutes=12,
        difficulty="hard",
        task="The function `broken` above takes n new rows `x` (n, D), a row for each place, `place` (C, D), "
        "and the rows seen before, `cache` (past, D). Find what is wrong, and write it anew as `mended`: new "
        "rows stand at the places *after* those in the cache, each hears all rows before it and itself, and "
        "the cache stays in the order of time. A row at a time must give what all rows at once give.",
        reference=mended,
        cases=_cases,
        stub="def mended(x, place, cache):\n    ...",
        mistakes=[
            Mistake(
                broken,
                "That is `broken` as it stands. Give it five rows at once, then three and two, and compare "
                "what comes out: there are three mistakes.",
            ),
            Mistake(_wrong(places=False), f"Two of three are mended. {_PLACES}"),
            Mistake(_wrong(order=False), f"Two of three are mended. {_ORDER}"),
            Mistake(_wrong(mask="start"), f"Two of three are mended. {_MASK}"),
            Mistake(_wrong(places=False, order=False), f"One of three is mended. {_PLACES} {_ORDER}"),
            Mistake(_wrong(places=False, mask="start"), f"One of three is mended. {_PLACES} {_MASK}"),
            Mistake(_wrong(order=False, mask="start"), f"One of three is mended. {_ORDER} {_MASK}"),
            Mistake(
                _wrong(mask="none"),
                "Places and order are right, but now every new row hears those that come after it.",
            ),
            Mistake(
                _wrong(mask="short"),
                "Nearly: but a row hears itself, too. `tril(past)`.",
            ),
        ],
        hints=[
            "Try `broken` on one row with an empty cache, then on one row with a cache of one. Which of its "
            "lines know that there is a cache at all?",
            "Only `cat` mentions it. `place[:n]` and `tril()` do what they would do without one.",
            "`place[past : past + n]`, `torch.cat((cache, x))`, `tril(past)`.",
        ],
    )
)
