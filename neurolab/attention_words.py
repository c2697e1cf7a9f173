"""Chapter 3's sentences that carry a result: figures from rows, conclusions that turn with the figures."""

from __future__ import annotations

from typing import Any

from IPython.display import Markdown

from neurolab.attention_rows import energies, equally_good, hybrids, name_of
from neurolab.measurements import read, sentence


def below(points: float) -> str:
    """1.5 -> "1.5 points below", -0.2 -> "0.2 points above", as one reads them."""
    if abs(points) < 0.05:
        return "level with"
    return f"{abs(points):.1f} points {'below' if points > 0 else 'above'}"


def softmax_sentence() -> Any:
    """How many replacements of softmax come back after training (claim A17), and which stood at once."""
    found = [row for row in read("spiking.softmax") if row.setting["replacement"] != "softmax"]
    at_once = {row.setting["replacement"]: row for row in found if not row.setting["tuned"]}
    after = {row.setting["replacement"]: row for row in found if row.setting["tuned"]}
    drops = {name: row.figures["exact_match_drop_points"] for name, row in after.items()}
    stood = {name: row.figures["exact_match"] for name, row in at_once.items()}
    best, worst = min(drops, key=drops.__getitem__), max(drops, key=drops.__getitem__)
    return sentence(
        "Put in at once, with no training, the seven leave between {low:.1%} ({lowest}) and {high:.1%} "
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
    f = found[-1].figures
    more = "fewer" if f["events_ratio_ternary"] < 1 else "more"
    lost = 100 * (f["exact_match"] - f["exact_match_ternary"])
    return sentence(
        "Whole numbers instead of floats changed {changed:.0f} of {n:,} answers. Weights of -1, 0 and 1 need "
        "**{ratio:.2f} times** the events of 8-bit ones ({more} spikes times connections that are not zero), "
        "and answer {match:.1%} right, {lost}.",
        *found, changed=f["changed_answers"], n=f["questions"], ratio=f["events_ratio_ternary"], more=more,
        match=f["exact_match_ternary"], lost=below(lost) + " the 8-bit network",
    )  # fmt: skip


def adaptive_sentence() -> Any:
    """What stopping early saves, and what it costs (claim A21)."""
    row = read("spiking.adaptive")[-1]
    f = row.figures
    return sentence(
        "The rule: {rule}. The mean is then **{mean:.1f} steps**, where rest takes {rest:.1f} on average and "
        "{settle:.0f} at most; the spikes fall to {spikes:.0%}. Of {n:,} answers {changed} change, and the "
        "share of right ones is {drop} that of the network at rest.",
        row, rule=row.setting["rule"], mean=f["mean_T"], rest=f["rest_T"], settle=f["settle_T"],
        spikes=f["spikes_ratio"], n=f["questions"], changed=f["answers_changed"],
        drop=below(f["exact_match_drop_points"]),
    )  # fmt: skip


def events_sentence() -> Any:
    """Whether the work of the event-by-event run falls with its spikes."""
    row = read("spiking.events")[-1]
    spikes, times = row.figures["spikes"], row.figures["microseconds"]
    return sentence(
        "Does the work fall with the spikes? In a run that goes from event to event and skips the rest, the "
        "quarter of all steps with the fewest spikes (about {few:,.0f}) takes {a:.0f} microseconds, the "
        "quarter with the most (about {many:,.0f}) **{b:.0f}**.",
        row, few=spikes[0], many=spikes[-1], a=times[0], b=times[-1],
    )  # fmt: skip


def training_sentence() -> Any:
    """How much longer a training step through T spikes takes (claim A23)."""
    found = read("spiking.training")
    if not found:
        return Markdown(
            "*(how much longer training takes was not measured; `neurolab bench spiking` does it)*"
        )
    slow = max(row.figures["step_time_ratio"] for row in found)
    whole = max(row.figures["time_ratio"] for row in found)
    got = found[-1].figures
    there = got.get("spiking_share", 1.0) >= got.get("ordinary_share", 0.0)
    least = "" if there else "at least "  # it was stopped before it got there
    return sentence(
        "Going back through the spikes costs: a training step takes **{slow:.1f} times** as long as one of "
        "the ordinary network on the same batch; to the same quality it is {least}{whole:.1f} times as long "
        "in all.",
        *found, slow=slow, whole=whole, least=least,
    )  # fmt: skip


def schedule_or_training(unary: float, ramp: float, trained: float) -> str:
    """What helped more at few steps: another schedule, or training on top of it."""
    schedule, training = 100 * (ramp - unary), 100 * (trained - ramp)
    if training <= 0:
        return (
            f"So the order in which spikes count was worth {schedule:.0f} points, and the training that we "
            "could afford added nothing to it."
        )
    return f"The order in which spikes count was worth {schedule:.0f} points, training {training:.1f} more."


def plain_sentence() -> Any:
    """How far plain neurons heard as rates get, beside the signed network at rest."""
    steps: dict[str, Any] = {"network": "quantized", "language": "both"}
    found = read("spiking.steps", code="rate", **steps)
    plain = {row.setting["T"]: row for row in found if row.setting["T"]}
    rest = read("spiking.steps", T=0, **steps)[-1]
    right = {T: plain[T].figures["exact_match"] for T in sorted(plain)}
    enough = [T for T, share in right.items() if share >= rest.figures["exact_match"] - 0.01]
    verdict = "It does not catch up."
    if enough:
        verdict = (
            f"From T = {enough[0]} on its answers are as good, because an answer only needs the right piece "
            "to stay the likeliest."
        )
    return sentence(
        "Heard so, the plain network answers {first:.1%} at T = {T} and {last:.1%} at T = {U}; the signed "
        "one, at rest, {rest:.1%}. {verdict} But its numbers are rates, rounded to a part of T, and rounded "
        "again at the next layer: *almost*, at any T.",
        *plain.values(), rest, first=right[min(right)], T=min(right), last=right[max(right)], U=max(right),
        rest=rest.figures["exact_match"], verdict=verdict,
    )  # fmt: skip


def rate_sentence() -> Any:
    """What the article's own setting gives (claim A15): rate code, 16 to 64 steps."""
    found = [r for r in read("spiking.steps", code="rate", language="both") if 16 <= r.setting["T"] <= 64]
    best = max(found, key=lambda row: row.figures["exact_match"])
    slowest = max(row.figures["response_ms"] for row in found)
    drop = best.figures["exact_match_drop_points"]
    verdict = (
        "Here, then, the article's numbers hold" if drop <= 3 and slowest <= 300 else "That is not enough"
    )
    return sentence(
        "And the article's own setting, plain rate coding with 16 to 64 steps? At best **{best:.1%}** right "
        "(T = {T}), {drop} the float assistant; an answer took {ms:.0f} ms at most, with all spikes computed "
        "on an ordinary processor. {verdict}, for a model of this size.",
        *found, best=best.figures["exact_match"], T=best.setting["T"], drop=below(drop), ms=slowest,
        verdict=verdict,
    )  # fmt: skip


def hybrid_sentence() -> Any:
    """Whether leaving upper layers ordinary helps, T by T (claim A25)."""
    found = hybrids()
    most = max(row.setting["spiking_layers"] for row in found)
    parts = []
    for T in sorted({row.setting["T"] for row in found}):
        here = {row.setting["spiking_layers"]: row.figures for row in found if row.setting["T"] == T}
        best = max((n for n in here if 0 < n < most), key=lambda n: here[n]["exact_match"])
        lowest = "the lowest layer does" if best == 1 else f"the lowest {best} layers do"
        parts.append(
            f"T = {T}: {here[most]['exact_match']:.1%} if all layers spike, "
            f"**{here[best]['exact_match']:.1%}** if only {lowest}"
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
    found = equally_good(energies())
    kinds = ("ratio_vs_fp32", "ratio_vs_int8", "ratio_vs_int8_zero_skipping")
    fp32, int8, skipping = (max(row.figures[kind] for row in found if kind in row.figures) for kind in kinds)
    best = max(found, key=lambda row: row.figures.get(kinds[2], 0.0)).setting
    plain = max(row.figures[kinds[2]] for row in found if "held" not in row.setting["schedule"])
    verdict = "So the claim holds against float, not against an 8-bit network that is as clever."
    if skipping >= 1:
        verdict = "So it wins against every one of them, with the default constants."
    if "held" in best["schedule"]:
        verdict += (
            " Look at what the best one does: it waits for all digits of a count, fetches each weight once, "
            "and adds it at the place of each digit. That is a multiplication, done one bit at a time. "
            f"Without that trick the best of our spiking networks reaches {plain:.2f}."
        )
    return sentence(
        "Of the networks that answer equally well (within 2 points), the best needs **{fp32:.1f} times** "
        "less energy than a float network; than an 8-bit network that multiplies everything, {int8:.2f} "
        "times less; than one that skips its zeros, **{skipping:.2f} times** ({network}, {schedule}, "
        "T = {T}). {verdict}",
        *found, fp32=fp32, int8=int8, skipping=skipping, verdict=verdict,
        network=best["network"], schedule=best["schedule"], T=best["T"] or "rest",
    )  # fmt: skip
