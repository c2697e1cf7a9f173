"""What each replacement on the way to spikes costs: rows of chapter 3 (claims A15, A17 and A25).

``spiking.softmax`` and ``spiking.parts``: the float assistant with one kind of part replaced, before and
after distillation, beside the unchanged assistant trained for as many steps. `spiking_rates` makes the rows
of rate, temporal and hybrid codes and of hybrid networks. A row that the reader's own store has for the same
weights is not made again.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from neurolab import assistant, facts, parts
from neurolab.assistant import Rows, quick_scores, repeatable
from neurolab.bench._kept import CHAPTER, kept
from neurolab.bench.encoding import sample
from neurolab.benchmark import Finding, Goal
from neurolab.tokens import encode_pair

GOALS: list[Goal] = []
STEPS, BATCH, SEED, QUESTIONS = 200, 64, 5, 1000
THREADS = 1
Say = Callable[[str], None]
__all__ = ["CHAPTER", "GOALS", "run"]


def parts_rows(quick: bool = False, progress: Say | None = None) -> list[Finding]:
    """The rows of every part and replacement, untouched and tuned; `quick`: two steps, 8 questions."""
    say = progress or (lambda text: None)
    one = assistant.load()
    of = one.card["sha256"][assistant.WEIGHTS][:12]
    steps, batch = (2, 8) if quick else (STEPS, BATCH)
    asked = sample(8 if quick else QUESTIONS)
    rows = Rows([encode_pair(one.tokenizer, q.text, q.answer) for q in facts.split("train")], batch, SEED)
    ids = rows.at(1_000_003).ids  # questions on which ranges are measured
    full = quick_scores(one.model, one.tokenizer, asked)

    def untouched(model: parts.Transformer) -> dict[str, Any]:
        return {"steps": 0, "minutes": 0.0, **quick_scores(model, one.tokenizer, asked)}

    def tuned(model: parts.Transformer) -> dict[str, Any]:
        began = time.perf_counter()
        with repeatable(THREADS):
            history = parts.distil(model, one.model, rows, steps, progress=False)
        minutes = (time.perf_counter() - began) / 60
        return {"steps": history.step, "minutes": minutes, **quick_scores(model, one.tokenizer, asked)}

    def finish(figures: dict[str, Any], against: float) -> dict[str, Any]:
        drop = 100 * (against - figures["exact_match"])
        from_float = 100 * (full["exact_match"] - figures["exact_match"])
        return {
            **figures,
            "exact_match_drop_points": drop,
            "drop_from_float_points": from_float,
            "questions": len(asked),
        }

    def row(part: str, name: str, tune: bool, against: float, make: Callable[[], Any]) -> Finding:
        setting: dict[str, Any] = {"replacement": name, "tuned": tune}
        if tune:
            setting |= {"batch": batch, "seed": SEED}
        if part != "softmax":
            setting["part"] = part
        if part == "activation" and name == "rate":
            setting["T"] = parts.T_RATE
        kind = "spiking.softmax" if part == "softmax" else "spiking.parts"
        return kept(kind, setting, of, lambda: finish(make(), against), keep=not quick)

    say("the unchanged assistant, trained for as many steps")
    control = row("none", "unchanged", True, full["exact_match"], lambda: tuned(copy.deepcopy(one.model)))
    found = [row("none", "unchanged", False, full["exact_match"], lambda: untouched(one.model)), control]
    for part in ("softmax", "activation", "norm"):
        for name in parts.PARTS[part]:
            say(f"{part}: {name}")
            torch.manual_seed(SEED)
            new = parts.replace(one.model, part, name, ids)
            found.append(row(part, name, False, full["exact_match"], partial(untouched, new)))
            say(f"{part}: {name}, distilled for {steps} steps")
            found.append(row(part, name, True, control.figures["exact_match"], partial(tuned, new)))
    return found


def run(quick: bool = False, progress: Say | None = None) -> list[Finding]:
    """All rows of this module."""
    return parts_rows(quick, progress)
