"""Chapter 7's exercise on asking a file: the loop that no file holds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from neurolab.exercises import Exercise, Mistake, register

Case = tuple[tuple[Any, ...], dict[str, Any]]
Step = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
END, V = 2, 11


def answer(step: Step, cache: np.ndarray, ids: list[int], end: int, limit: int) -> list[int]:
    """step(ids (1, n), cache) -> logits (1, V), cache; ids: the prompt -> at most limit new pieces."""
    made: list[int] = []
    while len(made) < limit:
        logits, cache = step(np.array([ids]), cache)
        piece = int(logits[0].argmax())
        if piece == end:
            break
        made.append(piece)
        ids = [piece]
    return made


def toy(seed: int, ids: np.ndarray, cache: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A file that minds every piece and its place: ids (1, n), cache (1, past) -> logits, cache."""
    if ids.ndim != 2 or len(ids) != 1 or ids.shape[1] < 1 or ids.dtype.kind not in "iu":
        raise ValueError(f"ids of shape {ids.shape}, {ids.dtype}: must be (1, n), whole numbers")
    seen = np.concatenate((cache, ids), axis=1)
    mark = 17 * seed + sum(int(i + 1) * (place + 3) ** 2 for place, i in enumerate(seen[0]))
    return np.random.default_rng(mark).normal(size=(1, V)), seen


def _cases(rng: np.random.Generator) -> list[Case]:
    empty = np.zeros((1, 0), np.int64)
    cases: list[Case] = []
    for seed in range(6):
        prompt = rng.integers(3, V, int(rng.integers(1, 6))).tolist()
        cases.append(((partial(toy, seed), empty, prompt, END, (12, 3, 30)[seed % 3]), {}))
    # one whose first piece is the end, and one that never ends
    done = next(s for s in range(200) if toy(s, np.array([[4, 5]]), empty)[0].argmax() == END)
    cases.append(((partial(toy, done), empty, [4, 5], END, 8), {}))
    cases.append(((partial(toy, 3), empty, [7], V + 1, 6), {}))
    return cases


def _wrong(
    keep: bool = True, whole: bool = False, shown: bool = False, bound: bool = True, place: str = "most",
) -> Callable[..., list[int]]:  # fmt: skip
    """A loop with one thing wrong."""

    def wrong(step: Step, cache: np.ndarray, ids: list[int], end: int, limit: int) -> list[int]:
        made: list[int] = []
        first = cache
        while len(made) < (limit if bound else 64):
            logits, new = step(np.array([ids]), cache)
            cache = new if keep else first
            piece = int(logits[0].argmin() if place == "least" else logits[0].argmax())
            if piece == end:
                return [*made, piece] if shown else made
            made.append(piece)
            ids = [*ids, piece] if whole else [piece]
        return made

    return wrong


register(
    Exercise(
        name="export.loop",
        chapter=7,
        minutes=8,
        difficulty="easy",
        task="A file does one step: `step(ids, cache)` takes new pieces as an array (1, n) and the cache, "
        "and returns the scores of the next piece, (1, V), and the longer cache. Write the loop. Give it the "
        "prompt `ids` (a list) with the empty `cache`; take the piece with the largest score; give it *that "
        "piece alone*, with the cache that came back; and so on, until the piece is `end` or there are "
        "`limit` of them. Return the pieces as a list, without `end`.",
        reference=answer,
        cases=_cases,
        stub="def answer(step, cache, ids, end, limit):\n    ...",
        mistakes=[
            Mistake(
                _wrong(keep=False),
                "The cache that comes back is thrown away: after the first step the file sees one piece and "
                "has forgotten the question.",
            ),
            Mistake(
                _wrong(whole=True),
                "You send the whole row again, *and* the cache that holds it already. The file sees the "
                "question twice, with places that go on counting. Only the new piece is new.",
            ),
            Mistake(
                _wrong(shown=True),
                "The pieces are right, but `end` is no piece of the answer.",
            ),
            Mistake(
                _wrong(bound=False),
                "Some answers never end by themselves. Stop at `limit` pieces.",
            ),
            Mistake(
                _wrong(place="least"),
                "That is the piece with the *smallest* score.",
            ),
        ],
        hints=[
            "`logits, cache = step(np.array([ids]), cache)`: the brackets make it (1, n), and the new cache "
            "takes the old one's place.",
            "After each step `ids = [piece]`: the next call has one new piece.",
            "`while len(made) < limit:` step; `piece = int(logits[0].argmax())`; `if piece == end: break`; "
            "append; `ids = [piece]`.",
        ],
    )
)
