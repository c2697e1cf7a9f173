"""Meters outside the device: a Monsoon power monitor, and USB meters between charger and phone.

Sources of the formats: for the Monsoon the library of its maker [@monsoon2023pymonsoon] and the columns that
its PowerTool exports; for USB meters open loggers of the FNIRSI family [@baryluk2024fnirsi] and of the
ChargerLAB POWER-Z KM003C, and any table whose titles name quantity and unit. The kernel names the battery's
own figures (``current_now``, ``voltage_now``) and their units [@linux2024powersupply].
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from neurolab.power.recording import Floats, Recording, of_watts
from neurolab.power.tables import Column, find, numbers, seconds, table

MONSOON_RATE = 5000
"""Samples a second that a Monsoon takes."""
CHANNELS = {"main": "main", "usb": "usb"}


def monsoon(text: str, *, channel: str = "main", time_unit: str | None = None) -> Recording:
    """A Monsoon's CSV, of the maker's Python library or of PowerTool.

    channel: 'main' (the phone's battery terminals) or 'usb'.  time_unit: 's' or 'ms', for the library's files
    only: their title says ms, but the library writes seconds. Seconds are taken, unless that would mean fewer
    than 50 samples a second (or more than the device takes); then ValueError asks which.
    """
    if channel not in CHANNELS:
        raise ValueError(f"channel is {channel!r}; allowed are {', '.join(CHANNELS)}")
    columns = {column.name: column for column in table(text, needs="time")}
    what = (
        "the whole phone, at its battery terminals"
        if channel == "main"
        else "the whole phone, at its USB port"
    )
    if f"{channel} avg power" in columns:  # PowerTool
        watts = columns[f"{channel} avg power"].values("power")
        return _forward(columns["time"].values("time"), watts, what)
    if not {channel, f"{channel} voltage"} <= set(columns) or "time" not in columns:
        raise ValueError(f"no current and voltage of {channel}; its columns are {', '.join(columns)}")
    amperes = columns[channel].values("current")
    volts = columns[f"{channel} voltage"].values("voltage")
    return _forward(_library_seconds(columns["time"], time_unit), volts * amperes, what)


def _library_seconds(column: Column, unit: str | None) -> Floats:
    """The library's time stamps in seconds, whatever their title says."""
    raw = numbers(column.cells, column.name)
    if unit not in (None, "s", "ms"):
        raise ValueError(f"time_unit is {unit!r}; allowed are s, ms")
    if unit is None:
        rate = (len(raw) - 1) / max(float(raw[-1] - raw[0]), 1e-12)
        if not 50 <= rate <= 1.1 * MONSOON_RATE:
            raise ValueError(
                f"taken as seconds, its times mean {rate:.3g} samples a second; say time_unit='s' or 'ms'"
            )
    return raw * (1e-3 if unit == "ms" else 1.0)


def usb_meter(text: str) -> Recording:
    """A USB meter's table: time, and voltage and current (or power), each with its unit in the title.

    Reads the loggers' own titles (``timestamp ... voltage_V current_A``, ``timestamp_ms,vbus_µV,ibus_µA``),
    tables like ``Time(s),Voltage(V),Current(A)``, and what a loop over Android's ``current_now`` and
    ``voltage_now`` writes under ``time_ms,current_now_uA,voltage_now_uV``. A `timestamp` without unit is in
    seconds. Samples that a logger stamped up to a tenth of a second too early are put in order.
    """
    columns = table(text, needs="time")
    time = find(columns, "time")
    if time is None:
        raise ValueError(f"no column of time; there are {', '.join(c.name for c in columns)}")
    if time.name in ("timestamp", "epoch") and not time.unit:
        time = Column(time.name, "s", time.cells)
    volts, amperes, power = (find(columns, name) for name in ("voltage", "current", "power"))
    if volts and amperes:
        watts = volts.values("voltage") * amperes.values("current")
    elif power:
        watts = power.values("power")
    else:
        raise ValueError(
            f"neither voltage and current nor power; there are {', '.join(c.name for c in columns)}"
        )
    moments = seconds(time)
    back = np.diff(moments)
    if len(back) and back.min() < -0.1:
        at = int(back.argmin())
        raise ValueError(f"time falls back by {-back[at]:.3g} s at row {at + 2}; two recordings in one file?")
    order = np.argsort(moments, kind="stable")
    gauge = volts is not None and volts.name == "voltage now"
    what = f"the whole phone, at its {'battery' if gauge else 'USB port'}"
    return _forward(moments[order], watts[order], what)


def _forward(moments: Floats, watts: Floats, what: str) -> Recording:
    """A recording whose mean power is positive; a meter that is plugged in backwards counts down."""
    notes: Sequence[str] = ()
    if watts.mean() < 0:
        watts, notes = -watts, ("The current was counted as negative; its sign was turned.",)
    return of_watts(moments, watts, what, notes)
