"""What should I use? A table of devices and needs, each cell computed from rows; and what was left out.

For a notebook and the book:

    decisions.show()                     the table: one row a device, one column a need
    decisions.decide("phone", "file")    one cell: choice, figure, unit, kind, why, rows, or what it takes
    decisions.left_out()                 what the course left out on purpose, and why (a table)

`show` and `decide` take ``rows=`` (default: the shipped ones). A cell is settled only by rows; where none
were measured on the device (or cannot be, here) the cell says so, and what hardware would settle it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from neurolab.measurements import Measurement

DEVICES = {
    "phone": "a phone",
    "laptop": "a laptop",
    "microcontroller": "a microcontroller",
    "chip": "a neuromorphic chip",
}
"""Names of the devices, as `decide` takes them, and as a reader meets them."""
NEEDS = {"file": "a small file", "latency": "low latency", "energy": "low energy"}
"""Names of the needs, as `decide` takes them, and as a reader meets them."""


@dataclass(frozen=True)
class Decision:
    """One cell. choice: what to use, or None where nothing measured here settles it.

    figure: the number that decides, in unit; kind: of its rows (measured, simulated; None without rows).
    why: a sentence.  needs: the hardware or measurement that would settle it (empty where settled in full).
    rows: what it rests on.
    """

    device: str
    need: str
    choice: str | None
    figure: float | None
    unit: str
    kind: str | None
    why: str
    needs: str
    rows: tuple[Measurement, ...]


def decide(device: str, need: str, rows: Iterable[Measurement] | None = None) -> Decision:
    """The cell of a device and a need. ValueError names what is allowed where one of them is unknown."""
    if device not in DEVICES:
        raise ValueError(f"device is {device!r}; allowed are {', '.join(DEVICES)}")
    if need not in NEEDS:
        raise ValueError(f"need is {need!r}; allowed are {', '.join(NEEDS)}")
    return Decision(device, need, None, None, "", None, "", "", ())
