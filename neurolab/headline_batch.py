"""What batching and caches do to latency and memory: rows headline.batch.

Throughput: B sequences in one call. Weights are fetched once for all of them, so tokens per second rise; each
sequence waits for the whole call, so latency rises too, and every sequence has a cache of its own.

Key-value cache: with it a token reads itself, without it the whole sequence again (`uncached`).

Prompt-prefix cache (`PrefixCache`): keys and values of a token depend on the tokens before it and on nothing
behind it, so questions that begin alike share them. What an earlier prompt has left is taken up where the new
one departs from it. Cached numbers are as they were computed, in a prompt of another length: a runtime may
round them differently in the last bits, which is why the rows count the answers that stay equal.
"""

from __future__ import annotations

import bisect
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from neurolab import headline
from neurolab.benchmark import middle, paired
from neurolab.export.decoder import check_sizes, empty_cache
from neurolab.headline import Opened
from neurolab.tokens import decode

PROMPT, PAST = 18, 20


def cache_bytes(opened: Opened, batch: int, tokens: int) -> int:
    """Bytes of the keys and values of `batch` sequences of `tokens` tokens, float32."""
    config = opened.network.model.config
    return config.layers * 2 * batch * config.heads * tokens * config.head_size * 4


def _ids(opened: Opened, batch: int, n: int) -> np.ndarray:
    """(batch, n) ordinary token ids, each sequence others."""
    room = opened.network.model.config.vocabulary - 3
    return (np.arange(batch * n, dtype=np.int64) * 7 % room + 3).reshape(batch, n)


def throughput(opened: Opened, batch: int, pairs: int = 15) -> dict[str, float]:
    """A token for each of `batch` sequences behind 20 others, beside one sequence alone.

    tokens_per_second_ratio: 1 or more where a batch pays.  latency_ratio: a call's time over a call's for one
    sequence.  memory_bytes: of the keys and values. ValueError for batch below 1.
    """
    if batch < 1:
        raise ValueError(f"batch {batch}: must be at least 1")
    step = opened.step
    calls = []
    for size in (1, batch):
        cache = step(_ids(opened, size, PAST), empty_cache(opened.network.model.config, size))[1]
        ids = _ids(opened, size, 1)
        calls.append(lambda ids=ids, cache=cache: step(ids, cache))
    found = paired(calls[0], calls[1], pairs=pairs, warmup=3)
    return {
        "tokens_per_second_ratio": batch / found.median,
        "tokens_per_second_ratio_low": batch / found.high,
        "tokens_per_second_ratio_high": batch / found.low,
        "latency_ratio": found.median,
        "memory_bytes": cache_bytes(opened, batch, PAST + 1),
    }


def generate(opened: Opened, ids: np.ndarray, tokens: int, cached: bool) -> tuple[np.ndarray, list[float]]:
    """`tokens` greedy tokens behind ids (B, n), END or not, and the seconds of each call.

    Without the cache every call reads the whole sequence from the start. ValueError where the context ends.
    """
    config = opened.network.model.config
    check_sizes(config, ids.shape[1] + tokens, 0)
    empty = empty_cache(config, len(ids))
    cache, made, seconds, new = empty, ids, [], ids
    for _ in range(tokens):
        start = time.perf_counter()
        if cached:
            logits, cache = opened.step(new, cache)
        else:
            logits, _ = opened.step(made, empty)
        seconds.append(time.perf_counter() - start)
        new = logits.argmax(-1)[:, None].astype(np.int64)
        made = np.concatenate((made, new), 1)
    return made[:, ids.shape[1] :], seconds


def kv_cache(opened: Opened, batch: int, tokens: int = 32, pairs: int = 7) -> dict[str, float]:
    """With the cache of keys and values beside without, prompts of 18 tokens and `tokens` new ones.

    tokens_per_second_ratio: with over without.  latency_ratio: the last token's time, with over without.
    memory_bytes: the cache at its end.  equal_tokens_percent. ValueError for batch below 1.
    """
    if batch < 1:
        raise ValueError(f"batch {batch}: must be at least 1")
    ids = _ids(opened, batch, PROMPT)
    whole, last, equal = [], [], []
    for pair in range(pairs + 1):
        (a, with_), (b, without) = (generate(opened, ids, tokens, cached) for cached in (True, False))
        if pair:
            whole.append(sum(without) / sum(with_))
            last.append(with_[-1] / without[-1])
            equal.append(float((a == b).mean()))
    median, low, high = middle(whole)
    return {
        "tokens_per_second_ratio": median,
        "tokens_per_second_ratio_low": low,
        "tokens_per_second_ratio_high": high,
        "latency_ratio": middle(last)[0],
        "memory_bytes": cache_bytes(opened, batch, PROMPT + tokens),
        "equal_tokens_percent": 100 * float(np.mean(equal)),
        "tokens": tokens,
    }


@dataclass
class PrefixCache:
    """Keys and values of the last `room` prompts, found by the longest beginning that a new one shares.

    Prompts stand sorted: of all of them, the one that shares most stands next to where the new one belongs.
    The least recently used one goes first. room: at least 1.
    """

    room: int
    kept: OrderedDict[tuple[int, ...], np.ndarray] = field(default_factory=OrderedDict)
    order: list[tuple[int, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.room < 1:
            raise ValueError(f"room {self.room}: must be at least 1")

    def longest(self, prompt: Sequence[int]) -> tuple[int, np.ndarray | None]:
        """How many first tokens of a prompt are known, at most all but its last (which must be read, for its
        scores), and their cache (layers, 2, 1, H, k, E); None with 0."""
        key = tuple(prompt)
        at = bisect.bisect_left(self.order, key)
        best, source = 0, None
        for other in self.order[max(at - 1, 0) : at + 1]:
            same = min(_shared(key, other), len(key) - 1)
            if same > best:
                best, source = same, other
        if source is None:
            return 0, None
        self.kept.move_to_end(source)
        return best, np.ascontiguousarray(self.kept[source][:, :, :, :, :best])

    def keep(self, prompt: Sequence[int], cache: np.ndarray) -> None:
        """Keep a prompt's cache (layers, 2, 1, H, n or more, E), cut to the prompt."""
        key = tuple(prompt)
        if cache.shape[4] < len(key):
            raise ValueError(f"cache of {cache.shape[4]} tokens: the prompt has {len(key)}")
        if key not in self.kept:
            bisect.insort(self.order, key)
        self.kept[key] = np.ascontiguousarray(cache[:, :, :, :, : len(key)])
        self.kept.move_to_end(key)
        while len(self.kept) > self.room:
            old, _ = self.kept.popitem(last=False)
            del self.order[bisect.bisect_left(self.order, old)]

    def bytes(self) -> int:
        """Bytes of what is kept."""
        return sum(cache.nbytes for cache in self.kept.values())


def _shared(a: Sequence[int], b: Sequence[int]) -> int:
    """How many first numbers are the same."""
    n = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        n += 1
    return n


def ask(opened: Opened, ids: np.ndarray, store: PrefixCache | None) -> tuple[list[int], float, float, int]:
    """One question (1, n), with a prefix cache or without: tokens, seconds in all, seconds until the first
    token, and the tokens that were not read again. Looking up and keeping count as time."""
    start = time.perf_counter()
    prompt = ids[0].tolist()
    known, cache = store.longest(prompt) if store is not None else (0, None)
    first: list[float] = []

    def step(new: np.ndarray, past: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if first:
            return opened.step(new, past)
        logits, longer = opened.step(new[:, known:], past if cache is None else cache)
        first.append(time.perf_counter() - start)
        if store is not None:
            store.keep(prompt, longer)
        return logits, longer

    made = headline.speak(replace(opened, step=step), ids)
    return made, time.perf_counter() - start, first[0], known


def prefix_cache(opened: Opened, room: int, questions: int = 400, seed: int = 0) -> dict[str, Any]:
    """A stream of held-out questions in random order, with a prefix cache of `room` prompts beside without.

    Each question is asked both ways in turns; what comes first alternates. tokens_per_second_ratio: whole
    answers, with over without.  latency_ratio: time until the first token, with over without (medians of the
    pairs).  memory_bytes: what is kept at the end.  reused_tokens_percent: of all prompts' tokens.
    equal_answers_percent.
    """
    from neurolab import facts

    pool = facts.split("held_out")
    order = np.random.default_rng(seed).permutation(len(pool))[:questions]
    asked = headline.encoded(opened.network.tokenizer, [pool[i] for i in order.tolist()])
    store = PrefixCache(room)
    for ids in asked[:5]:
        ask(opened, ids, None)
    seconds, firsts, equal, reused = {True: 0.0, False: 0.0}, [], 0, 0
    for i, ids in enumerate(asked):
        found = {}
        for cached in (True, False) if i % 2 else (False, True):
            found[cached] = ask(opened, ids, store if cached else None)
            seconds[cached] += found[cached][1]
        firsts.append(found[True][2] / found[False][2])
        tokenizer = opened.network.tokenizer
        equal += decode(tokenizer, found[True][0]) == decode(tokenizer, found[False][0])
        reused += found[True][3]
    median, low, high = middle(firsts)
    return {
        "tokens_per_second_ratio": seconds[False] / seconds[True],
        "latency_ratio": median,
        "latency_ratio_low": low,
        "latency_ratio_high": high,
        "memory_bytes": store.bytes(),
        "reused_tokens_percent": 100 * reused / sum(ids.shape[1] for ids in asked),
        "equal_answers_percent": 100 * equal / len(asked),
        "questions": len(asked),
    }
