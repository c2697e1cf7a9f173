"""Chapter 4's explorers that are drawn from rows: quality over size, sensitivity, what a fact weighs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from IPython.display import Markdown

from neurolab import quantization_pictures as pictures
from neurolab.explore import Choice, Explorer
from neurolab.measurements import Measurement, read
from neurolab.quantization_live import said
from neurolab.quantization_rows import (
    AMONG,
    METHODS,
    NOT_YET,
    SHARED,
    float_match,
    increases,
    settings,
    with_bits,
)

LANGUAGES = {"both": "", "Thai": "_th", "English": "_en"}
Groups = Mapping[str, Sequence[Measurement]]
UNITS = {"right answers": ("exact_match", 100.0, "right answers (%)")}
UNITS |= {"bits per answer byte": ("bits_per_answer_byte", 1.0, "bits per answer byte")}
CEILING = 0.4  # bits per answer byte: what lies above has forgotten too much to compare


def quality_against_size(
    groups: Groups, title: str, alt: str, caption: str, level: float | None = None
) -> Explorer | Markdown:
    """Quality over how many times smaller the file is, for groups of rows, in one language or both.

    level: exact match of the float assistant, drawn dashed where right answers are shown.
    """
    kept = {name: [r for r in rows if "size_ratio" in r.figures] for name, rows in groups.items()}
    kept = {name: sorted(rows, key=lambda r: r.figures["size_ratio"]) for name, rows in kept.items() if rows}
    if not kept:
        return Markdown(NOT_YET)
    widest = 1.03 * max(r.figures["size_ratio"] for rows in kept.values() for r in rows)
    names = [*kept, *(["= float"] if level is not None else [])]

    def compute(shown: str, language: str) -> dict[str, Any]:
        figure, scale, axis = UNITS[shown]
        key = figure + LANGUAGES[language]
        made: dict[str, Any] = {
            "groups": names,
            "x axis": "times smaller, everything counted",
            "y axis": axis,
        }
        for name, rows in kept.items():
            made[f"{name} x"] = np.array([r.figures["size_ratio"] for r in rows])
            made[f"{name} y"] = np.array([scale * r.figures.get(key, r.figures[figure]) for r in rows])
        top = 103.0
        if figure != "exact_match":
            top = min(CEILING, 1.05 * max(float(made[f"{name} y"].max()) for name in kept))
        if level is not None:
            made["= float x"] = np.array([1.0, widest])
            made["= float y"] = np.full(2, 100 * level if figure == "exact_match" else -1.0)
        made["range"] = np.array([-0.02 * top, top])
        made["words"] = f"{language}, {shown}: {within(made)}"
        return made

    def within(made: Mapping[str, Any], points: float = 1.0) -> str:
        """The smallest file of each group that is nearly as good as the best of all."""
        low = made["y axis"] != UNITS["right answers"][2]
        every = np.concatenate([made[f"{name} y"] for name in kept])
        said_ = []
        for name in kept:
            x, y = made[f"{name} x"], made[f"{name} y"]
            fine = y <= 2 * float(every.min()) if low else y >= float(every.max()) - points
            said_.append(f"{name}: {x[fine].max():.1f}" if fine.any() else f"{name}: none")
        limit = "at most twice the fewest bits" if low else "within a point of the best"
        return f"{limit}, times smaller: {'; '.join(said_)}"

    return Explorer(
        compute,
        pictures.clouds,
        controls={"shown": Choice(*UNITS), "language": Choice(*LANGUAGES)},
        changes=pictures.clouds_changes(names),
        describe=lambda r: r["words"] + ".",
        title=title,
        alt=alt,
        caption=caption,
    )


def _ptq_groups() -> dict[str, list[Measurement]]:
    rows, groups = read("compression.ptq"), {}
    for method, granularity in settings(rows):
        name = f"{METHODS.get(method, method)}, {SHARED.get(granularity, granularity)}"
        groups[name] = [
            r for r in rows if (r.setting["method"], r.setting["granularity"]) == (method, granularity)
        ]
    return groups


def ptq_explorer() -> Explorer | Markdown:
    """All PTQ rows: quality over size, a line for each method and granularity."""
    groups = _ptq_groups()
    if not groups:
        return Markdown(NOT_YET)
    return quality_against_size(
        groups,
        "How small, and how right",
        "Right answers against how many times smaller the file became, a line for each way of rounding.",
        "Every point is a file. Find, for each line, the last point before it falls; "
        "then ask for Thai alone.",
        float_match(),
    )


def files_explorer() -> Explorer | Markdown:
    """The four files beside everything that came before."""
    final = read("compression.headline")
    if not final:
        return Markdown(NOT_YET)
    channel = {name: rows for name, rows in _ptq_groups().items() if name.endswith(SHARED["channel"])}
    fixed = [r for r in read("compression.qat") if r.setting["activations"] == 32 and r.setting["soft"]]
    groups = {
        **channel,
        "trained, fixed bits": fixed,
        "unequal codes": [r for r in final if r.setting["target"].startswith("ptq")],
        "unequal codes, trained": [r for r in final if r.setting["target"].startswith("qat")],
    }
    return quality_against_size(
        groups,
        "Four files, and what came before",
        "Right answers against how many times smaller the file became: rounded, mended, trained.",
        "Each step of the chapter moved the edge to the right. Which step moved it furthest?",
        float_match(),
    )


VIEWS = {
    "2 bits, others float": ("bits_per_answer_byte", 2),
    "3 bits, others float": ("bits_per_answer_byte", 3),
    "2 bits, others 3": (AMONG, 2),
    "4 bits, others 3": (AMONG, 4),
}
"""What the picture of sensitivity can show -> figure and bits of the rows."""


def sensitivity() -> Explorer | Markdown:
    """What another number of bits in one matrix alone does to the answers, worst first."""
    views = {name: found for name, (figure, bits) in VIEWS.items() if (found := increases(figure, bits))}
    if len(views) < 2:
        return Markdown(NOT_YET)

    def compute(matrix: str) -> dict[str, Any]:
        found = views[matrix]
        names, values = [said(name) for name in found], 1000 * np.array(list(found.values()))
        return {
            "names": names,
            "values": values,
            "axis": "1/1000 bit per answer byte",
            "words": f"One matrix {matrix}: most from {names[0]} ({values[0]:+.3g}), "
            f"least from {names[-1]} ({values[-1]:+.2g})",
        }

    return Explorer(
        compute,
        pictures.lying,
        controls={"matrix": Choice(*views, label="one matrix")},
        changes=pictures.LYING_CHANGES,
        describe=lambda r: r["words"] + ".",
        title="One matrix at a time",
        alt="Bars, one a matrix of the assistant: how much worse its answers get if it alone is rounded.",
        caption="The longest bars want more bits, the shortest can spare some. Are they where the article "
        "says? With all others at 3 bits, 4 bits for one are a gain: the bars point to the left.",
    )


LANGUAGE_NAMES = {"th": "Thai", "en": "English", "both": "both together"}
FLOAT_AT = 10.0  # where the float model stands on an axis of bits
KNOWN = {
    "per weight": ("bits_per_parameter", 1.0, "bits of knowledge a weight"),
    "per stored bit": ("bits_per_stored_bit", 1.0, "bits of knowledge a stored bit"),
    "right answers": ("exact_match", 100.0, "right answers (%)"),
}


def capacity() -> Explorer | Markdown:
    """Knowledge kept, per weight or per stored bit, over the bits of a weight, in each language."""
    rows = [r for r in read("compression.capacity") if r.setting.get("method") in ("rtn", "float")]
    groups = {
        LANGUAGE_NAMES[language]: sorted(here, key=lambda r: r.setting["bits"])
        for language in LANGUAGE_NAMES
        if len(here := [r for r in rows if r.setting["language"] == language]) > 1
    }
    if not groups:
        return Markdown(NOT_YET)

    def compute(shown: str) -> dict[str, Any]:
        figure, scale, axis = KNOWN[shown]
        made: dict[str, Any] = {"groups": list(groups), "x axis": f"bits a weight ({FLOAT_AT:g}: float)"}
        for name, here in groups.items():
            made[f"{name} x"] = np.array([min(float(r.setting["bits"]), FLOAT_AT) for r in here])
            made[f"{name} y"] = np.array([scale * r.figures[figure] for r in here])
        top = 1.1 * max(float(made[f"{name} y"].max()) for name in groups)
        most = max(groups, key=lambda name: float(made[f"{name} y"].max()))
        best = groups[most][int(made[f"{most} y"].argmax())]
        return made | {
            "range": np.array([-0.03 * top, top]),
            "y axis": axis,
            "words": f"{axis}: at most {made[f'{most} y'].max():.3g} ({most}), "
            f"at {with_bits(best.setting['bits'])}",
        }

    return Explorer(
        compute,
        pictures.clouds,
        controls={"shown": Choice(*KNOWN)},
        changes=pictures.clouds_changes(list(groups)),
        describe=lambda r: r["words"][0].upper() + r["words"][1:] + ".",
        title="What is left of what it knew",
        alt="Bits of knowledge over the bits of a weight, in Thai, in English and in both.",
        caption="Follow a line to the left: where does it leave its plateau? Then ask per stored bit: "
        "where is the file fullest?",
    )


QUARTERS = ("narrowest margin", "narrow", "wide", "widest margin")


def margins() -> Explorer | Markdown:
    """Which facts fall first: share kept over bits, for four quarters of the facts by their margin."""
    rows = read("compression.falling")
    if not rows:
        return Markdown(NOT_YET)
    f = rows[-1].figures
    x = np.array([min(float(b), FLOAT_AT) for b in f["bits"]])
    made: dict[str, Any] = {
        "groups": list(QUARTERS),
        "x axis": f"bits a weight ({FLOAT_AT:g}: float)",
        "y axis": "facts still right (%)",
        "range": np.array([-2.0, 104.0]),
    }
    for name, kept in zip(QUARTERS, f["by_margin"], strict=True):
        made[f"{name} x"], made[f"{name} y"] = x, 100 * np.array(kept)
    return pictures.show(
        pictures.clouds,
        made,
        "Who falls first",
        "Four falling lines: facts that the float model was least sure of fall first, the surest last.",
        "Each line is a quarter of the facts, sorted by how clearly the right piece beat the next best in "
        "floats. Compare them at 3 bits.",
    )
