"""Chapter 4's sentences that carry a result: figures from rows, conclusions that turn with the figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from IPython.display import Markdown

from neurolab.attention_words import below
from neurolab.measurements import Measurement, read, sentence
from neurolab.quantization_live import said
from neurolab.quantization_rows import (
    METHODS,
    NOT_YET,
    SHARED,
    behind_control,
    by,
    float_match,
    increase,
    name_of_bits,
    values,
)

GUESSES = {"8 bits": 8, "6 bits": 6, "5 bits": 5, "4 bits": 4, "3 bits": 3, "2 bits": 2}
"""What a reader may guess for `fewest_bits`."""


def with_bits(bits: float) -> str:
    """4 -> "4 bits", 1.58 -> "ternary weights"."""
    name = name_of_bits(bits)
    return f"{name} bits" if name[0].isdigit() else f"{name} weights"


def right_at() -> dict[int, tuple[float, float]]:
    """Bits -> exact match in Thai, in English (0 to 1): rounded to the nearest, a step a channel."""
    found: dict[int, dict[str, float]] = {}
    for row in read("assistant.rounding"):
        found.setdefault(row.setting["bits"], {})[row.setting["language"]] = row.figures["exact_match"]
    return {bits: (of["th"], of["en"]) for bits, of in sorted(found.items(), reverse=True)}


def fewest_bits(points: float = 1.0) -> str:
    """The fewest bits at which plain rounding, a step a channel, loses at most `points`: one of GUESSES."""
    found = right_at()
    good = [
        name
        for name, bits in GUESSES.items()
        if bits in found and 100 * (np.mean(found[32]) - np.mean(found[bits])) <= points
    ]
    return good[-1] if good else "8 bits"


def falling_sentence() -> Any:
    """Where the facts fall, language by language."""
    found = right_at()
    fine = GUESSES[fewest_bits()]
    parts = "; ".join(
        f"{bits} bits {100 * found[bits][0]:.1f} % in Thai, {100 * found[bits][1]:.1f} % in English"
        for bits in sorted((b for b in found if b < fine), reverse=True)
    )
    first = max(b for b in found if b < fine)
    apart = 100 * (found[first][0] - found[first][1])
    verdict = "Both languages fall alike"
    if abs(apart) >= 1:
        verdict = f"{'English' if apart > 0 else 'Thai'} falls first"
    return sentence(
        "All held-out questions: down to **{fine} bits** fewer than one answer in a hundred is lost. Then {parts}. "
        "{verdict}.",
        *read("assistant.rounding"),
        fine=fine,
        parts=parts,
        verdict=verdict,
    )


def _best(rows: Sequence[Measurement]) -> Measurement:
    return max(rows, key=lambda row: row.figures["exact_match"])


def ptq_sentence() -> Any:
    """At which bits it matters how one rounds: the best and the worst way at each width."""
    rows = [row for row in read("compression.ptq") if row.setting["method"] in ("rtn", "gptq")]
    if not rows:
        return Markdown(NOT_YET)
    parts, matters = [], []
    for (bits,), here in sorted(by(rows, "bits").items(), reverse=True):
        best, worst = _best(here), min(here, key=lambda row: row.figures["exact_match"])
        apart = 100 * (best.figures["exact_match"] - worst.figures["exact_match"])
        if apart >= 1:
            matters.append(apart)
            parts.append(
                f"{with_bits(bits)}: {100 * worst.figures['exact_match']:.1f} to **{100 * best.figures['exact_match']:.1f} %** "
                f"(best: {METHODS[best.setting['method']]}, a step for {SHARED.get(best.setting['granularity'], '')})"
            )
    if not parts:
        return sentence("At every width the ways differ by less than a point.", *rows)
    return sentence(
        "Where the worst and the best way are a point or more apart: {parts}.", *rows, parts="; ".join(parts)
    )


def gptq_sentence() -> Any:
    """What error compensation is worth: answers that come back, width by width, same granularity."""
    found = by(read("compression.ptq"), "method", "bits", "granularity")
    parts, used = [], []
    for bits in sorted({key[1] for key in found}, reverse=True):
        plain, clever = found.get(("rtn", bits, "channel")), found.get(("gptq", bits, "channel"))
        if plain and clever:
            a, b = (float(np.mean(values(rows, "exact_match"))) for rows in (plain, clever))
            if abs(a - b) >= 0.005:
                parts.append(f"{with_bits(bits)} from {100 * a:.1f} to **{100 * b:.1f} %**")
                used += [*plain, *clever]
    if not parts:
        return Markdown(NOT_YET)
    return sentence(
        "Right answers, a step a channel, plain rounding and GPTQ: {parts}.", *used, parts="; ".join(parts)
    )


def calibration_sentence() -> Any:
    """Whether the way in which the clip is chosen matters, and at which width (claim D3)."""
    rows = read("compression.calibration")
    if not rows:
        return Markdown(NOT_YET)
    worst = max(rows, key=lambda row: row.figures["worst_over_best_drop_points"])
    at8 = max((r.figures["worst_over_best_drop_points"] for r in rows if r.setting["bits"] == 8), default=0.0)
    verdict = "At 8 bits it hardly matters" if at8 < 1 else "It matters at 8 bits already"
    return sentence(
        "{verdict}: the four ways are {at8:.1f} points apart at most. At {bits} ({what}, one clip for {granularity}) they are **{most:.1f} points** apart.",
        *rows,
        verdict=verdict,
        at8=at8,
        bits=with_bits(worst.setting["bits"]),
        what=worst.setting["what"],
        granularity=SHARED.get(worst.setting["granularity"], worst.setting["granularity"]),
        most=worst.figures["worst_over_best_drop_points"],
    )


def qat_sentence() -> Any:
    """What training with the rounding in place saves, width by width, against rounding alone."""
    trained = by([r for r in read("compression.qat") if r.setting["activations"] == 32], "bits")
    untrained = by(read("compression.ptq"), "bits")
    parts, used = [], []
    for (bits,), here in sorted(trained.items(), reverse=True):
        match = float(np.mean(values(here, "exact_match")))
        text = f"{with_bits(bits)} **{100 * match:.1f} %**"
        if before := untrained.get((bits,)):
            text += f" (best without training {100 * _best(before).figures['exact_match']:.1f})"
        parts.append(text)
        used += here
    if not parts:
        return Markdown(NOT_YET)
    return sentence("Right answers after training: {parts}.", *used, parts=", ".join(parts))


def control_sentence() -> Any:
    """What the equal-steps float control does to the claim "better than before"."""
    rows = read("compression.qat")
    pairs = [(row, points) for row in rows if (points := behind_control(row)) is not None]
    controls = [row for row in read("compression.control") if row.setting.get("steps")]
    if not pairs or not controls:
        return Markdown(NOT_YET)
    shipped = {r.setting["language"]: r for r in read("assistant.rounding", bits=32)}
    bytes_of = {lang: r.figures["bits_per_answer_byte"] for lang, r in shipped.items()}
    best = max(controls, key=lambda row: row.figures["exact_match"])
    gained = 100 * (best.figures["exact_match"] - float_match())
    better = [r for r, _ in pairs if r.figures["exact_match"] > float_match()]
    verdict = "None of our quantized networks is better than the one it started from."
    if better:
        behind = sum(behind_control(row) > 0 for row in better)  # type: ignore[operator]
        verdict = (
            f"{len(better)} of {len(pairs)} quantized networks answer more than the shipped float assistant, and would make a fine "
            f"headline: *smaller and better*. {behind} of these {len(better)} are behind the control."
        )
    return sentence(
        "The float assistant itself, given {steps} more steps of the same training, is {gained} the shipped one ({bits:.5f} bits per answer "
        "byte instead of {before:.5f}). {verdict}",
        *controls,
        steps=best.setting["steps"],
        gained=below(-gained),
        bits=best.figures["bits_per_answer_byte"],
        before=float(np.mean(list(bytes_of.values()))),
        verdict=verdict,
    )


def sensitivity_sentence() -> Any:
    """Which tensors suffer most, and whether they are those the article protects."""
    rows = [r for r in read("compression.sensitivity") if "tensor" in r.setting]
    if not rows:
        return Markdown(NOT_YET)
    few = min(r.setting["bits"] for r in rows)
    here = sorted((r for r in rows if r.setting["bits"] == few), key=increase, reverse=True)
    top = [said(r.setting["tensor"]) for r in here[:3]]
    protected = sum(_protected(r.setting["tensor"]) for r in here[:5])
    return sentence(
        "At {bits}, one matrix at a time, the answers suffer most from {top}. Of the five worst, **{protected}** are among those that the "
        "article keeps at 8 bits or more (queries, keys, values, embeddings, what projects).",
        *here,
        bits=with_bits(few),
        top=", ".join(top),
        protected=protected,
    )


def _protected(name: str) -> bool:
    return name.removesuffix(".weight").split(".")[-1] in (
        "query",
        "key",
        "value",
        "out",
        "embedding",
        "position",
    )


def mixed_sentence() -> Any:
    """Claim A9: mixed precision against uniform at equal bytes."""
    rows = read("compression.mixed")
    if not rows:
        return Markdown(NOT_YET)
    parts = []
    for (allocation,), here in by(rows, "allocation").items():
        gains = values(here, "bits_per_answer_byte_gain")
        who = {"measured": "given out by measurement", "article": "given out as the article says"}[
            str(allocation)
        ]
        parts.append(f"{who}, mixed precision wins at **{sum(g > 0 for g in gains)} of {len(gains)}** sizes")
    return sentence("Bits {parts}.", *rows, parts="; ".join(parts))


def capacity_sentence() -> Any:
    """What a parameter and a stored bit hold, in all, and what remains at few bits."""
    rows = read("compression.capacity")
    if not rows:
        return Markdown(NOT_YET)
    widths = by(rows, "bits", "method")
    totals = {key: sum(values(here, "bits_per_parameter")) for key, here in widths.items() if len(here) > 1}
    whole = {key: rows_ for key, rows_ in widths.items() if key in totals}
    floats = max(whole, key=lambda key: key[0])
    densest = max(whole, key=lambda key: sum(values(whole[key], "bits_per_stored_bit")))
    return sentence(
        "The float assistant keeps **{float:.2f} bits** of knowledge a parameter, both languages together; the densest network is the one with {bits}, which keeps "
        "**{dense:.2f} bits** in each bit that is stored. Published for much larger networks: up to 2 bits a parameter.",
        *rows,
        float=totals[floats],
        bits=with_bits(densest[0]),
        dense=sum(values(whole[densest], "bits_per_stored_bit")),
    )


GOALS = {"ptq12": (12, 1), "ptq14": (14, 3), "qat18": (18, 1), "qat28": (28, 3)}
"""Target -> (times smaller, points that may be lost)."""


def met(target: str, rows: Sequence[Measurement]) -> bool:
    """Whether every seed reaches the size within the points (trained ones: against their control)."""
    size, points = GOALS[target]
    lost = [
        behind_control(r) if target.startswith("qat") else r.figures["exact_match_drop_points"] for r in rows
    ]
    return all(r.figures["size_ratio"] >= size for r in rows) and all(
        x is not None and x <= points for x in lost
    )


def headline_sentence() -> Any:
    """Which of the four goals are met by every seed."""
    found = {
        key[0]: rows for key, rows in by(read("compression.headline"), "target").items() if key[0] in GOALS
    }
    if not found:
        return Markdown(NOT_YET)
    reached = [target for target, rows in found.items() if met(target, rows)]
    missed = [target for target in found if target not in reached]
    said_ = f"All seeds reach {_goals(reached)}." if reached else "No goal is reached by all seeds."
    if missed:
        said_ += f" Not reached by all: {_goals(missed)}."
    return sentence("{said}", *(row for rows in found.values() for row in rows), said=said_)


def _goals(targets: Sequence[str]) -> str:
    return " and ".join(
        f"{GOALS[t][0]} times within {GOALS[t][1]} {'point' if GOALS[t][1] == 1 else 'points'}"
        for t in targets
    )


def lost_at(target: str) -> float | None:
    """Mean points lost by a headline target (trained: against the control); None before it is measured."""
    rows = read("compression.headline", target=target)
    if not rows:
        return None
    lost = [
        behind_control(r) if target.startswith("qat") else r.figures["exact_match_drop_points"] for r in rows
    ]
    known = [x for x in lost if x is not None]
    return float(np.mean(known)) if known else None


def resnet_sentence() -> Any:
    """Claim D1: what ResNet-50 takes, counted layer by layer."""
    rows = read("compression.resnet")
    if not rows:
        return Markdown(NOT_YET)
    f = rows[-1].figures
    return sentence(
        "Counted layer by layer: {weights:.1f} million weights and {activations:.1f} million activations, at 4 bytes each **{megabytes:.0f} MB**.",
        rows[-1],
        weights=f["weights_millions"],
        activations=f.get("activations_millions", f["megabytes"] / 4 - f["weights_millions"]),
        megabytes=f["megabytes"],
    )


def vision_sentence() -> Any:
    """Claim D4: how much worse the picture gets at 8 bits, and where it loses 8 to 10 per cent."""
    at8, low = read("compression.vision"), read("compression.vision_low")
    if not at8:
        return Markdown(NOT_YET)
    drop8 = float(np.mean(values(at8, "quality_drop_percent")))
    inside = [r for r in low if 8 <= r.figures["quality_drop_percent"] <= 10]
    close = min(low, key=lambda r: abs(r.figures["quality_drop_percent"] - 9)) if low else None
    verdict = ""
    if inside and close is not None:
        verdict = f"A loss of 8 to 10 % is what **{with_bits(close.setting['bits'])}** do."
    elif close is not None:
        verdict = f"Nearest to the article's 8 to 10 % are {with_bits(close.setting['bits'])} with {close.figures['quality_drop_percent']:.1f} %."
    return sentence(
        "At 8 bits the quality falls by **{drop8:.2f} %**. {verdict}",
        *at8,
        *low,
        drop8=drop8,
        verdict=verdict,
    )
