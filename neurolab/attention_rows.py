"""Chapter 3's results: rows as tables, curves and explorers. Nothing is measured here, and nothing typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neurolab import attention_pictures as pictures
from neurolab.explore import Choice, Explorer
from neurolab.measurements import Measurement, read

REST = 0  # T of a row that was measured at rest
SAID = {
    "line": "a straight line, a x + b",
    "relu": "ReLU",
    "rate": "ReLU, counted in 16 steps",
    "folded": "folded into the next matrix",
    "mean absolute": "divided by the mean size",
    "rms": "divided by the root mean square",
    "divisive": "divide by the sum of positive scores",
    "squared": "the same, scores squared",
    "winners": "four winners take all",
    "argmax": "route to the best",
    "order": "order of first spikes",
    "times": "times of first spikes",
    "linearised": "random features (FAVOR+)",
    "softmax": "softmax, kept",
    "unchanged": "nothing: trained on as it is",
    "none": "nothing",
    "answer": "the right answer (cross-entropy)",
    "kl": "the teacher's probabilities (KL)",
    "hidden": "the stream between layers",
    "counts": "the counts",
}
PARTS = {"activation": "the curve", "norm": "the norm", "softmax": "softmax"}


def name_of(what: Any) -> str:
    """What a reader sees for a name in a row."""
    return SAID.get(what, str(what))


def figures(name: str, figure: str, over: str, **setting: Any) -> dict[Any, float]:
    """Setting `over` -> `figure`, from the rows called `name` that have it, smallest key first."""
    rows = read(name, **setting)
    found = {
        row.setting[over]: row.figures[figure]
        for row in rows
        if over in row.setting and figure in row.figures
    }
    return dict(sorted(found.items()))


def one(name: str, **setting: Any) -> Measurement:
    """The newest row called `name` with this setting. ValueError that names the command if none is there."""
    rows = read(name, **setting)
    if not rows:
        raise ValueError(f"no row {name!r} with {setting}; `neurolab bench spiking` measures it")
    return rows[-1]


def table(heads: Sequence[Any], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table. Numbers are written as they are given; None becomes an empty cell."""
    lines = ["| " + " | ".join(map(str, heads)) + " |", "|" + "---|" * len(heads)]
    return "\n".join(
        lines + ["| " + " | ".join("" if c is None else str(c) for c in row) + " |" for row in rows]
    )


def curve(found: Mapping[int, float], rest_at: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """T and figure as arrays, T = 0 (at rest) drawn last, at `rest_at`."""
    T = np.array([rest_at if t == REST else t for t in found], dtype=float)
    order = np.argsort(T)
    return T[order], np.array(list(found.values()), dtype=float)[order]


def costs(name: str, group: str | None = None, groups: Sequence[str] = ()) -> str:
    """A table of parts exchanged, before and after training, from rows with {replacement, tuned}."""
    control, rows = read("spiking.parts", part="none"), read(name)
    lines = []
    for chosen in (None, *groups) if groups else (None, ""):
        here = control
        if chosen is not None:
            here = [row for row in rows if not chosen or row.setting.get(group or "") == chosen]
        for what in dict.fromkeys(row.setting["replacement"] for row in here):
            of = {row.setting["tuned"]: row.figures for row in here if row.setting["replacement"] == what}
            before, after = of.get(False, {}), of.get(True, {})
            lines.append(
                ([PARTS.get(chosen or "", "")] if groups else [])
                + [name_of(what)]
                + [_cell(before, "exact_match", 100), _cell(after, "exact_match", 100, bold=True)]
                + [_cell(after, "exact_match_drop_points"), _cell(after, "bits_per_answer_byte", digits=4)]
            )
    steps = sorted({row.figures["steps"] for row in rows if row.figures.get("steps")})
    batches = (
        f"{steps[0]:.0f}" if len(steps) == 1 else f"{steps[0]:.0f} to {steps[-1]:.0f}" if steps else "some"
    )
    heads = (["part"] if groups else []) + ["replaced by", "right at once (%)", "right after training (%)"]
    heads += ["points lost against as much training without the change", "bits per answer byte"]
    return table(heads, lines) + f"\n\n*(measured; {batches} batches of training)*"


def _cell(
    figures: Mapping[str, Any], name: str, scale: float = 1, digits: int = 1, bold: bool = False
) -> str:
    if name not in figures:
        return ""
    text = f"{scale * figures[name]:.{digits}f}"
    return f"**{text}**" if bold else text


CODINGS = {
    "hidden layer": {"rate": "rate", "temporal": "temporal", "hybrid": "hybrid"},
    "hidden layer and attention": {
        "rate": "rate everywhere",
        "temporal": "temporal everywhere",
        "hybrid": "rate, temporal in attention",
    },
}
"""Where the float assistant speaks in spikes -> what is drawn -> the code's name in ``spiking.coding``."""


def coding_explorer() -> Explorer:
    """Rate, temporal and hybrid codes: right answers, or spikes a number, over T, from rows."""
    found = {(row.setting["code"], row.setting["T"]): row.figures for row in read("spiking.coding")}
    steps = sorted({T for _, T in found})
    units = {"right answers": ("exact_match", 100.0), "spikes": ("spikes_per_number", 1.0)}

    def compute(where: str, shown: str) -> dict[str, Any]:
        figure, scale = units[shown]
        names = CODINGS[where]
        y = {key: np.array([scale * found[name, T][figure] for T in steps]) for key, name in names.items()}
        top = 104.0 if shown == "right answers" else 1.05 * max(float(line.max()) for line in y.values())
        return {
            **{f"{key} y": line for key, line in y.items()},
            "T": np.array(steps),
            "range": np.array([0.0, top]),
            "axis": "right answers (%)" if shown == "right answers" else "spikes a number",
            "words": f"{where}, T = {steps[0]}: "
            + ", ".join(f"{key} {line[0]:.3g}" for key, line in y.items()),
        }

    return Explorer(
        compute,
        pictures.codings,
        controls={"where": Choice(*CODINGS), "shown": Choice(*units)},
        changes=pictures.CODINGS_CHANGES,
        describe=lambda r: r["words"] + ".",
        title="The assistant's numbers, sent three ways",
        alt="Right answers, or spikes a number, against the number of steps, for three codes.",
        caption="First one kind of layer, then two: what is left at the fewest steps? Then look at spikes.",
    )


def recipe_table() -> str:
    """What each term of the loss is worth: the same training without it."""
    columns = {"exact_match": (100.0, 1), "bits_per_answer_byte": (1.0, 4)}
    found = read("spiking.recipe")
    if not found:
        return "*(not measured; `neurolab bench spiking` does it)*"
    lines = [[name_of(row.setting["left_out"]), *_cells(row, columns)] for row in found]
    steps = ", ".join(f"{s:.0f}" for s in sorted({row.figures["steps"] for row in found}))
    heads = ["left out", "right (%)", "bits per answer byte"]
    return table(heads, lines) + f"\n\n*(measured; {steps} batches each)*"


def balance_table() -> str:
    """Plain neurons with thresholds balanced so that T spikes cover a share of the codes at rest."""
    found = read("spiking.balance", network="quantized")
    shares = sorted({row.setting["share"] for row in found}, reverse=True)
    lines = []
    for T in sorted({row.setting["T"] for row in found}):
        right = {r.setting["share"]: r.figures["exact_match"] for r in found if r.setting["T"] == T}
        lines.append([T, *(f"{100 * right[share]:.1f}" if share in right else None for share in shares)])
    heads = ["all" if share == 1 else f"{100 * share:g} %" for share in shares]
    return table(["steps T", *heads], lines) + "\n\n*(measured; right answers in %)*"


def hybrids() -> list[Measurement]:
    """The rows of hybrid networks made from "quantized", in the schedule that was measured last."""
    found = read("spiking.hybrid", network="quantized")
    return [row for row in found if row.setting.get("schedule") == found[-1].setting.get("schedule")]


def hybrid_picture() -> Explorer:
    """Right answers by the number of spiking layers (the others rest), for each T that was measured."""
    found = hybrids()
    layers = sorted({row.setting["spiking_layers"] for row in found})
    steps = sorted({row.setting["T"] for row in found})
    names = ["none" if n == 0 else "all" if n == layers[-1] else f"lowest {n}" for n in layers]
    shown: dict[str, Any] = {
        "names": names,
        "groups": [f"T = {T}" for T in steps],
        "axis": "right answers (%)",
    }
    for T in steps:
        right = {r.setting["spiking_layers"]: r.figures["exact_match"] for r in found if r.setting["T"] == T}
        shown[f"T = {T} values"] = np.array([100 * right.get(n, np.nan) for n in layers])
    return pictures.show(
        pictures.bars, shown, "How many layers spike",
        "Groups of bars of right answers, for none, one, two, three or all four layers spiking, at a few T.",
        "Compare the bars of the smallest T from left to right, then those of the largest.",
        gaps=[f"T = {T} values" for T in steps],
    )  # fmt: skip


def _cells(row: Measurement, columns: Mapping[str, tuple[float, int]]) -> list[str]:
    return [_cell(row.figures, name, scale, digits) for name, (scale, digits) in columns.items()]


def bits_explorer() -> Explorer:
    """Quality, spikes and energy over T and the bits of a count, from rows ``spiking.bits``."""
    found = {(row.setting["bits"], row.setting["T"]): row.figures for row in read("spiking.bits")}
    bits = sorted({b for b, _ in found})
    steps = sorted({t for _, t in found}, key=lambda t: t or 10**6)
    names = ["rest" if t == REST else str(t) for t in steps]
    units = {
        "right": ("exact_match", 100.0, "% right"),
        "spikes": ("spikes_per_token", 1e-3, "thousand spikes a piece"),
        "energy": ("energy_nj_per_token", 1e-3, "microjoule a piece"),
    }
    units = {
        key: unit for key, unit in units.items() if all(unit[0] in figures for figures in found.values())
    }

    def compute(T: str, bits_: int, shown: str) -> dict[str, Any]:
        figure, scale, unit = units[shown]
        values = np.array([[scale * found[b, t][figure] for t in steps] for b in bits])
        here = found[bits_, steps[names.index(T)]]
        said = ", ".join(f"{s * here[f]:.3g} {u}" for f, s, u in units.values())
        return {
            "z": values / values.max(), "labels": np.array([[f"{v:.3g}" for v in row] for row in values]),
            "T names": names, "bits names": [str(b) for b in bits], "at x": [T], "at y": [str(bits_)],
            "words": f"T = {T}, {bits_} bits: {said}; shown: {unit}",
        }  # fmt: skip

    return Explorer(
        lambda T, bits, shown: compute(T, bits, shown),
        pictures.surface,
        controls={
            "T": Choice(*names, value=names[min(3, len(names) - 1)]),
            "bits": Choice(*bits, value=4),
            "shown": Choice(*units),
        },
        changes=pictures.SURFACE_CHANGES,
        describe=lambda r: r["words"] + ".",
        title="Steps, bits, and what they buy",
        alt="A grid of numbers: columns are steps, rows are bits of a count, darker squares mean more.",
        caption="Find the cheapest square with nearly all answers right. Is it the cheapest in energy, too?",
    )


def equally_good(rows: Sequence[Measurement], points: float = 2.0) -> list[Measurement]:
    """Those of the rows whose exact match is within `points` of the best; rows without one count as good."""
    best = max((row.figures["exact_match"] for row in rows if "exact_match" in row.figures), default=0.0)
    least = best - points / 100
    return [row for row in rows if row.figures.get("exact_match", best) >= least]


def energies() -> list[Measurement]:
    """The rows of networks and their energy (the goal of the same name has a row of its own)."""
    return [row for row in read("spiking.energy") if "energy_nj_per_token" in row.figures]


def energy_table(most: int = 10) -> str:
    """Energy a piece by network: the `most` best against skipped zeros, best first."""
    columns = {"energy_nj_per_token": (1e-3, 2), "ratio_vs_fp32": (1.0, 1), "ratio_vs_int8": (1.0, 2)}
    columns |= {"ratio_vs_int8_zero_skipping": (1.0, 2)}
    lines = []
    last = "ratio_vs_int8_zero_skipping"
    rows = sorted(energies(), key=lambda row: -row.figures.get(last, 0.0))
    for row in rows[:most]:
        s, f = row.setting, row.figures
        share = f.get("membranes_nj_per_token", 0.0) / f["energy_nj_per_token"]
        head = [s["network"], s["schedule"], s["T"] or "rest", _cell(f, "exact_match", 100)]
        cells = _cells(row, columns)
        lines.append([*head, cells[0], f"{share:.0%}", *cells[1:]])
    heads = ["network", "schedule", "T", "right (%)", "microjoule a piece", "of it membranes", "float / this"]
    heads += ["int8 / this", "int8 that skips zeros / this"]
    return table(heads, lines) + "\n\n*(simulated: counted operations, cited costs)*"
