"""Chapter 8's sentences that carry a result: figures from rows, conclusions that turn with the figures."""

from __future__ import annotations

from typing import Any

from IPython.display import Markdown

from neurolab import claims
from neurolab.benchmarking_headline import (
    energy_sentence,
    fastest_sentence,
    headline_sentence,
    memory_sentence,
    nearest_sentence,
)
from neurolab.benchmarking_rows import NOT_YET, claimed, rivals, short
from neurolab.guess import Guess
from neurolab.measurements import Measurement, read, sentence
from neurolab.quantization_rows import values
from neurolab.sparsity_rows import median

__all__ = [
    "BET", "baseline_sentence", "claims_sentence", "energy_sentence", "fastest_sentence", "headline_sentence",
    "lesson", "memory_sentence", "nearest_sentence", "reveal_bet", "reveal_confirmed", "reveal_spread",
    "spread_sentence", "verdict_of_bet",
]  # fmt: skip

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


def _inside(what: str) -> str:
    """How many series stay within what claim A5 says: "12 of 18 series within 8 %"."""
    test = next(claim for claim in claims.claims() if claim.id == "A5").rule.tests[what]
    found = values(long_runs(what), f"{what}_sd_percent")
    return f"{sum(map(test.holds, found))} of {len(found)} series within {test.than:g} %"


def spread_sentence() -> Any:
    """Claim A5's two standard deviations, and how many series stay within what it says."""
    latency, accuracy = (median(long_runs(what), f"{what}_sd_percent") for what in ("latency", "accuracy"))
    if latency is None or accuracy is None:
        return Markdown(NOT_YET)
    again = values(long_runs("accuracy"), "repeated_sd_percent")
    same = " Asked the same questions again, the answers are the same: what varies is the draw of questions."
    return sentence(
        "Over {few} runs and more the standard deviation is in the middle **{latency:.1f} %** of the mean "
        "for the time (at worst {most:.1f} %; {times}) and **{accuracy:.2f} %** for right answers (at worst "
        "{least:.2f} %; {answers}).{same}",
        *long_runs("latency"),
        *long_runs("accuracy"),
        few=FEW,
        latency=latency,
        most=max(values(long_runs("latency"), "latency_sd_percent")),
        times=_inside("latency"),
        accuracy=accuracy,
        least=max(values(long_runs("accuracy"), "accuracy_sd_percent")),
        answers=_inside("accuracy"),
        same=same if again and not any(again) else "",
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


def _with_room() -> int | None:
    """How many confirmed claims came out with twice what their rule asks, or better; None before any did."""
    found = claimed()
    if found is None:
        return None
    pairs = zip(found["verdict"], found["times"], strict=True)
    return sum(verdict == "confirmed" and t >= 2 for verdict, t in pairs)


def claims_sentence() -> Any:
    """How the claims came out, and how many confirmed ones with room to spare."""
    count = claims.counts()
    judged = [f"**{n}** {word}" for word, n in count.items() if n and word != "open"]
    text = f"Verdicts on {sum(count.values())} claims: {', '.join(judged)}"
    if count.get("open"):
        text += f"; {count['open']} still open"
    room = _with_room()
    if room is not None:
        text += f". Of the confirmed ones, {room} came out with at least **twice** what their rule asks"
    kinds = sorted({row.kind for verdict in claims.verdicts() for row in verdict.rows})
    return Markdown(f"{text}. *({', '.join(kinds)})*" if kinds else f"{text}.")


def lesson() -> Any:
    """What the whole ledger teaches, as far as it bears it out: nothing typed that no row says."""
    count, room, parts = claims.counts(), _with_room(), []
    if room:
        parts.append(
            f"Articles are not always too bold: {_claims(room)} came out with at least twice what is asked."
        )
    if count["partly"]:
        parts.append(
            f"{_claims(count['partly'])} came out as true in part only: under a condition that the ledger "
            "names, or by a simulation alone."
        )
    if count["not reproduced"]:
        parts.append(f"{_claims(count['not reproduced'])} did not come out here.")
    token = rivals("token")
    if len(token) > 1 and max(token.values()) >= 2 * min(token.values()):
        factor = max(token.values()) / min(token.values())
        parts.append(
            f"And by the choice of the rival alone one figure can be made **{factor:.0f} times** larger than "
            "another that is just as true. The baseline is the trick."
        )
    return Markdown(" ".join(parts) or NOT_YET)


def _claims(n: int) -> str:
    return f"{n} claim{'s' if n != 1 else ''}"


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
    each = ", ".join(f"{names[i]} {found[i]}" for i in ON_TRIAL)
    return guess.reveal(
        answer,
        f"The ledger says: {each}. (The first answer takes three claims confirmed, the last one three not "
        "reproduced; anything between is the second.)",
    )
