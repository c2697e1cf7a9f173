"""How far six orders lie apart, and how far they would by chance alone.

Each of k orders is run with the same n seeds; x (n, k) holds one figure of each run. The figure that claim B2
asks for is

    range_over_seed_sd = (largest column mean - smallest column mean) / s

with s^2 the mean, over the columns, of the variance between seeds.

Beware of it: the means of six equally good orders do not coincide either. With normal noise the range of k
means of n runs over s is q / sqrt(n), q distributed as the studentized range (Tukey, 1953) with k groups and
k (n - 1) degrees of freedom. With k = 6 and no effect whatever, half of all experiments show 1.47 or more at
n = 3 seeds, 1.12 or more at n = 5; one in twenty shows 2.74 or more at n = 3, 1.96 or more at n = 5. So a
range of 2 proves little with three seeds and much with ten. `chance` gives these numbers (simulated, so that
the reader sees where they come from) and `p_range` says how often chance gives at least the range found.

Runs of one seed share their batches (and, for the digits, their first weights), which moves all orders of the
seed together: s contains that, the range does not. So that yardstick is too strict here, and there is a
second, sharper answer that assumes no normal noise, `p_shuffled`: shuffle the orders' names within each
seed, many times, and count how often the range comes out at least as large (a permutation test in blocks:
Fisher, 1935; the + 1: Phipson and Smyth, 2010).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

SHUFFLES = 20_000
EXPERIMENTS = 50_000


def _checked(x: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    made = np.asarray(x, dtype=float)
    if made.ndim != 2 or made.shape[0] < 2 or made.shape[1] < 2:
        raise ValueError(f"x of shape {made.shape}: must be (seeds, orders), at least two of each")
    if not np.isfinite(made).all():
        raise ValueError("x holds NaN or infinity: every run must have a finite figure")
    return made


def pooled_sd(x: Sequence[Sequence[float]] | np.ndarray) -> float:
    """s of x (n, k): root of the mean, over the k orders, of the variance (n - 1) over the n seeds."""
    return float(np.sqrt(_checked(x).var(axis=0, ddof=1).mean()))


def range_of_means(x: Sequence[Sequence[float]] | np.ndarray) -> float:
    """Largest minus smallest column mean of x (n, k)."""
    means = _checked(x).mean(axis=0)
    return float(means.max() - means.min())


@lru_cache(maxsize=16)
def _no_effect(seeds: int, orders: int) -> np.ndarray:
    """Range over s of EXPERIMENTS simulated experiments with no effect (normal, independent), sorted."""
    if seeds < 2 or orders < 2:
        raise ValueError(f"seeds {seeds}, orders {orders}: at least two of each")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((EXPERIMENTS, seeds, orders), dtype=np.float32)
    means = x.mean(axis=1)
    s = np.sqrt(x.var(axis=1, ddof=1).mean(axis=1))
    return np.sort((means.max(axis=1) - means.min(axis=1)) / s)


def chance(seeds: int, orders: int = 6, share: float = 0.5) -> float:
    """The range over s that this share of experiments without any effect stays below."""
    if not 0 < share < 1:
        raise ValueError(f"share {share}: must lie strictly between 0 and 1")
    return float(np.quantile(_no_effect(seeds, orders), share))


def p_range(x: Sequence[Sequence[float]] | np.ndarray) -> float:
    """Share of experiments with no effect whose range over s is at least that of x (n, k)."""
    made = _checked(x)
    s, apart = pooled_sd(made), range_of_means(made)
    if s == 0:
        return 1.0 if apart == 0 else 0.0
    return float((_no_effect(*made.shape) >= apart / s).mean())


def p_shuffled(x: Sequence[Sequence[float]] | np.ndarray, shuffles: int = SHUFFLES, seed: int = 0) -> float:
    """(1 + shuffles with at least this range of means) / (1 + shuffles); each shuffles x (n, k) within rows.

    Between 1 / (1 + shuffles) and 1. A hair is allowed for rounding, so that equal ranges count as equal.
    """
    made = _checked(x)
    if shuffles < 1:
        raise ValueError(f"shuffles {shuffles}: must be at least 1")
    made = made - made.mean(axis=1, keepdims=True)  # the seed's common part moves no range
    found = range_of_means(made)
    rng = np.random.default_rng(seed)
    hair = 1e-9 * np.abs(made).max()
    many = rng.permuted(np.broadcast_to(made, (shuffles, *made.shape)), axis=2)
    means = many.mean(axis=1)  # (shuffles, k)
    at_least = int((means.max(axis=1) - means.min(axis=1) >= found - hair).sum())
    return (1 + at_least) / (1 + shuffles)


def compare(x: Sequence[Sequence[float]] | np.ndarray) -> dict[str, float]:
    """What a row says of x (n, k): range, s, their ratio, what chance gives, and both p-values.

    The ratio is left out where every seed gave the same (s = 0) though the orders differ: it has no value.
    """
    made = _checked(x)
    n, k = made.shape
    apart, s = range_of_means(made), pooled_sd(made)
    figures = {
        "range": apart,
        "seed_sd": s,
        "chance_median": chance(n, k),
        "chance_95": chance(n, k, 0.95),
        "p_range": p_range(made),
        "p_shuffled": p_shuffled(made),
    }
    if s > 0 or apart == 0:
        figures["range_over_seed_sd"] = apart / s if s > 0 else 0.0
    return figures
