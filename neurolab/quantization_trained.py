"""Chapter 4's sentences about trained networks: what training saves, the control, the goals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from IPython.display import Markdown

from neurolab.attention_words import below
from neurolab.guess import Guess
from neurolab.measurements import Measurement, read, sentence
from neurolab.quantization_rows import NOT_YET, behind_control, by, float_match, values, with_bits
from neurolab.quantization_words import best


def qat_sentence() -> Any:
    """What training with the rounding in place saves, width by width, against rounding alone."""
    trained = by([r for r in read("compression.qat", activations=32) if r.setting.get("soft", 1)], "bits")
    untrained = by(read("compression.ptq"), "bits")
    parts, used = [], []
    for (bits,), here in sorted(trained.items(), reverse=True):
        match = float(np.mean(values(here, "exact_match")))
        text = f"{with_bits(bits)} **{100 * match:.1f}%**"
        if before := untrained.get((bits,)):
            text += f" (best without training {100 * best(before).figures['exact_match']:.1f})"
        parts.append(text)
        used += here
    if not parts:
        return Markdown(NOT_YET)
    return sentence("Right answers after training: {parts}.", *used, parts=", ".join(parts))


def teacher_sentence() -> Any:
    """What the teacher's probabilities are worth, where the same training was run without them."""
    rows = by(read("compression.qat", activations=32), "bits", "steps", "seed")
    for (bits, _, _), here in rows.items():
        of = {bool(row.setting.get("soft")): row for row in here}
        if len(of) == 2:
            soft, hard = (of[kind].figures["exact_match"] for kind in (True, False))
            return sentence(
                "What is the teacher worth? The same training with {bits}, right answers only: {hard:.1%} "
                "instead of {soft:.1%}.",
                *here,
                bits=with_bits(bits),
                hard=hard,
                soft=soft,
            )
    return Markdown(NOT_YET)


def control_sentence() -> Any:
    """What the equal-steps float control does to the claim "better than before"."""
    final = [r for r in read("compression.headline") if str(r.setting["target"]).startswith("qat")]
    rows = [*read("compression.qat"), *final]
    pairs = [(row, points) for row in rows if (points := behind_control(row)) is not None]
    controls = [row for row in read("compression.control") if row.setting.get("steps")]
    if not pairs or not controls:
        return Markdown(NOT_YET)
    shipped = {r.setting["language"]: r for r in read("assistant.rounding", bits=32)}
    bytes_of = {lang: r.figures["bits_per_answer_byte"] for lang, r in shipped.items()}
    longest = max(controls, key=lambda row: row.figures["exact_match"])
    gained = 100 * (longest.figures["exact_match"] - float_match())
    better = [r for r, _ in pairs if r.figures["exact_match"] > float_match()]
    verdict = "None of the trained and quantized networks is better than the one it started from."
    if better:
        behind = sum(behind_control(row) > 0 for row in better)  # type: ignore[operator]
        verdict = (
            f"{len(better)} of {len(pairs)} trained and quantized networks answer more than the shipped "
            f"float assistant: *smaller and better*, a headline would say. {behind} of these {len(better)} "
            "are behind the control."
        )
    return sentence(
        "The float assistant itself, given {steps} more steps of the same training, is {gained} the "
        "shipped one ({bits:.5f} bits per answer byte instead of {before:.5f}). {verdict}",
        *controls,
        steps=longest.setting["steps"],
        gained=below(-gained),
        bits=longest.figures["bits_per_answer_byte"],
        before=float(np.mean(list(bytes_of.values()))),
        verdict=verdict,
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
    waiting = [
        target
        for target, rows in found.items()
        if target.startswith("qat") and any(behind_control(row) is None for row in rows)
    ]
    reached = [target for target, rows in found.items() if met(target, rows)]
    missed = [target for target in found if target not in (*reached, *waiting)]
    said_ = f"All seeds reach {_goals(reached)}." if reached else "No goal is reached by all seeds."
    if missed:
        said_ += f" Not reached by all: {_goals(missed)}."
    if waiting:
        said_ += f" Still without a control of equal steps: {_goals(waiting)}."
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


def reveal_smallest(guess: Guess) -> Any:
    """The guess about the smallest file beside its measurement, against the control of equal steps."""
    rows = read("compression.headline", target="qat28")
    lost = lost_at("qat28")
    if lost is None:
        return Markdown(NOT_YET)
    size = float(np.mean(values(rows, "size_ratio")))
    return guess.reveal(
        max(round(lost, 2), 0.0),
        f"Mean of {len(rows)} seeds, {size:.1f} times smaller, against the control.",
    )
