"""What a live loop says about itself: a record a frame, and the tail of its latency in sliding windows.

Latencies are in seconds, from a frame's arrival to its first answer. A frame that was passed over, because a
newer one had come, has the latency of the answer that came in its stead. Percentiles are nearest-rank ones
from above: a latency that did occur, so that the p99 of 25 frames is the worst of them.
"""

from __future__ import annotations

import bisect
import json
import math
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

STATUSES = ("answered", "passed over", "no answer", "thought again")
EVENTS = {
    "dropped": "the frame did not come; the one before stands in for it",
    "refused": "the frame can't be used; the one before stands in for it",
    "source failed": "reading the frame failed; the one before stands in for it",
    "filling": "not enough frames yet for an answer",
    "blind": "too many bad frames in a row: memory is emptied and fills again",
    "over": "the answer came later than the objective: the budget goes down",
    "overload": "over the objective at the smallest budget: nothing cheaper is left",
    "unsure": "the network is not sure enough of the digit: the budget goes up",
    "jumped": "the mover jumped further than a mover can: the budget goes up",
    "disagrees": "the dense path says another thing, and is surer of it: the budget goes up",
    "outvoted": "the dense path says another thing, and is less sure of it: the first answer stands",
    "strained": "quality asks for more tokens than the objective affords",
    "not finite": "the sparse path gave no number: the dense path answers",
    "sparse failed": "the sparse path failed: the dense path answers",
    "dense failed": "the dense path failed",
    "dense": "the dense path answers, for it is affordable, or no dearer than the sparse one",
    "breach dense": "the dense path answers, for the frame before was out of bounds",
    "doubted": "the dense path thought about the frame again, for its answer was doubtful",
    "audited": "the dense path thought about the frame again, as it does every now and then",
    "overran": "that took longer than the time left: none for a while",
}


def nearest_rank(ordered: Sequence[float], share: float) -> float:
    """The smallest value with at least `share` (0 to 1) of all at or under it. ordered: ascending, not empty.

    Raises ValueError for no values, or a share outside 0 to 1.
    """
    if not ordered:
        raise ValueError("ordered is empty; a percentile needs at least one value")
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}; it must be between 0 and 1")
    # 1e-9: 0.99 * 100 is 99.00000000000001 nowhere, but 0.07 * 100 is 7.000000000000001
    return ordered[max(0, math.ceil(share * len(ordered) - 1e-9) - 1)]


class Window:
    """The last `size` values, sorted as they come: a percentile costs no sort."""

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"size is {size}; a window holds at least 1 value")
        self._values: deque[float] = deque(maxlen=size)
        self._ordered: list[float] = []

    def __len__(self) -> int:
        return len(self._values)

    def add(self, value: float) -> None:
        """Take a finite value in; the oldest goes when the window is full."""
        if not math.isfinite(value):
            raise ValueError(f"value is {value}; a window holds finite numbers")
        if len(self._values) == self._values.maxlen:
            self._ordered.pop(bisect.bisect_left(self._ordered, self._values[0]))
        self._values.append(value)
        bisect.insort(self._ordered, value)

    def clear(self) -> None:
        """Forget all values."""
        self._values.clear()
        self._ordered.clear()

    def percentile(self, share: float) -> float:
        """Nearest-rank percentile of what is in the window. ValueError while it is empty."""
        return nearest_rank(self._ordered, share)


@dataclass(frozen=True)
class Record:
    """What happened to one frame; a frame that was thought about again has a second record.

    frame: its number. arrived: seconds since the start. status: one of STATUSES. path: 'sparse', 'dense' or
    'none'. budget: tokens allowed; tokens: tokens thought about (0: all). seconds: of the path's work;
    latency: from arrival to answer. digit, centre (x, y in pixels), sure (the digit's probability): the
    answer. agrees: whether the dense path, asked again, says the same. events: keys of EVENTS. fault: what
    was wrong. p50, p95, p99: latency of first answers in the window.
    """

    frame: int
    arrived: float
    status: str
    path: str = "none"
    budget: int = 0
    tokens: int = 0
    seconds: float | None = None
    latency: float | None = None
    digit: int | None = None
    centre: tuple[float, float] | None = None
    sure: float | None = None
    agrees: bool | None = None
    events: tuple[str, ...] = ()
    fault: str | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None

    def line(self) -> str:
        """The record as a line of JSON, times to the microsecond, pixels and probabilities to 4 digits."""
        return json.dumps(_short(asdict(self)), allow_nan=False, separators=(",", ":")) + "\n"

    def decision(self) -> tuple[Any, ...]:
        """What was decided, without times or real numbers: what golden outputs hold."""
        return (
            self.frame,
            self.status,
            self.path,
            self.budget,
            self.tokens,
            self.digit,
            self.agrees,
            self.events,
        )


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        times = ("arrived", "seconds", "latency", "p50", "p95", "p99")
        return {
            key: round(item, 6 if key in times else 4) if isinstance(item, float) else _short(item)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_short(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value


class Telemetry:
    """Counts and windows of a running loop; its memory does not grow, but for a number a second.

    objective: seconds. window: frames in the sliding window. kept: how many latencies
    `summary` looks back on.
    """

    def __init__(self, objective: float, window: int = 100, kept: int = 20_000) -> None:
        if not (math.isfinite(objective) and objective > 0):
            raise ValueError(f"objective is {objective}; it must be a positive number of seconds")
        self.objective = objective
        self.window = Window(window)
        self.all = Window(kept)
        self.events: Counter[str] = Counter()
        self.statuses: Counter[str] = Counter()
        self.paths: Counter[str] = Counter()
        self.tokens = 0
        self.over = 0
        self.agreed = 0
        self.p99_of_second: list[float] = []
        self._second: int | None = None
        self._latencies: list[float] = []

    def add(self, record: Record) -> Record:
        """Count a record; gives it back with p50, p95 and p99 of the window filled in."""
        self.statuses[record.status] += 1
        self.events.update(record.events)
        if record.status == "answered":
            self.paths[record.path] += 1
            self.tokens += record.tokens if record.path == "sparse" else 0
        self.agreed += bool(record.agrees)
        if record.latency is not None and record.status != "thought again":
            self._time(record.arrived, record.latency)
        if not len(self.window):
            return record
        p50, p95, p99 = (self.window.percentile(share) for share in (0.5, 0.95, 0.99))
        return replace(record, p50=p50, p95=p95, p99=p99)

    def _time(self, arrived: float, latency: float) -> None:
        second = math.floor(arrived)
        if self._second is not None and second != self._second:
            self._close()
        self._second = second
        self._latencies.append(latency)
        self.window.add(latency)
        self.all.add(latency)
        self.over += latency > self.objective

    def _close(self) -> None:
        self.p99_of_second.append(nearest_rank(sorted(self._latencies), 0.99))
        self._latencies.clear()

    def summary(self) -> dict[str, Any]:
        """Figures of the run so far; times in seconds. The second that is under way counts as it stands.

        seconds_held_percent: seconds whose p99 is at or under the objective. fallbacks: frames that the dense
        path answered at once (dense_answers) or thought about again (thought_again). agreed_percent: of the
        latter, those where it said the same. tokens_mean: of frames that the sparse path answered.
        """
        answered, again = self.statuses["answered"], self.statuses["thought again"]
        made: dict[str, Any] = {
            "frames": sum(self.statuses.values()) - again,
            "answered": answered,
            "passed_over": self.statuses["passed over"],
            "no_answer": self.statuses["no answer"],
            "fallbacks": self.paths["dense"] + again,
            "dense_answers": self.paths["dense"],
            "thought_again": again,
            "objective": self.objective,
            "events": dict(sorted(self.events.items())),
        }
        if self.paths["sparse"]:
            made["tokens_mean"] = self.tokens / self.paths["sparse"]
        if answered:
            made["dense_percent"] = 100 * self.paths["dense"] / answered
        if again:
            made["agreed_percent"] = 100 * self.agreed / again
        if not len(self.all):
            return made
        seconds = list(self.p99_of_second)
        if self._latencies:
            seconds.append(nearest_rank(sorted(self._latencies), 0.99))
        held = sum(p99 <= self.objective for p99 in seconds)
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
            made[name] = self.all.percentile(share)
        timed = answered + self.statuses["passed over"]
        return made | {
            "p99_over_objective": made["p99"] / self.objective,
            "over_percent": 100 * self.over / timed,
            "seconds": len(seconds),
            "seconds_held_percent": 100 * held / len(seconds),
        }
