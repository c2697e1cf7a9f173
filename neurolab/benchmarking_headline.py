"""Chapter 8's sentences on the headline: file, memory, time and energy against 8 bits, from rows."""

from __future__ import annotations

import statistics
from typing import Any

from IPython.display import Markdown

from neurolab import capstone
from neurolab.benchmarking_rows import NOT_YET, name_of, said
from neurolab.decisions_energy import plain, times
from neurolab.decisions_found import lost
from neurolab.measurements import Measurement, read, sentence
from neurolab.quantization_rows import by, values
from neurolab.sparsity_rows import median


def _files() -> dict[str, list[Measurement]]:
    """Rows on both languages of the networks that have a factor against 8 bits, by network."""
    rows = [r for r in read("headline.assistant", language="both") if "file_ratio_vs_int8" in r.figures]
    return {model: here for (model,), here in by(rows, "model").items()}


def headline_sentence() -> Any:
    """The smallest file that loses at most one point, and at most three, against 8 bits."""
    found = {
        model: (
            statistics.median(values(here, "file_ratio_vs_int8")),
            max(values(here, "exact_match_drop_points")),
        )
        for model, here in _files().items()
        if values(here, "exact_match_drop_points")
    }
    parts = []
    for most in (1, 3):
        kept = {model: ratio for model, (ratio, lost) in found.items() if lost <= most}
        if kept:
            best = max(kept, key=lambda m: kept[m])
            seeds = len(values(_files()[best], "exact_match_drop_points"))
            where = f" in the worst of {seeds} seeds" if seeds > 1 else ""
            parts.append(
                f"at a loss of at most {most} point{'s' if most > 1 else ''} the smallest file is "
                f"**{kept[best]:.1f} times** smaller than that of 8 bits ({name_of(best)}, "
                f"{found[best][1]:.2f} points{where})"
            )
    if not parts:
        return Markdown(NOT_YET)
    text = "; ".join(parts)
    return sentence("{text}.", *read("headline.assistant"), text=text[0].upper() + text[1:])


def memory_sentence() -> Any:
    """What the articles call footprint: the peak while answering, which a small file hardly moves."""
    found = {
        model: statistics.median(peaks)
        for model, here in _files().items()
        if (peaks := values(here, "peak_memory_ratio_vs_int8"))
    }
    if not found:
        return Markdown(NOT_YET)
    best = max(found, key=lambda m: found[m])
    return sentence(
        "While answering, the most frugal of them ({best}) takes **{ratio:.2f} times** {less} memory at its "
        "peak than 8 bits do, from a file {file:.1f} times smaller.",
        *read("headline.assistant"),
        best=name_of(best),
        ratio=max(found[best], 1 / found[best]),
        less="less" if found[best] >= 1 else "more",
        file=statistics.median(values(_files()[best], "file_ratio_vs_int8")),
    )


def fastest_sentence() -> Any:
    """The fastest of all variants, beside its own runtime's floats and 8 bits."""
    rows = [r for r in read("headline.latency") if "ratio_vs_fp32" in r.figures]
    if not rows:
        return Markdown(NOT_YET)
    timed = [r for r in rows if "milliseconds_per_token" in r.figures]
    best = (
        min(timed, key=lambda r: r.figures["milliseconds_per_token"])
        if timed
        else max(rows, key=lambda r: r.figures["ratio_vs_fp32"])
    )
    text = f"The fastest of all is **{name_of(best.setting['model'])}**:"
    text += f" {best.figures['ratio_vs_fp32']:.2f} times"
    text += f" as fast as floats in the same runtime ({said('runtime', best.setting['runtime'])})"
    if "ratio_vs_int8" in best.figures:
        text += f", {best.figures['ratio_vs_int8']:.2f} times as fast as 8 bits there"
    text += _loses(best.setting["model"], ", for {:.2f} points lost")
    return sentence("{text}.", best, text=text)


def _loses(model: str, text: str) -> str:
    """The points that a network loses against 8 bits, put into text; "" where that is not measured."""
    points = lost(read("headline.assistant"), model)
    return "" if points is None else text.format(points)


def _saves(row: Measurement) -> str:
    """A row of headline.energy: against 8 bits and floats, what that takes for granted, and the loss."""
    eight, floats, found = row.figures["ratio_vs_int8"], row.figures["ratio_vs_fp32"], plain(row)
    text = f"**{times(eight)}** energy than 8 bits and {times(floats)} than floats"
    if found:
        text += f", if {found[0]} ({found[1]}: {times(found[2])} than 8 bits)"
    return text + _loses(str(row.setting["model"]), "; it loses {:.2f} points")


def energy_sentence() -> Any:
    """The best spiking and the best other network against 8 bits and floats, whatever it is."""
    rows = [r for r in read("headline.energy") if "ratio_vs_int8" in r.figures]
    spiking = [r for r in rows if r.setting["model"] == "spiking"]
    others = [r for r in rows if r.setting["model"] not in ("spiking", "float", "int8")]
    if not spiking or not others:
        return Markdown(NOT_YET)
    one = max(spiking, key=lambda r: r.figures["ratio_vs_int8"])
    two = max(others, key=lambda r: r.figures["ratio_vs_int8"])
    first = one.figures["ratio_vs_int8"] >= two.figures["ratio_vs_int8"]
    return sentence(
        "By the model, the best spiking network takes {one}. The best that does not spike ({name}) takes "
        "{two}. {winner} wins.",
        one,
        two,
        name=name_of(two.setting["model"]),
        one=_saves(one),
        two=_saves(two),
        winner="The spiking one" if first else "The other",
    )


def nearest_sentence() -> Any:
    """How near the smallest of the course's networks comes to the article's own budget."""
    timed = [
        r
        for r in read("headline.latency", model="qat28_int8", runtime="onnx")
        if "ratio_vs_fp32" in r.figures
    ]
    rows = read("headline.assistant", model="qat28", language="both")
    if not timed or not rows:
        return Markdown(NOT_YET)
    budget = capstone.THE_ARTICLE_S
    size, right, speed = (
        median(rows, "bytes"), median(rows, "exact_match"), median(timed, "ratio_vs_fp32"),
    )  # fmt: skip
    eight = median(timed, "ratio_vs_int8")
    missed = [
        what
        for what, holds in (
            ("size", size is None or size <= budget.bytes),
            ("right answers", right is None or right >= budget.right),
            ("speed", speed is None or speed >= budget.speed),
        )
        if not holds
    ]
    return sentence(
        "What we have: qat28.nlab, which had fewer layers before it had fewer bits, and then training. Its "
        "file is {file:.1f} times smaller than the 8-bit one; run in 8 bits it loses {lost:.2f} points, and "
        "a token is {speed:.2f} times as fast as with the assistant's floats{eight}. By these rows it "
        "{verdict}.",
        *timed,
        *rows,
        file=median(rows, "file_ratio_vs_int8"),
        lost=median(rows, "exact_match_drop_points"),
        speed=speed,
        eight=f" and {eight:.2f} times as fast as with its 8 bits" if eight is not None else "",
        verdict=f"misses that budget in {' and '.join(missed)}" if missed else "keeps within that budget",
    )
