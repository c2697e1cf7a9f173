"""Apple's Instruments: the system's power as the Power Profiler sees it, exported by ``xctrace``.

The Power Profiler (Xcode 26, iOS 26) tells how many per cent of the battery an hour the whole phone uses
[@apple2025power]. ``xctrace export`` writes a table as XML: columns are typed, and a value that was written
before is only referred to [@apple2020xctrace]. Joules need the battery's energy: per cent are of the battery
as it is now, so its health counts too. The table's name and its columns' types are those that public readers
of such exports look for; we had no iPhone's export at hand.
"""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np

from neurolab.power.recording import Recording

TABLE = "SystemPowerLevel"
TYPES = ("start-time", "duration", "percent-per-hour")
SLACK = 1e-3
"""Seconds that two rows may be apart, or overlap, and still count as one after the other."""


def instruments(text: str, *, battery_wh: float, health: float = 1.0) -> Recording:
    """The XML of ``xctrace export --xpath '...table[@schema="SystemPowerLevel"]'``, as a recording.

    battery_wh: the battery's energy when new, in Wh (mAh x nominal volts / 1000).  health: its maximum
    capacity today, 0 to 1 (Settings, Battery Health).  ValueError where the XML is no such export, a
    reference leads nowhere, rows overlap or leave a gap, or the power is 0 throughout (the phone was on a
    cable).
    """
    if not 0 < battery_wh < 1000:
        raise ValueError(
            f"battery_wh is {battery_wh}; a phone's battery holds more than 0 and less than 1000 Wh"
        )
    if not 0 < health <= 1:
        raise ValueError(f"health is {health}; allowed is more than 0 up to 1")
    rows = sorted(set(_rows(text)))
    if not rows:
        raise ValueError(f"the table {TABLE} has no rows")
    seconds, joules = [0.0], [0.0]
    began = rows[0][0] * 1e-9
    for start, duration, rate in rows:
        if duration <= 0 or rate < 0:
            raise ValueError(
                f"at {start * 1e-9:g} s: duration {duration:g} ns, {rate:g} % an hour; above 0, and 0 or more"
            )
        apart = start * 1e-9 - began - seconds[-1]
        if abs(apart) > SLACK:
            word = "a gap of" if apart > 0 else "an overlap of"
            raise ValueError(
                f"{word} {abs(apart):.3g} s at {start * 1e-9 - began:.3f} s; cut the recording there"
            )
        seconds.append((start + duration) * 1e-9 - began)
        joules.append(joules[-1] + rate / 100 * battery_wh * health * duration * 1e-9)
    if joules[-1] == 0:
        raise ValueError("the power is 0 throughout: on a cable Instruments sees none; connect over Wi-Fi")
    note = f"Per cent of the battery are counted as {battery_wh * health:.3g} Wh in all."
    return Recording(
        np.array(seconds), np.array(joules), "the whole phone, at its battery", 0.0, began, (note,)
    )


def _rows(text: str) -> list[tuple[float, float, float]]:
    """Start (ns), duration (ns) and per cent an hour of each row, references resolved."""
    if "<!ENTITY" in text or "<!DOCTYPE" in text:
        raise ValueError("an export of xctrace defines no entities; this XML does")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"no whole XML ({error}); was the export cut short?") from error
    schemas = {schema.get("name", ""): node for node in root.iter("node") for schema in node.iter("schema")}
    if TABLE not in schemas:
        raise ValueError(f"no table {TABLE} in it, but {', '.join(filter(None, schemas)) or 'none'}")
    node = schemas[TABLE]
    types = [kind.text or "" for kind in node.iter("engineering-type")]
    if not set(TYPES) <= set(types):
        raise ValueError(f"the table's columns are {', '.join(types)}; needed are {', '.join(TYPES)}")
    known = {item.get("id"): item for item in root.iter() if item.get("id") is not None}
    places = [types.index(kind) for kind in TYPES]
    return [_numbers(row, places, known, number) for number, row in enumerate(node.iter("row"), start=1)]


def _numbers(
    row: ElementTree.Element, places: list[int], known: dict[str | None, ElementTree.Element], number: int
) -> tuple[float, float, float]:
    """The three numbers of a row."""
    cells, found = list(row), []
    for place in places:
        if place >= len(cells):
            raise ValueError(f"row {number} has {len(cells)} cells, and lacks some")
        cell = cells[place]
        if cell.get("ref") is not None:
            if cell.get("ref") not in known:
                raise ValueError(f"row {number} refers to {cell.get('ref')}, which the export does not hold")
            cell = known[cell.get("ref")]
        try:
            found.append(float(cell.text or ""))
        except ValueError as error:
            raise ValueError(f"row {number}: {cell.text!r} is no number") from error
    if not np.isfinite(found).all():
        raise ValueError(f"row {number} holds a number that is not finite")
    return found[0], found[1], found[2]
