"""Tables of numbers as meters and tools write them: find the columns by name, and their units in the
header."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from neurolab.power.recording import Floats

UNITS = {
    "time": {"h": 3600.0, "min": 60.0, "s": 1.0, "sec": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9},
    "voltage": {"v": 1.0, "mv": 1e-3, "uv": 1e-6},
    "current": {"a": 1.0, "ma": 1e-3, "ua": 1e-6},
    "power": {"w": 1.0, "mw": 1e-3, "uw": 1e-6},
}
"""What a unit in a header is worth in s, V, A and W."""
NAMES = {
    "time": {"time", "timestamp", "elapsed", "elapsed time", "epoch", "t"},
    "voltage": {"voltage", "vbus", "volts", "bus voltage", "voltage now"},
    "current": {"current", "ibus", "amps", "bus current", "current now"},
    "power": {"power", "pbus"},
}
"""Names of columns, in lower case, a blank for each underscore."""


@dataclass(frozen=True)
class Column:
    """One column. name: in lower case, without its unit; unit: in lower case, 'u' for micro, '' if none is
    told; cells: as text."""

    name: str
    unit: str
    cells: tuple[str, ...]

    def values(self, quantity: str) -> Floats:
        """The column in s, V, A or W. ValueError names a cell that is no number, or a unit that is none."""
        scale = UNITS[quantity].get(self.unit)
        if scale is None:
            allowed = ", ".join(UNITS[quantity])
            told = f"the unit {self.unit!r}" if self.unit else "no unit"
            raise ValueError(f"column {self.name!r} has {told}; write one behind its name, of {allowed}")
        return numbers(self.cells, self.name) * scale


def numbers(cells: Sequence[str], name: str) -> Floats:
    """Cells as numbers (n,); ValueError names the one that is none."""
    try:
        found = np.array(cells, dtype=np.float64)
    except ValueError as error:
        row = next(i for i, cell in enumerate(cells, start=1) if not _number(cell))
        raise ValueError(f"column {name!r}, row {row}: {cells[row - 1]!r} is no number") from error
    if not np.isfinite(found).all():
        row = int(np.flatnonzero(~np.isfinite(found))[0]) + 1
        raise ValueError(f"column {name!r}, row {row}: {cells[row - 1]!r} is no finite number")
    return found


def _number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def header(text: str) -> tuple[str, str]:
    """Name and unit of a column's title: 'Main Voltage(V)', 'vbus_µV', 'Power [mW]', 'voltage_V',
    'timestamp'."""
    plain = text.strip().strip('"').replace("µ", "u").replace("μ", "u")
    bracketed = re.fullmatch(r"(.*?)[\s_]*[(\[]([A-Za-z]+)[)\]]", plain)
    name, unit = bracketed.groups() if bracketed else (plain, "")
    if not bracketed:
        before, _, last = plain.rpartition("_")
        known = {unit for units in UNITS.values() for unit in units}
        if before and last.lower() in known:
            name, unit = before, last
    return re.sub(r"[\s_]+", " ", name).strip().lower(), unit.lower()


def table(text: str, *, needs: str) -> list[Column]:
    """The columns of a table: separated by commas, semicolons, tabs or blanks, with one line of titles.

    Lines before the titles are passed over. needs: a word that the titles hold, in lower case. ValueError
    where there are no titles, no rows, or a row with another number of cells.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    first = next(
        (i for i, line in enumerate(lines) if needs in line.lower() and not line.startswith("#")), None
    )
    if first is None:
        raise ValueError(f"no line of column titles with {needs!r} in it")
    separator = next((s for s in ("\t", ";", ",") if s in lines[first]), None)
    if separator is None:
        rows = [line.split() for line in lines[first:]]
    else:
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines[first:], delimiter=separator)]
    rows = [row[:-1] if len(row) > 1 and row[-1] == "" else row for row in rows]
    titles, body = rows[0], rows[1:]
    if not body:
        raise ValueError("a line of column titles, and no rows")
    for i, row in enumerate(body):
        if len(row) != len(titles):
            cut = "; was the file cut short?" if i == len(body) - 1 else ""
            raise ValueError(f"row {i + 1} has {len(row)} cells under {len(titles)} titles{cut}")
    return [
        Column(*header(title), cells) for title, cells in zip(titles, zip(*body, strict=True), strict=True)
    ]


def find(columns: Sequence[Column], quantity: str) -> Column | None:
    """The column of a quantity ('time', 'voltage', 'current', 'power'), None if there is none.
    ValueError where there are two."""
    found = [column for column in columns if column.name in NAMES[quantity]]
    if len(found) > 1:
        raise ValueError(f"{len(found)} columns of {quantity}: {', '.join(c.name for c in found)}; leave one")
    return found[0] if found else None


def seconds(column: Column) -> Floats:
    """A column of time (n,) in seconds: numbers with a unit, '12:30:05.25', or '2026-11-21 12:30:05.25'."""
    cells = column.cells
    if ":" not in cells[0]:
        return column.values("time")
    found = np.empty(len(cells))
    for i, cell in enumerate(cells):
        try:
            moment = datetime.fromisoformat(cell if "-" in cell else f"1970-01-01T{cell}+00:00")
        except ValueError as error:
            raise ValueError(f"column {column.name!r}, row {i + 1}: {cell!r} is no time of day") from error
        found[i] = moment.timestamp()
    return found
