"""Chapter 8's exercise on pairs: two programs in turns on a machine that slows down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from neurolab.exercises import Exercise, Mistake, register

Case = tuple[tuple[Any, ...], dict[str, Any]]


def faster(order: str, seconds: np.ndarray) -> float:
    """order "ABBAAB...", seconds (2 n,) -> how many times as fast A is: the median of B's time over A's."""
    ratios = []
    for i in range(0, len(order), 2):
        pair = dict(zip(order[i : i + 2], seconds[i : i + 2], strict=True))
        ratios.append(pair["B"] / pair["A"])
    return float(np.median(ratios))


def _cases(rng: np.random.Generator) -> list[Case]:
    def made(order: str, seconds: Any) -> Case:
        return ((order, np.asarray(seconds, float)), {})

    cases = [
        made("AB", [2, 3]),
        made("BA", [3, 2]),
        made("ABBA", [1, 1.5, 3, 2]),
        made("ABABAB", [1, 2, 2, 4, 10, 5]),  # something else ran during the last A
        made("BAABBAAB", [4, 2, 3, 6, 30, 5, 7, 14]),
    ]
    for pairs, drift in ((6, 1.0), (9, 3.0), (14, 0.4)):
        order = "".join("AB" if coin else "BA" for coin in rng.random(pairs) < 0.5)
        slower = 1 + drift * np.arange(2 * pairs) / (2 * pairs)
        cost = np.array([1.0 if who == "A" else 1.3 for who in order])
        noise = rng.lognormal(0, 0.05, 2 * pairs) * np.where(rng.random(2 * pairs) < 0.1, 4.0, 1.0)
        cases.append(made(order, cost * slower * noise))
    return cases


def _wrong(how: str) -> Callable[[str, np.ndarray], float]:
    """A comparison with one thing wrong."""

    def wrong(order: str, seconds: np.ndarray) -> float:
        who = np.array(list(order))
        a, b = seconds[who == "A"], seconds[who == "B"]
        found = {
            "means": b.mean() / a.mean(),
            "medians": np.median(b) / np.median(a),
            "turned": np.median(a / b),
            "average": (b / a).mean(),
            "fastest": b.min() / a.min(),
            "first": np.median(seconds[1::2] / seconds[::2]),
            "halves": np.median(seconds[len(seconds) // 2 :]) / np.median(seconds[: len(seconds) // 2]),
            "share": np.median(b / a) - 1,
        }
        return float(found[how])

    return wrong


register(
    Exercise(
        name="benchmarking.pairs",
        chapter=8,
        minutes=7,
        difficulty="easy",
        task="Two programs ran in turns: `order` is a text such as `ABBAAB`, and `seconds` (2n,) are the "
        "times "
        "of those runs. Letters 1 and 2 are the first pair, 3 and 4 the second, and so on; each pair holds "
        "one A and one B, and who goes first changes. The machine slows down on the way, and now and then "
        "something else runs on it. Compare within each pair, and return how many times as fast A is: the "
        "*median* of the pairs' ratios.",
        reference=faster,
        cases=_cases,
        stub="def faster(order, seconds):\n    ...",
        mistakes=[
            Mistake(
                _wrong("means"),
                "One run that was disturbed moves your means, and drift gets in. Divide within each pair, "
                "then take the median.",
            ),
            Mistake(
                _wrong("medians"),
                "You took the median of all A and of all B. Where the machine slows down they stand for "
                "different moments: divide first, within each pair.",
            ),
            Mistake(
                _wrong("turned"),
                "Turned round: A is fast where B's time is long.",
            ),
            Mistake(
                _wrong("average"),
                "The mean of the ratios: one disturbed run, and it is off. Take the median.",
            ),
            Mistake(
                _wrong("first"),
                "You took the second of each pair over the first. Who goes first changes: look at the "
                "letters.",
            ),
            Mistake(
                _wrong("fastest"),
                "The fastest of each, out of different moments: a ratio of two lucky runs. Compare within "
                "pairs.",
            ),
            Mistake(
                _wrong("halves"),
                "That compares the end of the measurement with its beginning. It is the drift.",
            ),
            Mistake(
                _wrong("share"),
                "That is by how much faster. Asked is how many *times* as fast: without the -1.",
            ),
        ],
        hints=[
            "Go through `range(0, len(order), 2)`: `order[i]` and `order[i + 1]` are one pair.",
            "`if order[i] == 'A'`, the ratio is `seconds[i + 1] / seconds[i]`, otherwise the other way "
            "round.",
            "Collect the ratios in a list; `return np.median(ratios)`.",
        ],
    )
)
