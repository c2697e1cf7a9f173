"""Chapter 7's exercise on energy: what a recording of volts and amperes says about one token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from neurolab.exercises import Exercise, Mistake, register

Case = tuple[tuple[Any, ...], dict[str, Any]]


def joules(t: np.ndarray, volts: np.ndarray, amps: np.ndarray, idle: float, tokens: int) -> float:
    """t (n,) s rising, volts and amps (n,), idle W -> J a token: the area under V I, less idle, by token."""
    watts = volts * amps
    area = ((watts[1:] + watts[:-1]) / 2 * np.diff(t)).sum()  # W s = J
    return float((area - idle * (t[-1] - t[0])) / tokens)


def _cases(rng: np.random.Generator) -> list[Case]:
    def made(t: list[float], volts: list[float], amps: list[float], idle: float, tokens: int) -> Case:
        return ((*(np.array(x, float) for x in (t, volts, amps)), idle, tokens), {})

    cases = [
        made([0, 1, 2], [4, 4, 4], [0.5, 0.5, 0.5], 1.0, 2),
        made([0, 1, 3], [4, 4, 4], [0.5, 1.0, 0.25], 0.5, 10),  # samples at uneven times
        made([10, 11], [3.8, 3.6], [0.2, 0.8], 0.0, 1),  # the battery sinks under the load
        made([5, 5.5, 7, 7.25], [4, 3.9, 3.7, 3.9], [0.1, 0.6, 0.9, 0.1], 0.3, 40),
        made([0, 2], [4, 4], [0.25, 0.25], 1.0, 5),  # nothing but idle
    ]
    for n in (6, 12, 30):
        t = np.cumsum(rng.uniform(0.05, 0.6, n)) + rng.uniform(0, 100)
        volts, amps = rng.uniform(3.4, 4.3, n), rng.uniform(0.1, 1.5, n)
        cases.append(((t, volts, amps, float(rng.uniform(0.1, 0.8)), int(rng.integers(5, 200))), {}))
    return cases


def _wrong(how: str) -> Callable[..., float]:
    """Joules with one thing wrong."""

    def wrong(t: np.ndarray, volts: np.ndarray, amps: np.ndarray, idle: float, tokens: int) -> float:
        watts, dt, took = volts * amps, np.diff(t), t[-1] - t[0]
        area = ((watts[1:] + watts[:-1]) / 2 * dt).sum()
        found = {
            "idle": area / tokens,
            "even": (watts.mean() - idle) * took / tokens,
            "left": ((watts[:-1] * dt).sum() - idle * took) / tokens,
            "means": (volts.mean() * amps.mean() - idle) * took / tokens,
            "watts": (area / took - idle) / tokens,
            "once": (area - idle) / tokens,
            "all": area - idle * took,
            "clock": (area - idle * t[-1]) / tokens,
        }
        return float(found[how])

    return wrong


register(
    Exercise(
        name="export.joules",
        chapter=7,
        minutes=6,
        difficulty="easy",
        task="A meter wrote down times `t` (seconds, rising, not evenly spaced), `volts` and `amps` (n,) "
        "while a phone wrote `tokens` tokens. Without them it would have drawn `idle` watts. Power is volts "
        "times amperes, and between two readings it goes along a straight line (trapezoids). Return the "
        "joules that one token took *on top of* idling.",
        reference=joules,
        cases=_cases,
        stub="def joules(t, volts, amps, idle, tokens):\n    ...",
        mistakes=[
            Mistake(
                _wrong("idle"),
                "The screen and the radio were on before. Subtract what idling would have taken: idle watts "
                "times all seconds.",
            ),
            Mistake(
                _wrong("even"),
                "A mean of readings counts each alike, but they do not stand for equally long times. Weigh "
                "them by the seconds between them.",
            ),
            Mistake(
                _wrong("left"),
                "Between two readings you take the first. Take the middle of both: trapezoids.",
            ),
            Mistake(
                _wrong("means"),
                "Mean volts times mean amperes is not mean power: the voltage sinks just when the current "
                "rises. Multiply reading by reading.",
            ),
            Mistake(
                _wrong("watts"),
                "Those are watts by token. Joules are watts times seconds.",
            ),
            Mistake(
                _wrong("once"),
                "`idle` is in watts, what you subtract it from in joules. Times the seconds that it lasted.",
            ),
            Mistake(
                _wrong("all"),
                "That is for all tokens together; asked is one.",
            ),
            Mistake(
                _wrong("clock"),
                "The clock of the meter need not begin at 0. It lasted `t[-1] - t[0]` seconds.",
            ),
        ],
        hints=[
            "`watts = volts * amps`, then the area under them, trapezoid by trapezoid.",
            "`((watts[1:] + watts[:-1]) / 2 * np.diff(t)).sum()` is the area in joules.",
            "`(area - idle * (t[-1] - t[0])) / tokens`.",
        ],
    )
)
