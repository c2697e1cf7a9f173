"""The controls of an explorer: a whole number, a choice, or a range of numbers.

Each control is a small frozen record.  It knows its allowed values, checks a value that is offered to it, and
describes itself to the browser.  `neurolab.explore` re-exports all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

MAX_CONTROLS = 4


class ControlError(ValueError):
    """A control's limits are wrong, or a value lies outside them."""


@dataclass(frozen=True)
class Steps:
    """Whole numbers from ``start`` to ``stop``, both included, ``step`` apart.

    ``value`` is where the slider stands at first (default: ``start``).  ``unit`` is written after the value.
    With ``play`` (1 to 12) there is a button that moves the slider by itself, so many values a second, round
    and round.
    Raises `ControlError` when the limits are not whole numbers, are the wrong way round, or miss ``stop``.
    """

    start: int
    stop: int
    step: int = 1
    value: int | None = None
    label: str | None = None
    unit: str = ""
    play: int | None = None

    def __post_init__(self) -> None:
        if self.play is not None and not (type(self.play) is int and 1 <= self.play <= 12):
            raise ControlError(f"Steps: play must be 1 to 12 values a second, not {self.play!r}")
        for name in ("start", "stop", "step"):
            number = getattr(self, name)
            if not isinstance(number, Integral) or isinstance(number, bool):
                raise ControlError(f"Steps: {name} must be a whole number, not {number!r}")
        if self.step < 1:
            raise ControlError(f"Steps: step must be 1 or more, not {self.step}")
        if self.stop <= self.start:
            raise ControlError(f"Steps: stop ({self.stop}) must be greater than start ({self.start})")
        if (self.stop - self.start) % self.step:
            raise ControlError(
                f"Steps: stop ({self.stop}) cannot be reached from {self.start} in steps of {self.step}"
            )
        object.__setattr__(self, "value", self.start if self.value is None else self.check(self.value))

    def values(self) -> list[int]:
        """All allowed values, in order."""
        return list(range(int(self.start), int(self.stop) + 1, int(self.step)))

    def check(self, value: Any) -> int:
        """Return ``value`` as an int if it is allowed, else raise `ControlError`."""
        whole = isinstance(value, Real) and not isinstance(value, bool) and float(value).is_integer()
        if not whole or int(value) not in range(int(self.start), int(self.stop) + 1, int(self.step)):
            raise ControlError(
                f"{value!r} is not allowed: whole numbers from {self.start} to {self.stop}, step {self.step}"
            )
        return int(value)

    def wire(self, name: str) -> dict[str, Any]:
        """What the browser needs to draw this control."""
        drawn = {
            "name": name, "kind": "range", "label": self.label or name, "unit": self.unit,
            "values": self.values(), "value": self.value,
        }  # fmt: skip
        return drawn if self.play is None else drawn | {"play": self.play}


@dataclass(frozen=True)
class Range:
    """Numbers from ``start`` to ``stop``, both included, ``step`` apart (rounded to 12 significant digits).

    Raises `ControlError` when a limit is not finite, the limits are the wrong way round, or ``stop`` is
    missed.
    """

    start: float
    stop: float
    step: float
    value: float | None = None
    label: str | None = None
    unit: str = ""

    def __post_init__(self) -> None:
        for name in ("start", "stop", "step"):
            number = getattr(self, name)
            if not isinstance(number, Real) or isinstance(number, bool) or not math.isfinite(number):
                raise ControlError(f"Range: {name} must be a finite number, not {number!r}")
        if self.step <= 0:
            raise ControlError(f"Range: step must be greater than 0, not {self.step}")
        if self.stop <= self.start:
            raise ControlError(f"Range: stop ({self.stop}) must be greater than start ({self.start})")
        steps = (self.stop - self.start) / self.step
        if abs(steps - round(steps)) > 1e-6 * max(1.0, steps):
            raise ControlError(
                f"Range: stop ({self.stop}) cannot be reached from {self.start} in steps of {self.step}"
            )
        first = float(self.start)
        object.__setattr__(self, "value", first if self.value is None else self.check(self.value))

    def values(self) -> list[float]:
        """All allowed values, in order, free of binary dust (0.3, never 0.30000000000000004)."""
        count = round((self.stop - self.start) / self.step)
        return [float(f"{self.start + i * self.step:.12g}") for i in range(count + 1)]

    def check(self, value: Any) -> float:
        """Return the allowed value that ``value`` stands for, or raise `ControlError`."""
        if isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value):
            nearest = round((float(value) - self.start) / self.step)
            values = self.values()
            if 0 <= nearest < len(values) and abs(values[nearest] - float(value)) <= 1e-6 * self.step:
                return values[nearest]
        raise ControlError(
            f"{value!r} is not allowed: numbers from {self.start} to {self.stop} in steps of {self.step}"
        )

    def wire(self, name: str) -> dict[str, Any]:
        """What the browser needs to draw this control."""
        return {
            "name": name, "kind": "range", "label": self.label or name, "unit": self.unit,
            "values": self.values(), "value": self.value,
        }  # fmt: skip


@dataclass(frozen=True, init=False)
class Choice:
    """One of the given values (numbers, strings or booleans), e.g. ``Choice(2, 4, 8, value=4)``.

    Raises `ControlError` with fewer than two values, with the same value twice, or with other types.
    """

    options: tuple[Any, ...]
    value: Any
    label: str | None
    unit: str

    def __init__(self, *values: Any, value: Any = None, label: str | None = None, unit: str = "") -> None:
        if len(values) < 2:
            raise ControlError(f"Choice: give two values or more, not {len(values)}")
        for one in values:
            if not isinstance(one, (str, int, float)) or (isinstance(one, float) and not math.isfinite(one)):
                raise ControlError(f"Choice: values are strings, finite numbers or booleans, not {one!r}")
        if len({str(one) for one in values}) < len(values):
            raise ControlError(f"Choice: the values {values} look the same to a reader; each must differ")
        object.__setattr__(self, "options", tuple(values))
        object.__setattr__(self, "label", label)
        object.__setattr__(self, "unit", unit)
        object.__setattr__(self, "value", values[0] if value is None else self.check(value))

    def values(self) -> list[Any]:
        """All allowed values, in the order given."""
        return list(self.options)

    def check(self, value: Any) -> Any:
        """Return the option equal to ``value``, or raise `ControlError`."""
        for one in self.options:
            if one == value and isinstance(one, bool) == isinstance(value, bool):
                return one
        raise ControlError(f"{value!r} is not allowed: choose one of {', '.join(map(repr, self.options))}")

    def wire(self, name: str) -> dict[str, Any]:
        """What the browser needs to draw this control."""
        return {
            "name": name, "kind": "choice", "label": self.label or name, "unit": self.unit,
            "values": self.values(), "value": self.value,
        }  # fmt: skip


Control = Steps | Range | Choice


def check_controls(controls: Any) -> dict[str, Control]:
    """Return ``controls`` as a dict after checking its size, names and types (`ControlError` if wrong)."""
    if not isinstance(controls, dict):
        raise ControlError(f"controls must be a dict of name: control, not {type(controls).__name__}")
    if len(controls) > MAX_CONTROLS:
        raise ControlError(f"at most {MAX_CONTROLS} controls, not {len(controls)}: {', '.join(controls)}")
    for name, control in controls.items():
        if not isinstance(name, str) or not name.isidentifier():
            raise ControlError(
                f"control name {name!r} must be a Python identifier: compute receives it by name"
            )
        if not isinstance(control, (Steps, Range, Choice)):
            raise ControlError(
                f"control {name!r} must be Steps, Range or Choice, not {type(control).__name__}"
            )
    return dict(controls)
