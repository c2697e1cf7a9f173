"""Chapter 4's sentences about what is kept: knowledge in bits, margins, other people's pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from IPython.display import Markdown

from neurolab.measurements import read, sentence
from neurolab.quantization_rows import NOT_YET, values, with_bits
from neurolab.quantization_words import right_at

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


def file_sentence() -> Any:
    """What the chapter's smallest file keeps of the knowledge, and how full it is."""
    rows = read("compression.capacity_file", language="both")
    if not rows:
        return Markdown(NOT_YET)
    small = min(rows, key=lambda row: row.figures["bytes"])
    f = small.figures
    return sentence(
        "The smallest of these files has {spent:.0f} bits for each fact that weighs {each:.0f}, keeps "
        "**{share:.1%}** of all that the assistant can know, and holds {stored:.3f} bits of knowledge in "
        "each bit on the disk.",
        small,
        spent=8 * f["bytes"] / f["facts"],
        each=f["possible_bits"] / f["facts"],
        share=f["share"],
        stored=f["bits_per_stored_bit"],
    )


def margin_sentence() -> Any:
    """Which facts fall first, and whether it is the rounding or its size (claim-free, but the point)."""
    falls = read("compression.falling")
    if not falls:
        return Markdown(NOT_YET)
    f = falls[-1].figures
    at = f["bits"].index(3)
    noise = read("compression.noise")
    parts, back = [], 0.0
    for bits in sorted({row.setting["bits"] for row in noise}, reverse=True):
        here = [row for row in noise if row.setting["bits"] == bits]
        rounded = float(np.mean(values(here, "exact_match_rounded")))
        shaken = float(np.mean(values(here, "exact_match_noise")))
        parts.append(f"{with_bits(bits)} {rounded:.1%} and {shaken:.1%}")
        back = max(back, (shaken - rounded) / (1 - rounded)) if rounded < 0.99 else back
    more = ""
    if parts:
        why = "it is mostly the *size* of the error that does it, not that few values are left"
        if back > 0.15:
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
