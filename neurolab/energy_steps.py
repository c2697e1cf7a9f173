"""How to measure the energy of a token on a device: six ways, step by step.

Each way ends in a file that `neurolab.power` reads. Sources are keys of ``book/references.bib``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from neurolab.power import FORMATS

PROTOCOL = (
    "Charge the battery to about 80 %, let the device cool, close what runs, set a fixed brightness.",
    "Switch airplane mode on (Wi-Fi may stay on where adb or Instruments needs it, in both stretches alike).",
    "Open the phone page, choose the model, and let it answer once: the model is then loaded and warm.",
    "Idle baseline: leave the page open and do nothing for as long as the run will take.",
    "Run: 100 to 1,000 iterations of the benchmark; note its tokens, and when it began and ended.",
    "Do it three times. Joules per token = (energy of the run - idle watts x its seconds) / tokens.",
)
"""What all ways have in common."""


@dataclass(frozen=True)
class Way:
    """One way to measure.

    name: of the tool.  form: of its file, a key of `neurolab.power.FORMATS`.  device: what it measures on.
    sees: whose energy it is.  finest: the finest step.  needs: what one must have.  steps: in order.
    trap: what goes wrong most often.  sources: keys of book/references.bib.
    """

    name: str
    form: str
    device: str
    sees: str
    finest: str
    needs: str
    steps: tuple[str, ...]
    trap: str
    sources: tuple[str, ...]


WAYS = (
    Way(
        "adb, battery statistics",
        "batterystats",
        "any Android phone",
        "the whole phone, at its battery",
        "1 mAh, about 14 J (1 % where there is no charge counter)",
        "adb over Wi-Fi: on a cable the phone charges",
        (
            "Developer options, Wireless debugging; then `adb pair` and `adb connect`, as the phone shows.",
            "Pull the cable. `adb shell dumpsys batterystats --reset` empties the history.",
            "Idle, then run, a quarter of an hour each: a step of 14 J needs long stretches.",
            "`adb shell dumpsys batterystats -c --history > history.txt`",
            "`neurolab measurements energy history.txt --tokens N --idle 0:900 --run 900:1800`",
        ),
        "`adb shell dumpsys battery unplug` only makes Android believe it is unplugged: it charges on.",
        ("aosp2024batterystats", "aosp2024device"),
    ),
    Way(
        "Android Studio or Perfetto",
        "perfetto",
        "Android 10 and later; rails on Pixel 6 and later",
        "power rails (processor, memory, display ...), or the battery",
        "a microjoule on rails; the fuel gauge's own step at the battery",
        "adb; Perfetto's trace_processor to read the trace",
        (
            "Android Studio: Profiler, System Trace, Record; the Power Profiler shows rails. Save the trace.",
            "Or Perfetto: a configuration with the data source `android.power`, `battery_poll_ms: 250`, "
            "`collect_power_rails: true` and the counters CHARGE, CURRENT and VOLTAGE.",
            "Idle and run lie in one trace, a minute each.",
            '`trace_processor query TRACE "QUERY" > power.csv`, with QUERY from `neurolab.power`.',
            "`neurolab measurements energy power.csv --tokens N --idle 0:60 --run 60:120`",
        ),
        "All rails together are not the whole phone; name those that you count (`--rails 'rails.cpu*'`).",
        ("android2023power", "perfetto2024battery", "perfetto2025shell"),
    ),
    Way(
        "Android's power HAL",
        "power_hal",
        "phones with meters on their rails (Pixel 6 and later)",
        "power rails, measured on the device",
        "a hundredth of a millijoule",
        "adb; root only for the kernel's own files",
        (
            "`R='adb shell dumpsys android.hardware.power.stats.IPowerStats/default delta'`",
            "`$R > rails.txt` sets the zero. Idle for a minute, then `$R >> rails.txt`.",
            "Run, then `$R >> rails.txt` at once. (On Android 10 and 11: "
            "`lshal debug android.hardware.power.stats@1.0::IPowerStats/default delta`.)",
            "With root: `cat /sys/bus/iio/devices/iio:device*/energy_value` every 5 s, into one file.",
            "`neurolab measurements energy rails.txt` tells the seconds of the reports: A, B, C.",
            "`neurolab measurements energy rails.txt --tokens N --idle A:B --run B:C`",
        ),
        "The difference that a report tells is that since the last report, whoever asked for it.",
        ("aosp2024powerstats", "aosp2020iio"),
    ),
    Way(
        "Instruments, Power Profiler",
        "instruments",
        "iPhone and iPad with iOS 26, a Mac with Xcode 26",
        "the whole phone, as per cent of its battery an hour",
        "a sample a second or so",
        "the battery's energy in Wh, and its health in per cent",
        (
            "Switch Developer Mode on; connect in Xcode over the network, and pull the cable.",
            "Instruments, Blank template, add Power Profiler; record idle, then the run.",
            "Save, then: `xctrace export --input run.trace --xpath "
            '\'/trace-toc/run[@number="1"]/data/table[@schema="SystemPowerLevel"]\' > power.xml`',
            "`neurolab measurements energy power.xml --tokens N --battery-wh 12.7 --health 0.95 "
            "--idle 0:60 --run 60:120`",
        ),
        "On a cable the system's power reads 0. The power impact of an app has no unit: it is no energy.",
        ("apple2025power", "apple2020xctrace"),
    ),
    Way(
        "Monsoon power monitor",
        "monsoon",
        "a phone whose battery can be taken out and bypassed",
        "the whole phone, at its battery terminals",
        "5,000 samples a second",
        "the monitor, a bypass of the battery, a steady hand",
        (
            "Put the monitor in the battery's place: its voltage on the terminals, the data pins kept.",
            "Set the battery's voltage (4.0 V, say), switch the output on, start the phone.",
            "PowerTool: record idle and run, save as CSV. Or with the maker's library: "
            '`engine.enableCSVOutput("power.csv")`, `engine.startSampling(N)`.',
            "`neurolab measurements energy power.csv --tokens N --idle 0:60 --run 60:120`",
        ),
        "The library's CSV says ms above its times, and writes seconds.",
        ("monsoon2023pymonsoon",),
    ),
    Way(
        "USB meter",
        "usb_meter",
        "any phone or small computer",
        "all that flows in at the USB port",
        "10 to 1,000 samples a second",
        "a meter that logs, and a full battery",
        (
            "Charge to 100 %, wait until the current stops falling: from then on the port feeds the phone.",
            "Meter between charger and cable: log voltage and current (its program, or an open logger).",
            "Log idle and run in one file; titles must name their units, like `Voltage(V)` and `Current(A)`.",
            "`neurolab measurements energy log.csv --tokens N --idle 0:60 --run 60:120`",
        ),
        "A battery under 100 % charges along: then the meter tells of charging, not of tokens.",
        ("baryluk2024fnirsi", "linux2024powersupply"),
    ),
)
"""The six ways, from what everybody has to what few have, meters last."""


OLDER = (
    "Battery Historian, which older guides use, drew the history that `batterystats` prints; its owner "
    "archived it in 2022. Trepn, Qualcomm's profiler, is retired too; it read what the power management chip "
    "and the fuel gauge tell, which Perfetto reads today."
)
"""What became of tools that the articles' guides name (google2022historian, qualcomm2016trepn)."""


def way(form: str) -> Way:
    """The way whose file has this form; ValueError where there is none."""
    for found in WAYS:
        if found.form == form:
            return found
    raise ValueError(f"form is {form!r}; allowed are {', '.join(FORMATS)}")


def table() -> Any:
    """All ways side by side, as a Markdown table."""
    from IPython.display import Markdown

    lines = ["| way | on | whose energy | finest step | trap |", "|---|---|---|---|---|"]
    lines += [
        f"| **{w.name}** | {w.device} | {w.sees} | {w.finest} | {w.trap.replace('|', '/')} |" for w in WAYS
    ]
    return Markdown("\n".join([*lines, "", OLDER]))


def steps(form: str | None = None) -> Any:
    """The steps of one way (or, without `form`, what all have in common), as a numbered list."""
    from IPython.display import Markdown

    if form is None:
        return Markdown(_numbered(PROTOCOL))
    found = way(form)
    return Markdown(
        f"**{found.name}** ({found.device}). You need: {found.needs}.\n\n{_numbered(found.steps)}"
    )


def all_steps() -> Any:
    """The steps of all ways, one below the other, each folded away until it is opened."""
    from IPython.display import Markdown

    parts = [
        f"<details><summary><strong>{w.name}</strong>: {w.device}</summary>\n\nYou need: {w.needs}.\n\n"
        f"{_numbered(w.steps)}\n\nThe trap: {w.trap}\n\n</details>"
        for w in WAYS
    ]
    return Markdown("\n\n".join(parts))


def _numbered(lines: tuple[str, ...]) -> str:
    return "\n".join(f"{i}. {line}" for i, line in enumerate(lines, start=1))
