"""Android's power HAL: the energy of each power rail, measured on the device (ODPM).

Pixels from the 6 on, and some others, carry meters on their rails. What they counted is printed by the power
statistics HAL [@aosp2024powerstats] and, on a rooted phone, read from the kernel's ``energy_value`` files,
whose form the HAL's own reader gives [@aosp2020iio].
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

import numpy as np

from neurolab.power.recording import Recording, of_counters

_SECTION = re.compile(
    r"=+ PowerStats HAL [\d.]+ (?:energy meter|rail energy data) =+\n(.*?)=+ End of PowerStats HAL", re.DOTALL
)
_RAIL = re.compile(r"^\s*(\S.*?)\s+-?[\d.]+ mWs(?:\s*\(\s*(none|-?[\d.]+)\))?\s*$", re.MULTILINE)
_CHANNEL = re.compile(r"CH\d+\(T=\d+\)\[([^\]]+)\], (\d+)")


def power_hal(text: str, *, rails: str = "*") -> Recording:
    """What the power HAL printed, or the kernel's energy_value files, several times over, into one file.

    The HAL's: ``adb shell dumpsys android.hardware.power.stats.IPowerStats/default delta`` before and after
    each stretch (before idle, after idle, after the run): the first report sets the zero, and each later one
    adds the seconds and joules since the one before.  The kernel's: blocks of ``t=<ms since boot>`` and lines
    ``CH0(T=<ms>)[<rail>], <uWs>``. rails: which, with * and ?; all of them together are not the whole phone.
    ValueError where there are fewer than two reports, one lacks its seconds, or no rail has that name.
    """
    if _CHANNEL.search(text):
        return _energy_value(text, rails)
    reports = [found[1] for found in _SECTION.finditer(text)]
    if not reports:
        raise ValueError(
            "no report of the power HAL, and no energy_value; does the phone have meters on its rails?"
        )
    if len(reports) < 2:
        raise ValueError("one report only; print one before and one after (the first sets the zero)")
    seconds, joules = [0.0], [0.0]
    chosen: set[str] = set()
    for number, report in enumerate(reports[1:], start=2):
        elapsed = re.search(r"Elapsed time: (\d+) ms", report)
        if not elapsed or int(elapsed[1]) == 0:
            raise ValueError(f"report {number} tells no time since the one before; print it with `delta`")
        found = {" ".join(rail[1].split()): rail[2] for rail in _RAIL.finditer(report)}
        mine = {name: delta for name, delta in found.items() if fnmatchcase(name, rails)}
        if not mine:
            raise ValueError(f"rails is {rails!r}; report {number} has {', '.join(found) or 'none'}")
        if not all(delta and delta != "none" for delta in mine.values()):
            raise ValueError(f"report {number} has a rail without its difference; print it with `delta`")
        if min(map(float, mine.values())) < 0:
            raise ValueError(
                f"in report {number} a counter of energy fell: the phone restarted, or it overflowed"
            )
        chosen |= set(mine)
        seconds.append(seconds[-1] + int(elapsed[1]) / 1000)
        joules.append(joules[-1] + sum(map(float, mine.values())) / 1000)
    what = f"power rails: {', '.join(sorted(chosen))}"
    return Recording(np.array(seconds), np.array(joules), what, 1e-5 * len(chosen))


def _energy_value(text: str, rails: str) -> Recording:
    """The kernel's files; those of several meters may follow one another in any order."""
    moment: float | None = None
    read: dict[str, dict[float, float]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        if found := re.fullmatch(r"t=(\d+)", line.strip()):
            moment = int(found[1]) / 1000
        elif (found := _CHANNEL.fullmatch(line.strip())) and moment is not None:
            if fnmatchcase(found[1], rails):
                read.setdefault(found[1], {})[moment] = int(found[2]) * 1e-6
        else:
            raise ValueError(
                f"line {number} is {line.strip()!r}; allowed are t=... and CH0(T=...)[rail], energy"
            )
    if not read:
        names = sorted({name for name, _ in _CHANNEL.findall(text)})
        raise ValueError(f"rails is {rails!r}; there are {', '.join(names)}")
    counters = [(np.array(list(times)), np.array(list(times.values()))) for times in read.values()]
    return of_counters(counters, f"power rails: {', '.join(sorted(read))}", step=1e-6)
