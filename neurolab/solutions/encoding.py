"""Chapter 1's exercises: coins, windows, clocks and orders."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from neurolab.exercises import Exercise, Mistake, register

Case = tuple[tuple[Any, ...], dict[str, Any]]


def rate_encode(x: torch.Tensor, rolls: torch.Tensor) -> torch.Tensor:
    """x (...) in [0, 1], rolls (T, ...) from [0, 1) -> spikes (T, ...) of 0 and 1."""
    return (rolls < x).float()


def _rate_cases(rng: np.random.Generator) -> list[Case]:
    def pair(T: int, *shape: int) -> Case:
        x, rolls = rng.random(shape, np.float32), rng.random((T, *shape), np.float32)
        return ((torch.tensor(x), torch.tensor(rolls)), {})

    edge: Case = ((torch.tensor([0.0, 1.0, 0.5]), torch.tensor([[0.0, 0.0, 0.5], [0.999, 0.999, 0.25]])), {})
    return [pair(3, 2), edge, pair(16, 8, 8), pair(1, 5), pair(7, 2, 3, 4)]


register(
    Exercise(
        name="encoding.rate",
        chapter=1,
        minutes=3,
        difficulty="easy",
        task="The dice are thrown already: `rolls` has shape (T, ...) and holds numbers from 0 up to, "
        "but not "
        "including, 1. Return the spikes of the numbers `x`, shape (...): 1 where a neuron fires, 0 "
        "where it does "
        "not, so that a 0 never fires and a 1 always does.",
        reference=rate_encode,
        cases=_rate_cases,
        stub="def rate_encode(x, rolls):\n    ...",
        mistakes=[
            Mistake(
                lambda x, rolls: (rolls <= x).float(),
                "Nearly. A roll can be exactly 0, and then a number that is 0 fires too: compare with "
                "< and not <=.",
            ),
            Mistake(
                lambda x, rolls: (rolls > x).float(),
                "Upside down: a bright pixel should fire often, and yours stays silent. "
                "A roll *below* x is a spike.",
            ),
            Mistake(
                lambda x, rolls: (rolls < x).float().mean(0),
                "That is what the listener hears. The exercise asks for the spikes themselves, "
                "with the time axis still there.",
            ),
            Mistake(
                lambda x, rolls: (rolls < 0.5).float(),
                "Every pixel throws the same coin here. The chance of a spike must be the pixel's own x.",
            ),
            Mistake(
                lambda x, rolls: (x > 0.5).float().expand(rolls.shape).clone(),
                "No dice in this one: each pixel either always fires or never does. Compare each roll "
                "with x.",
            ),
        ],
        hints=[
            "A fair roll lies below 0.3 in 30 of 100 throws. So what should a roll be compared with?",
            "PyTorch lines shapes up from the right: (T, 8, 8) compared with (8, 8) works as it stands.",
            "One comparison gives True and False; `.float()` turns them into 1 and 0.",
        ],
    )
)


def window_for(x: float, error: float) -> int:
    """The least number of ticks T >= 1 with sqrt(x (1 - x) / T) <= error."""
    return max(1, math.ceil(x * (1 - x) / error**2))


def _window_cases(rng: np.random.Generator) -> list[Case]:
    fixed = [(0.5, 0.07), (0.0, 0.1), (1.0, 0.01), (0.73, 0.011), (0.02, 0.3)]
    drawn = [(float(rng.uniform(0.05, 0.95)), float(rng.uniform(0.004, 0.2))) for _ in range(8)]
    return [(pair, {}) for pair in fixed + drawn]


register(
    Exercise(
        name="encoding.window",
        chapter=1,
        minutes=5,
        difficulty="medium",
        task="You may be wrong by `error` (one standard error) about a number `x`. How many ticks "
        "must you listen "
        "to its coins? Return the least whole T, at least 1.",
        reference=window_for,
        cases=_window_cases,
        stub="def window_for(x, error):\n    ...",
        mistakes=[
            Mistake(
                lambda x, error: max(1, math.ceil(x * (1 - x) / error)),
                "The error must be squared on its way out of the root. Yours grows with 1 / error; "
                "the true price grows with its square.",
            ),
            Mistake(
                lambda x, error: max(1, math.ceil(math.sqrt(x * (1 - x)) / error)),
                "You solved error = sqrt(x (1 - x)) / T. The T stands under the root too: square both "
                "sides first.",
            ),
            Mistake(
                lambda x, error: max(1, math.ceil(x / error**2)),
                "That is the window for a Geiger counter (Poisson). A coin varies less: x (1 - x) "
                "instead of x.",
            ),
            Mistake(
                lambda x, error: max(1, math.floor(x * (1 - x) / error**2)),
                "Rounded down, and so the error is still a little too large. Round T up.",
            ),
            Mistake(
                lambda x, error: math.ceil(x * (1 - x) / error**2),
                "Right but for the ends: for x = 0 or 1 you listen for no time at all. The least is "
                "one tick.",
            ),
        ],
        hints=[
            "Start from error = sqrt(x (1 - x) / T) and square both sides.",
            "T = x (1 - x) / error^2. It has to be whole, and large enough: which way do you round?",
            "`math.ceil` rounds up; `max(1, ...)` takes care of x = 0 and x = 1.",
        ],
    )
)


def first_spike_decode(spikes: torch.Tensor) -> torch.Tensor:
    """spikes (T, ...) of 0 and 1, T >= 2 -> (...): 1 - t / (T - 1) at the first spike's tick t, else 0."""
    T = len(spikes)
    t = spikes.argmax(0)  # the first tick of the largest value; 0 also where nothing fired
    heard = 1 - t / (T - 1)
    return torch.where(spikes.sum(0) > 0, heard, 0.0)


def _decode_cases(rng: np.random.Generator) -> list[Case]:
    def trains(T: int, *shape: int, chance: float = 0.15) -> Case:
        return ((torch.tensor((rng.random((T, *shape)) < chance).astype(np.float32)),), {})

    silent: Case = ((torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 1.0]]),), {})
    return [silent, trains(2, 3, chance=0.5), trains(16, 8, 8), trains(5, 4), trains(9, 2, 3)]


def _last_spike(spikes: torch.Tensor) -> torch.Tensor:
    T = len(spikes)
    return torch.where(spikes.sum(0) > 0, spikes.flip(0).argmax(0) / (T - 1), 0.0)


register(
    Exercise(
        name="encoding.first_spike",
        chapter=1,
        minutes=6,
        difficulty="medium",
        task="Hear the clock. `spikes` has shape (T, ...). A first spike at tick 0 means 1, one at "
        "the last tick "
        "means 0, in a straight line between. What comes after the first spike does not matter; a "
        "neuron that never "
        "fires is heard as 0.",
        reference=first_spike_decode,
        cases=_decode_cases,
        stub="def first_spike_decode(spikes):\n    ...",
        mistakes=[
            Mistake(
                lambda spikes: 1 - spikes.argmax(0) / (len(spikes) - 1),
                "Silence is heard as full brightness: argmax of nothing but zeros is 0, "
                "the earliest tick there is. Ask first whether the neuron fired at all.",
            ),
            Mistake(
                lambda spikes: torch.where(spikes.sum(0) > 0, 1 - spikes.argmax(0) / len(spikes), 0.0),
                "The last tick is T - 1, not T: a spike there must mean 0, and yours means 1 / T.",
            ),
            Mistake(
                lambda spikes: torch.where(spikes.sum(0) > 0, spikes.argmax(0) / (len(spikes) - 1), 0.0),
                "Late spikes come out bright. Big numbers fire early: turn the line round.",
            ),
            Mistake(_last_spike, "That is the last spike. The *first* one carries the number."),
            Mistake(
                lambda spikes: spikes.mean(0),
                "That is counting, the rate decoder. Here one spike is enough: its tick is the message.",
            ),
        ],
        hints=[
            "For zeros and ones, `spikes.argmax(0)` is the tick of the first 1.",
            "A straight line through (tick 0, value 1) and (tick T - 1, value 0): 1 - t / (T - 1).",
            "`torch.where(spikes.sum(0) > 0, heard, 0.0)` keeps the silent ones at 0.",
        ],
    )
)


def rank_decode(order: list[int], profile: torch.Tensor) -> torch.Tensor:
    """order: neurons in the order in which they fired; profile (N,): brightness by rank -> heard (N,)."""
    heard = torch.zeros(len(profile))
    heard[order] = profile[: len(order)]
    return heard


def _rank_cases(rng: np.random.Generator) -> list[Case]:
    def one(N: int, fired: int) -> Case:
        profile = torch.tensor(np.sort(rng.random(N, np.float32))[::-1].copy())
        return (([int(i) for i in rng.permutation(N)[:fired]], profile), {})

    return [(([2, 0, 1], torch.tensor([0.9, 0.5, 0.1])), {}), one(5, 3), one(8, 8), one(64, 40), one(4, 1)]


def _inverse(order: list[int], profile: torch.Tensor) -> torch.Tensor:
    heard = torch.zeros(len(profile))
    heard[: len(order)] = profile[order]
    return heard


def _rising(order: list[int], profile: torch.Tensor) -> torch.Tensor:
    heard = torch.zeros(len(profile))
    heard[order] = profile[: len(order)].flip(0)
    return heard


def _ramp(order: list[int], profile: torch.Tensor) -> torch.Tensor:
    heard = torch.zeros(len(profile))
    heard[order] = torch.linspace(1, 0, len(profile))[: len(order)]
    return heard


register(
    Exercise(
        name="encoding.rank",
        chapter=1,
        minutes=6,
        difficulty="medium",
        task="`order` lists the neurons in the order in which they fired (some may have stayed "
        "silent). `profile` "
        "says how bright the k-th to fire usually is, for each of the N neurons there are. Return "
        "what the listener "
        "believes about every neuron, shape (N,); silence means 0.",
        reference=rank_decode,
        cases=_rank_cases,
        stub="def rank_decode(order, profile):\n    ...",
        mistakes=[
            Mistake(
                _inverse,
                "Rank and neuron are swapped. The neuron `order[k]` gets `profile[k]`, not the other "
                "way round.",
            ),
            Mistake(
                _rising,
                "The first to fire is the brightest, and yours is the darkest: the profile falls already.",
            ),
            Mistake(
                _ramp,
                "A straight ramp from 1 to 0 would do if brightness fell evenly with rank. "
                "Look it up in `profile`.",
            ),
            Mistake(
                lambda order, profile: profile[: len(order)],
                "These are the right numbers in the order of firing. Put each one at its neuron's place, "
                "and 0 where nobody fired.",
            ),
        ],
        hints=[
            "Begin with N zeros. Then neuron `order[0]` gets `profile[0]`, neuron `order[1]` gets "
            "`profile[1]`, ...",
            "A tensor can be written at a list of places at once: `heard[order] = ...`",
            "Only the first len(order) entries of `profile` are used.",
        ],
    )
)
