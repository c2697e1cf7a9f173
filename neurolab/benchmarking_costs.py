"""What chapter 8 measures of batches, caches, threads and places: things that no count of operations knows.

Everything is the assistant's step in ONNX Runtime; times are in milliseconds, of the fastest of some calls.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import onnxruntime

from neurolab import structure
from neurolab.benchmark import clock, fastest, quiet
from neurolab.benchmarking_live import PAST, Call, batch_of
from neurolab.export.decoder import Step
from neurolab.transformer import Config


def per_call(step: Step, config: Config, sizes: Sequence[tuple[int, int, int]], times: int = 6) -> np.ndarray:
    """Milliseconds of a call of (batch, n new, past) pieces, the fastest of `times`, for each of sizes."""
    found = []
    with quiet():
        for batch, n, past in sizes:
            ids, cache = batch_of(config, batch, n, past)
            step(ids, cache)
            found.append(1e3 * fastest(partial(step, ids, cache), times))
    return np.array(found)


def operations_and_time(step: Step, config: Config) -> dict[str, Any]:
    """One call that reads n pieces: multiply-adds and time, both as times of one piece's."""
    n = np.array([1, 2, 4, 8, 16, 32, 64])
    ms = per_call(step, config, [(1, int(k), 0) for k in n])
    macs = np.array([structure.macs(config, int(k)) for k in n], float)
    a, b = macs[-1] / macs[0], ms[-1] / ms[0]
    return {
        "n": n,
        "macs": macs / macs[0],
        "time": ms / ms[0],
        "words": f"64 pieces are {a:.0f} times the multiply-adds of one piece, and {b:.0f} times its time",
    }


def batches(step: Step, config: Config) -> dict[str, Any]:
    """Sequences in one call, a piece each: tokens a second, milliseconds of the call, and the cache in MB."""
    batch = np.array([1, 2, 4, 8, 16, 32, 64])
    ms = per_call(step, config, [(int(b), 1, PAST) for b in batch])
    per_second = 1e3 * batch / ms
    held = np.array([batch_of(config, int(b), 1, PAST + 1)[1].nbytes for b in batch]) / 1e6
    best = int(np.argmax(per_second))
    return {
        "batch": batch,
        "tokens": per_second / per_second[0],
        "wait": ms / ms[0],
        "memory": held,
        "words": f"{batch[best]} at once give {per_second[best] / per_second[0]:.1f} times the tokens a "
        "second; "
        f"each of them waits {ms[best] / ms[0]:.1f} times as long for its next one, and their caches hold "
        f"{held[best]:.1f} MB",
    }


def growing(step: Step, config: Config) -> dict[str, Any]:
    """The next piece of one sequence of n: with a cache it alone is read, without it all n are."""
    n = np.array([2, 16, 32, 48, 64, 80, 95])
    with_ = per_call(step, config, [(1, 1, int(k) - 1) for k in n])
    without = per_call(step, config, [(1, int(k), 0) for k in n])
    return {
        "n": n,
        "with": with_,
        "without": without,
        "words": f"the piece at place {n[-1]} takes {with_[-1]:.2f} ms with the cache and "
        f"{without[-1]:.2f} ms "
        f"without: {without[-1] / with_[-1]:.0f} times as long",
    }


def prefix(step: Step, config: Config, question: int = 18) -> dict[str, Any]:
    """Time until the first piece of an answer, where `shared` pieces before the question are always the same:
    all read, or their keys and values kept from the time before."""
    shared = np.array([0, 16, 32, 48, 64])
    all_read = per_call(step, config, [(1, int(k) + question, 0) for k in shared])
    kept = per_call(step, config, [(1, question, int(k)) for k in shared])
    size = batch_of(config, 1, 1, int(shared[-1]))[1].nbytes / 1024
    return {
        "n": shared,
        "with": kept,
        "without": all_read,
        "words": f"{shared[-1]} shared pieces and a question of {question}: {all_read[-1]:.2f} ms if all are "
        f"read, {kept[-1]:.2f} ms if the shared ones are kept ({all_read[-1] / kept[-1]:.1f} times as fast), "
        f"for {size:.0f} KiB",
    }


def threads(graph: str, config: Config, counts: Sequence[int] = (1, 2, 4)) -> list[tuple[int, float, float]]:
    """(threads, times as fast as one for a token, for 16 sequences of 18 pieces), in ONNX Runtime."""
    calls = {"token": (1, 1, PAST), "batch": (16, 18, 0)}
    seconds: dict[tuple[int, str], float] = {}
    for count in counts:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = count
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        for name, (batch, n, past) in calls.items():
            ids, cache = batch_of(config, batch, n, past)
            given = {"ids": ids, "cache": cache}
            runs = clock(partial(session.run, None, given), 40 if n == 1 else 4, 1)
            seconds[count, name] = statistics.median(runs)
    return [(count, *(seconds[counts[0], name] / seconds[count, name] for name in calls)) for count in counts]  # type: ignore[misc]


def cold(call: Call, rounds: int = 30, size: int = 96 * 2**20) -> float:
    """How many times as long a call takes when `size` bytes were written since the last: medians."""
    room = np.zeros(size, np.uint8)
    hot, out = [], []
    call()
    with quiet():
        for i in range(rounds):
            hot.append(fastest(call, 1))
            room.fill(i % 256)
            out.append(fastest(call, 1))
            call()
    return statistics.median(out) / statistics.median(hot)
