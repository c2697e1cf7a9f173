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
    METHODS,
    NOT_YET,
    SHARED,
    by,
    float_match,
    increase,
    name_of_bits,
    settings,
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
            said_.append(f"{name} {x[fine].max():.1f} times" if fine.any() else f"{name} at no size")
        return ("within twice the fewest bits: " if low else "within a point of the best: ") + ", ".join(
            said_
        )

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


def ptq_explorer() -> Explorer | Markdown:
    """All PTQ rows: quality over size, a line for each method and granularity."""
    rows, groups = read("compression.ptq"), {}
    for method, granularity in settings(rows):
        name = f"{METHODS.get(method, method)}, {SHARED.get(granularity, granularity)}"
        groups[name] = [
            r for r in rows if (r.setting["method"], r.setting["granularity"]) == (method, granularity)
        ]
    return quality_against_size(
        groups,
        "How small, and how right",
        "Right answers against how many times smaller the file became.",
        "Every point is a file. Find, for each line, the last point before it falls; "
        "then ask for Thai alone.",
        float_match(),
    )


def sensitivity() -> Explorer | Markdown:
    """What rounding one tensor alone costs, worst first, for each number of bits that was measured."""
    rows = [r for r in read("compression.sensitivity") if "tensor" in r.setting]
    widths = sorted({r.setting["bits"] for r in rows}, reverse=True)
    if not rows or len(widths) < 2:
        return Markdown(NOT_YET)

    def compute(bits: float) -> dict[str, Any]:
        here = sorted((r for r in rows if r.setting["bits"] == bits), key=lambda r: -increase(r))
        names = [said(r.setting["tensor"]) for r in here]
        worst = np.array([1000 * increase(r) for r in here])
        return {
            "names": names,
            "values": worst,
            "axis": "thousandths of a bit per answer byte, more",
            "words": f"{name_of_bits(bits)} bits: {names[0]} suffers most ({worst[0]:.3g}), "
            f"{names[-1]} least ({worst[-1]:.2g})",
        }

    return Explorer(
        compute,
        pictures.lying,
        controls={"bits": Choice(*widths, value=widths[-1])},
        changes=pictures.LYING_CHANGES,
        describe=lambda r: r["words"] + ".",
        title="One matrix at a time",
        alt="Bars, one a matrix of the assistant: how much worse its answers get if it alone is rounded.",
        caption="The longest bars want more bits, the shortest can spare some. "
        "Are they where the article says?",
    )


def capacity() -> Explorer | Markdown:
    """Knowledge kept, per parameter or per stored bit, over the bits of a weight, in each language."""
    rows = read("compression.capacity")
    figures = {"per parameter": "bits_per_parameter", "per stored bit": "bits_per_stored_bit"}
    groups = by(rows, "method", "language")
    groups = {key: here for key, here in groups.items() if len(here) > 1}
    if not groups:
        return Markdown(NOT_YET)
    names = {key: f"{LANGUAGE_NAMES.get(key[1], key[1])}, {METHODS.get(key[0], key[0])}" for key in groups}
    widest = max(min(float(r.setting["bits"]), 10.0) for r in rows)
    level = "= published: 2 bits"

    def compute(shown: str) -> dict[str, Any]:
        made: dict[str, Any] = {"groups": [*names.values(), level], "x axis": "bits a weight (10: float)"}
        for key, here in groups.items():
            here = sorted(here, key=lambda r: r.setting["bits"])
            made[f"{names[key]} x"] = np.array([min(float(r.setting["bits"]), 10.0) for r in here])
            made[f"{names[key]} y"] = np.array([r.figures[figures[shown]] for r in here])
        made[f"{level} x"] = np.array([1.0, widest])
        made[f"{level} y"] = np.full(2, 2.0)
        every = [made[f"{name} y"].max() for name in names.values()]
        most = max(names.values(), key=lambda name: made[f"{name} y"].max())
        top = 2.2 if shown == "per parameter" else 1.1 * max(every)
        return made | {
            "range": np.array([-0.03 * top, top]),
            "y axis": f"bits of knowledge {shown}",
            "words": f"{shown}: most is {max(every):.2f} bits ({most})",
        }

    return Explorer(
        compute,
        pictures.clouds,
        controls={"shown": Choice(*figures)},
        changes=pictures.clouds_changes([*names.values(), level]),
        describe=lambda r: r["words"] + ".",
        title="What is left of what it knew",
        alt="Bits of knowledge over the bits of a weight, Thai and English.",
        caption="Follow a line to the left: where does it leave its plateau? Then ask per stored bit.",
    )


LANGUAGE_NAMES = {"th": "Thai", "en": "English", "both": "both"}
