"""Chapter 2's exercises: the leak, one step, the wait for a spike, the tracer, the way back through time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from neurolab.exercises import Exercise, Mistake, register

Case = tuple[tuple[Any, ...], dict[str, Any]]


def leak(tau: float, dt: float) -> float:
    """The share beta of the membrane that is left after dt (ms), with time constant tau (ms)."""
    return math.exp(-dt / tau)


def _leak_cases(rng: np.random.Generator) -> list[Case]:
    fixed = [(20.0, 1.0), (10.0, 10.0), (5.0, 0.1), (2.0, 8.0)]
    drawn = [(float(rng.uniform(1, 50)), float(rng.uniform(0.1, 20))) for _ in range(6)]
    return [(pair, {}) for pair in fixed + drawn]


register(
    Exercise(
        name="lif.leak",
        chapter=2,
        minutes=3,
        difficulty="easy",
        task="With no input the membrane falls as `tau dv/dt = -v`. Return `beta`, the share of `v` that "
        "is left after "
        "one step of `dt` ms when the time constant is `tau` ms. Exactly, not nearly.",
        reference=leak,
        cases=_leak_cases,
        stub="def leak(tau, dt):\n    ...",
        mistakes=[
            Mistake(
                lambda tau, dt: 1 - dt / tau,
                "That is Euler's straight line: right for tiny steps, and negative as soon as dt is larger "
                "than tau. "
                "The solution of the equation is an exponential.",
            ),
            Mistake(
                lambda tau, dt: math.exp(-tau / dt),
                "Turned over: a longer time constant must leave *more*. Divide dt by tau.",
            ),
            Mistake(
                lambda tau, dt: math.exp(dt / tau),
                "This bucket fills itself: the share is above 1. Mind the minus sign.",
            ),
            Mistake(
                lambda tau, dt: 1 - math.exp(-dt / tau),
                "That is the share that has leaked out. Asked is what is left.",
            ),
        ],
        hints=[
            "Which function is its own derivative, up to a factor?",
            "v(t) = v(0) exp(-t / tau) solves the equation: put t = dt.",
            "`math.exp(-dt / tau)`.",
        ],
    )
)


def step(v: float, x: float, beta: float, theta: float) -> tuple[float, float]:
    """v(t-1), x(t) -> s(t), v(t), with v(t) = beta v(t-1) + x(t) - theta s(t-1)."""
    before = 1.0 if v > theta else 0.0
    v = beta * v + x - theta * before
    return (1.0 if v > theta else 0.0), v


def _step_cases(rng: np.random.Generator) -> list[Case]:
    fixed = [
        (0.0, 0.5, 0.9, 1.0),
        (1.0, 0.1, 0.5, 1.0),
        (1.5, 0.5, 0.5, 1.0),
        (0.5, 0.5, 1.0, 1.0),
        (2.5, 1.0, 0.75, 0.5),
    ]
    drawn = [tuple(float(a) for a in rng.uniform((-1, -0.5, 0, 0.3), (2, 1.5, 1, 1.2))) for _ in range(12)]
    return [(case, {}) for case in fixed + drawn]


register(
    Exercise(
        name="lif.step",
        chapter=2,
        minutes=5,
        difficulty="easy",
        task="One step of the neuron, as in the equation: from the membrane `v` before the step, the input "
        "`x`, `beta` and "
        "`theta`, return the pair `(s, v)`: the new spike (1.0 or 0.0) and the new membrane. The spike "
        "that is paid for is "
        "the *old* one; it can be read off the old `v`.",
        reference=step,
        cases=_step_cases,
        stub="def step(v, x, beta, theta):\n    ...",
        mistakes=[
            Mistake(
                lambda v, x, beta, theta: _immediate(v, x, beta, theta),
                "You pay for the new spike at once. In this definition v still stands above theta when it "
                "fires, and theta "
                "goes out with the next step.",
            ),
            Mistake(
                lambda v, x, beta, theta: _plain(beta * (v - theta * (v > theta)) + x, theta),
                "Close: you take theta first and let the rest leak. That is the other definition of a soft "
                "reset; here theta is "
                "taken whole, after the leak.",
            ),
            Mistake(
                lambda v, x, beta, theta: _plain(beta * v + x, theta),
                "Nobody pays for the spike: where the old v is above theta, theta must go out.",
            ),
            Mistake(
                lambda v, x, beta, theta: _plain(v + x - theta * (v > theta), theta),
                "This bucket has no hole: multiply the old membrane by beta.",
            ),
            Mistake(
                lambda v, x, beta, theta: _at_least(beta * v + x - theta * (v >= theta), theta),
                "A tie: a membrane exactly at theta does not fire here. Use > and not >=.",
            ),
        ],
        hints=[
            "Three terms: what the leak leaves, what comes in, what the last spike costs.",
            "The old spike: `before = 1.0 if v > theta else 0.0`.",
            "`v = beta * v + x - theta * before`, then compare the new v with theta.",
        ],
    )
)


def _plain(v: float, theta: float) -> tuple[float, float]:
    return (1.0 if v > theta else 0.0), v


def _at_least(v: float, theta: float) -> tuple[float, float]:
    return (1.0 if v >= theta else 0.0), v


def _immediate(v: float, x: float, beta: float, theta: float) -> tuple[float, float]:
    v = beta * v + x
    s = 1.0 if v > theta else 0.0
    return s, v - theta * s


def wait(x: float, beta: float, theta: float) -> int:
    """Steps from an empty membrane to the first v > theta, input x at each; 0 if it never gets there."""
    if x <= theta * (1 - beta):
        return 0
    return math.floor(math.log(1 - theta * (1 - beta) / x) / math.log(beta)) + 1


def _wait_cases(rng: np.random.Generator) -> list[Case]:
    fixed = [
        (1.0, 0.5, 1.0),
        (0.05, 0.9, 1.0),
        (2.0, 0.9, 1.0),
        (0.101, 0.9, 1.0),
        (-0.3, 0.8, 1.0),
        (0.3, 0.75, 0.8),
    ]
    drawn = [tuple(float(a) for a in rng.uniform((0.05, 0.5, 0.4), (0.9, 0.98, 1.5))) for _ in range(10)]
    return [(case, {}) for case in fixed + drawn]


def _wait_wrong(
    x: float, beta: float, theta: float, last: Callable[[float], int], *, leak: bool = True
) -> int:
    """The closed form with one thing wrong: its rounding, or the level that is reached."""
    reach = theta * (1 - beta) if leak else theta
    if x <= reach:
        return 0
    return last(math.log(1 - reach / x) / math.log(beta))


register(
    Exercise(
        name="lif.wait",
        chapter=2,
        minutes=8,
        difficulty="medium",
        task="From empty, a constant input lifts the membrane to `x (1 - beta^n) / (1 - beta)` after `n` "
        "steps. Return the first "
        "`n` at which it is *above* `theta`, as a whole number and without a loop; 0 if it never gets "
        "there. `0 < beta < 1`.",
        reference=wait,
        cases=_wait_cases,
        stub="def wait(x, beta, theta):\n    ...",
        mistakes=[
            Mistake(
                lambda x, beta, theta: _wait_wrong(x, beta, theta, math.ceil),
                "Right but for ties: where the climb lands exactly on theta, the neuron needs one step more. "
                "`floor(...) + 1` and `ceil(...)` differ just there.",
            ),
            Mistake(
                lambda x, beta, theta: _wait_wrong(x, beta, theta, math.floor),
                "One too few: after that many steps the membrane is still at or below theta.",
            ),
            Mistake(
                lambda x, beta, theta: _wait_wrong(x, beta, theta, lambda n: math.floor(n) + 1, leak=False),
                "The membrane does not climb to x but to x / (1 - beta): compare x with theta (1 - beta).",
            ),
            Mistake(
                lambda x, beta, theta: 0 if x <= 0 else math.floor(theta / x) + 1,
                "That is the bucket without a hole: theta / x steps. With a leak it takes longer, and "
                "below theta (1 - beta) for ever.",
            ),
        ],
        hints=[
            "When is the highest level, x / (1 - beta), not above theta? Those inputs wait for ever.",
            "Solve x (1 - beta^n) / (1 - beta) = theta for beta^n, then take logarithms.",
            "n is above log(1 - theta (1 - beta) / x) / log(beta): the first whole number above a number r "
            "is floor(r) + 1.",
        ],
    )
)


def tracer_step(z: float, S: int, x: float, theta: float, S_min: int, S_max: int) -> tuple[int, float, int]:
    """z(t-1), S(t-1), x(t) -> s(t), z(t), S(t) of the signed neuron."""
    z = z + x
    V = z - theta * S + theta / 2
    s = int(V >= theta and S < S_max) - int(V < 0 and S > S_min)
    return s, z, S + s


def _tracer_cases(rng: np.random.Generator) -> list[Case]:
    fixed: list[tuple[Any, ...]] = [
        (0.0, 0, 0.5, 1.0, -4, 4),
        (0.0, 0, 0.25, 0.5, 0, 4),
        (0.0, 0, -2.0, 1.0, 0, 4),
        (9.0, 4, 1.0, 1.0, -4, 4),
        (0.0, 3, 0.25, 1.0, -4, 4),
        (2.0, 2, -0.5, 1.0, -4, 4),
        (0.0, 0, -1.0, 1.0, -4, 4),
        (1.0, 1, -0.5, 1.0, 0, 7),
    ]
    for _ in range(10):
        fixed.append((rng.uniform(-3, 3), int(rng.integers(-3, 4)), rng.uniform(-2, 2), 0.7, -4, 4))
    return [(case, {}) for case in fixed]


def _tracer_wrong(
    start: float = 0.5, bounds: bool = True, back: bool = True, strict: bool = False
) -> Callable[..., tuple[int, float, int]]:
    """A step with one thing wrong."""

    def wrong(z: float, S: int, x: float, theta: float, S_min: int, S_max: int) -> tuple[int, float, int]:
        z = z + x
        V = z - theta * S + theta * start
        up = (V > theta if strict else V >= theta) and (S < S_max or not bounds)
        down = back and V < 0 and (S > S_min or not bounds)
        return int(up) - int(down), z, S + int(up) - int(down)

    return wrong


register(
    Exercise(
        name="lif.tracer",
        chapter=2,
        minutes=8,
        difficulty="medium",
        task="One step of the signed neuron. Add `x` to `z`, find what the neuron owes, `V = z - theta S + "
        "theta / 2`, and return "
        "`(s, z, S)`: s = +1 if V is at least theta and S below `S_max`, -1 if V is below 0 and S above "
        "`S_min`, else 0. "
        "All are plain numbers.",
        reference=tracer_step,
        cases=_tracer_cases,
        stub="def tracer_step(z, S, x, theta, S_min, S_max):\n    ...",
        mistakes=[
            Mistake(
                _tracer_wrong(start=0.0),
                "The theta / 2 is missing: without it the neuron rounds down instead of to the nearest.",
            ),
            Mistake(
                _tracer_wrong(bounds=False),
                "S ran over its bounds. A neuron that has said S_max stays silent, however much it owes "
                "(and the same below).",
            ),
            Mistake(
                _tracer_wrong(back=False),
                "It never takes a spike back: where V is negative, s is -1. That is the whole point of "
                "this neuron.",
            ),
            Mistake(
                _tracer_wrong(strict=True),
                "A tie: V = theta does fire here, so that halves are rounded up. Use >= for the upper side.",
            ),
        ],
        hints=[
            "Update z first: V is what is owed after this step's input.",
            "Two conditions, each with its bound: `V >= theta and S < S_max`, `V < 0 and S > S_min`.",
            "`s = int(V >= theta and S < S_max) - int(V < 0 and S > S_min)`, and S + s goes back.",
        ],
    )
)


def back(g: list[float], h: list[float], beta: float) -> list[float]:
    """dL/dx(t) from g(t) = dL/ds(t), the bumps h(t) = h(v(t) - theta), and the leak."""
    d, after = [0.0] * len(g), 0.0
    for t in reversed(range(len(g))):
        after = g[t] * h[t] + beta * after
        d[t] = after
    return d


def _back_cases(rng: np.random.Generator) -> list[Case]:
    fixed: list[Case] = [(([1.0], [0.5], 0.9), {}), (([0.0, 0.0, 1.0], [1.0, 1.0, 1.0], 0.5), {})]
    for T in (2, 5, 12):
        fixed.append(((rng.normal(size=T).tolist(), rng.random(T).tolist(), float(rng.uniform(0.3, 1))), {}))
    return fixed


def _forwards(g: list[float], h: list[float], beta: float) -> list[float]:
    d, before = [], 0.0
    for t in range(len(g)):
        before = g[t] * h[t] + beta * before
        d.append(before)
    return d


def _twice(g: list[float], h: list[float], beta: float) -> list[float]:
    d, after = [0.0] * len(g), 0.0
    for t in reversed(range(len(g))):
        after = h[t] * (g[t] + beta * after)
        d[t] = after
    return d


register(
    Exercise(
        name="lif.back",
        chapter=2,
        minutes=10,
        difficulty="hard",
        task="The way back through time, by hand. The loss has told each spike what it thinks of it: `g[t] "
        "= dL/ds(t)`. The bump at "
        "each step is `h[t]`, and the reset counts as a constant. Return the list `dL/dx(t)` for all t. "
        "Remember how x(t) acts: "
        "on v(t), hence on s(t), and through the leak on v(t+1), which acts in turn.",
        reference=back,
        cases=_back_cases,
        stub="def back(g, h, beta):\n    ...",
        mistakes=[
            Mistake(
                _forwards,
                "Time runs the wrong way: an input acts on later spikes, so credit must flow from the last "
                "step to the first.",
            ),
            Mistake(
                lambda g, h, beta: [a * b for a, b in zip(g, h, strict=True)],
                "That is each step by itself. What is still in the bucket at t + 1 came in at t: add beta "
                "times the next step's result.",
            ),
            Mistake(
                _twice,
                "The bump stands between v(t) and s(t) only. What comes back from v(t+1) reaches v(t) "
                "through the leak, without passing a bump.",
            ),
            Mistake(
                lambda g, h, beta: back(g, h, 1.0),
                "The leak is missing: a step back multiplies by beta.",
            ),
        ],
        hints=[
            "Call d(t) = dL/dv(t). Since x(t) is simply added to v(t), dL/dx(t) is d(t) too.",
            "v(t) acts in two ways: d(t) = g(t) h(t) + beta d(t+1), and after the last step there is "
            "nothing.",
            "Loop with `for t in reversed(range(len(g)))` and keep the last result.",
        ],
    )
)
