"""Joules per token: what a recording of power says, once what the device draws idle is taken off.

Whatever a device or a meter tells (volts and amperes, a falling charge, a counter of joules), it becomes one
thing here: energy since the recording began, as a function of time. Energy is V x I x t, added up by the
trapezoid rule. Then

    joules per token = (energy of the run - idle power x seconds of the run) / tokens

which is the articles' protocol. A counter that moves in steps (a battery's charge in whole mAh, about 14 J
each) leaves a doubt of one step in each difference; it is carried along, and the result says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Stretch:
    """A part of a recording. seconds: how long, above 0; joules: drawn in it; step: joules of one counter
    step (0 where power was sampled)."""

    seconds: float
    joules: float
    step: float = 0.0

    @property
    def watts(self) -> float:
        """Mean power."""
        return self.joules / self.seconds


@dataclass(frozen=True, eq=False)
class Recording:
    """Energy over time.

    seconds (n,): from 0, strictly ascending, n >= 2.  joules (n,): drawn since the first moment, 0 there.
    what: whose energy it is, in words.  step: joules of one counter step, 0 where power was sampled.
    began: the first moment on the file's own clock, in seconds, if it tells.  notes: what the reader of it
    should know.  ValueError where a field is not so.
    """

    seconds: Floats
    joules: Floats
    what: str
    step: float = 0.0
    began: float | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        seconds, joules = np.asarray(self.seconds, float), np.asarray(self.joules, float)
        if seconds.ndim != 1 or seconds.shape != joules.shape or len(seconds) < 2:
            raise ValueError(
                f"seconds has shape {seconds.shape}, joules {joules.shape}; two or more moments, alike"
            )
        if not (np.isfinite(seconds).all() and np.isfinite(joules).all()):
            raise ValueError("a recording holds finite numbers only")
        if seconds[0] != 0 or joules[0] != 0 or not (np.diff(seconds) > 0).all():
            raise ValueError("seconds must rise from 0, and joules begin at 0")
        object.__setattr__(self, "seconds", seconds)
        object.__setattr__(self, "joules", joules)

    @property
    def whole(self) -> Stretch:
        """The recording from its beginning to its end."""
        return self.stretch(0.0, float(self.seconds[-1]))

    def stretch(self, start: float, end: float) -> Stretch:
        """The part from `start` to `end`, in seconds since the recording began; between two moments the power
        is taken as constant. ValueError where that is not inside the recording."""
        last = float(self.seconds[-1])
        if not 0 <= start < end <= last + 1e-9:
            raise ValueError(
                f"start is {start:g}, end {end:g}; 0 <= start < end <= {last:g}, where the recording ends"
            )
        at_start, at_end = np.interp([start, end], self.seconds, self.joules)
        return Stretch(end - start, float(at_end - at_start), self.step)

    def profile(self, parts: int = 20) -> list[tuple[float, float, float]]:
        """Mean power of `parts` equal parts: (from, to, watts), to see where the device idled and ran; of a
        recording with fewer moments than that, between each two of them."""
        if parts < 1:
            raise ValueError(f"parts is {parts}; at least 1")
        few = len(self.seconds) <= parts + 1
        edges = self.seconds if few else np.linspace(0.0, float(self.seconds[-1]), parts + 1)
        return [(float(a), float(b), self.stretch(a, b).watts) for a, b in pairwise(edges)]


@dataclass(frozen=True)
class PerToken:
    """Energy per token, the device's idle power taken off.

    joules: per token.  doubt: joules per token that the counter's steps leave open (0 where power was
    sampled). run, idle: the two stretches.  tokens: written in the run.
    """

    joules: float
    doubt: float
    run: Stretch
    idle: Stretch
    tokens: int

    def sentence(self) -> str:
        """The result in words, with its doubt."""
        text = (
            f"{self.joules:.3g} J per token: {self.tokens} tokens in {self.run.seconds:.4g} s at "
            f"{self.run.watts:.3g} W, of which {self.idle.watts:.3g} W idle."
        )
        if self.doubt > 0.1 * self.joules:
            share = 100 * self.doubt / self.joules
            text += f" The counter's steps leave {share:.0f} % of it open: run longer."
        return text


def per_token(run: Stretch, idle: Stretch, tokens: int) -> PerToken:
    """Joules per token of a run of `tokens` tokens, less what the device draws idle.

    ValueError for fewer tokens than 1, and where the run draws no more than idle: then the two are not what
    they are said to be, or the meter is too coarse for the difference.
    """
    if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 1:
        raise ValueError(f"tokens is {tokens!r}; a whole number of at least 1")
    net = run.joules - idle.watts * run.seconds
    if net <= 0:
        raise ValueError(
            f"the run draws {run.watts:.3g} W and idle {idle.watts:.3g} W: no energy is left for its tokens; "
            "check the times of run and idle, or run longer"
        )
    doubt = run.step + idle.step * run.seconds / idle.seconds
    return PerToken(net / tokens, doubt / tokens, run, idle, tokens)


def of_watts(seconds: ArrayLike, watts: ArrayLike, what: str, notes: Sequence[str] = ()) -> Recording:
    """A recording from samples of power: seconds (n,) ascending, watts (n,), added up by the trapezoid rule.

    Samples of one moment (a meter that stamps whole packets) count as their mean. ValueError where time falls
    back, or fewer than two moments are left.
    """
    times, power = np.asarray(seconds, float), np.asarray(watts, float)
    if times.shape != power.shape or times.ndim != 1 or len(times) < 2:
        raise ValueError(
            f"{len(np.atleast_1d(times))} samples; a recording needs two or more, each with its time"
        )
    fell = np.flatnonzero(np.diff(times) < 0)
    if len(fell):
        raise ValueError(
            f"time falls back at sample {fell[0] + 2}: {times[fell[0]]:g} to {times[fell[0] + 1]:g} s"
        )
    moments, group = np.unique(times, return_inverse=True)
    mean = np.bincount(group, power) / np.bincount(group)
    joules = np.concatenate([[0.0], np.cumsum(np.diff(moments) * (mean[1:] + mean[:-1]) / 2)])
    return Recording(moments - moments[0], joules, what, began=float(moments[0]), notes=tuple(notes))


def of_volts(
    seconds: ArrayLike, volts: ArrayLike, amperes: ArrayLike, what: str, notes: Sequence[str] = ()
) -> Recording:
    """A recording from samples of voltage and current, all (n,)."""
    return of_watts(seconds, np.asarray(volts, float) * np.asarray(amperes, float), what, notes)


def of_charge(
    seconds: ArrayLike,
    coulombs: ArrayLike,
    volts: ArrayLike,
    what: str,
    *,
    step: float,
    notes: Sequence[str] = (),
) -> Recording:
    """A recording from a battery's charge and voltage: each loss of charge costs it at the mean voltage.

    seconds (n,) strictly ascending; coulombs (n,): left in the battery; volts (n,); step: coulombs of one
    step of the counter. ValueError where the charge rises: then the battery was being charged.
    """
    times, charge = np.asarray(seconds, float), np.asarray(coulombs, float)
    voltage = np.asarray(volts, float)
    rise = np.flatnonzero(np.diff(charge) > 0)
    if len(rise):
        raise ValueError(
            f"the battery's charge rises {times[rise[0] + 1] - times[0]:.0f} s into the recording: "
            "it was being charged; measure on battery"
        )
    lost = -np.diff(charge) * (voltage[1:] + voltage[:-1]) / 2
    joules = np.concatenate([[0.0], np.cumsum(lost)])
    coarse = step * float(voltage.mean())
    return Recording(times - times[0], joules, what, coarse, float(times[0]), tuple(notes))


def of_counters(
    counters: Sequence[tuple[ArrayLike, ArrayLike]], what: str, *, step: float, notes: Sequence[str] = ()
) -> Recording:
    """One recording from counters of joules (one for each rail): pairs (seconds (n,), joules (n,)).

    They may tick at different moments: each is read between its ticks, over the time that all of them cover.
    step: joules of one step of one counter. ValueError where a counter falls (a restart, or an overflow) or
    the counters have no time in common.
    """
    read: list[tuple[Floats, Floats]] = []
    for seconds, joules in counters:
        times, energy = np.asarray(seconds, float), np.asarray(joules, float)
        if len(times) < 2 or (np.diff(times) <= 0).any():
            raise ValueError("a counter needs two readings or more, at rising times")
        if (np.diff(energy) < 0).any():
            raise ValueError(
                "a counter of energy falls: the device restarted, or it overflowed; cut the file there"
            )
        read.append((times, energy))
    if not read:
        raise ValueError("no counters; give at least one")
    start, end = max(t[0] for t, _ in read), min(t[-1] for t, _ in read)
    if start >= end:
        raise ValueError("the counters have no time in common")
    moments = np.unique(np.concatenate([t for t, _ in read]))
    moments = moments[(moments >= start) & (moments <= end)]
    total = sum(np.interp(moments, t, e) for t, e in read)
    assert not isinstance(total, int)
    return Recording(moments - start, total - total[0], what, step * len(read), float(start), tuple(notes))
