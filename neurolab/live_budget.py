"""How many tokens a live loop may think about, and when the dense path answers: the policy, stated plainly.

Latency comes before quality, for an answer that is late is worth nothing, and a dense one is late by
definition where the objective is less than the dense time. So:

1. *Lower.* The budget is at most the largest one whose predicted time (its calibrated time, times how much
   slower than calibrated the last frames were) is within `margin` of the objective. An answer over the
   objective lowers the ceiling by one rung at once, for `hold` frames; the ceiling then rises by a rung every
   `hold` frames. A latency breach never adds work.
2. *Raise.* A broken quality check raises the wanted budget by one rung; `calm` good frames in a row lower it
   by one, down to `base`. What is used is the smaller of wanted and affordable.
3. *Dense, in the time left.* Where the check is broken, and every `audit` frames, the dense path thinks of
   the same frame again once its first answer is out, if that fits before the next frame. If it did not fit
   after all, it is left off for `hold` frames. The surer of the two answers counts. Where that is the first
   one, or both say the same, it is not the budget that is too small: doubts count for nothing for `hold`
   frames.
4. *Dense, at once*: where it is affordable and the wanted budget is at the top; where it costs no more than
   the sparse path (sparsity does not pay, by the calibration and by the last frames that both paths have
   seen; after `hold` frames the sparse path is tried again, beside the dense one); and where the sparse path
   fails. Nothing else sends a frame that is not answered yet to the dense path.

Everything is bounded: the ladder by its two ends, the dense path by the time left.
"""

from __future__ import annotations

import bisect
import itertools
import math
from dataclasses import dataclass

from neurolab.live_telemetry import Window

FALLBACKS = ("slack", "none", "breach", "always")
PAIRS = 3  # frames that both paths have seen, the last ones


@dataclass(frozen=True)
class Costs:
    """Calibrated times in seconds: of the dense path, and of the sparse path for each budget (rungs)."""

    dense: float
    rungs: dict[int, float]

    def __post_init__(self) -> None:
        if not self.rungs:
            raise ValueError("rungs is empty; at least one budget must be calibrated")
        for name, value in (("dense", self.dense), *((f"rungs[{n}]", s) for n, s in self.rungs.items())):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value}; it must be a positive number of seconds")

    def seconds(self, tokens: int) -> float:
        """Of the sparse path with that many tokens: linear between the rungs and beyond the last one."""
        ladder = sorted(self.rungs)
        if tokens <= ladder[0] or len(ladder) == 1:
            return self.rungs[ladder[0]]
        i = min(bisect.bisect_left(ladder, tokens), len(ladder) - 1)
        low, high = ladder[i - 1], ladder[i]
        slope = (self.rungs[high] - self.rungs[low]) / (high - low)
        return self.rungs[low] + slope * (tokens - low)


@dataclass(frozen=True)
class Policy:
    """The settings of the policy above.

    objective: seconds from arrival to answer. budgets: the ladder, tokens, ascending. base: the budget when
    all is well, one of them. margin (0 to 1], window, hold, calm, audit (0: never): see the module's text;
    window, hold, calm and audit in frames. adapt: whether the budget moves at all. fallback: 'slack' as
    above; 'none': the dense path only where the sparse one fails; 'breach': what is often proposed instead,
    the dense path for the next `hold` frames after any breach by the sparse one, to compare with; 'always':
    the dense path for every frame, to compare with.
    """

    objective: float
    budgets: tuple[int, ...] = (16, 24, 32, 48, 64, 96, 128)
    base: int = 32
    margin: float = 0.8
    window: int = 32
    hold: int = 16
    calm: int = 16
    audit: int = 25
    adapt: bool = True
    fallback: str = "slack"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.objective) and self.objective > 0):
            raise ValueError(f"objective is {self.objective}; it must be a positive number of seconds")
        ladder = self.budgets
        if not ladder or ladder[0] < 1 or any(a >= b for a, b in itertools.pairwise(ladder)):
            raise ValueError(f"budgets is {ladder}; it must be ascending counts of tokens, from 1")
        if self.base not in ladder:
            raise ValueError(f"base is {self.base}; it must be one of the budgets {ladder}")
        if not 0 < self.margin <= 1:
            raise ValueError(f"margin is {self.margin}; it must be above 0 and at most 1")
        for name, least in (("window", 1), ("hold", 1), ("calm", 1), ("audit", 0)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name} is {value!r}; it must be a whole number of at least {least}")
        if self.fallback not in FALLBACKS:
            raise ValueError(f"fallback is {self.fallback!r}; it must be one of {', '.join(FALLBACKS)}")


@dataclass(frozen=True)
class Decision:
    """How the next frame is answered. path: 'sparse' | 'dense'. budget: tokens (0: all)."""

    path: str
    budget: int
    events: tuple[str, ...] = ()


class Governor:
    """Holds the state of the policy. Call `decide`, then `timed` and `judged` with what came of it.

    Raises ValueError where a budget of the policy has not been calibrated.
    """

    def __init__(self, policy: Policy, costs: Costs) -> None:
        if lacking := [n for n in policy.budgets if n not in costs.rungs]:
            raise ValueError(f"costs has no time for the budgets {lacking}; calibrate them")
        self.policy, self.costs = policy, costs
        self.top = len(policy.budgets) - 1
        self.base = policy.budgets.index(policy.base)
        self.want = self.base
        self.ceiling = self.top
        self._slow, self._dense = Window(policy.window), Window(PAIRS)
        self._drift = Window(PAIRS)
        self._last = 1.0
        self._held = self._calm = self._no_second = self._dense_for = 0
        self._breach_for = self._excused = self._probes = 0

    def slowness(self) -> float:
        """How many times their calibrated times the paths take: 95th percentile of the window (1: no news).

        Of 32 frames the one slowest does not count, so that a lone hiccup moves nothing.
        """
        return self._slow.percentile(0.95) if len(self._slow) else 1.0

    def drift(self) -> float:
        """How much dearer the sparse path has become beside the dense one since they were calibrated: median
        over frames that both have seen, for whatever slows the machine slows both (1: fewer than 3 pairs)."""
        return self._drift.percentile(0.5) if len(self._drift) >= 3 else 1.0

    def predicted(self, budget: int | None) -> float:
        """Seconds that a frame will take with that many tokens (None: on the dense path)."""
        if budget is not None:
            return self.costs.rungs[budget] * self.slowness()
        worst = self._dense.percentile(1.0) if len(self._dense) else 0.0
        return self.costs.dense * max(self.slowness(), worst)

    def pays(self, budget: int) -> bool:
        """Whether the sparse path with that many tokens costs less than the dense one."""
        return self.costs.rungs[budget] * self.drift() < self.costs.dense

    def affordable(self) -> int:
        """The largest rung (index) that is predicted to meet the objective; 0 where none is."""
        limit = self.policy.margin * self.policy.objective
        fits = [i for i, n in enumerate(self.policy.budgets) if self.predicted(n) <= limit]
        return min(self.ceiling, max(fits, default=0))

    def decide(self) -> Decision:
        """How to answer the next frame."""
        p = self.policy
        rung = min(self.want, self.affordable()) if p.adapt else self.base
        budget = p.budgets[rung]
        events = ("strained",) if p.adapt and rung < self.want else ()
        if p.fallback == "always":
            return Decision("dense", 0)
        if p.fallback == "breach" and self._breach_for:
            self._breach_for -= 1
            return Decision("dense", 0, ("breach dense",))
        if p.fallback == "slack":
            fits = self.predicted(None) <= p.margin * p.objective and self.ceiling == self.top
            pays = self.pays(budget)
            if not pays:
                self._dense_for += 1
                if self._dense_for >= p.hold:  # what is known of the sparse path has grown old
                    self._dense_for, self._probes = 0, PAIRS
                    self._drift.clear()
            if not pays or (fits and self.want == self.top):
                return Decision("dense", 0, ("dense",))
        return Decision("sparse", budget, events)

    def timed(self, path: str, tokens: int, seconds: float, latency: float) -> tuple[str, ...]:
        """Learn from an answer: its path, tokens (of the sparse one), how long that worked, and how late the
        answer was. Gives the events."""
        p = self.policy
        calibrated = self.costs.dense if path == "dense" else self.costs.seconds(tokens)
        self._last = seconds / calibrated
        self._slow.add(self._last)
        if path == "dense":
            self._dense.add(self._last)
        self._no_second = max(0, self._no_second - 1)
        self._excused = max(0, self._excused - 1)
        self._held = max(0, self._held - 1)
        if latency <= p.objective:
            if not self._held and self.ceiling < self.top:
                self.ceiling += 1
                self._held = p.hold
            return ()
        if path == "sparse":
            self._breach_for = p.hold
        used = self.top if path == "dense" else min(bisect.bisect_left(p.budgets, tokens), self.top)
        self.ceiling, self._held = max(0, min(self.ceiling, used - 1)), p.hold
        lowest = path == "sparse" and used == 0
        return ("over", "overload") if lowest else ("over",)

    def judged(self, good: bool, path: str = "sparse") -> None:
        """Learn whether the answer of that path passed the quality check."""
        if good:
            self._calm += 1
            if self._calm >= self.policy.calm and self.want > self.base:
                self.want, self._calm = self.want - 1, 0
            return
        if self._excused:
            return
        self._calm = 0
        if path == "sparse":
            self._breach_for = self.policy.hold
        self.want = min(self.top, self.want + 1)

    @property
    def probing(self) -> bool:
        """Whether the sparse path is tried again after it did not pay, and both paths are to be compared."""
        return self._probes > 0

    def may_think_again(self, left: float) -> bool:
        """Whether the dense path is expected to end within `left` seconds, and is worth asking."""
        free = not (self._no_second or self._excused)
        return self.policy.fallback == "slack" and free and self.predicted(None) <= left

    def thought_again(self, seconds: float, overran: bool, excuse: bool = False) -> None:
        """Learn how long the dense path took in the time left, whether that was too long, and whether it
        had nothing better to say of a doubtful answer (excuse)."""
        slow = seconds / self.costs.dense
        self._dense.add(slow)
        self._drift.add(self._last / slow)
        self._probes = max(0, self._probes - 1)
        if overran:
            self._no_second = self.policy.hold
        if excuse:
            self._excused = self.policy.hold
