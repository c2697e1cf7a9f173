"""How the course measures time: warm up, go in turns, look at all of it, and say how sure one is.

- `clock`: single calls, one after the other, as they come: what a first look needs, and what misleads.
- `paired`: two calls in turns, compared pair by pair: what disturbs one disturbs the other.  `tails`: single
  calls in turns, for medians and for the slow ones.
- `middle` and `bootstrap`: an interval around what came out.  `spread`, `runs_needed`: how often is enough.

Goals and reports (`Goal`, `Finding`, `report`, ...) live in `goals` and can be had from here.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurolab.goals import Finding, Goal, machine, report, rows, suite, suites, table

__all__ = [
    "Finding", "Goal", "Ratio", "Tails", "bootstrap", "clock", "fastest", "machine", "middle", "paired",
    "percentile", "quiet", "report", "rows", "runs_needed", "spread", "suite", "suites", "table", "tails",
]  # fmt: skip


@dataclass(frozen=True)
class Ratio:
    """How many times faster a is than b. low, high: an interval that holds the true median (90 % or more,
    given 5 pairs or more). a_seconds, b_seconds: median time of one call."""

    median: float
    low: float
    high: float
    a_seconds: float
    b_seconds: float


@dataclass(frozen=True)
class Tails:
    """Single calls of a and b in turns: seconds_a and seconds_b, and b's percentiles over a's."""

    seconds_a: list[float]
    seconds_b: list[float]

    def ratio(self, percent: float) -> float:
        """How many times faster a is at this percentile (0 to 100) of its calls than b at the same of its."""
        return percentile(self.seconds_b, percent) / percentile(self.seconds_a, percent)

    def figures(self) -> dict[str, float]:
        """latency_ratio (medians), its interval pair by pair, p95_ratio, p99_ratio, medians in ms."""
        each = [b / a for a, b in zip(self.seconds_a, self.seconds_b, strict=True)]
        _, low, high = middle(each)
        return {
            "latency_ratio": self.ratio(50),
            "latency_ratio_low": low,
            "latency_ratio_high": high,
            "p95_ratio": self.ratio(95),
            "p99_ratio": self.ratio(99),
            "milliseconds": 1e3 * percentile(self.seconds_a, 50),
            "milliseconds_dense": 1e3 * percentile(self.seconds_b, 50),
            "milliseconds_p95": 1e3 * percentile(self.seconds_a, 95),
            "milliseconds_p95_dense": 1e3 * percentile(self.seconds_b, 95),
        }


def middle(values: Sequence[float], sure: float = 0.9) -> tuple[float, float, float]:
    """Median of the values, and an interval from order statistics that holds the true median with probability
    `sure` or more (the sign test's interval; with fewer than 5 values just the lowest and the highest)."""
    if not values:
        raise ValueError("values is empty; a median needs at least one")
    ordered, n = sorted(values), len(values)
    drop, tail = 0, 0.5**n
    while 2 * (drop + 1) < n:
        tail += math.comb(n, drop + 1) * 0.5**n
        if 1 - 2 * tail < sure:
            break
        drop += 1
    return statistics.median(ordered), ordered[drop], ordered[n - 1 - drop]


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of the values that at least `percent` per cent of them do not exceed (0 to 100)."""
    if not values or not 0 <= percent <= 100:
        raise ValueError(f"percent {percent} of {len(values)} values: needs 0 to 100 of at least one")
    return sorted(values)[max(0, math.ceil(percent / 100 * len(values)) - 1)]


def bootstrap(
    values: Sequence[float] | np.ndarray,
    statistic: Callable[[np.ndarray], Any] | None = None,
    *,
    sure: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """A statistic of the values, and the interval in which it falls when they are drawn again (Efron, 1979).

    values (n,): single runs, or what was made of each pair (a pair stays together).  statistic: ``(..., n) ->
    (...)`` along the last axis, default the median.  sure: the share of the `resamples` samples (n values
    each, put back after each draw) that the interval holds, in (0, 1).
    With few values the interval is too narrow: for a median below 10 values take `middle`, which is exact.
    ValueError for no values, or some that are not finite.
    """
    x = np.asarray(values, float)
    if x.ndim != 1 or not len(x) or not np.isfinite(x).all():
        raise ValueError(f"values of shape {x.shape}: at least one finite number in a row is needed")
    if not 0 < sure < 1 or resamples < 1:
        raise ValueError(f"sure is {sure} and resamples {resamples}; in (0, 1) and at least 1 are needed")
    of = statistic or _median
    drawn = x[np.random.default_rng(seed).integers(0, len(x), (resamples, len(x)))]  # (resamples, n)
    low, high = np.quantile(np.asarray(of(drawn), float), [(1 - sure) / 2, (1 + sure) / 2])
    return float(of(x)), float(low), float(high)


def _median(x: np.ndarray) -> Any:
    return np.median(x, axis=-1)


def spread(values: Sequence[float]) -> float:
    """The standard deviation (n - 1) in per cent of the mean. ValueError for fewer than two, or mean 0."""
    if len(values) < 2 or not statistics.fmean(values):
        raise ValueError(f"{len(values)} values: two or more are needed, and a mean that is not 0")
    return 100 * statistics.stdev(values) / abs(statistics.fmean(values))


def runs_needed(
    values: Sequence[float] | np.ndarray,
    within: float = 0.02,
    sure: float = 0.95,
    statistic: Callable[[np.ndarray], Any] | None = None,
    most: int = 10_000,
) -> int:
    """How many runs like these it takes until their statistic (the median) is within a share of the true one.

    values: runs made already, the more the better; the answer is found by drawing from them, n at a time, and
    is the least n for which a share `sure` of 1,000 draws comes within `within` of the statistic of all.
    `most` where not even so many do. ValueError for no values, or shares outside (0, 1).
    """
    if not len(values) or not 0 < within < 1 or not 0 < sure < 1:
        raise ValueError(
            f"{len(values)} values, within {within}, sure {sure}: needs values, and shares in (0, 1)"
        )
    x, of = np.asarray(values, float), statistic or _median
    truth = float(of(x))
    random = np.random.default_rng(0)

    def enough(n: int) -> bool:
        found = of(x[random.integers(0, len(x), (1000, n))])
        return float((np.abs(found - truth) <= within * abs(truth)).mean()) >= sure

    low, high = 0, 1
    while high < most and not enough(high):
        low, high = high, 2 * high
    if high >= most:
        return most
    while high - low > max(1, high // 20):
        half = (low + high) // 2
        low, high = (low, half) if enough(half) else (half, high)
    return high


@contextmanager
def quiet() -> Iterator[None]:
    """The garbage collector does its work before, and then waits until all is measured."""
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def clock(call: Callable[[], Any], times: int, warmup: int = 0) -> list[float]:
    """Seconds of each of `times` calls in a row, after `warmup` calls that nobody times."""
    if times < 1 or warmup < 0:
        raise ValueError(f"times is {times} and warmup {warmup}; at least 1 and 0 are needed")
    for _ in range(warmup):
        call()
    with quiet():
        return [_clock(call, 1) for _ in range(times)]


def fastest(call: Callable[[], Any], times: int) -> float:
    """Seconds of the fastest of so many calls: of one that is shorter than what a scheduler hands out, an
    interruption only adds."""
    return min(_clock(call, 1) for _ in range(times))


def tails(
    a: Callable[[int], Any], b: Callable[[int], Any], rounds: int = 400, warmup: int = 10, turn: int = 1
) -> Tails:
    """Time single calls a(i) and b(i), i = 0 .. rounds - 1, in turns: for medians and for tails.

    A call of its own each time, as a frame that arrives is one call; the garbage collector is off.
    turn: calls of a before b has its turn. With 1 each finds the caches full of the other's weights; what
    runs by itself finds its own there, as all but the first call of a turn do.
    """
    if rounds < 1 or warmup < 0 or turn < 1:
        raise ValueError(f"rounds {rounds}, warmup {warmup}, turn {turn}: at least 1, 0 and 1 are needed")
    for i in range(warmup):
        a(i % rounds)
        b(i % rounds)
    seconds: tuple[list[float], list[float]] = ([], [])
    with quiet():
        for first in range(0, rounds, turn):
            for call, kept in zip((a, b), seconds, strict=True):
                for i in range(first, min(first + turn, rounds)):
                    start = time.perf_counter()
                    call(i)
                    kept.append(max(time.perf_counter() - start, 1e-9))
    return Tails(*seconds)


def paired(
    a: Callable[[], Any],
    b: Callable[[], Any],
    *,
    pairs: int = 7,
    warmup: int = 1,
    inner: int | tuple[int, int] | None = None,
) -> Ratio:
    """Time a and b in turns (A B A B ...) and compare pair by pair: a disturbance hits both alike.

    a, b: called with nothing.  inner: calls in one timing (for a, for b), default as many as fill 10 ms.
    The ratio is b's time over a's: 3 means that a is three times as fast. Wall time, garbage collector off.
    """
    if pairs < 1 or warmup < 0:
        raise ValueError(f"pairs is {pairs} and warmup {warmup}; at least 1 and 0 are needed")
    for _ in range(max(warmup, 1)):
        a()
        b()
    if inner is None:
        inner = (_fill(a), _fill(b))
    times_a, times_b = (inner, inner) if isinstance(inner, int) else inner
    if min(times_a, times_b) < 1:
        raise ValueError(f"inner is {inner}; at least 1 call is needed")
    with quiet():
        seconds = [(_clock(a, times_a), _clock(b, times_b)) for _ in range(pairs)]
    median, low, high = middle([slow / fast for fast, slow in seconds])
    return Ratio(
        median, low, high, statistics.median(s for s, _ in seconds), statistics.median(s for _, s in seconds)
    )


def _clock(call: Callable[[], Any], times: int) -> float:
    """Seconds a call, over `times` calls."""
    start = time.perf_counter()
    for _ in range(times):
        call()
    return max(time.perf_counter() - start, 1e-9) / times


def _fill(call: Callable[[], Any], seconds: float = 0.01) -> int:
    """How many calls fill `seconds`."""
    return max(1, math.ceil(seconds / _clock(call, 1)))
