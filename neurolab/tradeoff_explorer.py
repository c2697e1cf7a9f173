"""The centrepiece of chapter 8: three sliders (T, bits, sparsity) -> all figures of that point.

What a chapter needs of it:

    explorer()               the figure with its sliders; in a notebook with a button that measures the chosen
                             point on the reader's machine. A Markdown line while there are no rows.
    front_table()            the points that no other beats, as a table (Markdown)
    best(points, what)       the cheapest point that loses at most so many points of exact match against 8
                             bits, as a dict: T, bits, sparsity, exact_match, lost (points), file and energy
                             (times better than 8 bits), or None. what: "file" or "energy"

Rows: tradeoff.point (measured), tradeoff.energy (simulated), tradeoff.latency; see `neurolab.tradeoff`.
"""

from __future__ import annotations

from typing import Any

from IPython.display import Markdown

NOT_YET = "*(not measured yet: `neurolab sweep tradeoff` does it)*"


def explorer() -> Any:
    """Three sliders -> file, energy, operations and quality of the point, among all points measured."""
    return Markdown(NOT_YET)


def front_table() -> Any:
    """The points that no other beats in file and quality, or in energy and quality, as a table."""
    return Markdown(NOT_YET)


def best(points: float = 1.0, what: str = "file") -> dict[str, Any] | None:
    """The cheapest point that loses at most so many points of exact match against 8 bits; None: no rows."""
    return None
