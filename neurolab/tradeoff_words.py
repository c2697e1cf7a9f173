"""What the trade-off's explorer says of one point: eight bars and a sentence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neurolab.tradeoff import REAL
from neurolab.tradeoff_front import ENERGY, Point, saved

Timed = dict[tuple[int, float], dict[str, float]]
WHAT = (
    "file", "products", "numbers, energy", "numbers, DRAM", "additions", "spikes, energy", "spikes, DRAM",
    "time",
)  # fmt: skip
"""The bars: the file; products and energy as numbers; additions and energy as spikes; real time."""


def percent(sparsity: Any) -> int:
    """0.3 -> 30."""
    return round(100 * sparsity)


def named(one: Point, more: str = "") -> str:
    """A point's place and its right answers, and `more`."""
    T = "real values" if one.T == REAL else f"T = {one.T}"
    return f"{T}, {one.bits} bits, {percent(one.sparsity)} % zeros: {one.right:.1f} % right{more}"


def bars_of(one: Point, timed: Timed) -> list[float | None]:
    """Times better than the dense 8-bit network, for each of WHAT; None where there is nothing to show."""
    f, dense = one.figures, one.figures["counts"]["numbers"]["synapses"]
    e = one.energy
    clock = timed.get((one.bits, one.sparsity), {}) if one.T == REAL else {}
    return [
        one.file,
        dense / f["macs"], e.get("numbers_vs_int8"), e.get("numbers_vs_int8_dram"),
        dense / f["synops"] if "synops" in f else None,
        e.get("spikes_vs_int8"), e.get("spikes_vs_int8_dram"),
        clock.get("ratio_vs_int8"),
    ]  # fmt: skip


def shown(one: Point | None, behind: float | None, timed: Timed, here: bool = False) -> dict[str, Any]:
    """The part of the figure that moves; one None: a point that is not measured yet.

    behind: points behind 8 bits.  timed: `tradeoff_front.latencies()`.  here: measured on this machine.
    "file x", "file y" (1,), "energy x", "energy y" (2,): NaN where unknown; bar (8,), "bar text" (8,), words.
    """
    if one is None:
        gap, two = np.array([math.nan]), np.full(2, math.nan)
        return {
            "file x": gap, "file y": gap, "energy x": two, "energy y": two, "bar": np.zeros(len(WHAT)),
            "bar text": ["not measured yet"] * len(WHAT), "words": "This point is not measured yet",
        }  # fmt: skip
    bars = bars_of(one, timed)
    why = ["", "", "no row", "no row", *["no spikes" if one.T == REAL else "no row"] * 3]
    why.append("no row" if one.T == REAL else "simulated only")
    ways = [saved(one, way) for way in ENERGY]
    return {
        "file x": np.array([one.file]),
        "file y": np.array([one.right]),
        "energy x": np.array([math.nan if s is None else s for s in ways]),
        "energy y": np.full(2, one.right),
        "bar": np.array([0.0 if x is None else x - 1 for x in bars]),
        "bar text": [f"{x:.2f}x" if x is not None else w for x, w in zip(bars, why, strict=True)],
        "words": words(one, behind, here),
    }


def words(one: Point, behind: float | None, here: bool) -> str:
    """All figures of a point, in a sentence without its full stop."""
    f = one.figures
    text = named(one, f" (Thai {100 * f['exact_match_th']:.1f}, English {100 * f['exact_match_en']:.1f})")
    if behind is not None:
        ahead = round(behind, 1) < 0
        text += f", {abs(behind):.1f} points {'ahead of' if ahead else 'behind'} 8 bits"
    text += (
        f", {f['bits_per_answer_byte']:.3f} bits per answer byte; {f['bytes']:,} bytes, {_size(one.file)} "
    )
    text += f"than 8 bits that are not coded; a token is {f['macs']:,.0f} products of numbers"
    if "synops" in f:
        text += f", or {f['synops']:,.0f} additions by {f['spikes']:,.0f} spikes"
        text += f" in {f['ticks_per_token']:,} ticks"
    costs = [f"as {way} {times(s)}" for way in ENERGY[::-1] if (s := saved(one, way)) is not None]
    if costs:
        text += f"; energy (simulated) {', '.join(costs)} than with 8 bits"
    return text + (". Measured here" if here else "")


def _size(ratio: float) -> str:
    """2.5 -> "2.50 times smaller", 0.5 -> "2.00 times larger"."""
    return f"{ratio:.2f} times smaller" if ratio >= 1 else f"{1 / ratio:.2f} times larger"


def times(ratio: float) -> str:
    """2.5 -> "2.5 times less", 0.5 -> "2.0 times more"."""
    return f"{ratio:.1f} times less" if ratio >= 1 else f"{1 / ratio:.1f} times more"
