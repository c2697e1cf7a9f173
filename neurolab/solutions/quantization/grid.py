"""Chapter 4's exercises on the grid itself: which step, which zero point."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from neurolab.exercises import Exercise, Mistake, register

Case = tuple[tuple[Any, ...], dict[str, Any]]
Tensor = torch.Tensor


def scales(w: float, q: int, b: int) -> tuple[float, float]:
    """w > 0, q from 0 to 2^b - 1 -> the least and the largest step s with clip(round(w / s)) = q."""
    low = 0.0 if q == 2**b - 1 else w / (q + 0.5)
    high = math.inf if q == 0 else w / (q - 0.5)
    return low, high


def _scale_cases(rng: np.random.Generator) -> list[Case]:
    fixed: list[tuple[float, int, int]] = [
        (0.75, 192, 8),
        (0.75, 191, 8),
        (1.0, 255, 8),  # the last code: whatever is too large ends here too
        (1.0, 256, 9),
        (0.5, 0, 4),  # and whatever is too small at the first
        (3.0, 1, 1),
        (2.0, 1, 2),
        (6.5, 3, 2),
    ]
    for _ in range(5):
        b = int(rng.integers(2, 9))
        fixed.append((float(rng.uniform(0.01, 9.0)), int(rng.integers(0, 2**b)), b))
    return [(case, {}) for case in fixed]


def _scale_wrong(
    down: float = 0.5, up: float = 0.5, first: bool = True, last: bool = True
) -> Callable[[float, int, int], tuple[float, float]]:
    """The interval with one thing wrong."""

    def wrong(w: float, q: int, b: int) -> tuple[float, float]:
        low = 0.0 if last and q == 2**b - 1 else w / (q + up)
        high = math.inf if first and q == 0 else w / (q - down)
        return low, high

    return wrong


register(
    Exercise(
        name="quantization.scale",
        chapter=4,
        minutes=5,
        difficulty="easy",
        task="An article says that 0.75 becomes 192 in 8 bits, and not at which step (it says: scale). "
        "Codes here run from 0 to `2^b - 1`, and `q = clip(round(w / s), 0, 2^b - 1)`. Given a number `w` "
        "above 0, its code `q` and the bits `b`, return two numbers: the smallest and the largest step `s` "
        "with which `w` becomes `q`. (Whether the two ends themselves count does not matter.) Where `s` may "
        "be as small as it likes, the smallest is `0.0`; where as large as it likes, the largest is "
        "`math.inf`.",
        reference=scales,
        cases=_scale_cases,
        stub="def scales(w, q, b):\n    ...",
        mistakes=[
            Mistake(
                lambda w, q, b: w / q,
                "One step is not the answer: everything from `q - 1/2` to `q + 1/2` is rounded to q, so a "
                "whole range of steps fits. Return its two ends.",
            ),
            Mistake(
                lambda w, q, b: (w / q, w / q),
                "That is one step that fits, the one at which w is hit exactly. But everything from `q - "
                "1/2` to `q + 1/2` is rounded to q, so a whole range of steps fits.",
            ),
            Mistake(
                lambda w, q, b: scales(w, q, b)[::-1],
                "The right two, the larger one first. A wide step makes a small code: the smallest step "
                "belongs to `q + 1/2`.",
            ),
            Mistake(
                _scale_wrong(down=0.0, up=1.0),
                "This is for a quantizer that rounds down, from q to q + 1. Ours rounds to the nearest: w / "
                "s lies between q - 1/2 and q + 1/2.",
            ),
            Mistake(
                _scale_wrong(down=1.0, up=1.0),
                "Between the neighbouring codes half the way belongs to the neighbours: w / s lies between "
                "q - 1/2 and q + 1/2, not q - 1 and q + 1.",
            ),
            Mistake(
                _scale_wrong(last=False),
                "Right in the middle of the grid. At its end, though, `clip` puts everything that is too "
                "large on the last code, `2^b - 1`: how small may s get there?",
            ),
            Mistake(
                _scale_wrong(first=False),
                "Right but for `q = 0`: a step can't be below 0. What happens to w / s when s grows for "
                "ever?",
            ),
            Mistake(
                _scale_wrong(first=False, last=False),
                "Right in the middle of the grid, not at its ends. When s grows for ever, w / s goes to 0, "
                "and when s shrinks, `clip` holds the code at `2^b - 1`.",
            ),
            Mistake(
                lambda w, q, b: (
                    0.0 if q == 0 else (q - 0.5) / w,
                    math.inf if q == 2**b - 1 else (q + 0.5) / w,
                ),
                "These are codes per unit, 1 / s. Asked is the step s itself.",
            ),
            Mistake(
                lambda w, q, b: (
                    0.0 if q == 2**b - 1 else w * (q - 0.5),
                    math.inf if q == 0 else w * (q + 0.5),
                ),
                "You multiply w by the code. From `w / s = q` follows `s = w / q`.",
            ),
        ],
        hints=[
            "Which numbers become 192 when they are rounded? Everything from 191.5 to 192.5. So where must "
            "w / s lie?",
            "`q - 1/2 <= w / s <= q + 1/2`; solve both for s. Dividing by the larger number gives the "
            "smaller s.",
            "Then the two ends: at `q = 0` every larger s fits too, and at `q = 2^b - 1` every smaller one.",
        ],
    )
)


def affine(w: torch.Tensor, b: int) -> tuple[torch.Tensor, float, int]:
    """w (...) -> codes q (...) from 0 to 2^b - 1, step s > 0, zero point z; (q - z) s is close to w."""
    low, high = min(w.min().item(), 0.0), max(w.max().item(), 0.0)
    s = (high - low) / (2**b - 1) or 1.0
    z = round(-low / s)
    q = (torch.round(w / s) + z).clamp(0, 2**b - 1)
    return q, s, z


def untied(w: Tensor, s: float, share: float = 1e-3) -> bool:
    """Whether no w / s (...) lies within `share` of a half, where rounding either way would be right."""
    return bool(((w / s - torch.floor(w / s) - 0.5).abs() > share).all())


def _affine_cases(rng: np.random.Generator) -> list[Case]:
    def drawn(b: int, *shape: int, mean: float = 0.0) -> Case:
        while True:
            w = torch.tensor(rng.normal(mean, 1.0, shape))
            if untied(torch.cat([w.flatten(), w.min()[None]]), affine(w, b)[1]):
                return ((w, b), {})

    fixed = [
        ([1.0], 8),
        ([-3.0], 2),
        ([0.75, 1.0], 8),
        ([-2.0, -0.5], 8),  # nothing above 0
        ([-1.0, 0.0, 1.9], 4),
        ([-1.5, 0.25, 1.5], 2),  # halves: the upper end would have code 4
        ([0.0, 0.0, 0.0], 4),
    ]
    cases: list[Case] = [((torch.tensor(w, dtype=torch.float64), b), {}) for w, b in fixed]
    return [*cases, drawn(8, 3), drawn(4, 5, mean=3.0), drawn(2, 2, 3), drawn(3, 6, 4, mean=-1.0)]


def _affine_wrong(
    zero: bool = True,
    guarded: bool = True,
    steps: int = 1,
    whole: bool = True,
    moved: bool = False,
    cut: bool = True,
    up: bool = False,
    signed: bool = False,
) -> Callable[[Tensor, int], tuple[Tensor, float, float]]:
    """An affine quantizer with one thing wrong."""

    def nearest(x: Any) -> Any:
        x = torch.as_tensor(x, dtype=torch.float64)
        return torch.floor(x + 0.5) if up else torch.round(x)

    def wrong(w: Tensor, b: int) -> tuple[Tensor, float, float]:
        low, high = w.min().item(), w.max().item()
        if zero:
            low, high = min(low, 0.0), max(high, 0.0)
        s = (high - low) / (2**b - steps) or (1.0 if guarded else 0.0)
        bottom = -(2 ** (b - 1)) if signed else 0
        z = bottom - low / s
        z = nearest(z).item() if whole else z
        q = nearest((w - low) / s) if moved else nearest(w / s) + z
        return q.clamp(bottom, bottom + 2**b - 1) if cut else q, s, z

    return wrong


def _symmetric(w: Tensor, b: int) -> tuple[Tensor, float, int]:
    top, z = w.abs().max().item(), 2 ** (b - 1)
    s = top / (z - 1 or 1) or 1.0
    return (torch.round(w / s) + z).clamp(0, 2 * z - 1), s, z


register(
    Exercise(
        name="quantization.affine",
        chapter=4,
        minutes=8,
        difficulty="medium",
        task="Give the numbers `w` (weights, or what flows between them) codes from 0 to `2^b - 1`. The "
        "range reaches from `low`, the smallest of them or 0, whichever is less, to `high`, the largest or "
        "0, whichever is more; the step `s` divides it evenly, so that both ends have a code; the zero "
        "point `z` is `round(-low / s)`. Then `q = clip(round(w / s) + z, 0, 2^b - 1)`. Return `q` (of w's "
        "shape), `s` and `z`. Round as `torch.round` and Python's `round` do. If all of w is 0, let s be 1. "
        "Two things must hold: `(q - z) * s` is never more than `s / 2` away from w, and a 0 comes back as "
        "exactly 0.",
        reference=affine,
        cases=_affine_cases,
        seconds=10.0,
        stub="def affine(w, b):\n    ...",
        mistakes=[
            Mistake(
                _affine_wrong(zero=False),
                "The range must reach to 0. Where all numbers lie on one side of it, your zero point falls "
                "off the grid, and 0 (a pruned weight, a padded pixel) has no code.",
            ),
            Mistake(
                _affine_wrong(zero=False, guarded=False),
                "The range must reach to 0. Where all numbers lie on one side of it, your zero point falls "
                "off the grid; where all are equal, you divide by 0.",
            ),
            Mistake(
                _affine_wrong(guarded=False),
                "Right but where all of w is 0: the range has no width, and you divide by it. Let s be 1 "
                "then.",
            ),
            Mistake(
                _affine_wrong(steps=0),
                "There are 2^b codes, but only 2^b - 1 steps between them: yours are a little too short for "
                "the range, and its end is cut off.",
            ),
            Mistake(
                _affine_wrong(whole=False),
                "z must be a code, and so a whole number: round it. Only then does 0 come back as exactly 0.",
            ),
            Mistake(
                _affine_wrong(moved=True),
                "You count steps from `low`, the listener counts them from z, and the two grids are up to "
                "half a step apart: the error can be as large as s. Round w / s, then add z.",
            ),
            Mistake(
                _affine_wrong(cut=False),
                "One code fell off the grid: where both ends lie half way between two codes, both are "
                "rounded away from 0, and one needs a code too many. `clamp` belongs to the quantizer.",
            ),
            Mistake(
                _affine_wrong(up=True),
                "You round halves up. `torch.round` and Python's `round`, and with them PyTorch's and ONNX "
                "Runtime's quantizers, send a half to the even neighbour.",
            ),
            Mistake(
                _affine_wrong(signed=True),
                "These codes run from -2^(b-1): the same grid with other names. The exercise wants them "
                "from 0.",
            ),
            Mistake(
                _symmetric,
                "That is the symmetric quantizer: one range for both signs. Here the grid reaches from the "
                "smallest number to the largest, and z says where 0 lies on it.",
            ),
            Mistake(
                lambda w, b: (affine(w, b)[0], affine(w, b)[1], -affine(w, b)[2]),
                "The zero point has the wrong sign. It is the code that means 0, and codes start at 0.",
            ),
        ],
        hints=[
            "With b = 2 there are four codes and three steps: s is the range over 3.",
            "`low = min(w.min().item(), 0.0)` and likewise `high`; then `s = (high - low) / (2**b - 1)`.",
            "`q = (torch.round(w / s) + z).clamp(0, 2**b - 1)`. And if all of w is 0? `x or 1.0` is 1.0 "
            "where x is 0.",
        ],
    )
)
