"""What a live loop's networks answer, how an answer is checked, and what the paths cost.

Shapes: F frames of S x S pixels, C classes, n tokens chosen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from neurolab.live_budget import Costs
from neurolab.live_clock import Clock, WallClock


class Answer(Protocol):
    """What a network says of one clip: digit (1, C) scores, centre (1, 2) x, y in pixels."""

    @property
    def digit(self) -> Tensor: ...

    @property
    def centre(self) -> Tensor: ...


Path = Callable[..., Answer]  # (frames (1, F, S, S), keep (1, n) long or None)
Choose = Callable[[Tensor, int], Tensor]  # (frames (1, F, S, S), budget) -> keep (1, n), n <= budget


@dataclass(frozen=True)
class Check:
    """The quality check of an answer: its digit has a probability of at least `sure`; its centre is at most
    `step` pixels a frame (times the frames since) from the last good one; and the dense path, where asked,
    names the same digit and a centre at most `near` pixels away."""

    sure: float = 0.5
    step: float = 8.0
    near: float = 4.0

    def __post_init__(self) -> None:
        if not 0 <= self.sure <= 1:
            raise ValueError(f"sure is {self.sure}; it is a probability, between 0 and 1")
        if not (self.step > 0 and self.near > 0):
            raise ValueError(f"step is {self.step} and near {self.near}; both must be above 0 pixels")


@dataclass(frozen=True)
class Said:
    """An answer in plain numbers. sure: probability of the digit."""

    digit: int
    centre: tuple[float, float]
    sure: float

    @classmethod
    def of(cls, answer: Answer) -> Said | None:
        """The first clip's answer; None where some of it is not finite."""
        scores, centre = answer.digit[0].float(), answer.centre[0].float()
        if not (torch.isfinite(scores).all() and torch.isfinite(centre).all()):
            return None
        digit = int(scores.argmax())
        x, y = centre.tolist()
        return cls(digit, (x, y), float(scores.softmax(-1)[digit]))

    def distance(self, other: Said) -> float:
        """Pixels between two centres."""
        return math.dist(self.centre, other.centre)


def calibrate(
    dense: Path,
    sparse: Path,
    choose: Choose,
    clips: Sequence[Tensor],
    budgets: Sequence[int],
    clock: Clock | None = None,
    rounds: int = 7,
) -> Costs:
    """Median seconds of each path, in turns over `rounds` rounds, after one that does not count.

    clips: (1, F, S, S) each, taken in turns. Where `choose` picks fewer than a budget, others fill it up: the
    time is that of the whole budget. A larger budget is never held for cheaper than a smaller one.
    ValueError for no clips, no budgets or no rounds.
    """
    if not clips or not budgets or rounds < 1:
        raise ValueError(
            f"{len(clips)} clips, {len(budgets)} budgets, {rounds} rounds; at least 1 of each is needed"
        )
    clock = clock or WallClock()
    times: dict[int, list[float]] = {n: [] for n in (0, *budgets)}  # 0: dense
    with torch.inference_mode():
        for turn in range(rounds + 1):
            frames = clips[turn % len(clips)]
            for n in times:
                keep = _filled(choose(frames, n), n) if n else None

                def call(frames: Tensor = frames, n: int = n, keep: Tensor | None = keep) -> Answer:
                    if keep is None:
                        return dense(frames)
                    choose(frames, n)
                    return sparse(frames, keep)

                path = "dense" if keep is None else "sparse"
                _, seconds = clock.timed(call, path, lambda _, n=n: n)  # type: ignore[misc]
                if turn:
                    times[n].append(seconds)
    middle = {n: float(np.median(values)) for n, values in times.items()}
    rungs, least = {}, 0.0
    for n in sorted(budgets):
        least = rungs[n] = max(least, middle[n])
    return Costs(middle[0], rungs)


def _filled(keep: Tensor, n: int) -> Tensor:
    """keep (1, k) -> (1, n) where k < n: the first places that are not in it are added."""
    there = set(keep[0].tolist())
    spare = [i for i in range(n) if i not in there][: max(0, n - len(there))]
    return torch.cat((keep, torch.tensor([spare], dtype=keep.dtype)), 1).sort(1).values
