"""What chapter 8 simulates, because only there the truth is known: a machine that drifts, and its readers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from neurolab.benchmark import bootstrap
from neurolab.benchmarking_live import race, verdict

ORDERS = {"first all A, then all B": "after", "in turns": "turns"}
TRUTH = 1.10
"""What the simulation makes B take, over A."""


def drifting(drift: int, order: str, runs: int = 30) -> dict[str, Any]:
    """A simulated machine that becomes `drift` % slower over 2 * `runs` runs; B takes TRUTH times as "
    "long as A.

    order: a key of ORDERS. Times in ms with 2 % of noise, the same draws at every setting.
    """
    who = "A" * runs + "B" * runs if ORDERS[order] == "after" else "ABBA" * (runs // 2)
    random = np.random.default_rng(8)
    noise = random.lognormal(0, 0.02, 2 * runs)
    machine = 1 + drift / 100 * np.arange(2 * runs) / (2 * runs)
    cost = np.array([10.0 if one == "A" else 10.0 * TRUTH for one in who])
    seen = list(zip(who, 1e-3 * cost * noise * machine, strict=True))
    shown = race(seen)
    ratio, low, high = verdict(seen)
    holds = "holds" if low <= TRUTH <= high else "does not hold"
    shown["words"] = (
        f"estimate: B takes {ratio:.2f} times as long ({low:.2f} to {high:.2f}, 95 %). The interval {holds} "
        f"the truth, {TRUTH:.2f}"
    )
    return shown


STATISTICS: dict[str, Callable[[np.ndarray], Any]] = {
    "median": lambda x: np.median(x, axis=-1),
    "mean": lambda x: x.mean(-1),
    "95th percentile": lambda x: np.quantile(x, 0.95, axis=-1),
}


def population(seed: int = 0) -> np.ndarray:
    """A simulated machine's times in ms, (200000,): 10 ms and a few per cent, and one call in 15 "
    "disturbed."""
    random = np.random.default_rng(seed)
    x = 10 * random.lognormal(0, 0.04, 200_000)
    hit = random.random(len(x)) < 1 / 15
    x[hit] += random.exponential(4.0, int(hit.sum()))
    return x


_ALL = population()


def readers(runs: int, statistic: str, count: int = 20) -> dict[str, Any]:
    """`count` readers measure the same machine, each `runs` times, and each states an interval (95 %)."""
    of = STATISTICS[statistic]
    truth = float(of(_ALL))
    random = np.random.default_rng(runs)
    found = np.array(
        [
            bootstrap(_ALL[random.integers(0, len(_ALL), runs)], of, resamples=500, seed=i)
            for i in range(count)
        ]
    )
    holds = (found[:, 1] <= truth) & (truth <= found[:, 2])
    wide = 100 * float(np.median((found[:, 2] - found[:, 1]) / 2)) / truth
    return {
        "reader": np.arange(1, count + 1),
        "value": found[:, 0],
        "up": found[:, 2] - found[:, 0],
        "down": found[:, 0] - found[:, 1],
        "truth": np.array([truth, truth]),
        "words": f"{runs} runs, {statistic}: {int(holds.sum())} of {count} intervals hold the true "
        f"{truth:.2f} ms; half of one is about {wide:.1f} % wide",
    }
