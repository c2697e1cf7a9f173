"""How long a generated token takes over whole runs, and how much runs differ: rows headline.latency, .spread.

A run answers questions one after another until so many tokens are generated. Variants take turns run by run
on the same questions, so that what disturbs the machine disturbs all of them, and each run gives a ratio; the
figure is their median. Milliseconds per token are a run's whole time over its generated tokens: reading
questions is part of it, as it is part of waiting.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from neurolab import headline
from neurolab.benchmark import middle, percentile, quiet, spread
from neurolab.headline import Opened


def timed(opened: Opened, asked: Sequence[np.ndarray]) -> tuple[float, int]:
    """One run: seconds, and tokens generated."""
    start, tokens = time.perf_counter(), 0
    for ids in asked:
        tokens += len(headline.speak(opened, ids))
    return time.perf_counter() - start, tokens


def steps(opened: Opened, asked: Sequence[np.ndarray]) -> list[float]:
    """Seconds of each call that gives a token behind the first of its answer (one token in, one out)."""
    found: list[float] = []

    def step(ids: np.ndarray, cache: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        start = time.perf_counter()
        out = opened.step(ids, cache)
        if ids.shape[1] == 1:
            found.append(time.perf_counter() - start)
        return out

    watched = replace(opened, step=step)
    for ids in asked:
        headline.speak(watched, ids)
    return found


def ratios(
    this: Opened, others: Mapping[str, Opened], tokens: int = 512, runs: int = 20, seed: int = 0
) -> dict[str, Any]:
    """Figures of headline.latency: `this` beside each of the others, `runs` runs of `tokens` tokens in turns.

    ratio_vs_NAME: the other's time per token over this one's, the median over runs; _low, _high: an interval
    of at least 95 % (`benchmark.middle`). p50_ratio, p95_ratio: of single tokens behind the first, against
    the first of the others. ValueError without others, or for runs below 1.
    """
    if not others or runs < 1:
        raise ValueError(f"{len(others)} others and runs {runs}: must be at least 1 each")
    sides = {"this": this, **others}
    asked = [
        headline.encoded(this.network.tokenizer, headline.prompts(this.network.tokenizer, tokens, seed + run))
        for run in range(runs)
    ]
    per_token: dict[str, list[float]] = {name: [] for name in sides}
    single: dict[str, list[float]] = {name: [] for name in ("this", next(iter(others)))}
    for one in sides.values():
        timed(one, asked[0][:20])
    with quiet():
        for run, questions in enumerate(asked):
            names = list(sides)
            for name in names[run % len(names) :] + names[: run % len(names)]:
                seconds, made = timed(sides[name], questions)
                per_token[name].append(1e3 * seconds / made)
                if name in single:
                    single[name] += steps(sides[name], questions[:30])
    found: dict[str, Any] = {"milliseconds_per_token": statistics.median(per_token["this"])}
    for name in others:
        each = [b / a for a, b in zip(per_token["this"], per_token[name], strict=True)]
        median, low, high = middle(each, 0.95)
        found |= {f"ratio_vs_{name}": median, f"ratio_vs_{name}_low": low, f"ratio_vs_{name}_high": high}
    mine, theirs = single.values()
    found |= {f"p{p}_ratio": percentile(theirs, p) / percentile(mine, p) for p in (50, 95)}
    return found


def latency_spread(opened: Opened, tokens: int, runs: int, warmup: int = 1, seed: int = 0) -> dict[str, Any]:
    """Runs of one variant alone, on the same questions: milliseconds per token of each, and how they differ.

    first_run_ratio: the first run, warm-up included, over the median of the others.
    """
    asked = headline.encoded(
        opened.network.tokenizer, headline.prompts(opened.network.tokenizer, tokens, seed)
    )
    each = []
    with quiet():
        for _ in range(warmup + runs):
            seconds, made = timed(opened, asked)
            each.append(1e3 * seconds / made)
    kept = each[warmup:]
    return {
        "latency_sd_percent": spread(kept),
        "p95_over_median": percentile(kept, 95) / statistics.median(kept),
        "first_run_ratio": each[0] / statistics.median(kept),
        "milliseconds": kept,
    }


def accuracy_spread(opened: Opened, tokens: int, runs: int, seed: int = 0) -> dict[str, Any]:
    """Runs of one variant, each on other questions: the share of right answers of each, and how they differ.

    repeated_sd_percent: the same with the first run's questions again and again; greedy answers don't vary.
    """
    tokenizer = opened.network.tokenizer
    shares, counts, again = [], [], []
    for run in range(runs):
        asked = headline.prompts(tokenizer, tokens, seed + run)
        shares.append(_share(opened, asked))
        counts.append(len(asked))
    first = headline.prompts(tokenizer, tokens, seed)
    for _ in range(2):
        again.append(_share(opened, first))
    expected = statistics.fmean(shares)
    return {
        "accuracy_sd_percent": spread(shares),
        "repeated_sd_percent": spread(again),
        "binomial_sd_percent": 100 * (expected * (1 - expected) / statistics.fmean(counts)) ** 0.5 / expected,
        "questions_a_run": statistics.fmean(counts),
        "exact_match": shares,
    }


def _share(opened: Opened, asked: Sequence[Any]) -> float:
    return sum(headline.right(opened, asked)) / len(asked)
