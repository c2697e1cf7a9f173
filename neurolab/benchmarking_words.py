"""Chapter 8's sentences that carry a result: figures from rows, conclusions that turn with the figures."""

from __future__ import annotations

import statistics
from typing import Any

from IPython.display import Markdown

from neurolab import claims
from neurolab.benchmarking_rows import NOT_YET, claimed, name_of, rivals, short
from neurolab.guess import Guess
from neurolab.measurements import Measurement, read, sentence
from neurolab.quantization_rows import by, values
from neurolab.sparsity_rows import median

BET = [
    "It holds as it stands",
    "It holds under conditions that the article does not name",
    "It does not hold",
]
"""What chapter 0 let the reader bet on."""
ON_TRIAL = ("A1", "A2", "A4")
"""Energy, memory, quality: the claims of the bet."""
FEW = 10
"""Fewer runs than this are no row of claim A5."""


def long_runs(what: str) -> list[Measurement]:
    """The rows of spread that claim A5 reads; what: latency | accuracy."""
    rows = [r for r in read("headline.spread") if f"{what}_sd_percent" in r.figures]
    return [r for r in rows if r.setting["runs"] >= FEW]


def spread_sentence() -> Any:
    """Claim A5's two standard deviations, and whether they stay within what it says."""
    latency, accuracy = (median(long_runs(what), f"{what}_sd_percent") for what in ("latency", "accuracy"))
    if latency is None or accuracy is None:
        return Markdown(NOT_YET)
    most = max(values(long_runs("latency"), "latency_sd_percent"))
    return sentence(
        "Over {few} runs and more the standard deviation is **{latency:.1f} %** of the mean for the time (at "
        "worst {most:.1f} %) and **{accuracy:.2f} %** for right answers.",
        *long_runs("latency"),
        few=FEW,
        latency=latency,
        most=most,
        accuracy=accuracy,
    )


def baseline_sentence() -> Any:
    """The surprise: one file, and its factor by rival."""
    found = rivals("token")
    if len(found) < 2:
        return Markdown(NOT_YET)
    best, least = max(found, key=lambda n: found[n]), min(found, key=lambda n: found[n])
    return sentence(
        "The 8-bit file has not changed, nor has its time: it is **{high} times** as fast as {best}, and "
        "**{low} times** as fast as {least}.",
        *read("export.latency", runtime="onnx", what="step"),
        high=short(found[best]),
        best=best,
        low=short(found[least]),
        least=least,
    )


def _files() -> dict[str, list[Measurement]]:
    """Rows on both languages of the networks that have a factor against 8 bits, by network."""
    rows = [r for r in read("headline.assistant", language="both") if "file_ratio_vs_int8" in r.figures]
    return {model: here for (model,), here in by(rows, "model").items()}


def headline_sentence() -> Any:
    """The smallest file that loses at most one point, and at most three, against 8 bits."""
    found = {
        model: (
            statistics.median(values(here, "file_ratio_vs_int8")),
            max(values(here, "exact_match_drop_points")),
        )
        for model, here in _files().items()
        if values(here, "exact_match_drop_points")
    }
    parts = []
    for most in (1, 3):
        kept = {model: ratio for model, (ratio, lost) in found.items() if lost <= most}
        if kept:
            best = max(kept, key=lambda m: kept[m])
            parts.append(
                f"at a loss of at most {most} point{'s' if most > 1 else ''} the smallest file is "
                f"**{kept[best]:.1f} times** smaller than that of 8 bits ({name_of(best)}, at worst "
                f"{found[best][1]:.2f} points)"
            )
    if not parts:
        return Markdown(NOT_YET)
    text = "; ".join(parts)
    return sentence("{text}.", *read("headline.assistant"), text=text[0].upper() + text[1:])


def memory_sentence() -> Any:
    """What the articles call footprint: the peak while answering, which a small file hardly moves."""
    found = {
        model: statistics.median(peaks)
        for model, here in _files().items()
        if (peaks := values(here, "peak_memory_ratio_vs_int8"))
    }
    if not found:
        return Markdown(NOT_YET)
    best = max(found, key=lambda m: found[m])
    return sentence(
        "While answering, the most frugal of them ({best}) takes **{ratio:.2f} times** less memory at its "
        "peak "
        "than 8 bits do, from a file {file:.1f} times smaller.",
        *read("headline.assistant"),
        best=name_of(best),
        ratio=found[best],
        file=statistics.median(values(_files()[best], "file_ratio_vs_int8")),
    )


def fastest_sentence() -> Any:
    """The fastest of all variants, beside its own runtime's floats and 8 bits."""
    rows = [r for r in read("headline.latency") if "ratio_vs_fp32" in r.figures]
    if not rows:
        return Markdown(NOT_YET)
    timed = [r for r in rows if "milliseconds_per_token" in r.figures]
    best = (
        min(timed, key=lambda r: r.figures["milliseconds_per_token"])
        if timed
        else max(rows, key=lambda r: r.figures["ratio_vs_fp32"])
    )
    text = f"The fastest of all is **{name_of(best.setting['model'])}**:"
    text += f" {best.figures['ratio_vs_fp32']:.2f} times"
    text += " as fast as floats in the same runtime"
    if "ratio_vs_int8" in best.figures:
        text += f", {best.figures['ratio_vs_int8']:.2f} times as fast as 8 bits"
    return sentence("{text}.", best, text=text)


def energy_sentence() -> Any:
    """The best spiking and the best other network against 8 bits and floats, whatever it is."""
    rows = [r for r in read("headline.energy") if "ratio_vs_int8" in r.figures]
    spiking = [r for r in rows if r.setting["model"] == "spiking"]
    others = [r for r in rows if r.setting["model"] not in ("spiking", "float", "int8")]
    if not spiking or not others:
        return Markdown(NOT_YET)
    one = max(spiking, key=lambda r: r.figures["ratio_vs_int8"])
    two = max(others, key=lambda r: r.figures["ratio_vs_int8"])
    first = one.figures["ratio_vs_int8"] >= two.figures["ratio_vs_int8"]
    return sentence(
        "By the model, the best spiking network takes **{s8:.2f} times** less energy than 8 bits and "
        "{s32:.1f} "
        "times less than floats; the best that does not spike ({name}) **{o8:.2f}** and {o32:.1f} times. "
        "{winner} "
        "wins.",
        one,
        two,
        s8=one.figures["ratio_vs_int8"],
        s32=one.figures["ratio_vs_fp32"],
        o8=two.figures["ratio_vs_int8"],
        o32=two.figures["ratio_vs_fp32"],
        name=name_of(two.setting["model"]),
        winner="The spiking one" if first else "The other",
    )


def claims_sentence() -> Any:
    """How the claims came out, and how many of them measured twice as good as they say, or better."""
    count = claims.counts()
    judged = [f"**{n}** {word}" for word, n in count.items() if n and word != "open"]
    text = f"Of {sum(count.values())} claims {', '.join(judged)}"
    if count.get("open"):
        text += f"; {count['open']} still wait for their rows"
    found = claimed()
    if found is not None:
        under = [i for i, t in zip(found["id"], found["times"], strict=True) if t >= 2]
        text += f". {len(under)} came out at least **twice as good** as their rule asks"
    kinds = sorted({row.kind for verdict in claims.verdicts() for row in verdict.rows})
    return Markdown(f"{text}. *({', '.join(kinds)})*" if kinds else f"{text}.")


def lesson() -> Any:
    """What the whole ledger teaches, as far as it bears it out: nothing typed that no row says."""
    count, found = claims.counts(), claimed()
    parts = []
    if found is not None and any(t >= 2 for t in found["times"]):
        parts.append("Some of what the articles claim is understated.")
    if count["partly"]:
        parts.append(f"{count['partly']} claims are true under a condition that the articles do not name.")
    if count["not reproduced"]:
        parts.append(f"{count['not reproduced']} did not come out here.")
    token = rivals("token")
    if len(token) > 1 and max(token.values()) >= 2 * min(token.values()):
        factor = max(token.values()) / min(token.values())
        parts.append(
            f"And by the choice of the rival alone one figure can be made **{factor:.0f} times** larger than "
            "another that is just as true. The baseline is the trick."
        )
    return Markdown(" ".join(parts) or NOT_YET)


def nearest_sentence() -> Any:
    """How near the smallest of the course's networks comes to the article's own budget."""
    timed = [
        r
        for r in read("headline.latency", model="qat28_int8", runtime="onnx")
        if "ratio_vs_fp32" in r.figures
    ]
    rows = read("headline.assistant", model="qat28", language="both")
    if not timed or not rows:
        return Markdown(NOT_YET)
    return sentence(
        "What we have: qat28.nlab, which had fewer layers before it had fewer bits, and then training. Run "
        "as 8 bits it is {file:.1f} times smaller than the 8-bit file, loses {lost:.2f} points, and a token "
        "is {speed:.2f} times as fast as with floats.",
        *timed,
        *rows,
        file=median(rows, "file_ratio_vs_int8"),
        lost=median(rows, "exact_match_drop_points"),
        speed=median(timed, "ratio_vs_fp32"),
    )


# ---- guesses ----------------------------------------------------------------------------------------------


def reveal_spread(guess: Guess) -> Any:
    """The first guess beside the rows."""
    latency = median(long_runs("latency"), "latency_sd_percent")
    if latency is None:
        return Markdown(NOT_YET)
    return guess.reveal(
        round(latency, 1), "The median of all rows of ten runs and more, on one thread and two."
    )


def reveal_confirmed(guess: Guess) -> Any:
    """The second guess beside the ledger."""
    return guess.reveal(claims.counts()["confirmed"], "Counted by the rules, just now.")


def verdict_of_bet() -> str | None:
    """Which of BET the ledger bears out; None while one of ON_TRIAL is open."""
    found = {v.id: v.verdict for v in claims.verdicts() if v.id in ON_TRIAL}
    if "open" in found.values():
        return None
    if all(word == "confirmed" for word in found.values()):
        return BET[0]
    return BET[2] if all(word == "not reproduced" for word in found.values()) else BET[1]


def reveal_bet(guess: Guess) -> Any:
    """Chapter 0's bet, at last."""
    answer = verdict_of_bet()
    if answer is None:
        return Markdown(NOT_YET)
    found = {v.id: v.verdict for v in claims.verdicts() if v.id in ON_TRIAL}
    names = dict(zip(ON_TRIAL, ("energy", "memory", "quality"), strict=True))
    said = ", ".join(f"{names[i]}: {found[i]}" for i in ON_TRIAL)
    return guess.reveal(answer, f"The ledger says, {said}.")
