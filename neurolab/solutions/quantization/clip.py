"""Chapter 4's exercises on where to cut a range."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from neurolab.exercises import Exercise, Mistake, register

Case = tuple[tuple[Any, ...], dict[str, Any]]
Tensor = torch.Tensor


def best_clip(w: torch.Tensor, b: int, clips: list[float]) -> float:
    """w (...), clips > 0 -> the clip c whose grid, s = c / (2^(b-1) - 1), has the least squared error."""
    top = 2 ** (b - 1) - 1

    def error(c: float) -> float:
        s = c / top
        q = torch.round(w / s).clamp(-top - 1, top)
        return float((w - s * q).square().sum())

    return min(clips, key=error)


def _clip_cases(rng: np.random.Generator) -> list[Case]:
    def drawn(b: int, n: int, tail: float, outlier: float = 0.0) -> Case:
        w = rng.standard_t(tail, n) if tail else rng.uniform(-1, 1, n)
        w[: 1 if outlier else 0] = outlier
        most = float(np.abs(w).max())
        return ((torch.tensor(w), b, [round(most * i / 12, 4) for i in range(1, 13)]), {})

    few: list[tuple[list[float], int, list[float]]] = [
        ([0.4, -0.3, 1.0], 2, [0.4, 0.7, 1.0]),
        ([1.0, -1.0], 4, [0.5, 1.0, 2.0]),
        ([0.3] * 9 + [3.0], 3, [0.3, 0.9, 3.0]),
    ]
    cases: list[Case] = [((torch.tensor(w, dtype=torch.float64), b, clips), {}) for w, b, clips in few]
    cases += [drawn(2, 40, 5.0), drawn(3, 60, 4.0), drawn(4, 80, 2.5), drawn(4, 50, 0.0), drawn(8, 60, 30.0)]
    return [*cases, drawn(3, 70, 6.0, 9.0), drawn(2, 90, 3.0), drawn(4, 300, 8.0, 12.0)]


def _clip_wrong(
    cut: bool = True,
    inside: bool | None = None,
    power: float = 2.0,
    largest: bool = False,
    parts: str = "signed",
    codes: bool = False,
    give: str = "clip",
) -> Callable[[Tensor, int, list[float]], float]:
    """A choice of clip with one thing wrong."""

    def wrong(w: Tensor, b: int, clips: list[float]) -> float:
        top = 2 ** (b - 1) - 1
        errors = []
        for c in clips:
            s = c / {"signed": top, "all": 2**b - 1}[parts]
            q = torch.round(w / s)
            q = q.clamp(-top - 1, top) if cut else q
            e = (w - (q if codes else s * q)).abs() ** power
            if inside is not None:
                e = e[(w.abs() <= c) == inside]
            errors.append(float(e.max() if largest else e.sum()))
        best = int(np.argmin(errors))
        return {"clip": clips[best], "step": clips[best] / top, "error": errors[best], "place": best}[give]

    return wrong


register(
    Exercise(
        name="quantization.clip",
        chapter=4,
        minutes=7,
        difficulty="medium",
        task="A wide range has coarse steps, a narrow one cuts off the ends. Try each clip `c` in the list "
        "`clips`: with `b` bits the step is `s = c / (2^(b-1) - 1)`, the codes are `q = clip(round(w / s), "
        "-2^(b-1), 2^(b-1) - 1)`, and the error is the sum of `(w - s q)^2` over all weights. Return the "
        "clip with the smallest error.",
        reference=best_clip,
        cases=_clip_cases,
        seconds=10.0,
        stub="def best_clip(w, b, clips):\n    ...",
        mistakes=[
            Mistake(
                lambda w, b, clips: max(clips),
                "The largest clip, always: then nothing is cut off, but one stray weight makes the steps "
                "coarse for all. Compute the error for each and compare.",
            ),
            Mistake(
                _clip_wrong(cut=False),
                "The codes are not clipped, so a short step costs nothing, and the smallest clip seems "
                "best. With b bits the codes end at -2^(b-1) and 2^(b-1) - 1.",
            ),
            Mistake(
                _clip_wrong(inside=True),
                "You count only weights within the clip. Those beyond pay as well: that is the price of a "
                "short range.",
            ),
            Mistake(
                _clip_wrong(power=1.0),
                "You add up distances. The exercise squares them, which makes one large error dearer than "
                "many small ones.",
            ),
            Mistake(
                _clip_wrong(largest=True),
                "You look at the worst weight only, and it is nearly always the one that is cut off. Add up "
                "the squares over all.",
            ),
            Mistake(
                _clip_wrong(parts="all"),
                "You divide c by all 2^b - 1 steps. But they reach from -c to c: on each side of 0 there "
                "are 2^(b-1) - 1.",
            ),
            Mistake(
                _clip_wrong(codes=True),
                "You compare w with its code. The code has to become a weight again first: s q.",
            ),
            Mistake(_clip_wrong(give="step"), "That is the best step s. Asked is the clip c."),
            Mistake(_clip_wrong(give="error"), "That is the smallest error. Asked is the clip that has it."),
            Mistake(
                _clip_wrong(give="place"),
                "That is the clip's place in the list. Asked is the clip itself: `clips[...]`.",
            ),
        ],
        hints=[
            "Write the error of one clip first, in three lines: s, q, the sum of squares.",
            "`torch.round(w / s).clamp(-2**(b - 1), 2**(b - 1) - 1)` are the codes.",
            "`min(clips, key=error)` gives the clip for which your function `error` is smallest.",
        ],
    )
)
