"""`neurolab bench export`: every goal of the way onto a phone beside what was reached.

What asks all held-out questions, a browser or a quiet machine is read from the rows of `neurolab sweep
export` (the newest of the course's own and the reader's); the size of the files is measured here, by
writing them.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from neurolab import measurements
from neurolab.benchmark import Finding, Goal
from neurolab.measurements import Measurement, newest

CHAPTER = 7
WHY = "no row yet: `neurolab sweep export` makes it"
QUANTIZED = ("int8", "int8_static", "int4")
"""The variants of at most 8 bits that one would ship."""
EIGHT = ("int8", "int8_static")
CHECKED: dict[str, Callable[..., float]] = {
    "outside_requests": max,
    "axe_serious": max,
    "offline_reload": min,
    "keyboard": min,
    "faults_told": min,
}
TESTED = "held by tests/browser/test_phone.py, which fails where it is not so; no row tells it"
ALL_QUESTIONS = 9000
"""Rows on fewer held-out questions don't count."""

GOALS = [
    Goal("export.fp32_equal", 100, "higher", "%", "answers equal to torch's in fp32, the worst runtime"),
    Goal("export.int8_drop", 0.5, "lower", "points", "exact match lost in 8 bits, the worst runtime"),
    Goal("export.token_speed", 2.4, "higher", "x", "a token, ONNX Runtime's fp32 over its fastest file"),
    Goal(
        "export.token_speed_compressed",
        2.4,
        "higher",
        "x",
        "beside the goal above, not for it: chapter 5's networks in 8 bits, with fewer weights",
    ),
    Goal("export.int8_file", 3.7, "higher", "x", "ONNX file, fp32 over 8 bits"),
    Goal("export.compressed_download", 10, "higher", "x", "download, fp32 over chapter 5's file"),
    Goal("export.first_visit", 6, "lower", "MB", "phone page, everything, 8-bit model included"),
    Goal("export.second_visit", 0, "lower", "bytes", "phone page, transferred at a second visit"),
    Goal("export.first_token", 300, "lower", "ms", "phone page, first piece of an answer, Chromium"),
    Goal("export.page_equal", 100, "higher", "%", "phone page, answers equal to Python's, the worst model"),
    Goal("export.outside_requests", 0, "lower", "", "phone page, requests to anybody else"),
    Goal("export.axe_serious", 0, "lower", "", "phone page, serious findings of axe at 360 pixels"),
    Goal("export.offline_reload", 1, "higher", "", "phone page, answers after a reload without a network"),
    Goal("export.keyboard", 1, "higher", "", "phone page, an answer at 360 pixels with the keyboard alone"),
    Goal("export.faults_told", 5, "higher", "", "of 5 faults, those told plainly, the page going on"),
    Goal("export.spiking_runtimes", 1, "higher", "", "runtimes that run an exported spiking layer exactly"),
    Goal(
        "export.sources_equal", 100, "higher", "%", "compressed and spiking files, equal to their originals"
    ),
    Goal("export.arm64_equal", 100, "higher", "%", "fp32 on emulated arm64, equal answers, the worst row"),
]


def rows(name: str, **setting: Any) -> list[Measurement]:
    """The newest rows of a name, the course's own and the reader's."""
    return newest(
        row
        for store in (measurements.shipped(), measurements.own())
        for row in measurements.read(name, store=store, **setting)
    )


def worst(goal: str, found: Sequence[Measurement], figure: str, take: Callable[..., float]) -> Finding:
    """The worst (`take`: max or min) of a figure over rows, each beside it under its setting's name."""
    values = {label(row): float(row.figures[figure]) for row in found if figure in row.figures}
    if not values:
        return Finding(goal, why=WHY)
    numbers = list(values.values())
    return Finding(goal, take(numbers), (min(numbers), max(numbers)), figures=values)


def label(row: Measurement) -> str:
    """A row's setting as a name: its texts and numbers, joined."""
    return "_".join(str(value) for value in row.setting.values())


def asked(found: Sequence[Measurement]) -> list[Measurement]:
    """Those rows that rest on all held-out questions (a row that does not say how many counts as such)."""
    return [row for row in found if row.figures.get("questions", ALL_QUESTIONS) >= ALL_QUESTIONS]


def equality() -> list[Finding]:
    """fp32 equal to torch everywhere; 8 bits within half a point everywhere."""
    assistant = asked(rows("export.runtime", model="assistant"))
    floats = [row for row in assistant if row.setting["precision"] == "fp32"]
    small = [row for row in assistant if row.setting["precision"] in EIGHT]
    drops = {
        label(row): 100 * (row.figures["exact_match_torch"] - row.figures["exact_match"])
        for row in small
        if {"exact_match", "exact_match_torch"} <= row.figures.keys()
    }
    lost = Finding("export.int8_drop", why=WHY)
    if drops:
        ends = min(drops.values()), max(drops.values())
        lost = Finding("export.int8_drop", ends[1], ends, figures=drops)
    others = [row for row in asked(rows("export.runtime")) if row.setting.get("model") != "assistant"]
    exact = [row for row in others if row.setting["precision"] == "fp32"]
    return [
        worst("export.fp32_equal", floats, "equal_answers_percent", min),
        lost,
        worst("export.sources_equal", exact, "equal_answers_percent", min),
    ]


def token_speed() -> Finding:
    """The fastest variant of at most 8 bits in ONNX Runtime against its fp32, one token."""
    goal = "export.token_speed"
    found = [
        row
        for row in rows("export.latency", runtime="onnx", what="step")
        if row.setting["format"] in QUANTIZED and "ratio_vs_fp32" in row.figures
    ]
    if not found:
        return Finding(goal, why=WHY)
    speeds: dict[str, list[float]] = {}
    for row in found:
        speeds.setdefault(row.setting["format"], []).append(float(row.figures["ratio_vs_fp32"]))
    best = max(speeds, key=lambda name: statistics.median(speeds[name]))
    return Finding(
        goal,
        statistics.median(speeds[best]),
        (min(speeds[best]), max(speeds[best])),
        setting={"format": best},
        figures={f"ratio_{name}": statistics.median(some) for name, some in speeds.items()},
    )


def token_speed_compressed() -> Finding:
    """Chapter 5's networks as 8-bit files in ONNX Runtime against the assistant's floats there (chapter 8's
    runs of hundreds of tokens)."""
    found = [
        row
        for row in rows("headline.latency", runtime="onnx")
        if str(row.setting["model"]).startswith(("qat", "ptq"))
        and str(row.setting["model"]).endswith("_int8")
    ]
    if not found:
        return Finding("export.token_speed_compressed", why="no row yet: `neurolab sweep headline` makes it")
    best = max(found, key=lambda row: float(row.figures["ratio_vs_fp32"]))
    ends = (float(best.figures["ratio_vs_fp32_low"]), float(best.figures["ratio_vs_fp32_high"]))
    ratio = float(best.figures["ratio_vs_fp32"])
    return Finding("export.token_speed_compressed", ratio, ends, setting={"model": best.setting["model"]})


def int8_file() -> Finding:
    """Bytes of the float file over those of the 8-bit one, both written now."""
    from neurolab.export import export, source

    network = source()
    with tempfile.TemporaryDirectory() as folder:
        size = {
            name: export("onnx", name, Path(folder) / name, assistant=network).bytes
            for name in ("fp32", "int8")
        }
    figures = {f"bytes_{name}": count for name, count in size.items()}
    return Finding("export.int8_file", size["fp32"] / size["int8"], figures=figures)


def download() -> Finding:
    """The best ratio of chapter 5's files as downloads."""
    return worst("export.compressed_download", rows("export.download"), "ratio_vs_fp32", max)


def page() -> list[Finding]:
    """The phone page in this machine's Chromium: visits and first token with the 8-bit model, equality with
    every model."""
    eight = rows("phone.page", model="int8")
    visit = worst("export.first_visit", eight, "first_visit_bytes", max)
    if visit.value is not None:
        figures = {"bytes": visit.value}
        visit = Finding("export.first_visit", visit.value / 1e6, figures=figures)
    return [
        visit,
        worst("export.second_visit", eight, "second_visit_bytes", max),
        worst("export.first_token", eight, "first_token_ms", max),
        worst("export.page_equal", asked(rows("phone.page")), "equal_answers_percent", min),
        *(checked(name, take) for name, take in CHECKED.items()),
    ]


def checked(figure: str, take: Callable[..., float]) -> Finding:
    """What is right or wrong, not more or less: a figure of phone.page, or else the tests that hold it."""
    found = worst(f"export.{figure}", rows("phone.page"), figure, take)
    return found if found.value is not None else Finding(found.goal, why=TESTED)


def elsewhere() -> list[Finding]:
    """Spiking layers, and the emulated processor (a core that the row marks as wrong on purpose apart)."""
    arm = [row for row in rows("export.arm64", precision="fp32") if row.setting.get("core") != "max"]
    return [
        worst("export.spiking_runtimes", rows("export.spiking"), "runtimes_exact", min),
        worst("export.arm64_equal", arm, "equal_answers_percent", min),
    ]


def run(quick: bool = False, progress: Callable[[str], None] | None = None) -> list[Finding]:
    """Every goal; `quick` makes no difference: rows are read, and two files are written."""
    say = progress or (lambda text: None)
    made = [*equality(), token_speed(), token_speed_compressed(), download(), *page(), *elsewhere()]
    say("the float file and the 8-bit file")
    return [*made, int8_file()]
