"""Loops against each other on the same frames, at the same rate, with or without a load on the machine.

The objective is half of the dense network's median latency, measured frame by frame at the same rate before
the load sets in: processes that multiply matrices. Six loops (`ARMS`) then take turns:

- loop: the policy of `live_budget`, whole.
- without: the same, without its fallback to the dense path.
- gate: no budget, only the threshold on change; what is often called dynamic sparsity.
- breach: the gate, with the dense path for the frames after a breach, as is often proposed.
- dense: the dense path for every frame.
- cold: the loop without the warm-up that all others have (see `Live`).
"""

from __future__ import annotations

import contextlib
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from neurolab import sparsity, video, video_training
from neurolab.benchmark import quiet
from neurolab.live import Live
from neurolab.live_answers import Check, Path, calibrate
from neurolab.live_budget import Costs, Policy
from neurolab.live_clock import Clock, WallClock

RATE = 25  # frames a second
SCENE = 4  # seconds before the stream cuts to another scene
BUDGETS = (16, 24, 32, 48, 64, 96, 128)
ARMS = ("loop", "without", "gate", "breach", "dense", "cold")
# Multiplies matrices until it is ended, or after ten minutes.
BURN = """
import time, numpy as np
a, end = np.random.default_rng(0).random((256, 256), np.float32), time.monotonic() + 600
while time.monotonic() < end: a @ a
"""


@dataclass(frozen=True)
class Stream:
    """frames (T, S, S); of each frame the digit (T,), the mover's centre (T, 2) in pixels, and whether the
    clip that ends with it lies within one scene (T,)."""

    frames: Tensor
    digit: Tensor
    centre: Tensor
    whole: Tensor

    def at(self, i: int) -> Tensor:
        """Frame i, from the start again after the last."""
        return self.frames[i % len(self.frames)]


def stream(variant: str, seed: int, seconds: float, rate: int = RATE) -> Stream:
    """Test scenes one after another, SCENE seconds each; ValueError for less than a clip."""
    total, each = round(seconds * rate), SCENE * rate
    if total < video.FRAMES:
        raise ValueError(
            f"seconds is {seconds}; at {rate} frames a second it must hold {video.FRAMES} frames"
        )
    parts = []
    for number, start in enumerate(range(0, total, each)):
        count = min(each, total - start)
        shown = video.scene(10_000 * (seed + 1) + number, variant=variant, split="test")
        centre = torch.tensor([shown.centre(t) for t in range(count)])
        whole = torch.arange(count) >= video.FRAMES - 1
        parts.append((shown.frames(0, count), torch.full((count,), shown.digit), centre, whole))
    return Stream(*(torch.cat(column) for column in zip(*parts, strict=True)))


def choose(frames: Tensor, budget: int) -> Tensor:
    """The tubelets with most change, at most `budget`, above the threshold of `sparsity.choose`."""
    return sparsity.choose(sparsity.change(frames), budget)


def gate(frames: Tensor, budget: int) -> Tensor:
    """The same without a budget."""
    scores = sparsity.change(frames)
    return sparsity.choose(scores, scores.shape[1])


@contextlib.contextmanager
def burners(count: int) -> Iterator[None]:
    """`count` processes that keep a core busy each, ended on the way out. ValueError below 0."""
    if count < 0:
        raise ValueError(f"count is {count}; it must be at least 0")
    one = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    started: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count):
            started.append(subprocess.Popen([sys.executable, "-c", BURN], env=one))
        if count:
            WallClock().wait(WallClock().now() + 1.0)  # until they have begun
        yield
    finally:
        for process in started:
            process.kill()
        for process in started:
            process.wait()


def dense_latency(
    net: Path, shown: Stream, count: int, clock: Clock, rate: int = RATE, warm: bool = False
) -> float:
    """Median seconds from a frame's arrival to the dense answer, over `count` frames that arrive at a rate.

    A frame that comes while the network is at work is passed over: no queue grows. warm: as in `Live`.
    """
    clips = [shown.frames[None, i : i + video.FRAMES] for i in range(len(shown.frames) - video.FRAMES + 1)]
    found: list[float] = []
    start = clock.now()
    with torch.inference_mode():
        for i in range(count):
            due = start + math.ceil((clock.now() - start) * rate) / rate
            begin = due - min(0.5 / rate, 2 * found[-1]) if warm and found else due
            if clock.now() < begin < due:
                clock.wait(begin)
                net(clips[i % len(clips) - 1])
            clock.wait(due)
            clock.timed(partial(net, clips[i % len(clips)]), "dense", lambda _: 0)
            found.append(clock.now() - due)
    return statistics.median(found)


class Trial:
    """Loops that share networks, calibration and objective. base: the budget when all is well.

    objective: seconds; None: half of the dense latency, measured now. warm: every loop, and the measurement
    of the objective, as `Live` says.
    """

    def __init__(
        self,
        dense: Path,
        sparse: Path,
        shown: Stream,
        *,
        base: int = video_training.KEPT,
        clock: Clock | None = None,
        rate: int = RATE,
        check: Check | None = None,
        objective: float | None = None,
        rounds: int = 25,
        warm: bool = True,
    ) -> None:
        self.dense, self.sparse, self.shown, self.rate = dense, sparse, shown, rate
        self.clock: Clock = clock or WallClock()
        self.check, self.warm = check or Check(), warm
        clips = [shown.frames[None, i : i + video.FRAMES] for i in range(min(8, len(shown.frames) - 7))]
        with quiet():
            self.costs: Costs = calibrate(dense, sparse, choose, clips, BUDGETS, self.clock, rounds)
            median = dense_latency(dense, shown, 4 * rounds, self.clock, rate, warm)
        self.dense_p50 = median
        self.policy = Policy(objective or median / 2, BUDGETS, base)

    def arm(self, name: str) -> Live:
        """A fresh loop of one of ARMS. ValueError for any other."""
        if name not in ARMS:
            raise ValueError(f"name is {name!r}; it must be one of {', '.join(ARMS)}")
        fallback = {"loop": "slack", "cold": "slack", "breach": "breach", "dense": "always"}.get(name, "none")
        policy = replace(self.policy, adapt=name in ("loop", "without", "cold"), fallback=fallback)
        return Live(
            dense=self.dense,
            sparse=self.sparse,
            choose=choose if policy.adapt else gate,
            frames=video.FRAMES,
            side=self.shown.frames.shape[-1],
            policy=policy,
            costs=self.costs,
            check=self.check,
            clock=self.clock,
            period=1 / self.rate,
            warm=self.warm and name != "cold",
        )

    def turns(self, arms: tuple[str, ...], turns: int, seconds: float) -> dict[str, dict[str, Any]]:
        """Summaries of `arms`, which run `turns` times each, `seconds` at a time, in turns."""
        loops = {name: self.arm(name) for name in arms}
        count = round(seconds * self.rate)
        for turn in range(turns):
            source = partial(self._later, turn * count)
            for loop in loops.values():
                with quiet():
                    for _ in loop.run(source, count):
                        pass
        return {name: loop.telemetry.summary() for name, loop in loops.items()}

    def _later(self, first: int, i: int) -> Tensor:
        return self.shown.at(first + i)
