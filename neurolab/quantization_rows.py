"""Chapter 4's results: rows as tables, curves and explorers. Nothing is measured here, and nothing typed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from IPython.display import Markdown

from neurolab.attention_rows import table
from neurolab.measurements import Measurement, read

NOT_YET = "*(not measured yet: `neurolab sweep compression` does it)*"
METHODS = {
    "rtn": "to the nearest",
    "gptq": "GPTQ",
    "ecsq": "GPTQ, codes of unequal length",
}
SHARED = {"tensor": "a tensor", "channel": "a channel", "group32": "32 weights"}


def name_of_bits(bits: float) -> str:
    """1.58 -> "ternary", 1 -> "binary", 4 -> "4"."""
    if bits == 1:
        return "binary"
    return "ternary" if abs(bits - np.log2(3)) < 0.01 else f"{bits:g}"


def with_bits(bits: float) -> str:
    """4 -> "4 bits", 1.58 -> "ternary weights", 32 -> "floats"."""
    if bits == 32:
        return "floats"
    name = name_of_bits(bits)
    return f"{name} bits" if name[0].isdigit() else f"{name} weights"


def values(rows: Iterable[Measurement], figure: str) -> list[float]:
    """One figure of all rows that have it."""
    return [row.figures[figure] for row in rows if figure in row.figures]


def spread(numbers: Sequence[float], digits: int = 1, scale: float = 1.0) -> str:
    """The mean of some seeds with their range: "97.3", or "97.3 (97.1 to 97.5)". "" for none."""
    if not len(numbers):
        return ""
    scaled = [scale * number for number in numbers]
    mean, low, high = np.mean(scaled), min(scaled), max(scaled)
    text = f"{mean:.{digits}f}"
    ends = f"{low:.{digits}f}", f"{high:.{digits}f}"
    return text if ends[0] == ends[1] else f"{text} ({ends[0]} to {ends[1]})"


def by(rows: Iterable[Measurement], *keys: str) -> dict[tuple[Any, ...], list[Measurement]]:
    """Rows gathered by the values of some settings (None where a row lacks one)."""
    found: dict[tuple[Any, ...], list[Measurement]] = {}
    for row in rows:
        found.setdefault(tuple(row.setting.get(key) for key in keys), []).append(row)
    return found


def markdown(heads: Sequence[Any], lines: Sequence[Sequence[Any]], note: str = "measured") -> Any:
    """A table with a note under it; `NOT_YET` where there is no line."""
    return Markdown(f"{table(heads, lines)}\n\n*({note})*" if lines else NOT_YET)


# ---- after training ---------------------------------------------------------------------------------


def settings(rows: Iterable[Measurement]) -> list[tuple[str, str]]:
    """(method, granularity) of PTQ rows, simplest first."""
    order = {"rtn": 0, "gptq": 1, "ecsq": 2}, {"tensor": 0, "channel": 1, "group32": 2}
    found = {(str(r.setting.get("method")), str(r.setting.get("granularity"))) for r in rows}
    return sorted(found, key=lambda one: (order[0].get(one[0], 9), order[1].get(one[1], 9), one))


def ptq(figure: str = "exact_match", scale: float = 100.0, digits: int = 1) -> Any:
    """Right answers after rounding without training: rows are methods, columns bits."""
    rows = read("compression.ptq")
    widths = sorted({row.setting["bits"] for row in rows}, reverse=True)
    lines = []
    for method, granularity in settings(rows):
        here = [r for r in rows if (r.setting["method"], r.setting["granularity"]) == (method, granularity)]
        cells = [
            spread(values([r for r in here if r.setting["bits"] == b], figure), digits, scale) for b in widths
        ]
        lines.append([METHODS.get(method, method), SHARED.get(granularity, granularity), *cells])
    return markdown(["rounding", "one step for", *map(name_of_bits, widths)], lines)


def float_match() -> float:
    """Exact match of the float assistant on all held-out questions, both languages."""
    rows = read("assistant.rounding", bits=32)
    count = sum(row.figures["questions"] for row in rows)
    return sum(row.figures["exact_match"] * row.figures["questions"] for row in rows) / count


CALIBRATORS = ("max", "percentile", "mse", "entropy")


def calibration(what: str) -> Any:
    """Right answers by how the clip was chosen: "weights" or "activations"."""
    rows = sorted(
        read("compression.calibration", what=what),
        key=lambda r: (-r.setting["bits"], str(r.setting.get("granularity"))),
    )
    lines = []
    for row in rows:
        cells = [
            f"{100 * row.figures[k]:.1f}" if (k := f"exact_match_{c}") in row.figures else ""
            for c in CALIBRATORS
        ]
        apart = f"**{row.figures['worst_over_best_drop_points']:.1f}**"
        lines.append([name_of_bits(row.setting["bits"]), *cells, apart])
    heads = ["bits", "largest: right (%)", "percentile", "squared error", "entropy", "points apart"]
    return markdown(heads, lines)


# ---- with training ------------------------------------------------------------------------------------


def control_of(row: Measurement) -> Measurement | None:
    """The float control that was trained for as many steps, of the same seed if there is one."""
    steps = row.setting.get("steps", row.figures.get("steps"))
    found = [r for r in read("compression.control") if r.setting.get("steps") == steps]
    same = [r for r in found if r.setting.get("seed") == row.setting.get("seed")]
    return (same or found or [None])[-1]  # type: ignore[list-item]


def behind_control(row: Measurement) -> float | None:
    """Points of exact match behind the control of equal steps; negative if ahead."""
    if "exact_match_drop_from_control_points" in row.figures:
        return float(row.figures["exact_match_drop_from_control_points"])
    other = control_of(row)
    return None if other is None else 100 * (other.figures["exact_match"] - row.figures["exact_match"])


def qat() -> Any:
    """Quantization-aware training: bits of weights and activations, seeds as spread, beside the control."""
    lines = []
    kinds = by(read("compression.qat"), "activations", "soft", "bits", "steps")
    order = sorted(kinds.items(), key=lambda one: (-one[0][0], not one[0][1], -one[0][2], one[0][3]))
    for (activations, soft, bits, steps), here in order:
        behind = [points for row in here if (points := behind_control(row)) is not None]
        lines.append(
            [
                name_of_bits(bits),
                "float" if activations == 32 else activations,
                "yes" if soft else "no",
                steps,
                len(here),
                spread(values(here, "size_ratio")),
                f"**{spread(values(here, 'exact_match'), 1, 100)}**",
                spread(behind, 2),
                spread(values(here, "bits_per_answer_byte"), 4),
            ]
        )
    used = {key[3] for key in kinds}
    for (steps,), here in sorted(by(read("compression.control"), "steps").items()):
        if steps in used:
            match = f"**{spread(values(here, 'exact_match'), 1, 100)}**"
            bits_left = spread(values(here, "bits_per_answer_byte"), 4)
            lines.append(["float", "float", "no", steps, len(here), "1.0", match, "the control", bits_left])
    heads = ["weights", "activations", "teacher", "steps", "seeds", "times smaller", "right (%)"]
    return markdown([*heads, "points below the control", "bits per answer byte"], lines)


TARGETS = {
    "ptq12": "12 times, no training",
    "ptq14": "14 times, no training",
    "qat18": "18 times, trained",
    "qat28": "28 times, trained",
}


def headline() -> Any:
    """The four files that the chapter ends with: size, quality, control, spread over seeds."""
    lines = []
    found = by(read("compression.headline"), "target")
    for target, name in TARGETS.items():
        here = found.get((target,), [])
        if not here:
            continue
        trained = target.startswith("qat")
        behind = [points for row in here if trained and (points := behind_control(row)) is not None]
        lines.append(
            [
                name,
                len(here),
                f"**{spread(values(here, 'size_ratio'), 2)}**",
                f"{np.mean(values(here, 'bytes')):,.0f}",
                spread(values(here, "exact_match"), 2, 100),
                f"**{spread(values(here, 'exact_match_drop_points'), 2)}**",
                f"**{spread(behind, 2)}**" if behind else "" if trained else "no training",
                spread(values(here, "bits_per_answer_byte"), 4),
            ]
        )
    heads = ["goal", "seeds", "times smaller", "bytes", "right (%)", "points below the shipped assistant"]
    return markdown([*heads, "below the equal-steps control", "bits per answer byte"], lines)


# ---- where the bits go --------------------------------------------------------------------------------


AMONG = "bits_per_answer_byte_among_3_bits"
"""Figure of `compression.sensitivity`: the increase where all other matrices have 3 bits."""


def increases(figure: str, bits: int) -> dict[str, float]:
    """Tensor -> bits per answer byte more when it has so many bits, worst first, where that was measured."""
    found = {
        str(row.setting["tensor"]): float(row.figures[figure])
        for row in read("compression.sensitivity", bits=bits)
        if figure in row.figures
    }
    return dict(sorted(found.items(), key=lambda one: -one[1]))


def allocation(row: Measurement) -> str:
    """Who gave out the bits of a `compression.mixed` row, in words."""
    if row.setting["allocation"] == "measured":
        return "by measured losses"
    high, low = row.setting.get("high", 8), row.setting.get("low", 4)
    return (
        f"as the article says ({high} and {low})"
        if (high, low) == (8, 4)
        else f"in its shape ({high} and {low})"
    )


def mixed() -> Any:
    """Mixed precision against uniform precision of equal bytes (claim A9)."""
    lines = []
    rows = sorted(
        read("compression.mixed"),
        key=lambda r: (r.setting["allocation"] == "measured", r.setting["budget_ratio"]),
    )
    for row in rows:
        f = row.figures
        pairs = ((100, "exact_match", 1), (1, "bits_per_answer_byte", 4))
        cells = [
            f"{scale * f[key]:.{digits}f}" if key in f else ""
            for scale, name, digits in pairs
            for key in (name, f"uniform_{name}")
        ]
        gain = f["bits_per_answer_byte_gain"]
        lines.append([allocation(row), f"{row.setting['budget_ratio']:g}", *cells, f"**{gain:+.4f}**"])
    heads = ["bits given out", "times smaller", "mixed: right (%)", "uniform: right (%)"]
    heads += ["mixed: bits per answer byte", "uniform", "gained"]
    return markdown(heads, lines)


# ---- pictures, and a network of other people's ----------------------------------------------------------


def vision() -> Any:
    """The image network at each number of bits: PSNR, SSIM and the quality lost."""
    rows = [*read("compression.vision"), *read("compression.vision_low")]
    rows = sorted(rows, key=lambda r: -float(r.setting.get("bits", 32)))
    columns: dict[str, Callable[[float], str]] = {
        "psnr": lambda x: f"{x:.2f}",
        "ssim": lambda x: f"{x:.4f}",
        "quality_drop_percent": lambda x: f"**{x:.2f}**",
        "quality_drop_percent_weights": lambda x: f"{x:.2f}",
    }
    lines = []
    for (bits,), here in by(rows, "bits").items():
        cells = [form(float(np.mean(v))) if (v := values(here, k)) else "" for k, form in columns.items()]
        lines.append([name_of_bits(bits), *cells])
    heads = ["bits of weights and activations", "PSNR (dB)", "SSIM", "quality (SSIM) lost (%)"]
    return markdown([*heads, "lost with the weights alone (%)"], lines)
