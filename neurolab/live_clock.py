"""Two clocks for a live loop: the wall's, and a simulated one that makes every run the same to the byte."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol, TypeVar

Made = TypeVar("Made")
SPIN = 0.001  # seconds before its time that the wall's clock stops sleeping and starts looking


class Clock(Protocol):
    """What a loop asks of time, all in seconds."""

    def now(self) -> float:
        """The time."""

    def wait(self, until: float) -> None:
        """Come back at `until`, at once if that is over."""

    def timed(self, call: Callable[[], Made], path: str, tokens: Callable[[Made], int]) -> tuple[Made, float]:
        """What `call` makes and the seconds it took. tokens: how many tokens what it made was made from."""


class WallClock:
    """Real time."""

    def now(self) -> float:
        """Seconds of `time.perf_counter`."""
        return time.perf_counter()

    def wait(self, until: float) -> None:
        """Sleep, and look at the clock for the last millisecond."""
        left = until - time.perf_counter() - SPIN
        if left > 0:
            time.sleep(left)
        while time.perf_counter() < until:
            pass

    def timed(self, call: Callable[[], Made], path: str, tokens: Callable[[Made], int]) -> tuple[Made, float]:
        """Call it and look at the clock."""
        start = time.perf_counter()
        made = call()
        return made, time.perf_counter() - start


@dataclass(frozen=True)
class CostModel:
    """Seconds of a path as a function of its tokens: what the simulated clock believes.

    The sparse path with n tokens takes fixed + choosing + per_token n + per_pair n^2, the dense one the same
    with all `tokens` and no choosing. Times are multiplied by 1 + jitter u^4 (u even in [0, 1): mostly a
    little, seldom much), and with the probability `spikes` by `spike`. slow: (from this second on, factor of
    both paths, further factor of the sparse path), ascending: a load on the machine.
    """

    tokens: int = 256
    fixed: float = 0.0004
    choosing: float = 0.0001
    per_token: float = 2e-5
    per_pair: float = 4e-8
    jitter: float = 0.2
    spikes: float = 0.0
    spike: float = 4.0
    slow: Sequence[tuple[float, float, float]] = ()

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise ValueError(f"tokens is {self.tokens}; it must be at least 1")
        for name in ("fixed", "choosing", "per_token", "per_pair", "jitter", "spikes", "spike"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value}; it must be a finite number of at least 0")
        if self.spikes > 1:
            raise ValueError(f"spikes is {self.spikes}; it is a probability, at most 1")
        if list(self.slow) != sorted(self.slow):
            raise ValueError(f"slow is {self.slow}; its seconds must ascend")

    def seconds(self, path: str, tokens: int, now: float = -1.0) -> float:
        """Seconds without chance, at time `now` (before the start: no load)."""
        n = self.tokens if path == "dense" else tokens
        made = self.fixed + self.per_token * n + self.per_pair * n * n
        both = sparse = 1.0
        for since, factor, further in self.slow:
            if now >= since:
                both, sparse = factor, further
        return made * both if path == "dense" else (made + self.choosing) * both * sparse


class SimulatedClock:
    """Time that passes as a `CostModel` says, with chance from a seed. Nothing waits, nothing is measured.

    Only sums, products and `random.Random` are used, which are the same on every machine.
    """

    def __init__(self, model: CostModel | None = None, seed: int = 0) -> None:
        self.model = model or CostModel()
        self._random = Random(seed)
        self._now = 0.0

    def now(self) -> float:
        """Simulated seconds since the clock was made."""
        return self._now

    def wait(self, until: float) -> None:
        """Let the time pass at once."""
        self._now = max(self._now, until)

    def timed(self, call: Callable[[], Made], path: str, tokens: Callable[[Made], int]) -> tuple[Made, float]:
        """Call it, and let as much time pass as the model says."""
        made = call()
        u = self._random.random()
        u *= u
        seconds = self.model.seconds(path, tokens(made), self._now) * (1 + self.model.jitter * u * u)
        if self._random.random() < self.model.spikes:
            seconds *= self.model.spike
        self._now += seconds
        return made, seconds
