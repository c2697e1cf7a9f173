"""Chapter 3's sentences that carry a result: figures from rows, conclusions that turn with the figures."""

from __future__ import annotations

from typing import Any

from neurolab.attention_rows import equally_good, name_of
from neurolab.measurements import read, sentence


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


def plain_sentence() -> Any:
    """How far plain neurons get in the whole network, beside signed ones at the same T."""
    steps: dict[str, Any] = {"network": "quantized", "language": "both"}
    plain = {row.setting["T"]: row for row in read("spiking.steps", code="rate", **steps) if row.setting["T"]}
    signed = {row.setting["T"]: row for row in read("spiking.steps", code="unary", **steps)}
    last = max(T for T in plain if T in signed)
    p, s = plain[last].figures, signed[last].figures
    return sentence(
        "With {T} steps the plain network still has {p:.1%} of its answers, where the signed one has "
        "{s:.1%}; in bits per answer byte that is {pb:.4f} against {sb:.4f}. An answer forgives much, as "
        "long as the right piece stays the likeliest. The numbers underneath are not the same, and "
        "never will be.",
        plain[last], signed[last], T=last, p=p["exact_match"], s=s["exact_match"],
        pb=p["bits_per_answer_byte"], sb=s["bits_per_answer_byte"],
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


def hybrid_sentence() -> Any:
    """Whether leaving upper layers ordinary helps, T by T (claim A25)."""
    found = read("spiking.hybrid")
    most = max(row.setting["spiking_layers"] for row in found)
    parts = []
    for T in sorted({row.setting["T"] for row in found}):
        here = {row.setting["spiking_layers"]: row.figures for row in found if row.setting["T"] == T}
        best = max((n for n in here if 0 < n < most), key=lambda n: here[n]["exact_match"])
        lowest = "the lowest layer" if best == 1 else f"the lowest {best} layers"
        parts.append(
            f"T = {T}: {here[most]['exact_match']:.1%} if all layers spike, "
            f"**{here[best]['exact_match']:.1%}** if only {lowest} do"
        )
        late = 100 * (here[best]["exact_match"] - here[most]["exact_match"])
    end = (
        "with enough time there is nothing to repair" if late < 0.5 else "even with the most time we gave it"
    )
    return sentence(
        "{parts}. The network at rest has {rest:.1%} of the same questions. An ordinary top repairs what too "
        "little time has spoilt below it; {end}.",
        *found, end=end, parts="; ".join(parts),
        rest=max(row.figures["exact_match"] for row in found if row.setting["spiking_layers"] == 0),
    )  # fmt: skip


def energy_sentence() -> Any:
    """Who wins, against float and against int8 with and without skipped zeros (claim A18)."""
    found = equally_good(read("spiking.energy"))
    kinds = ("ratio_vs_fp32", "ratio_vs_int8", "ratio_vs_int8_zero_skipping")
    fp32, int8, skipping = (max(row.figures[kind] for row in found if kind in row.figures) for kind in kinds)
    best = max(found, key=lambda row: row.figures.get(kinds[2], 0.0)).setting
    verdict = "So the claim holds against float, not against an 8-bit network that is as clever."
    if skipping >= 1:
        verdict = "So it wins against every one of them, with the default constants."
    if "held" in best["schedule"]:
        verdict += (
            " Look at what the best one does: it waits for all digits of a count, fetches each weight once, "
            "and adds it at the place of each digit. That is a multiplication, done one bit at a time."
        )
    return sentence(
        "Of the networks that answer equally well (within 2 points), the best needs **{fp32:.1f} times** "
        "less energy than a float network; than an 8-bit network that multiplies everything, {int8:.2f} "
        "times less; than one that skips its zeros, **{skipping:.2f} times** ({network}, {schedule}, "
        "T = {T}). {verdict}",
        *found, fp32=fp32, int8=int8, skipping=skipping, verdict=verdict,
        network=best["network"], schedule=best["schedule"], T=best["T"] or "rest",
    )  # fmt: skip
