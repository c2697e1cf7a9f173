"""How a rule of the ledger is read, and how a verdict follows from rows.

A rule is either ``{"tests": {...}, "confirmed": [...], "partly": [...], "shows": ...}`` or
``{"not_measurable": {"needs": ..., "nearest": ...}}``. A test compares one figure of the rows of one name:

    {"row": "lif.tbptt", "where": {"T": [">=", 200]}, "figure": "memory_ratio", "take": "max",
     "is": "<=", "than": 0.5, "unit": "x", "about": "memory against the whole window"}

``over`` divides by a second figure of the row; ``take``: median (default), min or max over the rows.
``confirmed`` lists the tests that must hold; ``partly`` lists ``{"if": [tests], "condition": text}``: the
first that holds counts; otherwise the claim is not reproduced. While a row that a test reads is missing,
it is open.
"""

from __future__ import annotations

import operator
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from neurolab.measurements import KINDS, Measurement

VERDICTS = ("confirmed", "partly", "not reproduced", "not measurable here", "open")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "==": operator.eq,
    "between": lambda value, bounds: bool(bounds[0] <= value <= bounds[1]),
}
_SIGNS = {"<=": "\u2264", ">=": "\u2265", "==": "="}
_TAKE: dict[str, Callable[[list[float]], float]] = {"median": statistics.median, "min": min, "max": max}


@dataclass(frozen=True)
class Verdict:
    """The verdict on a claim.

    verdict: one of VERDICTS.  figure: the number that the ledger shows (None while there is none), in unit.
    why: what was compared with what.  rows: the measurements it rests on.
    """

    id: str
    verdict: str
    figure: float | None
    unit: str
    why: str
    rows: tuple[Measurement, ...]


@dataclass(frozen=True)
class Figure:
    """One figure of the rows of one name (see the module's text)."""

    row: str
    figure: str
    about: str
    where: Mapping[str, Any]
    over: str | None = None
    take: str = "median"
    unit: str = ""

    def matching(self, rows: Iterable[Measurement]) -> list[Measurement]:
        """The rows that it reads: right name, setting as `where` asks, figures there (and no zero below)."""
        return [
            row
            for row in rows
            if row.name == self.row
            and all(_holds(row.setting.get(key), asked) for key, asked in self.where.items())
            and isinstance(row.figures.get(self.figure), int | float)
            and (self.over is None or row.figures.get(self.over, 0))
        ]

    def value(self, rows: list[Measurement]) -> float:
        """The figure, taken over these rows."""
        return float(
            _TAKE[self.take](
                [row.figures[self.figure] / (row.figures[self.over] if self.over else 1) for row in rows]
            )
        )


@dataclass(frozen=True)
class Test:
    """A figure and what it is compared with."""

    __test__ = False  # pytest collects classes of this name
    figure: Figure
    compare: str
    than: Any

    def holds(self, value: float) -> bool:
        """Whether the comparison holds."""
        return _COMPARE[self.compare](value, self.than)

    def limit(self) -> str:
        """What is asked of the value: '\u2265 3.6 x'."""
        return f"{self._bounds()} {self.figure.unit}".rstrip()

    def words(self, value: float) -> str:
        """About, value and what was asked, for the ledger's `why`."""
        unit = f" {self.figure.unit}" if self.figure.unit else ""
        asked = f"asked {self._bounds()}: {'yes' if self.holds(value) else 'no'}"
        return f"{self.figure.about}: {value:.3g}{unit} ({asked})"

    def _bounds(self) -> str:
        if self.compare == "between":
            return f"{self.than[0]:g} to {self.than[1]:g}"
        return f"{_SIGNS.get(self.compare, self.compare)} {self.than:g}"


@dataclass(frozen=True)
class Rule:
    """A claim's rule, checked when it is read."""

    tests: Mapping[str, Test]
    confirmed: tuple[str, ...] = ()
    partly: tuple[tuple[tuple[str, ...], str], ...] = ()
    shows: str = ""
    evidence: tuple[str, ...] = ("measured", "simulated")
    needs: str = ""
    nearest: Figure | None = None

    def read(self) -> tuple[tuple[Figure, Test | None], ...]:
        """The figures that it reads, in the order of its tests, and what is asked of each (None: nothing)."""
        if self.nearest:
            return ((self.nearest, None),)
        return tuple((test.figure, test) for test in self.tests.values())

    def asks(self) -> str:
        """The test in words: what must hold to be confirmed, or what it would take to measure."""
        if self.nearest:
            return f"not measurable on a reader's machine: needs {self.needs}"
        return "; ".join(
            f"{self.tests[key].figure.about}: {self.tests[key].limit()}" for key in self.confirmed
        )

    @classmethod
    def of(cls, name: str, fields: Mapping[str, Any]) -> Rule:
        """The rule of claim `name` from JSON. ValueError says what is wrong with it."""
        if "not_measurable" in fields:
            lacks = fields["not_measurable"]
            _only(name, fields, {"not_measurable"})
            _only(name, lacks, {"needs", "nearest"})
            return cls({}, needs=lacks["needs"], nearest=_figure(name, lacks["nearest"]))
        _only(name, fields, {"tests", "confirmed", "partly", "shows", "evidence"})
        tests = {key: _test(f"{name}, test {key}", value) for key, value in fields["tests"].items()}
        partly = tuple((tuple(item["if"]), item["condition"]) for item in fields.get("partly", []))
        named = {*fields["confirmed"], fields["shows"], *(key for tests_, _ in partly for key in tests_)}
        if not fields["confirmed"] or not named <= set(tests):
            raise ValueError(f"claim {name}: the rule names {sorted(named)}; its tests are {sorted(tests)}")
        evidence = tuple(fields.get("evidence", ("measured", "simulated")))
        if not set(evidence) <= set(KINDS):
            raise ValueError(f"claim {name}: evidence is {evidence}; allowed are {KINDS}")
        return cls(tests, tuple(fields["confirmed"]), partly, fields["shows"], evidence)


def _only(name: str, fields: Mapping[str, Any], allowed: set[str]) -> None:
    if extra := set(fields) - allowed:
        raise ValueError(f"claim {name}: {sorted(extra)} is not understood; allowed are {sorted(allowed)}")


def _figure(name: str, fields: Mapping[str, Any]) -> Figure:
    try:
        found = Figure(**{"where": {}, **fields})
    except TypeError as error:
        raise ValueError(f"claim {name}: {error}") from error
    if found.take not in _TAKE:
        raise ValueError(f"claim {name}: take is {found.take!r}; allowed are {sorted(_TAKE)}")
    return found


def _test(name: str, fields: Mapping[str, Any]) -> Test:
    rest = dict(fields)
    compare, than = rest.pop("is", None), rest.pop("than", None)
    pair = isinstance(than, list) and len(than) == 2 and than[0] <= than[1]
    if compare not in _COMPARE or not (pair if compare == "between" else isinstance(than, int | float)):
        raise ValueError(
            f"claim {name}: is {compare!r}, than {than!r}; 'is' must be one of {sorted(_COMPARE)}"
        )
    return Test(_figure(name, rest), compare, than)


def _holds(value: Any, asked: Any) -> bool:
    """Whether a setting is as `where` asks: a plain value, or [comparison, number, ...]."""
    if isinstance(asked, list):
        return isinstance(value, int | float) and _COMPARE[asked[0]](
            value, asked[1] if len(asked) == 2 else asked[1:]
        )
    return bool(value == asked)


def judge(name: str, rule: Rule, rows: Iterable[Measurement]) -> Verdict:
    """The verdict on a claim. Cited rows count only where the rule asks for them; where a simulated row is
    among those that the verdict rests on, it is `partly` at most."""
    usable = [row for row in rows if row.kind in rule.evidence]
    if rule.nearest is not None:
        return _unmeasurable(name, rule, rule.nearest, usable)
    values: dict[str, float] = {}
    rests: list[Measurement] = []
    for key, test in rule.tests.items():
        matching = test.figure.matching(usable)
        if not matching:
            wanted = f"{test.figure.row} with {test.figure.figure}"
            return Verdict(name, "open", None, test.figure.unit, f"waits for rows {wanted}", ())
        values[key] = test.figure.value(matching)
        rests += [row for row in matching if row not in rests]
    held = {key for key, test in rule.tests.items() if test.holds(values[key])}
    why = "; ".join(test.words(values[key]) for key, test in rule.tests.items())
    word = "not reproduced"
    condition = next((text for tests, text in rule.partly if held.issuperset(tests)), None)
    if held.issuperset(rule.confirmed):
        word = "confirmed"
    elif condition is not None:
        word, why = "partly", f"{condition}. {why}"
    if word == "confirmed" and any(row.kind == "simulated" for row in rests):
        word, why = "partly", f"only by a model, not by a measurement. {why}"
    shown = rule.tests[rule.shows].figure
    return Verdict(name, word, values[rule.shows], shown.unit, why, tuple(rests))


def _unmeasurable(name: str, rule: Rule, nearest: Figure, rows: list[Measurement]) -> Verdict:
    matching = nearest.matching(rows)
    if not matching:
        why = f"needs {rule.needs}. Nearest: {nearest.about} (waits for rows {nearest.row})"
        return Verdict(name, "not measurable here", None, nearest.unit, why, ())
    value = nearest.value(matching)
    why = f"needs {rule.needs}. Nearest: {nearest.about}: {value:.3g} {nearest.unit}".rstrip()
    return Verdict(name, "not measurable here", value, nearest.unit, why, tuple(matching))
