"""Goals, what a suite found out about them, and the report that ``neurolab bench`` prints.

A suite is a module ``neurolab/bench/NAME.py`` with

- ``GOALS: list[Goal]``, the goals beside what measures them,
- ``run(quick=False, progress=None) -> list[Finding]``: one finding a goal (further ones with goal=None
  are rows only); ``quick`` measures less, ``progress`` is called with a line of text before each step,
- ``CHAPTER: int`` (optional, 0): the chapter of its rows.

How one measures stands in `benchmark`, which offers these names as well.
"""

from __future__ import annotations

import importlib
import math
import os
import pkgutil
import platform
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any

from neurolab.measurements import Measurement, row
from neurolab.provenance import processor, versions

if TYPE_CHECKING:
    from neurolab.benchmark import Ratio


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
