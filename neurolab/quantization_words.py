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
    parts, used = [], []
    for bits in sorted({key[1] for key in found}, reverse=True):
        plain, clever = found.get(("rtn", bits, "channel")), found.get(("gptq", bits, "channel"))
        if plain and clever:
            a, b = (float(np.mean(values(rows, "exact_match"))) for rows in (plain, clever))
            if abs(a - b) >= 0.005:
                parts.append(f"{with_bits(bits)} from {100 * a:.1f} to **{100 * b:.1f}%**")
                used += [*plain, *clever]
    if not parts:
        return Markdown(NOT_YET)
    return sentence(
        "Right answers, a step a channel, plain rounding and GPTQ: {parts}.", *used, parts="; ".join(parts)
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
    return sentence("Mixed bits against uniform ones: {parts}.", *rows, parts="; ".join(parts))


PUBLISHED = 2.0  # bits of knowledge a parameter at most: Allen-Zhu and Li, 2024


def capacity_sentence() -> Any:
    """What a fact weighs, what the files spend on it, and how full the assistant is."""
    rows = read("compression.capacity", language="both")
    if not rows:
        return Markdown(NOT_YET)
    by_bits = {row.setting["bits"]: row.figures for row in rows}
    widths = sorted(by_bits, reverse=True)
    first, few = by_bits[widths[0]], widths[-1]
    each = first["stored_bits"] / first["facts"]
    dense = max(by_bits, key=lambda bits: by_bits[bits]["bits_per_stored_bit"])
    spent = ", ".join(f"{with_bits(b)} {8 * by_bits[b]['bytes'] / first['facts']:,.0f}" for b in widths)
    return sentence(
        "**A fact weighs {each:.0f} bits** on average, Thai and English together. The files spend on each of "
        "them: {spent}. In floats that makes {share:.3f} bits of knowledge a weight, {full:.0%} of the "
        "published {most:g}; one bit for each would be {room:.0f} times what the facts need. Rounded to "
        "{few}, {left:.0%} of it is left; the fullest file is the one with {dense}.",
        *rows,
        each=each,
        spent=spent,
        share=first["bits_per_parameter"],
        full=first["bits_per_parameter"] / PUBLISHED,
        most=PUBLISHED,
        room=1 / first["bits_per_parameter"],
        few=with_bits(few),
        left=by_bits[few]["stored_bits"] / first["stored_bits"],
        dense=with_bits(dense),
    )


def margin_sentence() -> Any:
    """Which facts fall first, and whether it is the rounding or its size (claim-free, but the point)."""
    falls = read("compression.falling")
    if not falls:
        return Markdown(NOT_YET)
    f = falls[-1].figures
    at = f["bits"].index(3)
    noise = read("compression.noise")
    parts, apart = [], 0.0
    for bits in sorted({row.setting["bits"] for row in noise}, reverse=True):
        here = [row for row in noise if row.setting["bits"] == bits]
        rounded = float(np.mean(values(here, "exact_match_rounded")))
        shaken = float(np.mean(values(here, "exact_match_noise")))
        parts.append(f"{with_bits(bits)} {rounded:.1%} and {shaken:.1%}")
        apart = max(apart, abs(rounded - shaken))
    more = ""
    if parts:
        why = "it is the *size* of the error that does it, not that few values are left"
        if apart > 0.05:
            why = "it is not the size of the error alone"
        more = (
            f" And {why}: look at noise of the same size, which has nothing to do with a ruler "
            f"(right answers, rounded and with noise: {'; '.join(parts)})."
        )
    return sentence(
        "At 3 bits **{first:.0%}** of the facts with the narrowest margin are left, and {last:.0%} of those "
        "with the widest.{more}",
        *falls,
        *noise,
        first=f["by_margin"][0][at],
        last=f["by_margin"][-1][at],
        more=more,
    )


def resnet_sentence() -> Any:
    """Claim D1: what ResNet-50 takes, counted layer by layer."""
    rows = read("compression.resnet")
    if not rows:
        return Markdown(NOT_YET)
    f = rows[-1].figures
    return sentence(
        "Counted layer by layer: {weights:.1f} million weights and {activations:.1f} million "
        "activations, at 4 bytes each **{megabytes:.0f} MB**.",
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
    lost = {row.setting["bits"]: row.figures["quality_drop_percent"] for row in (*at8, *low)}
    lost = dict(sorted(lost.items(), reverse=True))
    inside = [bits for bits, drop in lost.items() if 8 <= drop <= 10]
    less = [bits for bits, drop in lost.items() if drop < 8]
    more = [bits for bits, drop in lost.items() if drop > 10]
    verdict = ""
    if inside:
        verdict = f"A loss of 8 to 10% is what **{with_bits(inside[0])}** do."
    elif less and more:
        verdict = (
            f"A loss of 8 to 10% lies between **{with_bits(less[-1])}** ({lost[less[-1]]:.1f}%) and "
            f"**{with_bits(more[0])}** ({lost[more[0]]:.1f}%)."
        )
    return sentence(
        "At 8 bits the quality falls by **{drop:.2f}%**. {verdict}", *at8, *low, drop=lost[8], verdict=verdict
    )


def picture_or_fact() -> Any:
    """Whether pictures or facts need more bits, at 4 bits for the weights alone."""
    rows = read("compression.vision_low", bits=4)
    found = right_at()
    if not rows or 4 not in found:
        return Markdown(NOT_YET)
    picture = rows[-1].figures["quality_drop_percent_weights"]
    fact = 100 * float(np.mean(found[32]) - np.mean(found[4]))
    why = (
        "A fact has a margin: until a score falls behind the next best, nothing changes at all. A picture "
        "has none, every error is seen."
    )
    return sentence(
        "So pictures fall earlier than facts: with 4 bits for the weights alone this small network loses "
        "{picture:.0f}% of its quality, the assistant {fact:.2f} points of its answers. {why}"
        if picture > fact + 1
        else "With 4 bits for the weights alone this small network loses {picture:.1f}% of its quality, the "
        "assistant {fact:.2f} points of its answers.",
        *rows,
        picture=picture,
        fact=fact,
        why=why,
    )
