"""How the course measures: goals, paired timing, and the report that ``neurolab bench`` prints.

A suite is a module ``neurolab/bench/NAME.py`` with

- ``GOALS: list[Goal]``, the goals beside what measures them,
- ``run(quick=False, progress=None) -> list[Finding]``: one finding a goal (further ones with goal=None
  are rows only); ``quick`` measures less, ``progress`` is called with a line of text before each step,
- ``CHAPTER: int`` (optional, 0): the chapter of its rows.
"""

from __future__ import annotations

import gc
import importlib
import math
import os
import pkgutil
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from neurolab.measurements import Measurement, row
from neurolab.provenance import processor, versions


@dataclass(frozen=True)
class Goal:
    """One goal.

    name: dotted (``lif.one_neuron_vs_snntorch``).  better: 'higher' | 'lower'.  unit: '' if none.
    """

    name: str
    goal: float
    better: str
    unit: str
    about: str

    def __post_init__(self) -> None:
        if self.better not in ("higher", "lower"):
            raise ValueError(f"better is {self.better!r}; it must be 'higher' or 'lower'")
        if not math.isfinite(self.goal):
            raise ValueError(f"goal is {self.goal}; it must be a finite number")

    def met(self, value: float | None) -> bool:
        """Whether `value` reaches the goal; what was not measured (None) does not."""
        if value is None:
            return False
        return value >= self.goal if self.better == "higher" else value <= self.goal


@dataclass(frozen=True)
class Ratio:
    """How many times faster a is than b. low, high: an interval that holds the true median (90 % or more,
    given 5 pairs or more). a_seconds, b_seconds: median time of one call."""

    median: float
    low: float
    high: float
    a_seconds: float
    b_seconds: float


@dataclass(frozen=True)
class Tails:
    """Single calls of a and b in turns: seconds_a and seconds_b, and b's percentiles over a's."""

    seconds_a: list[float]
    seconds_b: list[float]

    def ratio(self, percent: float) -> float:
        """How many times faster a is at this percentile (0 to 100) of its calls than b at the same of its."""
        return percentile(self.seconds_b, percent) / percentile(self.seconds_a, percent)

    def figures(self) -> dict[str, float]:
        """latency_ratio (medians), its interval pair by pair, p95_ratio, p99_ratio, medians in ms."""
        each = [b / a for a, b in zip(self.seconds_a, self.seconds_b, strict=True)]
        _, low, high = middle(each)
        return {
            "latency_ratio": self.ratio(50),
            "latency_ratio_low": low,
            "latency_ratio_high": high,
            "p95_ratio": self.ratio(95),
            "p99_ratio": self.ratio(99),
            "milliseconds": 1e3 * percentile(self.seconds_a, 50),
            "milliseconds_dense": 1e3 * percentile(self.seconds_b, 50),
            "milliseconds_p95": 1e3 * percentile(self.seconds_a, 95),
            "milliseconds_p95_dense": 1e3 * percentile(self.seconds_b, 95),
        }


@dataclass(frozen=True)
class Finding:
    """What a suite found out: the value for a goal (None with a `why` where it can't be measured here),
    its spread (low, high), and what else belongs into the row. name: the row's name, default the goal's."""

    goal: str | None
    value: float | None = None
    spread: tuple[float, float] | None = None
    why: str | None = None
    setting: dict[str, Any] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    kind: str = "measured"
    name: str | None = None

    @classmethod
    def of(cls, goal: str, ratio: Ratio, **more: Any) -> Finding:
        """The finding of a paired ratio."""
        figures = {"a_seconds": ratio.a_seconds, "b_seconds": ratio.b_seconds, **more.pop("figures", {})}
        return cls(goal, ratio.median, (ratio.low, ratio.high), figures=figures, **more)


def middle(values: Sequence[float], sure: float = 0.9) -> tuple[float, float, float]:
    """Median of the values, and an interval from order statistics that holds the true median with probability
    `sure` or more (the sign test's interval; with fewer than 5 values just the lowest and the highest)."""
    if not values:
        raise ValueError("values is empty; a median needs at least one")
    ordered, n = sorted(values), len(values)
    drop, tail = 0, 0.5**n
    while 2 * (drop + 1) < n:
        tail += math.comb(n, drop + 1) * 0.5**n
        if 1 - 2 * tail < sure:
            break
        drop += 1
    return statistics.median(ordered), ordered[drop], ordered[n - 1 - drop]


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of the values that at least `percent` per cent of them do not exceed (0 to 100)."""
    if not values or not 0 <= percent <= 100:
        raise ValueError(f"percent {percent} of {len(values)} values: needs 0 to 100 of at least one")
    return sorted(values)[max(0, math.ceil(percent / 100 * len(values)) - 1)]


def tails(
    a: Callable[[int], Any], b: Callable[[int], Any], rounds: int = 400, warmup: int = 10, turn: int = 1
) -> Tails:
    """Time single calls a(i) and b(i), i = 0 .. rounds - 1, in turns: for medians and for tails.

    A call of its own each time, as a frame that arrives is one call; the garbage collector is off.
    turn: calls of a before b has its turn. With 1 each finds the caches full of the other's weights; what
    runs by itself finds its own there, as all but the first call of a turn do.
    """
    if rounds < 1 or warmup < 0 or turn < 1:
        raise ValueError(f"rounds {rounds}, warmup {warmup}, turn {turn}: at least 1, 0 and 1 are needed")
    for i in range(warmup):
        a(i % rounds)
        b(i % rounds)
    seconds: tuple[list[float], list[float]] = ([], [])
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for first in range(0, rounds, turn):
            for call, kept in zip((a, b), seconds, strict=True):
                for i in range(first, min(first + turn, rounds)):
                    start = time.perf_counter()
                    call(i)
                    kept.append(max(time.perf_counter() - start, 1e-9))
    finally:
        if collecting:
            gc.enable()
    return Tails(*seconds)


def paired(
    a: Callable[[], Any],
    b: Callable[[], Any],
    *,
    pairs: int = 7,
    warmup: int = 1,
    inner: int | tuple[int, int] | None = None,
) -> Ratio:
    """Time a and b in turns (A B A B ...) and compare pair by pair: a disturbance hits both alike.

    a, b: called with nothing.  inner: calls in one timing (for a, for b), default as many as fill 10 ms.
    The ratio is b's time over a's: 3 means that a is three times as fast. Wall time, garbage collector off.
    """
    if pairs < 1 or warmup < 0:
        raise ValueError(f"pairs is {pairs} and warmup {warmup}; at least 1 and 0 are needed")
    for _ in range(max(warmup, 1)):
        a()
        b()
    if inner is None:
        inner = (_fill(a), _fill(b))
    times_a, times_b = (inner, inner) if isinstance(inner, int) else inner
    if min(times_a, times_b) < 1:
        raise ValueError(f"inner is {inner}; at least 1 call is needed")
    seconds: list[tuple[float, float]] = []
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for _ in range(pairs):
            seconds.append((_clock(a, times_a), _clock(b, times_b)))
    finally:
        if collecting:
            gc.enable()
    median, low, high = middle([slow / fast for fast, slow in seconds])
    return Ratio(
        median, low, high, statistics.median(s for s, _ in seconds), statistics.median(s for _, s in seconds)
    )


def _clock(call: Callable[[], Any], times: int) -> float:
    """Seconds a call, over `times` calls."""
    start = time.perf_counter()
    for _ in range(times):
        call()
    return max(time.perf_counter() - start, 1e-9) / times


def _fill(call: Callable[[], Any], seconds: float = 0.01) -> int:
    """How many calls fill `seconds`."""
    return max(1, math.ceil(seconds / _clock(call, 1)))


def machine() -> dict[str, Any]:
    """What was measured on: processor, cores, memory (GiB), system, and the load (of one minute)."""
    found: dict[str, Any] = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found["memory_gib"] = round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1)
    if hasattr(os, "getloadavg"):
        found["load"] = round(os.getloadavg()[0], 2)
    return found


def suites() -> list[str]:
    """The names of the suites that this checkout has."""
    import neurolab.bench

    return sorted(
        item.name for item in pkgutil.iter_modules(neurolab.bench.__path__) if not item.name.startswith("_")
    )


def suite(name: str) -> ModuleType:
    """The suite's module. ValueError with the names that exist, for any other."""
    if name not in suites():
        raise ValueError(f"there is no suite {name!r}; the suites are {', '.join(suites()) or 'none yet'}")
    return importlib.import_module(f"neurolab.bench.{name}")


def report(goals: Iterable[Goal], findings: Iterable[Finding]) -> dict[str, Any]:
    """The JSON object of ``neurolab bench --json``: every goal once, met or not, with machine and versions.

    Raises ValueError for a finding whose goal nobody set.
    """
    goals = list(goals)
    by_goal = {item.goal: item for item in findings if item.goal is not None}
    unknown = sorted(set(by_goal) - {goal.name for goal in goals})
    if unknown:
        raise ValueError(f"findings for {', '.join(unknown)}, but the suite sets no such goal")
    entries = []
    for goal in goals:
        finding = by_goal.get(goal.name, Finding(goal.name, why="this run did not measure it"))
        value = finding.value
        if value is not None and not math.isfinite(value):
            finding, value = Finding(goal.name, why=f"the measurement gave {value}"), None
        entry: dict[str, Any] = {
            "name": goal.name,
            "value": value,
            "goal": goal.goal,
            "better": goal.better,
            "unit": goal.unit,
            "spread": list(finding.spread) if finding.spread is not None else None,
            "met": goal.met(value),
        }
        if value is None:
            entry["why"] = finding.why or "no reason was given"
        entries.append(entry)
    return {"goals": entries, "machine": machine(), "versions": versions()}


def rows(findings: Iterable[Finding], chapter: int, command: str) -> list[Measurement]:
    """The findings as measurements: figures ``value``, ``low``, ``high`` and the suite's own. Without a value
    and without figures a finding makes no row."""
    made = []
    for item in findings:
        figures = dict(item.figures)
        if item.value is not None:
            figures["value"] = item.value
        if item.spread is not None:
            figures["low"], figures["high"] = item.spread
        name = item.name or item.goal
        if figures and name is not None:
            made.append(row(name, chapter, item.setting, figures, kind=item.kind, command=command))
    return made


def table(reported: dict[str, Any]) -> Any:
    """The report as a rich Table for the terminal."""
    from rich.table import Table

    drawn = Table("goal", "value", "spread", "to reach", "met")
    for entry in reported["goals"]:
        sign = ">=" if entry["better"] == "higher" else "<="
        value = entry["why"] if entry["value"] is None else f"{entry['value']:.4g} {entry['unit']}"
        spread = f"{entry['spread'][0]:.4g} .. {entry['spread'][1]:.4g}" if entry["spread"] else ""
        drawn.add_row(
            entry["name"],
            value,
            spread,
            f"{sign} {entry['goal']:.4g} {entry['unit']}",
            "yes" if entry["met"] else "NO",
        )
    return drawn
