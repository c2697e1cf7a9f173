"""Rows of mixed precision: what each matrix loses by rounding, and mixed against uniform bits (claim A9)."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

from neurolab import assistant, facts, mixed
from neurolab.sweep import Job

RATIOS = (6, 7, 8, 9, 10, 11, 12, 13)
"""Budgets: the float file over the mixed weights."""
ARTICLE = ((8, 4), (6, 3), (5, 3), (4, 2), (3, 2))
"""(high, low) bits: the articles' own, and its shape at sizes where something is at stake."""
AROUND = 3  # bits of the other matrices when the bits are given out


@lru_cache(maxsize=1)
def _helper() -> assistant.Assistant:
    return assistant.load()


@lru_cache(maxsize=2)
def losses(around: int | None) -> dict[str, dict[int, float]]:
    """`mixed.sensitivity` of every matrix of the assistant, once a process, on the questions of `dev`: never
    trained, never held out."""
    helper = _helper()
    return mixed.sensitivity(
        helper.model,
        helper.tokenizer,
        facts.split("dev"),
        list(mixed.matrices(helper.model)),
        around=around,
    )


def lost(tensor: str, bits: int) -> dict[str, Any]:
    """Figures of one row `compression.sensitivity`."""
    return {
        "bits_per_answer_byte": losses(None)[tensor][bits],
        "bits_per_answer_byte_among_3_bits": losses(AROUND)[tensor][bits],
        "weights": mixed.matrices(_helper().model)[tensor].numel(),
        "questions": len(facts.split("dev")),
        "split": "dev",
    }


def measured(ratio: float) -> dict[str, Any]:
    """Figures of a row `compression.mixed`: bits given out by measured losses."""
    model = _helper().model
    return mixed.compare(model, mixed.within(model, losses(AROUND), ratio))


def article(high: int, low: int) -> dict[str, Any]:
    """Figures of a row `compression.mixed`: the articles' allocation."""
    model = _helper().model
    return mixed.compare(model, mixed.article(model, high, low))


def jobs() -> list[Job]:
    """One row a matrix and bit-width, one a budget, one an allocation of the articles' shape."""
    made = []
    model = _helper().model
    for name in mixed.matrices(model):
        made += [
            Job("compression.sensitivity", {"tensor": name, "bits": bits}, partial(lost, name, bits), 0.1)
            for bits in mixed.WIDTHS
        ]
    for ratio in RATIOS:
        setting: dict[str, Any] = {"budget_ratio": ratio, "allocation": "measured"}
        made.append(Job("compression.mixed", setting, partial(measured, ratio), 1.5))
    for high, low in ARTICLE:
        there = round(mixed.float_bytes() / mixed.size(model, mixed.article(model, high, low)), 2)
        setting = {"budget_ratio": there, "allocation": "article", "high": high, "low": low}
        made.append(Job("compression.mixed", setting, partial(article, high, low), 1.5))
    return made
