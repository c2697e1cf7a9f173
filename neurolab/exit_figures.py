"""What early exit is worth on the assistant: answers, multiply-adds and times beside those of all layers.

Directions: `mean_cost_ratio` is the cost with exits over the cost of all layers, so below 1 is cheaper; times
are times as fast, all layers over exits, so above 1 is faster and a tail below 1 has got worse.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from neurolab import assistant, early_exit, exit_choice, facts, tuning
from neurolab.assistant import Assistant
from neurolab.benchmark import Tails, tails
from neurolab.early_exit import ExitHeads, Exiting, full_macs
from neurolab.facts import Question
from neurolab.tokens import END_ID, decode, encode_pair, encode_question, exact_match

BATCH = 128  # rows in a step of the heads' training
MOST_LOST = 0.5  # points of exact match on the questions that thresholds are chosen on: half of what may go
EVERY = 45  # of the training questions, beside all of `dev`, to choose on


def shipped() -> ExitHeads:
    """The heads that come with the course. ValueError if they belong to another assistant."""
    helper = assistant.load()
    return early_exit.load(helper.model, of=helper.card["sha256"][assistant.WEIGHTS][:12])


def ship(path: Path | None = None) -> Path:
    """Train the heads that come with the course and write them (None: to their place)."""
    helper, path = assistant.load(), path or early_exit.FILE
    early_exit.save(trained(0), path, helper.card["sha256"][assistant.WEIGHTS][:12])
    path.chmod(0o644)
    return path


@lru_cache(maxsize=1)
def trained(seed: int) -> ExitHeads:
    """Heads trained now: a minute on one thread."""
    return early_exit.train(assistant.load().model, tuning.training_rows(BATCH, seed), seed=seed)[0]


def chosen(heads: ExitHeads, most_lost: float = MOST_LOST) -> tuple[float, ...]:
    """Thresholds for the assistant, chosen on `dev` and training questions; no held-out one is looked at."""
    helper = assistant.load()
    asked = [*facts.split("dev"), *facts.split("train")[::EVERY]]
    rows = [encode_pair(helper.tokenizer, q.text, q.answer) for q in asked]
    return exit_choice.choose(exit_choice.told(helper.model, heads, rows), most_lost)[0]


def lost(full: Sequence[bool], other: Sequence[bool]) -> dict[str, float]:
    """Points that `other` loses against `full`, item by item, with their 95 % interval (normal). At least 2
    items, as many of both."""
    each = [100.0 * (a - b) for a, b in zip(full, other, strict=True)]
    mean, half = statistics.mean(each), 1.96 * statistics.stdev(each) / math.sqrt(len(each))
    return {
        "accuracy_drop_points": mean,
        "accuracy_drop_points_low": mean - half,
        "accuracy_drop_points_high": mean + half,
    }


def times(found: Tails) -> dict[str, float]:
    """Times as fast at the median and at the tails, over different requests, and of the sum of all."""
    made = {f"p{p}_ratio": found.ratio(p) for p in (50, 95, 99)}
    return made | {"mean_time_ratio": sum(found.seconds_b) / sum(found.seconds_a)}


def figures(
    helper: Assistant,
    heads: ExitHeads,
    threshold: float | Sequence[float],
    cache: str,
    questions: Sequence[Question],
    timed: int = 0,
) -> dict[str, Any]:
    """Ask every question through all layers and with exits; time `timed` of them, in turns, one at a time.

    exact_match and full_exact_match (shares), what is lost, mean_cost_ratio, heads_share (of the cost with
    exits), layers_mean (a token), deepest_mean (the most layers of a request, mean).
    ValueError for fewer than 2 questions.
    """
    if len(questions) < 2:
        raise ValueError(f"questions: {len(questions)} of them; must be at least 2")
    model = helper.model
    exiting = Exiting(model, heads, threshold, cache)
    prompts = [torch.tensor([encode_question(helper.tokenizer, q.text)]) for q in questions]
    walks = [exiting.walk(ids, END_ID) for ids in prompts]
    whole = [model.generate(ids, END_ID)[0].tolist() for ids in prompts]
    right = [
        exact_match(decode(helper.tokenizer, w.tokens), q.answer)
        for w, q in zip(walks, questions, strict=True)
    ]
    full = [exact_match(decode(helper.tokenizer, w), q.answer) for w, q in zip(whole, questions, strict=True)]
    cost = sum(w.macs for w in walks)
    before = sum(full_macs(model.config, ids.shape[1], len(w)) for ids, w in zip(prompts, whole, strict=True))
    found: dict[str, Any] = {
        "exact_match": statistics.mean(right),
        "full_exact_match": statistics.mean(full),
        "mean_cost_ratio": cost / before,
        "heads_share": sum(w.head_macs for w in walks) / cost,
        "layers_mean": statistics.mean(n for w in walks for n in w.layers),
        "deepest_mean": statistics.mean(max(w.layers) for w in walks),
        "questions": len(questions),
        **lost(full, right),
    }
    if timed:
        rounds = min(timed, len(prompts))
        found |= times(
            tails(
                lambda i: exiting.walk(prompts[i], END_ID),
                lambda i: model.generate(prompts[i], END_ID),
                rounds,
            )
        )
    return found
