"""Tables of probabilities, small enough to travel with the symbols that they describe.

A table gives each whole number from `low` to `low + span` a level, 0 for one that does not occur, and level e
a weight 2^((e - 1) / f), f the fineness: 1, 2, 4 or 8 levels to a doubling. Neighbouring symbols have similar
levels, so a table is written as their differences, coded by a geometric law. What f to take is decided by the
sum of both bills: the table's bits and those that the symbols then need (minimum description length:
Rissanen, Modeling by shortest data description, Automatica 1978).

All weights are whole numbers made by whole-number arithmetic: every machine builds the same table.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
FINENESS = (1, 2, 4, 8)
WIDEST = 1 << 16
"""The most symbols that one table may span."""
MOST_LEVEL = 1 + 8 * 36
"""The highest level: a weight of 2^36, more than any count here, at the finest setting."""
DECAYS = (2, 4, 6, 8, 10, 12, 14)
"""A difference's weight over the next smaller one's, in sixteenths: the geometric laws on offer."""


@lru_cache(maxsize=1)
def _eighths() -> NDArray[np.float64]:
    """256 x 2^(m / 8), rounded down, for m = 0, 1, ...: exact whole numbers below 2^53, as float64."""
    return np.array([math.isqrt(math.isqrt(math.isqrt(1 << (m + 64)))) for m in range(MOST_LEVEL)], float)


@dataclass(frozen=True)
class Table:
    """Levels (span + 1,) of the symbols low .. low + span; fineness 0 makes them all equal (levels empty)."""

    low: int
    span: int
    fineness: int
    levels: Ints

    def weights(self) -> NDArray[np.float64]:
        """(span + 1,) whole numbers in proportion to the probabilities; 0 where a symbol does not occur.

        ValueError for a level whose weight would be above 2^36.
        """
        if self.fineness == 0:
            return np.ones(self.span + 1)
        eighths = np.maximum(self.levels - 1, 0) * (8 // self.fineness)
        if (too_high := eighths >= MOST_LEVEL).any():
            raise ValueError(
                f"level {self.levels[too_high][0]}: no weight has it at fineness {self.fineness}"
            )
        return np.where(self.levels > 0, _eighths()[eighths], 0.0)


def flat(low: int, high: int) -> Table:
    """Every whole number from low to high alike."""
    return Table(low, high - low, 0, np.empty(0, np.int64))


def quantized(counts: Ints, low: int, fineness: int) -> Table:
    """The table of `counts` (K,) of low, low + 1, ...: each count's logarithm rounded to a level."""
    logs = np.log2(np.maximum(counts, 1))
    levels = np.where(counts > 0, 1 + np.rint(logs * fineness), 0).astype(np.int64)
    return Table(low, len(counts) - 1, fineness, levels)


def ideal_bits(table: Table, counts: Ints, low: int) -> float:
    """Bits that an ideal coder needs for `counts` of low, low + 1, ... with the probabilities of `table`."""
    weights = table.weights()
    at = low - table.low
    if at < 0 or at + len(counts) > len(weights):
        return math.inf
    used = counts > 0
    part = weights[at : at + len(counts)][used]
    if (part <= 0).any():
        return math.inf
    n = counts[used]
    return float(n.sum() * math.log2(weights.sum()) - (n * np.log2(part)).sum())


def differences(levels: Ints) -> Ints:
    """Differences of neighbouring levels (the first from 0), folded to 0, 1, 2 ... for 0, -1, 1, -2 ..."""
    d = np.diff(levels, prepend=0)
    return np.where(d < 0, -2 * d - 1, 2 * d)


def undo_differences(folded: Ints) -> Ints:
    """The levels of `folded` differences. Raises ValueError where one is below 0 or above the highest."""
    levels = np.cumsum(np.where(folded % 2, -(folded + 1) // 2, folded // 2))
    if len(levels) and (levels.min() < 0 or levels.max() >= MOST_LEVEL):
        raise ValueError(f"levels {levels.min()} to {levels.max()}: must be 0 to {MOST_LEVEL - 1}")
    return levels


@lru_cache(maxsize=len(DECAYS))
def law(which: int) -> NDArray[np.float64]:
    """Whole-number weights of the folded differences 0, 1, ... under law number `which`."""
    weight, found = 1 << 24, []
    for _ in range(2 * MOST_LEVEL + 1):
        found.append(float(weight))
        weight = max(1, weight * DECAYS[which] >> 4)
    return np.array(found)


@lru_cache(maxsize=1)
def _law_bits() -> NDArray[np.float64]:
    """(laws, differences): bits of each difference under each law."""
    return np.stack([np.log2(law(i).sum()) - np.log2(law(i)) for i in range(len(DECAYS))])


def best_law(levels: Ints) -> tuple[int, float]:
    """The law that writes `levels` in the fewest bits, and those bits."""
    bits = _law_bits()[:, differences(levels)].sum(1)
    return int(bits.argmin()), float(bits.min())


HEADER_BITS = 40
"""What a table costs beside its levels: low, span, fineness and law in the header."""


def fit(counts: Ints, low: int) -> tuple[Table, float]:
    """The table that makes itself and the symbols cheapest, and the sum of both in bits.

    counts: (K,) of low, low + 1, ..., the first and the last above 0.
    """
    if len(counts) == 1:
        return flat(low, low), 0.0
    best = flat(low, low + len(counts) - 1)
    least = ideal_bits(best, counts, low)
    for fineness in FINENESS:
        table = quantized(counts, low, fineness)
        bits = ideal_bits(table, counts, low) + best_law(table.levels)[1]
        if bits < least:
            best, least = table, bits
    return best, least + HEADER_BITS


def histogram(symbols: Ints) -> tuple[Ints, int]:
    """Counts (K,) of the whole numbers from the least to the largest of `symbols` (n,), and the least."""
    low = int(symbols.min())
    return np.bincount(symbols - low), low


def _merged(a: tuple[Ints, int], b: tuple[Ints, int]) -> tuple[Ints, int]:
    low = min(a[1], b[1])
    high = max(a[1] + len(a[0]), b[1] + len(b[0]))
    counts = np.zeros(high - low, np.int64)
    for some, start in (a, b):
        counts[start - low : start - low + len(some)] += some
    return counts, low


def share(
    histograms: list[tuple[Ints, int]], widest: int = 1024, most: int = 64
) -> tuple[list[Table], list[int]]:
    """Tables for many streams, and which one each stream uses: streams share one where that is cheaper.

    Starting from a table each, the two whose union saves most are made one, until no union saves a bit.
    Histograms that span more than `widest` symbols are left alone, and so are all if there are over `most`.
    """
    groups = {i: ([i], h, *fit(*h)) for i, h in enumerate(histograms)}
    gains: dict[tuple[int, int], float] = {}

    def try_pair(i: int, j: int) -> None:
        if max(len(groups[i][1][0]), len(groups[j][1][0])) <= widest:
            gains[i, j] = groups[i][3] + groups[j][3] - fit(*_merged(groups[i][1], groups[j][1]))[1]

    for i in groups:
        for j in groups:
            if i < j and len(groups) <= most:
                try_pair(i, j)
    while gains:
        (i, j), gain = max(gains.items(), key=lambda pair: pair[1])
        if gain <= 0:
            break
        both = _merged(groups[i][1], groups[j][1])
        groups[i] = (groups[i][0] + groups[j][0], both, *fit(*both))
        del groups[j]
        gains = {pair: value for pair, value in gains.items() if not {i, j} & set(pair)}
        for other in groups:
            if other != i:
                try_pair(min(i, other), max(i, other))
    tables = [group[2] for group in groups.values()]
    use = [0] * len(histograms)
    for number, group in enumerate(groups.values()):
        for i in group[0]:
            use[i] = number
    return tables, use
