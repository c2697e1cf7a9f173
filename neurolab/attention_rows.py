"""Chapter 3's results: rows as tables, curves and explorers. Nothing is measured here, and nothing typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neurolab import attention_pictures as pictures
from neurolab.explore import Choice, Explorer
from neurolab.measurements import Measurement, read, sentence

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


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table. Numbers are written as they are given; None becomes an empty cell."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
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


def recipe_table() -> str:
    """What each term of the loss is worth: the same training without it."""
    columns = {"exact_match": (100.0, 1), "bits_per_answer_byte": (1.0, 4)}
    found = read("spiking.recipe")
    lines = [[name_of(row.setting["left_out"]), *_cells(row, columns)] for row in found]
    steps = ", ".join(f"{s:.0f}" for s in sorted({row.figures["steps"] for row in found}))
    heads = ["left out", "right (%)", "bits per answer byte"]
    return table(heads, lines) + f"\n\n*(measured; {steps} batches each)*"


def softmax_sentence() -> Any:
    """How many replacements of softmax come back after training (claim A17), and which stood at once."""
    found = [row for row in read("spiking.softmax") if row.setting["replacement"] != "softmax"]
    at_once = {row.setting["replacement"]: row for row in found if not row.setting["tuned"]}
    after = {row.setting["replacement"]: row for row in found if row.setting["tuned"]}
    drops = {name: row.figures["exact_match_drop_points"] for name, row in after.items()}
    stood = {name: row.figures["exact_match"] for name, row in at_once.items()}
    best, worst = min(drops, key=drops.__getitem__), max(drops, key=drops.__getitem__)
    return sentence(
        "Put in at once, with no training, the seven leave between {low:.0%} ({lowest}) and {high:.0%} "
        "({highest}) of the answers. After a few minutes of training with the old model as the teacher, "
        "**{fine} of {all}** end within 2 points of the model that was trained on for as long unchanged; the "
        "best ({best}) is {least:.1f} points behind it, the worst ({worst}) {most:.1f}.",
        *found, low=min(stood.values()), high=max(stood.values()),
        lowest=name_of(min(stood, key=stood.__getitem__)), highest=name_of(max(stood, key=stood.__getitem__)),
        fine=sum(drop <= 2 for drop in drops.values()), all=len(drops),
        best=name_of(best), worst=name_of(worst), least=drops[best], most=drops[worst],
    )  # fmt: skip


def ternary_sentence() -> Any:
    """Integer arithmetic and ternary weights (claim A19)."""
    found = read("spiking.integer")
    changed = max(row.figures["changed_answers"] for row in found if "changed_answers" in row.figures)
    ratio = next(
        row.figures["events_ratio_ternary"] for row in found if "events_ratio_ternary" in row.figures
    )
    more = "fewer" if ratio < 1 else "more"
    return sentence(
        "Whole numbers instead of floats changed {changed:.0f} answers. Ternary weights (-1, 0 and 1) need "
        "**{ratio:.2f} times** the events of 8-bit ones: {more} spikes fall on weights that are not zero.",
        *found, changed=changed, ratio=ratio, more=more,
    )  # fmt: skip


def training_sentence() -> Any:
    """How much longer a training step through T spikes takes (claim A23)."""
    found = read("spiking.training")
    slow = max(row.figures["step_time_ratio"] for row in found)
    whole = max(row.figures["time_ratio"] for row in found)
    return sentence(
        "Going back through the spikes costs: a training step takes **{slow:.1f} times** as long as one of "
        "the ordinary network on the same batch; to the same quality it is {whole:.1f} times as long in all.",
        *found, slow=slow, whole=whole,
    )  # fmt: skip


def rate_sentence() -> Any:
    """What the article's own setting gives (claim A15): rate code, 16 to 64 steps."""
    found = [r for r in read("spiking.steps", code="rate", language="both") if 16 <= r.setting["T"] <= 64]
    best = max(found, key=lambda row: row.figures["exact_match"])
    slowest = max(row.figures["response_ms"] for row in found)
    return sentence(
        "And the article's own setting, plain rate coding with 16 to 64 steps? At best **{best:.1%}** right "
        "(T = {T}), {drop:.1f} points fewer than the float assistant; an answer took up to {ms:.0f} ms here, "
        "with all spikes computed on an ordinary processor.",
        *found, best=best.figures["exact_match"], T=best.setting["T"],
        drop=best.figures["exact_match_drop_points"], ms=slowest,
    )  # fmt: skip


def adaptive_table() -> str:
    """Adaptive T: what stopping early saves and what it changes."""
    columns = {"mean_T": (1.0, 1), "settle_T": (1.0, 0), "mean_cost_ratio": (1.0, 2)}
    columns |= {"exact_match": (100.0, 1), "exact_match_drop_points": (1.0, 2), "answers_changed": (1.0, 0)}
    found = read("spiking.adaptive")
    lines = [[row.setting["rule"], row.setting["patience"], *_cells(row, columns)] for row in found]
    heads = ["stop when", "patience (steps)", "mean T", "T at rest, largest", "mean cost (at rest = 1)"]
    return table([*heads, "right (%)", "points lost", "answers changed"], lines) + "\n\n*(measured)*"


def hybrid_table() -> str:
    """Some layers spiking, the others at rest: by number of spiking layers and T."""
    columns = {"exact_match": (100.0, 1), "exact_match_gain_points": (1.0, 1)}
    columns |= {"exact_match_drop_points": (1.0, 1)}
    found = sorted(read("spiking.hybrid"), key=lambda row: (row.setting["T"], row.setting["spiking_layers"]))
    lines = [[row.setting["T"], row.setting["spiking_layers"], *_cells(row, columns)] for row in found]
    heads = ["T", "spiking layers (lowest first)", "right (%)", "gained over all spiking (points)"]
    return table([*heads, "lost against the ordinary model (points)"], lines) + "\n\n*(measured)*"


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


def energy_sentence() -> Any:
    """Who wins, against float and against int8 with and without skipped zeros (claim A18)."""
    found = read("spiking.energy")
    kinds = ("ratio_vs_fp32", "ratio_vs_int8", "ratio_vs_int8_zero_skipping")
    fp32, int8, skipping = (max(row.figures[kind] for row in found if kind in row.figures) for kind in kinds)
    best = max(found, key=lambda row: row.figures.get(kinds[2], 0.0))
    verdict = "So the claim holds against float, not against an 8-bit network that is as clever."
    if skipping >= 1:
        verdict = "So it wins against every one of them, with the default constants."
    return sentence(
        "Against a float network the best of our spiking networks needs **{fp32:.1f} times** less energy; "
        "against an 8-bit network that multiplies everything, {int8:.2f} times; against one that skips its "
        "zeros, **{skipping:.2f} times** ({network}, T = {T}). {verdict}",
        *found, fp32=fp32, int8=int8, skipping=skipping,
        network=best.setting["network"], T=best.setting["T"] or "rest",
        verdict=verdict,
    )  # fmt: skip


def energy_table() -> str:
    """Energy a piece by network, with what it is compared with."""
    columns = {"energy_nj_per_token": (1e-3, 2), "ratio_vs_fp32": (1.0, 1), "ratio_vs_int8": (1.0, 2)}
    columns |= {"ratio_vs_int8_zero_skipping": (1.0, 2)}
    lines = []
    for row in read("spiking.energy"):
        s = row.setting
        lines.append([s["network"], s["schedule"], s["T"] or "rest", *_cells(row, columns)])
    heads = ["network", "schedule", "T", "microjoule a piece", "float / this", "int8 / this"]
    return (
        table([*heads, "int8 that skips zeros / this"], lines)
        + "\n\n*(simulated: counted operations, cited costs)*"
    )
