"""Chapter 6's clock: a clip timed with fewer and fewer tokens; a live loop's records for a picture."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from neurolab import sparsity, video, video_net
from neurolab.live_telemetry import Record
from neurolab.sparsity_explorers import SCENE, net

CLOCK = "thread_time" if time.get_clock_info("thread_time").resolution < 1e-5 else "perf_counter"
"""Processor time of this thread, which other programs don't lengthen; the wall's where that is too coarse."""


def fastest(calls: Mapping[Any, Callable[[], Any]], rounds: int = 20) -> dict[Any, float]:
    """Seconds of each call, called in turns `rounds` times: the least, for an interruption only adds."""
    clock: Callable[[], float] = getattr(time, CLOCK)
    seconds: dict[Any, list[float]] = {key: [] for key in calls}
    with torch.inference_mode():
        for turn in range(rounds + 1):
            for key, call in calls.items():
                start = clock()
                call()
                if turn:
                    seconds[key].append(clock() - start)
    return {key: max(min(found), 1e-9) for key, found in seconds.items()}


def costs_now(tokens: Sequence[int], rounds: int = 20) -> dict[str, np.ndarray]:
    """Multiply-adds and time of a clip with n tokens packed, and hidden, in % of all; `fastest`."""
    frames = video.clips([SCENE], split="test").frames
    scores, small = sparsity.change(frames), net("dynamic")
    total = scores.shape[1]
    calls: dict[tuple[str, int], Callable[[], Any]] = {("dense", total): lambda: small(frames)}
    for n in tokens:
        keep = sparsity.keep_top(scores, n)
        mask = sparsity.mask_of(keep, total)
        calls["packed", n] = lambda keep=keep: small(frames, keep=keep)  # type: ignore[misc]
        calls["masked", n] = lambda mask=mask: small(frames, mask=mask)  # type: ignore[misc]
    least = fastest(calls, rounds)
    dense = least["dense", total]
    all_macs = sum(video_net.macs(small.config).values())
    return {
        "n": np.array(tokens),
        "macs": np.array([100 * sum(video_net.macs(small.config, n).values()) / all_macs for n in tokens]),
        "packed": np.array([100 * least["packed", n] / dense for n in tokens]),
        "masked": np.array([100 * least["masked", n] / dense for n in tokens]),
        "milliseconds": np.array([1000 * dense]),
    }


def live_shown(records: Sequence[Record], objective: float) -> dict[str, Any]:
    """A live loop's records, for `sparsity_charts.timeline`: times in ms."""
    first = [r for r in records if r.status == "answered" and r.latency is not None]
    again = [r for r in records if r.status == "thought again" and r.latency is not None]
    return {
        "frame": np.array([r.frame for r in first]),
        "latency": np.array([1000 * (r.latency or 0) for r in first]),
        "budget": np.array([r.budget for r in first]),
        "objective": 1000 * objective,
        "dense x": np.array([r.frame for r in again], float),
        "dense y": np.array([1000 * (r.latency or 0) for r in again], float),
    }
