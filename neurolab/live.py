"""The live loop: frames arrive at a rate, and each is answered by as many tokens as its time allows.

The loop keeps the last F frames, lets `choose` pick tokens, runs the sparse path on them, checks the answer,
and hands out a `Record`. `neurolab.live_budget` says how many tokens, and when the dense path answers;
`neurolab.live_clock` is what time it is. A frame that can't be used is said and stood in for; nothing that
comes from outside stops the loop. Shapes: F frames of S x S pixels, N tokens, n of them chosen.

    loop = Live(dense=net, sparse=small, choose=choose, frames=8, side=64, policy=policy, costs=costs)
    for record in loop.run(camera, count=1000): ...
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import count as endless

import torch
from torch import Tensor

from neurolab.live_answers import Answer, Check, Choose, Path, Said
from neurolab.live_budget import Costs, Governor, Policy
from neurolab.live_clock import Clock, WallClock
from neurolab.live_frames import FAULTS, Memory, Source
from neurolab.live_telemetry import Record, Telemetry


class Live:
    """The loop. dense, sparse: networks (may be one); choose: picks tokens; period: seconds between frames.

    warm: shortly before a frame is due, the path that answered last thinks about the last clip once more, for
    nothing. After a pause a short answer takes longer, probably since weights and code have left the caches
    (rows sparsity.fallback: loop and cold). It doubles the work, and beside other programs it may not pay.

    Raises ValueError for a period that is not above 0, or settings that don't fit one another.
    """

    def __init__(
        self,
        *,
        dense: Path,
        sparse: Path,
        choose: Choose,
        frames: int,
        side: int,
        policy: Policy,
        costs: Costs,
        check: Check | None = None,
        clock: Clock | None = None,
        period: float = 0.04,
        window: int = 100,
        warm: bool = False,
    ) -> None:
        if not (math.isfinite(period) and period > 0):
            raise ValueError(f"period is {period}; it must be a positive number of seconds")
        self.dense, self.sparse, self.choose = dense, sparse, choose
        self.memory = Memory(frames, side)
        self.governor = Governor(policy, costs)
        self.policy, self.check, self.period = policy, check or Check(), period
        self.clock: Clock = clock or WallClock()
        self.telemetry = Telemetry(policy.objective, window)
        self.warm = warm
        self._last: tuple[int | None, float] | None = None  # budget (None: dense) and seconds
        self._trusted: tuple[int, Said] | None = None
        self._since_audit = 0

    def run(self, source: Source, count: int | None = None) -> Iterator[Record]:
        """Records of `count` frames (None: for ever), as they are made. source(i) is asked for each once.

        If several frames have come since the last answer, the newest is answered and the others are passed
        over (but remembered). A second run goes on with the state of the first, its frames from 0 again.
        """
        start = self.clock.now()
        self._trusted, last = None, -1
        for i in endless():
            if count is not None and i >= count:
                return
            if i <= last:
                continue
            self._warm_up(start + i * self.period)
            self.clock.wait(start + i * self.period)
            last = max(i, math.floor((self.clock.now() - start) / self.period + 1e-9))
            last = last if count is None else min(last, count - 1)
            waiting = []
            for j in range(i, last + 1):
                events, fault = self.memory.take(source, j)
                waiting.append(Record(j, j * self.period, "passed over", events=events, fault=fault))
            answered, doubt = self._answer(waiting[-1], start)
            done = self.clock.now() - start
            for record in waiting[:-1]:
                latency = done - record.arrived if answered.status == "answered" else None
                yield self.telemetry.add(replace(record, latency=latency))
            yield self.telemetry.add(answered)
            if answered.path == "none":
                continue
            again = self._again(answered, doubt, start)
            good = doubt is None if again is None or again.digit is None else "disagrees" not in again.events
            self.governor.judged(good, answered.path)
            if again is not None:
                yield self.telemetry.add(again)

    @torch.inference_mode()
    def _answer(self, record: Record, start: float) -> tuple[Record, str | None]:
        """The record of a frame with its first answer, and the event of a broken quality check."""
        if not self.memory.full:
            return replace(record, status="no answer"), None
        frames, plan = self.memory.clip(), self.governor.decide()
        events, path, budget = [*record.events, *plan.events], plan.path, plan.budget
        said, tokens, seconds, failed = self._think(frames, budget or None)
        if said is None and path == "sparse":
            events.append("sparse failed" if failed else "not finite")
            fault, path, budget = failed, "dense", 0
            said, tokens, seconds, failed = self._think(frames, None)
            failed = failed or fault
        if said is None:
            events.append("dense failed")
            return replace(
                record, status="no answer", events=tuple(events), fault=failed or "no finite number"
            ), None
        doubt = self._doubt(said, record.frame)
        latency = self.clock.now() - start - record.arrived
        if path == plan.path:
            events += self.governor.timed(path, tokens, seconds, latency)
        elif latency > self.policy.objective:  # the fault's doing, not the budget's
            events.append("over")
        if doubt is None:
            self._trusted = record.frame, said
        else:
            events.append(doubt)
        return replace(
            record,
            status="answered",
            path=path,
            budget=budget,
            tokens=tokens,
            seconds=seconds,
            latency=latency,
            digit=said.digit,
            centre=said.centre,
            sure=said.sure,
            events=tuple(events),
            fault=failed or record.fault,
        ), doubt

    @torch.inference_mode()
    def _warm_up(self, due: float) -> None:
        """Think about the last clip for nothing, to be ready just before `due`; left out where it is late."""
        if not self.warm or self._last is None:
            return
        budget, seconds = self._last
        begin = due - min(self.period / 2, 2 * seconds)
        if self.clock.now() > begin:
            return
        self.clock.wait(begin)
        frames = self.memory.clip()
        with contextlib.suppress(*FAULTS):
            self.dense(frames) if budget is None else self.sparse(frames, self.choose(frames, budget))

    def _think(self, frames: Tensor, budget: int | None) -> tuple[Said | None, int, float, str | None]:
        """What a path says (None: nothing, or no number), its tokens and seconds, and what failed."""

        def call() -> tuple[Answer, int]:
            if budget is None:
                return self.dense(frames), 0
            keep = self.choose(frames, budget)
            return self.sparse(frames, keep), keep.shape[1]

        try:
            (answer, tokens), seconds = self.clock.timed(
                call, "dense" if budget is None else "sparse", lambda made: made[1]
            )
            self._last = budget, seconds
            return Said.of(answer), tokens, seconds, None
        except FAULTS as error:
            return None, 0, 0.0, f"{type(error).__name__}: {error}"

    def _doubt(self, said: Said, frame: int) -> str | None:
        """The event of a broken quality check; None if it holds."""
        if said.sure < self.check.sure:
            return "unsure"
        if self._trusted is not None:
            since, before = self._trusted
            if said.distance(before) > self.check.step * (frame - since):
                return "jumped"
        return None

    @torch.inference_mode()
    def _again(self, first: Record, doubt: str | None, start: float) -> Record | None:
        """The dense path thinks about an answered frame again, where there is a reason and the time.

        The surer of the two answers counts: what is said later is no correction if it is less sure.
        """
        self._since_audit += 1
        due = self.governor.probing or 0 < self.policy.audit <= self._since_audit
        next_due = start + first.arrived + self.period
        if first.path != "sparse" or not (doubt or due):
            return None
        if not self.governor.may_think_again(next_due - self.clock.now()):
            return None
        self._since_audit = 0
        again = Record(first.frame, first.arrived, "thought again", "dense")
        said, _, seconds, failed = self._think(self.memory.clip(), None)
        if said is None:
            return replace(again, events=("dense failed",), fault=failed or "no finite number")
        now = self.clock.now()
        agrees = said.digit == first.digit and math.dist(said.centre, first.centre or ()) <= self.check.near
        surer = said.sure > (first.sure or 0.0)
        self.governor.thought_again(
            seconds, now > next_due, excuse=doubt is not None and (agrees or not surer)
        )
        if agrees or surer or self._trusted is None:
            self._trusted = first.frame, said
        events = ["doubted" if doubt else "audited"]
        if not agrees:
            events.append("disagrees" if surer else "outvoted")
        events += ["overran"] if now > next_due else []
        return replace(
            again,
            seconds=seconds,
            latency=now - start - first.arrived,
            digit=said.digit,
            centre=said.centre,
            sure=said.sure,
            agrees=agrees,
            events=tuple(events),
        )
