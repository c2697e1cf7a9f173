"""What chapter 8 measures and simulates while the reader looks on: pure results for its pictures.

Everything real here is one network, the assistant, as ONNX files of chapter 7; times are in milliseconds.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from neurolab.benchmark import bootstrap, clock, fastest, percentile, quiet
from neurolab.export.decoder import empty_cache
from neurolab.transformer import Config

Call = Callable[[], Any]
PAST = 20
"""Pieces that stand before the one that is timed."""


def batch_of(config: Config, batch: int = 1, n: int = 1, past: int = PAST) -> tuple[np.ndarray, np.ndarray]:
    """ids (batch, n) of ordinary pieces, cache of zeros behind `past` others: what a step takes."""
    ids = (np.arange(batch * n, dtype=np.int64) * 7 % (config.vocabulary - 3) + 3).reshape(batch, n)
    empty = empty_cache(config, batch)
    return ids, np.zeros((*empty.shape[:4], past, empty.shape[5]), np.float32)


# ---- doing it wrong ---------------------------------------------------------------------------------------


def in_order(seconds: Sequence[float]) -> dict[str, Any]:
    """Single calls as they came: n, ms, and the median of all but the first as a line."""
    ms = 1e3 * np.asarray(seconds)
    later = float(np.median(ms[1:]))
    return {
        "n": np.arange(1, len(ms) + 1),
        "ms": ms,
        "level": np.array([later, later]),
        "ends": np.array([1, len(ms)]),
        "words": f"the first call took {ms[0]:.2f} ms, the median of the {len(ms) - 1} after it "
        f"{later:.3f} ms: "
        f"{ms[0] / later:.0f} times as long",
    }


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """In ms: mean, median, p95, p99; and below, the calls in % that are faster than the mean."""
    ms = (1e3 * np.asarray(seconds)).tolist()
    mean = statistics.fmean(ms)
    found = {"mean": mean, "median": percentile(ms, 50), "p95": percentile(ms, 95), "p99": percentile(ms, 99)}
    return found | {"below": 100 * sum(x < mean for x in ms) / len(ms)}


def tail(seconds: Sequence[float]) -> dict[str, Any]:
    """Times from the fastest to the slowest: share (n,) in %, ms (n,); mean; median, p95, p99 as marks."""
    found = summary(seconds)
    marks = {"median": 50.0, "p95": 95.0, "p99": 99.0}
    return {
        "share": 100 * np.arange(1, len(seconds) + 1) / len(seconds),
        "ms": np.sort(1e3 * np.asarray(seconds)),
        "mean": np.array([found["mean"]] * 2),
        "mark x": np.array(list(marks.values())),
        "mark y": np.array([found[name] for name in marks]),
        "mark": list(marks),
        "words": f"median {found['median']:.3f} ms, mean {found['mean']:.3f} ms, 95th percentile "
        f"{found['p95']:.3f} ms, 99th {found['p99']:.3f} ms; {found['below']:.0f} % of the calls are faster "
        "than the mean",
    }


@contextmanager
def somebody_else() -> Iterator[None]:
    """While open, another program computes on the core that this one runs on (where the system lets us "
    "choose:
    Linux), otherwise on all of them."""
    choose = hasattr(os, "sched_setaffinity")
    before = os.sched_getaffinity(0) if choose else set()
    if choose:
        os.sched_setaffinity(0, {min(before)})
    many = 1 if choose else os.cpu_count() or 1
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(many)]
    time.sleep(0.3)  # until they are up
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()
        if choose:
            os.sched_setaffinity(0, before)


def against_itself(call: Call, runs: int = 24) -> dict[str, list[tuple[str, float]]]:
    """One call in two roles, A and B, so that the truth is known: B takes as long as A.

    "one after the other": all A, then a program starts, then all B.  "in turns": A and B alternate (ABBA),
    and the program starts half-way. Each a list of (who, seconds) in order.  runs: of each, even.
    """
    found: dict[str, list[tuple[str, float]]] = {}
    for name in ("one after the other", "in turns"):
        half = "A" * runs if name == "one after the other" else "ABBA" * (runs // 4)
        rest = "B" * runs if name == "one after the other" else "ABBA" * (runs // 4)
        clock(call, 2)
        with quiet():
            seen = [(who, fastest(call, 1)) for who in half]
            with somebody_else():
                seen += [(who, fastest(call, 1)) for who in rest]
        found[name] = seen
    return found


def verdict(seen: Sequence[tuple[str, float]]) -> tuple[float, float, float]:
    """How many times as long B takes, and an interval (95 %, bootstrap).

    Where they come in pairs (AB or BA), pair by pair; otherwise the medians, drawn each by themselves.
    """
    order = "".join(who for who, _ in seen)
    a, b = (np.array([s for who, s in seen if who == one]) for one in "AB")
    if set(map("".join, zip(order[::2], order[1::2], strict=True))) <= {"AB", "BA"}:
        return bootstrap(b / a)
    random = np.random.default_rng(0)
    drawn = [np.median(x[random.integers(0, len(x), (2000, len(x)))], axis=1) for x in (b, a)]
    low, high = np.quantile(drawn[0] / drawn[1], [0.025, 0.975])
    return float(np.median(b) / np.median(a)), float(low), float(high)


def compared(found: tuple[float, float, float], truth: float = 1.0) -> str:
    """An estimate and its interval in words, and whether it holds the truth."""
    ratio, low, high = found
    sure = "holds the truth" if low <= truth <= high else "is sure of it"
    times = f"{ratio:.2f} times" if low <= truth <= high else f"**{ratio:.2f} times**"
    return f"{times} as long as itself, and the interval, {low:.2f} to {high:.2f}, {sure}"


def race(seen: Sequence[tuple[str, float]]) -> dict[str, Any]:
    """A race as a picture: for A and B the numbers of their runs and their times in ms."""
    shown: dict[str, Any] = {}
    for one in "AB":
        at = [i for i, (who, _) in enumerate(seen) if who == one]
        shown[f"{one} n"] = np.array(at) + 1
        shown[f"{one} ms"] = np.array([1e3 * seen[i][1] for i in at])
    ratio, low, high = verdict(seen)
    shown["words"] = (
        f"B seems to take {ratio:.2f} times as long as A ({low:.2f} to {high:.2f}); they are the same program"
    )
    return shown


# ---- how sure -------------------------------------------------------------------------------------------


def resampled(x: np.ndarray, resamples: int = 2000) -> dict[str, Any]:
    """The medians of samples drawn from x (n,) ms, as a histogram, with the ends of the 95 % interval."""
    draws = np.random.default_rng(0).integers(0, len(x), (resamples, len(x)))
    medians = np.median(x[draws], axis=1)
    value, low, high = bootstrap(x, resamples=resamples)
    counts, edges = np.histogram(medians, bins=30)
    return {
        "centres": (edges[1:] + edges[:-1]) / 2,
        "counts": counts,
        "runs": x,
        "zero": np.zeros(len(x)),
        "ends": np.array([low, high]),
        "words": f"median {value:.3f} ms; of {resamples:,} drawn samples 95 % have theirs between "
        f"{low:.3f} and "
        f"{high:.3f} ms",
    }
