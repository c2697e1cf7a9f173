"""The points of the trade-off as the rows have them: what each gives, and which no other beats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from neurolab.measurements import Measurement, read
from neurolab.tradeoff import REAL

Place = tuple[int | str, int, float]
"""(T, bits, sparsity)."""
EIGHT: Place = (REAL, 8, 0.0)
"""The point whose quality losses are counted from: 8-bit weights, no zeros, activations as they are."""
ENERGY = ("spikes", "numbers")
WAYS = {"file": "file_ratio_vs_int8", "energy": "energy"}
"""What is to be saved -> its figure, times better than the 8-bit model."""


@dataclass(frozen=True)
class Point:
    """A point of the rows.

    right: right answers in %.  file: times smaller than the 8-bit file.  figures: `tradeoff.compute`'s.
    energy: `tradeoff.energies`' (simulated), {} where there is no row.
    """

    T: int | str
    bits: int
    sparsity: float
    right: float
    file: float
    figures: dict[str, Any]
    energy: dict[str, float]

    @property
    def place(self) -> Place:
        return self.T, self.bits, self.sparsity

    def best_energy(self) -> float | None:
        """Times less energy than the 8-bit network, as spikes or as numbers, whichever takes less."""
        found = [self.energy[f"{way}_vs_int8"] for way in ENERGY if f"{way}_vs_int8" in self.energy]
        return max(found, default=None)


def place_of(row: Measurement) -> Place:
    """Where a row stands."""
    s = row.setting
    return s["T"], s["bits"], s["sparsity"]


def point(place: Place, figures: dict[str, Any], energy: dict[str, float]) -> Point:
    """A point from the figures of `tradeoff.compute` and `tradeoff.energies`."""
    right, file = 100 * figures["exact_match"], figures["file_ratio_vs_int8"]
    return Point(*place, right=right, file=file, figures=figures, energy=energy)


def points(rows: Iterable[Measurement] | None = None) -> dict[Place, Point]:
    """Every point that has a row (default: the shipped rows)."""
    rows = read("tradeoff.point") + read("tradeoff.energy") if rows is None else list(rows)
    energies = {place_of(row): row.figures for row in rows if row.name == "tradeoff.energy"}
    return {
        place_of(row): point(place_of(row), row.figures, energies.get(place_of(row), {}))
        for row in rows
        if row.name == "tradeoff.point"
    }


def latencies() -> dict[tuple[int, float], dict[str, float]]:
    """Where a token's time is real: (bits, sparsity) -> the figures of tradeoff.latency."""
    return {(r.setting["bits"], r.setting["sparsity"]): r.figures for r in read("tradeoff.latency")}


def front(some: Sequence[tuple[float, float]]) -> list[int]:
    """Which of the pairs (saved, right) no other beats, in the order of what they save.

    One beats another if it is no worse in both and better in one; of equal ones the first stays.
    """
    order = sorted(range(len(some)), key=lambda i: (-some[i][0], -some[i][1], i))
    kept: list[int] = []
    highest = float("-inf")
    for i in order:
        if some[i][1] > highest:
            kept.append(i)
            highest = some[i][1]
    return kept[::-1]


def saved(one: Point, what: str) -> float | None:
    """How many times better than the 8-bit model: "file", "energy", "spikes" or "numbers"; None: unknown.

    ValueError for anything else.
    """
    if what == "file":
        return one.file
    if what == "energy":
        return one.best_energy()
    if what in ENERGY:
        return one.energy.get(f"{what}_vs_int8")
    raise ValueError(f"what is {what!r}; it must be one of file, energy, {', '.join(ENERGY)}")


def best_points(some: Iterable[Point], what: str) -> list[Point]:
    """The points that no other beats in what is saved and in right answers, the least saving one first."""
    there = [(one, s) for one in some if (s := saved(one, what)) is not None]
    return [there[i][0] for i in front([(s, one.right) for one, s in there])]


def lost(one: Point, some: dict[Place, Point]) -> float | None:
    """Points of exact match behind EIGHT; None where that one is not measured."""
    return some[EIGHT].right - one.right if EIGHT in some else None
