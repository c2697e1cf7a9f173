"""Chapter 3's exercises on steps and what they cost: the neuron at rest, the bound on T, energy."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import accumulate
from typing import Any

import numpy as np

from neurolab.exercises import Exercise, Mistake, register

Case = tuple[tuple[Any, ...], dict[str, Any]]


def settle(z: list[int], weights: list[int], theta: int, S_min: int, S_max: int) -> list[int]:
    """Drives z(1..T), step weights w(1..T) -> counts S(1..T) of the signed neuron, from S = 0."""
    S, counts = 0, []
    for drive, w in zip(z, weights, strict=True):
        twice = 2 * (drive - theta * S) + w * theta  # 2 V
        if twice >= 2 * w * theta and S + w <= S_max:
            S += w
        elif twice < 0 and S - w >= S_min:
            S -= w
        counts.append(S)
    return counts


def _rest_cases(rng: np.random.Generator) -> list[Case]:
    fixed: list[tuple[Any, ...]] = [
        ([5], [1], 10, -8, 7),  # V = theta
        ([4], [1], 9, -8, 7),
        ([-5], [1], 10, -8, 7),  # V = 0
        ([-6], [1], 10, 0, 15),
        ([20, 20], [4, 2], 10, -8, 7),  # V = w theta
        ([900] * 3, [8, 4, 2], 10, 0, 11),
        ([900] * 5, [4, 2, 1, 1, 1], 10, -8, 7),
        ([-900] * 5, [5, 4, 1, 1, 1], 10, -8, 7),
        ([35, 35, 35, 12, -40, -40, -40], [1] * 7, 10, -8, 7),
        ([60, 60, 8, 8, 8, 8], [4, 2, 1, 1, 1, 1], 7, -8, 7),
        ([2**59 + 1] * 8, [1] * 8, 2**60 + 1, -8, 7),  # V = theta + 1/2
    ]
    for signed, weights in ((True, [4, 2, 1, 1, 1, 1]), (False, [8, 4, 2, 1, 1, 1]), (True, [1] * 6)):
        z = np.cumsum(rng.integers(-40, 60, 6)).tolist()
        fixed.append((z, weights, int(rng.integers(5, 15)), *((-8, 7) if signed else (0, 15))))
    return [(case, {}) for case in fixed]


def _rest_wrong(
    half: str = "w", level: bool = True, bound: str = "w", back: bool = True, strict: bool = False
) -> Callable[..., list[int]]:
    """The neuron with one thing wrong."""

    def wrong(z: list[int], weights: list[int], theta: int, S_min: int, S_max: int) -> list[int]:
        S, counts = 0, []
        for drive, w in zip(z, weights, strict=True):
            start: Any = Fraction(theta * {"w": w, "1": 1, "none": 0, "float": w}[half], 2)
            V = drive - theta * S + (float(start) if half == "float" else start)
            fires = w * theta if level else theta
            step = 0
            if V > fires if strict else V >= fires:
                step = w
            elif back and V < 0:
                step = -w
            room = {"w": S_min <= S + step <= S_max, "1": S_min <= S + (step > 0) - (step < 0) <= S_max}
            if bound == "cut":
                S = min(max(S + step, S_min), S_max)
            elif room.get(bound, True):
                S += step
            counts.append(S)
        return counts

    return wrong


def _summed(z: list[int], weights: list[int], theta: int, S_min: int, S_max: int) -> list[int]:
    return settle(list(accumulate(z)), weights, theta, S_min, S_max)


register(
    Exercise(
        name="attention.rest",
        chapter=3,
        minutes=10,
        difficulty="medium",
        task="The signed neuron, when a spike at step t counts `w = weights[t]`. Begin with S = 0. At each "
        "step find what the neuron owes, `V = z[t] - theta S + w theta / 2`, where `z[t]` is all input so"
        " far. If V is at least `w theta`, S grows by w; if V is below 0, S falls by w; but where that "
        "would take S above `S_max` or below `S_min`, it stays. Return the list of S after each step. "
        "Whole numbers only: the chip knows no halves, and some inputs are too long for a float.",
        reference=settle,
        cases=_rest_cases,
        stub="def settle(z, weights, theta, S_min, S_max):\n    ...",
        mistakes=[
            Mistake(
                _rest_wrong(half="1"),
                "The half must grow with the spike: half of `w theta`, not of theta. A large spike is "
                "right where it is nearer than none.",
            ),
            Mistake(
                _rest_wrong(half="none"),
                "The `w theta / 2` is missing: this neuron rounds down instead of to the nearest.",
            ),
            Mistake(
                _rest_wrong(level=False),
                "A spike that counts w takes `w theta` out of the drive, so it must owe that much: compare V "
                "with `w theta`.",
            ),
            Mistake(
                _rest_wrong(bound="1"),
                "S jumped over its bound: there must be room for the whole spike, `S + w <= S_max` (and the "
                "same below).",
            ),
            Mistake(
                _rest_wrong(bound="none"),
                "S ran over its bounds. A spike for which there is no room is not sent: S stays where it is.",
            ),
            Mistake(
                _rest_wrong(bound="cut"),
                "You cut a spike that does not fit to one that does. A spike counts w or is not sent at all.",
            ),
            Mistake(
                _summed,
                "You add up the inputs, but `z[t]` is the sum of all so far already: use it as it is.",
            ),
            Mistake(
                _rest_wrong(back=False),
                "It never takes a spike back: where V is negative, S must fall.",
            ),
            Mistake(
                _rest_wrong(strict=True),
                "A tie: V exactly at `w theta` does fire, so that halves are rounded up. Use >=.",
            ),
            Mistake(
                _rest_wrong(half="float"),
                "The `/ 2` makes a float, and one input is too long for it. Double both sides instead: with "
                "`2 V` there is nothing to halve.",
            ),
        ],
        hints=[
            "S is the only thing to remember from step to step; z[t] is given anew each time.",
            "No halves: `twice = 2 * (z[t] - theta * S) + w * theta`, to be compared with `2 * w * theta` "
            "and with 0.",
            "`if twice >= 2 * w * theta and S + w <= S_max: S += w`, then an `elif` for the way down.",
        ],
    )
)


def bound(stages: list[list[tuple[int, int]]]) -> int:
    """Stages one after another, each a list of (S_min, S_max) of its populations -> steps until all rest."""
    return sum(max(S_max - S_min for S_min, S_max in stage) for stage in stages)


def _bound_cases(rng: np.random.Generator) -> list[Case]:
    signed, unsigned = (-8, 7), (0, 15)
    block = [[signed], [signed] * 3, [unsigned], [signed], [signed], [unsigned]]
    fixed: list[Any] = [
        [[(0, 1)]],
        [[(-8, 7)]],
        [[(-1, 0)], [(0, 3)]],
        [[(0, 0)], [(-4, 3)]],
        [[(-4, 3), (0, 7)]],
        [[(-2, 1), (0, 15)], [(-8, 7)]],
        block,
    ]
    for length in (2, 4):
        drawn = rng.integers(0, 9, (length, 3, 2)).tolist()
        fixed.append([[(-a, b) for a, b in stage] for stage in drawn])
    return [((case,), {}) for case in [*fixed, block * 4 + [[signed]]]]


def _bound_wrong(
    over: Callable[[list[int]], int] = sum,
    within: Callable[[list[int]], int] = max,
    span: Callable[[int, int], int] = lambda low, high: high - low,
) -> Callable[[list[list[tuple[int, int]]]], int]:
    """A bound with one thing wrong."""
    return lambda stages: over([within([span(*pair) for pair in stage]) for stage in stages])


register(
    Exercise(
        name="attention.bound",
        chapter=3,
        minutes=8,
        difficulty="medium",
        task="How many steps until everything rests, whatever the input? Each spike counts 1. Once the drive "
        "of a population no longer changes, it needs at most `S_max - S_min` more steps: at worst it "
        "walks from one bound to the other. `stages` is a list of stages, each listening to the one "
        "before it, and the first to a drive that never changes. A stage is a list of `(S_min, S_max)`, "
        "one pair for each population; those of one stage stand side by side and don't hear each other. "
        "Return the bound on the steps that follows.",
        reference=bound,
        cases=_bound_cases,
        stub="def bound(stages):\n    ...",
        mistakes=[
            Mistake(
                _bound_wrong(over=max),
                "That would do if all stages could walk at once. At worst a stage starts on its way only "
                "when the one before it rests: the times add up.",
            ),
            Mistake(
                _bound_wrong(within=sum),
                "Populations side by side (query, key and value, say) walk at the same time: within a stage "
                "the slowest decides.",
            ),
            Mistake(
                _bound_wrong(span=lambda low, high: high),
                "You count the way from 0 to S_max. While the stage before was not at rest, this one may "
                "have gone to the wrong end, and must come all the way back.",
            ),
            Mistake(
                _bound_wrong(span=lambda low, high: max(high, -low)),
                "That is right for a neuron that starts at 0. While the stage before was not at rest, this "
                "one may have gone to the wrong end.",
            ),
            Mistake(
                _bound_wrong(span=lambda low, high: high - low + 1),
                "You count the values from S_min to S_max. The steps between them are one fewer.",
            ),
            Mistake(
                lambda stages: sum(max(b for _, b in stage) - min(a for a, _ in stage) for stage in stages),
                "You took the lowest bound of one population and the highest of another. No neuron walks "
                "that far: find each population's own way, then the longest.",
            ),
            Mistake(
                len,
                "One step for each stage is what a network of plain numbers needs. A neuron moves by 1 in a "
                "step, and its way may be longer.",
            ),
        ],
        hints=[
            "Begin with a single stage of two populations, (-4, 3) and (0, 7), then put a second stage "
            "behind.",
            "Stage 2's drive stops changing when *all* of stage 1 rests; from then on it has its own way "
            "before it.",
            "Within a stage the largest S_max - S_min, over the stages the sum.",
        ],
    )
)


def energy(
    nonzero: int, spikes: int, fan_out: int, mac: float, add: float, fetch: float
) -> tuple[float, float, float]:
    """Energies (pJ) of one layer: spiking, int8 that skips zeros; and spikes per nonzero where they tie."""
    spiking = spikes * fan_out * (add + fetch)
    int8 = nonzero * fan_out * (mac + fetch)
    return spiking, int8, (mac + fetch) / (add + fetch)


def _energy_cases(rng: np.random.Generator) -> list[Case]:
    fixed: list[tuple[Any, ...]] = [
        (1, 1, 1, 0.25, 0.125, 1.25),
        (80, 160, 160, 0.23, 0.1, 1.25),
        (80, 160, 160, 0.23, 0.1, 0.0),
        (40, 0, 640, 0.23, 0.1, 1.25),
        (0, 0, 640, 0.23, 0.1, 10.0),
    ]
    for _ in range(5):
        counts = tuple(int(n) for n in rng.integers(1, 700, 3))
        fixed.append((*counts, *(float(a) for a in rng.uniform((0.2, 0.05, 0.1), (0.5, 0.2, 20.0)))))
    return [(case, {}) for case in fixed]


register(
    Exercise(
        name="attention.energy",
        chapter=3,
        minutes=6,
        difficulty="easy",
        task="One layer, two machines; every number goes out to `fan_out` neurons. The int8 machine skips "
        "zeros: for each `nonzero` number and each neuron it fetches a weight (`fetch` pJ), multiplies "
        "and adds (`mac` pJ). The spiking machine, for each of its `spikes` and each neuron, fetches a "
        "weight and adds (`add` pJ). Return three numbers: the spiking energy in pJ, the int8 energy in "
        "pJ, and how many spikes a nonzero number may cost before the two machines are even.",
        reference=energy,
        cases=_energy_cases,
        stub="def energy(nonzero, spikes, fan_out, mac, add, fetch):\n    ...",
        mistakes=[
            Mistake(
                lambda nonzero, spikes, fan_out, mac, add, fetch: (
                    spikes * fan_out * add,
                    nonzero * fan_out * mac,
                    mac / add,
                ),
                "Only the arithmetic is counted: that is the comparison in the news. Both machines must also "
                "fetch a weight for every addition, and that costs more than the addition.",
            ),
            Mistake(
                lambda nonzero, spikes, fan_out, mac, add, fetch: (
                    spikes * fan_out * add,
                    nonzero * fan_out * (mac + fetch),
                    (mac + fetch) / add,
                ),
                "The spiking machine gets its weights for nothing here. It too must fetch one for each spike "
                "and each neuron.",
            ),
            Mistake(
                lambda nonzero, spikes, fan_out, mac, add, fetch: (
                    spikes * fan_out * add + nonzero * fan_out * fetch,
                    nonzero * fan_out * (mac + fetch),
                    mac / add,
                ),
                "You fetch a weight once for all spikes of a number. The spikes come at different steps, "
                "with other spikes in between: every spike fetches anew.",
            ),
            Mistake(
                lambda nonzero, spikes, fan_out, mac, add, fetch: (
                    spikes * (add + fetch),
                    nonzero * (mac + fetch),
                    (mac + fetch) / (add + fetch),
                ),
                "Each spike goes to `fan_out` neurons, and each of them has a weight of its own.",
            ),
            Mistake(
                lambda nonzero, spikes, fan_out, mac, add, fetch: (
                    spikes * fan_out * (add + fetch),
                    nonzero * fan_out * (mac + fetch),
                    (add + fetch) / (mac + fetch),
                ),
                "The last one is turned over: a spike is the cheaper event, so the spiking machine can "
                "afford *more* than one for each number.",
            ),
            Mistake(
                lambda nonzero, spikes, fan_out, mac, add, fetch: (
                    spikes * fan_out * (add + fetch),
                    nonzero * fan_out * (mac + fetch),
                    nonzero * (mac + fetch) / (add + fetch),
                ),
                "That is how many spikes the whole layer may send. Asked is how many for each nonzero "
                "number: divide by `nonzero`.",
            ),
            Mistake(
                lambda nonzero, spikes, fan_out, mac, add, fetch: (
                    nonzero * fan_out * (mac + fetch),
                    spikes * fan_out * (add + fetch),
                    (mac + fetch) / (add + fetch),
                ),
                "The order is spiking first, then int8.",
            ),
        ],
        hints=[
            "What does one event cost on each machine? Then: how many events are there?",
            "A spike reaches `fan_out` neurons: `spikes * fan_out` times fetch and add.",
            "Set r nonzero fan_out (add + fetch) equal to nonzero fan_out (mac + fetch), and solve for r.",
        ],
    )
)
