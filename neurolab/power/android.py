"""Android's own figures: the battery's history, and the counters of a Perfetto trace.

``dumpsys batterystats`` keeps a history of level, voltage and (where the phone has a charge counter) charge
in whole mAh [@aosp2024batterystats]. A Perfetto trace holds battery counters, polled four times a second or
so, and on newer Pixels the energy of every power rail [@perfetto2024battery]; Android Studio's Power Profiler
shows the same rails [@android2023power]. Here a trace is read after it was turned into a table by Perfetto's
own trace_processor (`PERFETTO_QUERY`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np

from neurolab.power.recording import Floats, Recording, of_charge, of_counters, of_watts
from neurolab.power.tables import numbers, table

PERFETTO_QUERY = (
    "select ts, t.name as name, value from counter c join counter_track t on c.track_id = t.id "
    "where t.name glob 'batt.*' or t.name glob 'power.*' order by ts"
)
"""What makes the table: ``trace_processor query TRACE "..." > power.csv``."""


@dataclass
class _Piece:
    """A stretch of history on battery: moments (ms), charge (mAh), voltage (mV), and charge as a level
    (%)."""

    moments: list[float] = field(default_factory=list)
    charge: list[float] = field(default_factory=list)
    level: list[float] = field(default_factory=list)
    volts: list[float] = field(default_factory=list)

    def length(self) -> float:
        return self.moments[-1] - self.moments[0] if self.moments else 0.0


def batterystats(text: str, *, battery_mah: float | None = None) -> Recording:
    """``adb shell dumpsys batterystats -c --history`` (or --checkin): the longest stretch on battery.

    Charge is read in whole mAh (`Bcc`). A phone without a charge counter tells whole per cent only (`Bl`);
    they count as shares of the battery's capacity: battery_mah, or what the report's own `pws` line says.
    ValueError where there is no history, the phone was never unplugged, or the capacity is not known.
    """
    pieces, began = _history(text)
    piece = max(pieces, key=_Piece.length)
    if piece.length() == 0:
        raise ValueError(
            "the phone is on battery nowhere in this history: unplug it (adb works over Wi-Fi), then measure"
        )
    notes = ["The clock of batterystats is that of its changes: between two of them power counts as even."]
    if len([p for p in pieces if p.length() > 0]) > 1:
        notes.append("The phone was plugged in, or restarted; the longest stretch on battery is read.")
    step, charge = 1.0, np.array(piece.charge)
    if np.isnan(charge).any():
        capacity = battery_mah if battery_mah is not None else _capacity(text)
        if not capacity > 0:
            raise ValueError(f"battery_mah is {capacity}; a capacity is above 0")
        step, charge = capacity / 100, np.array(piece.level) * capacity / 100
        notes.append("This phone tells no charge, only whole per cent of its battery.")
    volts = np.array(piece.volts) / 1000
    seconds = np.array(piece.moments) / 1000
    keep = np.append(np.diff(seconds) > 0, True)  # of changes at one moment, the last holds
    made = of_charge(
        seconds[keep],
        charge[keep] * 3.6,
        volts[keep],
        "the whole phone, at its battery",
        step=step * 3.6,
        notes=notes,
    )
    clock = None if began is None else began + float(made.began or 0.0)
    return Recording(made.seconds, made.joules, made.what, made.step, clock, made.notes)


def _history(text: str) -> tuple[list[_Piece], float | None]:
    """The stretches on battery, and the clock (epoch, s) at the history's own zero if it tells one."""
    now, plugged, began = 0.0, True, None
    last = {"Bcc": float("nan"), "Bl": float("nan"), "Bv": float("nan")}
    pieces, seen = [_Piece()], False
    for line in text.splitlines():
        found = re.match(r"\d+,h,(-?\d+)(.*)", line.strip())
        if not found:
            continue
        seen = True
        now += int(found[1])
        if found[2].startswith(":"):
            clock = re.search(r"TIME:(\d+)", found[2])
            if clock and began is None:
                began = int(clock[1]) / 1000 - now / 1000
            if re.match(r":(START|SHUTDOWN|\*OVERFLOW\*)", found[2]):
                pieces.append(_Piece())
            continue
        fields = dict(re.findall(r",(Bcc|Bl|Bv|Bp)=([^,]*)", found[2]))
        was, plugged = plugged, fields["Bp"] != "n" if "Bp" in fields else plugged
        if plugged and not was:
            pieces.append(_Piece())
        changed = [name for name in last if name in fields]
        for name in changed:
            last[name] = float(numbers([fields[name]], f"{name} of the history")[0])
        if not plugged and (changed or was) and not np.isnan([last["Bv"], last["Bl"]]).any():
            piece = pieces[-1]
            piece.moments.append(now)
            piece.charge.append(last["Bcc"])
            piece.level.append(last["Bl"])
            piece.volts.append(last["Bv"])
    if not seen:
        raise ValueError(
            "no line of battery history (9,h,...): make it with `adb shell dumpsys batterystats -c --history`"
        )
    return pieces, began


def _capacity(text: str) -> float:
    """The battery's capacity in mAh, from the report's line of the power summary."""
    found = re.search(r"^\d+,\d+,\w+,pws,([\d.]+)", text, re.MULTILINE)
    if not found:
        raise ValueError("this phone tells no charge (Bcc) and no capacity; give battery_mah")
    return float(found[1])


def perfetto(
    text: str, *, source: str | None = None, rails: str = "*", volts: float | None = None
) -> Recording:
    """The table of a Perfetto trace (see PERFETTO_QUERY): columns ts (ns), name, value.

    source: 'rails' (energy counters of the chips' power rails, not disturbed by charging) or 'battery'
    (current and voltage, or charge and voltage); by default rails where there are any.  rails: which, with *
    and ?, after 'power.'; all rails together are not the whole phone.  volts: the battery's voltage, for
    traces without it. ValueError where the trace has no such counters, or the battery's current changes its
    sign.
    """
    if source not in (None, "rails", "battery"):
        raise ValueError(f"source is {source!r}; allowed are rails, battery")
    counters = _counters(text)
    names = [name for name in counters if name.startswith("power.")]
    if source == "rails" or (source is None and names):
        chosen = [name for name in names if fnmatchcase(_rail(name), rails)]
        if not chosen:
            there = ", ".join(map(_rail, names)) or "none"
            raise ValueError(f"rails is {rails!r}, which is none of the trace's rails ({there})")
        read = [(counters[name][0], counters[name][1] * 1e-6) for name in chosen]
        return of_counters(read, f"power rails: {', '.join(map(_rail, chosen))}", step=1e-6)
    return _battery(counters, volts)


def _rail(name: str) -> str:
    """A rail's name: 'rails.cpu.big' of 'power.rails.cpu.big', 'VPH_PWR_OLED' of 'power.VPH_PWR_OLED_uws'."""
    return name.removeprefix("power.").removesuffix("_uws")


def _counters(text: str) -> dict[str, tuple[Floats, Floats]]:
    """Seconds (n,) and values (n,) of each counter, in the order of time, a value a moment."""
    columns = {column.name: column for column in table(text, needs="ts")}
    if not {"ts", "name", "value"} <= set(columns):
        raise ValueError(f"columns are {', '.join(columns)}; needed are ts, name, value (see PERFETTO_QUERY)")
    moments = numbers(columns["ts"].cells, "ts") * 1e-9
    values = numbers(columns["value"].cells, "value")
    names = np.array([cell.strip('"') for cell in columns["name"].cells])
    found = {}
    for name in np.unique(names):
        at = np.flatnonzero(names == name)
        once, first = np.unique(moments[at], return_index=True)
        found[str(name)] = (once, values[at][first])
    return found


def _battery(counters: Mapping[str, tuple[Floats, Floats]], volts: float | None) -> Recording:
    """Current times voltage where there is current, else the charge times voltage."""
    what = "the whole phone, at its battery"
    if "batt.voltage_uv" in counters:
        at, microvolts = counters["batt.voltage_uv"]
        known = (at, microvolts * 1e-6)
    elif volts is not None:
        known = (np.array([0.0]), np.array([volts]))
    else:
        raise ValueError("the trace has no voltage (batt.voltage_uv); add that counter, or give volts")
    if "batt.current_ua" in counters:
        moments, current = counters["batt.current_ua"]
        if current.min() < 0 < current.max():
            raise ValueError(
                "the battery's current changes its sign: the phone was being charged; measure on battery"
            )
        watts = np.abs(current) * 1e-6 * np.interp(moments, *known)
        note = "Makers differ in the sign of the current; it is taken as discharge: was the phone unplugged?"
        return of_watts(moments, watts, what, [note])
    if "batt.charge_uah" in counters:
        moments, charge = counters["batt.charge_uah"]
        steps = np.abs(np.diff(charge))
        step = float(steps[steps > 0].min()) if (steps > 0).any() else 0.0
        return of_charge(moments, charge * 3.6e-3, np.interp(moments, *known), what, step=step * 3.6e-3)
    raise ValueError(f"no battery counters in it; there are {', '.join(counters)}")
