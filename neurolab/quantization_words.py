"""Chapter 4's sentences that carry a result: figures from rows, conclusions that turn with the figures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from IPython.display import Markdown

from neurolab.measurements import Measurement, read, sentence
from neurolab.quantization_live import said
from neurolab.quantization_rows import (
    AMONG,
    METHODS,
    NOT_YET,
    SHARED,
    allocation,
    by,
    increases,
    values,
    with_bits,
)

GUESSES = {"8 bits": 8, "6 bits": 6, "5 bits": 5, "4 bits": 4, "3 bits": 3, "2 bits": 2}
"""What a reader may guess for `fewest_bits`."""


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
        f"{bits} bits {100 * found[bits][0]:.1f}% in Thai, {100 * found[bits][1]:.1f}% in English"
        for bits in sorted((b for b in found if b < fine), reverse=True)
    )
    first = max(b for b in found if b < fine)
    apart = 100 * (found[first][0] - found[first][1])
    verdict = "Both languages fall alike"
    if abs(apart) >= 1:
        verdict = f"{'English' if apart > 0 else 'Thai'} falls first"
    return sentence(
        "All held-out questions: down to **{fine} bits** fewer than one answer in a hundred is lost. "
        "Then {parts}. "
        "{verdict}.",
        *read("assistant.rounding"),
        fine=fine,
        parts=parts,
        verdict=verdict,
    )


def best(rows: Sequence[Measurement]) -> Measurement:
    """The row with the most right answers."""
    return max(rows, key=lambda row: row.figures["exact_match"])


def ptq_sentence() -> Any:
    """At which bits it matters how one rounds: the best and the worst way at each width."""
    rows = [row for row in read("compression.ptq") if row.setting["method"] in ("rtn", "gptq")]
    if not rows:
        return Markdown(NOT_YET)
    parts, matters = [], []
    for (bits,), here in sorted(by(rows, "bits").items(), reverse=True):
        first, worst = best(here), min(here, key=lambda row: row.figures["exact_match"])
        apart = 100 * (first.figures["exact_match"] - worst.figures["exact_match"])
        if apart >= 1:
            matters.append(apart)
            parts.append(
                f"{with_bits(bits)}: {100 * worst.figures['exact_match']:.1f} to "
                f"**{100 * first.figures['exact_match']:.1f}%** "
                f"(best: {METHODS[first.setting['method']]}, a step for "
                f"{SHARED.get(first.setting['granularity'], '')})"
            )
    if not parts:
        return sentence("At every width the ways differ by less than a point.", *rows)
    return sentence(
        "Where the worst and the best way are a point or more apart: {parts}.", *rows, parts="; ".join(parts)
    )


def gptq_sentence() -> Any:
    """What error compensation is worth: answers that come back, width by width, same granularity."""
    found = by(read("compression.ptq"), "method", "bits", "granularity")
    parts, used, gains = [], [], []
    for bits in sorted({key[1] for key in found}, reverse=True):
        plain, clever = found.get(("rtn", bits, "channel")), found.get(("gptq", bits, "channel"))
        if plain and clever:
            a, b = (float(np.mean(values(rows, "exact_match"))) for rows in (plain, clever))
            if abs(a - b) >= 0.005:
                parts.append(f"{with_bits(bits)} from {100 * a:.1f} to **{100 * b:.1f}%**")
                used += [*plain, *clever]
                gains.append(100 * (b - a))
    if not parts:
        return Markdown(NOT_YET)
    verdict = ""
    if max(gains) < 10:
        verdict = (
            " That is less than the errors of single layers promised. A layer's output is not the answer "
            "either: what counts in it is what the layers above make of it."
        )
    return sentence(
        "Right answers, a step a channel, plain rounding and GPTQ: {parts}.{verdict}",
        *used,
        parts="; ".join(parts),
        verdict=verdict,
    )


def calibration_sentence(what: str) -> Any:
    """Whether the way in which the clip of "weights" or "activations" is chosen matters (claim D3)."""
    rows = read("compression.calibration", what=what)
    if not rows:
        return Markdown(NOT_YET)
    worst = max(rows, key=lambda row: row.figures["worst_over_best_drop_points"])
    at8 = max((r.figures["worst_over_best_drop_points"] for r in rows if r.setting["bits"] == 8), default=0.0)
    verdict = "At 8 bits it hardly matters" if at8 < 1 else "It matters at 8 bits already"
    granularity = str(worst.setting.get("granularity", ""))
    return sentence(
        "{verdict}: the four ways are {at8:.1f} points apart at most. At {bits}{where} they are "
        "**{most:.1f} points** apart.",
        *rows,
        verdict=verdict,
        at8=at8,
        bits=with_bits(worst.setting["bits"]),
        where=f" (one clip for {SHARED[granularity]})" if granularity in SHARED else "",
        most=worst.figures["worst_over_best_drop_points"],
    )


def sensitivity_sentence() -> Any:
    """Which tensors suffer most at 2 bits, and whether they are those the article protects."""
    figure = AMONG if increases(AMONG, 2) else "bits_per_answer_byte"
    found = increases(figure, 2)
    if not found:
        return Markdown(NOT_YET)
    worst = list(found)[:5]
    others = "the others at 3" if figure == AMONG else "the others in floats"
    return sentence(
        "One matrix at 2 bits, {others}: most is lost through {top}. Of the five worst, **{many}** are among "
        "those that the article keeps at 8 bits or more.",
        *read("compression.sensitivity"),
        others=others,
        top=", ".join(said(name) for name in worst[:3]),
        many=sum(_protected(name) for name in worst),
    )


def _protected(name: str) -> bool:
    """Whether the article gives 8 bits or more: all but the feed-forward matrices of the middle layers."""
    return ".feed_forward." not in name or name.startswith(("blocks.0.", "blocks.3."))


def mixed_sentence() -> Any:
    """Claim A9: mixed precision against uniform at equal bytes."""
    rows = read("compression.mixed")
    if not rows:
        return Markdown(NOT_YET)
    parts = []
    for name, measured in (("as the article says, or in that shape", False), ("by measured losses", True)):
        here = [r for r in rows if (r.setting["allocation"] == "measured") == measured]
        gains = values(here, "bits_per_answer_byte_gain")
        if gains:
            parts.append(
                f"given out {name}, they win at **{sum(g > 0 for g in gains)} of {len(gains)}** sizes"
            )
    best_ = max(rows, key=lambda row: row.figures["exact_match_gain_points"])
    return sentence(
        "Mixed bits against uniform ones, by bits per answer byte: {parts}. Most of all {times:.3g} times "
        "smaller ({who}): **{mixed:.1%}** right instead of {uniform:.1%}.",
        *rows,
        parts="; ".join(parts),
        times=best_.setting["budget_ratio"],
        who=allocation(best_),
        mixed=best_.figures["exact_match"],
        uniform=best_.figures["uniform_exact_match"],
    )
