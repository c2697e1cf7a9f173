"""How long a step takes: one runtime and precision beside another, in turns, on one thread.

Two calls: `prompt` reads a question of 18 tokens (the held-out median, rounded) with no past, `step` reads
one token behind 20. Ratios are the other's time over this one's: 2 means twice as fast. A call finds its
weights in the processor's cache if nothing else ran; `cold` takes them out before each call, as other
programs would.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from neurolab.benchmark import Tails, fastest, middle, tails
from neurolab.export.decoder import Step, check_sizes, empty_cache
from neurolab.transformer import Config

CALLS = ("step", "prompt")
PROMPT, PAST = 18, 20
EVICT = 96 * 2**20
"""Bytes that are written between calls: more than a processor's last cache holds."""


def call(step: Step, config: Config, what: str) -> Callable[[], Any]:
    """The call, ready to be timed: the same ids and cache each time. ValueError for an unknown one."""
    if what not in CALLS:
        raise ValueError(f"what {what!r}: must be one of {', '.join(CALLS)}")
    n, past = (1, PAST) if what == "step" else (PROMPT, 0)
    check_sizes(config, n, past)
    ids = (np.arange(n, dtype=np.int64) % (config.vocabulary - 3) + 3)[None]
    cache = empty_cache(config)
    if past:
        context = (np.arange(past, dtype=np.int64) % (config.vocabulary - 3) + 3)[None]
        cache = step(context, cache)[1]
    return lambda: step(ids, cache)


def ratio(this: Step, other: Step, config: Config, what: str, pairs: int = 21, calls: int = 40) -> float:
    """How many times faster `this` is than `other`: the median over pairs of blocks of `calls` calls each.

    Of a block the fastest call counts: one is shorter than what a scheduler hands out, and an interruption
    only adds. The calls of a block follow each other: each side's weights are where its own calls left them.
    """
    a, b = call(this, config, what), call(other, config, what)
    for run in (a, b):
        fastest(run, 3)
    found = []
    for pair in range(pairs):
        order = (a, b) if pair % 2 else (b, a)  # neither always follows the other
        times = {run: fastest(run, calls) for run in order}
        found.append(times[b] / times[a])
    return middle(found)[0]


def cold(this: Step, other: Step, config: Config, what: str, rounds: int = 40) -> float:
    """The same with both sides' weights out of the processor's cache: medians of single calls in turns."""
    a, b = call(this, config, what), call(other, config, what)
    for run in (a, b):
        run()
    room = np.zeros(EVICT, np.uint8)
    seconds: tuple[list[float], list[float]] = ([], [])
    for i in range(rounds):
        for run, kept in zip((a, b), seconds, strict=True):
            room.fill(i % 256)
            start = time.perf_counter()
            run()
            kept.append(time.perf_counter() - start)
    return Tails(*seconds).ratio(50)


def figures(
    this: Step, config: Config, what: str, others: dict[str, Step], pairs: int = 21, rounds: int = 400
) -> dict[str, float]:
    """ratio_vs_NAME of each other; beside fp32 also p95_ratio and ratio_vs_fp32_cold; milliseconds."""
    found = {f"ratio_vs_{name}": ratio(this, step, config, what, pairs) for name, step in others.items()}
    beside = others.get("fp32", next(iter(others.values())))
    both = tails(_each(this, config, what), _each(beside, config, what), rounds)
    found["milliseconds"] = 1e3 * sorted(both.seconds_a)[len(both.seconds_a) // 2]
    if "fp32" in others:
        found["p95_ratio"] = both.ratio(95)
        found["ratio_vs_fp32_cold"] = cold(this, beside, config, what, max(1, rounds // 10))
    return found


def _each(step: Step, config: Config, what: str) -> Callable[[int], Any]:
    run = call(step, config, what)
    return lambda i: run()
