"""A toy for the live loop: a bright square on black; its brightness is the digit. All sums are exact.

The toy network is sure, and right, only where the chosen tubelets hold the whole square of the last frame, so
a large square needs a larger budget. 32 tubelets: 2 slots x 4 x 4.
"""

from typing import NamedTuple

import torch

from neurolab import video
from neurolab.live import Live
from neurolab.live_answers import calibrate
from neurolab.live_budget import Policy
from neurolab.live_clock import CostModel, SimulatedClock

FRAMES, SIDE, TOKENS = 4, 32, 32
BUDGETS = (4, 8, 12, 16)
MODEL = CostModel(tokens=TOKENS, fixed=0.0001, choosing=0.0001, per_token=1e-4, per_pair=0.0, jitter=0.1)
DENSE = MODEL.seconds("dense", TOKENS)  # 3.3 ms, and 0.2 + 0.1 n ms for n tokens
GROWN = range(60, 100)  # frames in which the square is larger


class Answer(NamedTuple):
    digit: torch.Tensor
    centre: torch.Tensor


def frame(i, digit=6, grown=GROWN):
    """Frame i: a square of 5 pixels, or 21, that goes to and fro."""
    size = 21 if i in grown else 5
    room = SIDE - size
    place = abs((2 * i) % (2 * room) - room)
    made = torch.zeros(SIDE, SIDE)
    made[8 : 8 + size, place : place + size] = (digit + 1) / 16
    return made


def choose(frames, budget):
    """The tubelets that hold most light in the last frames: exact sums, ties in order."""
    light = video.tubelets(frames)[0].sum(1) * 1024
    light[: TOKENS // 2] /= 1024  # the last slot first
    return light.sort(descending=True, stable=True).indices[None, :budget].sort().values


def net(frames, keep=None):
    tokens = video.tubelets(frames)
    if keep is not None:
        kept = torch.zeros_like(tokens)
        tokens = kept.scatter(1, keep[..., None].expand(-1, -1, 128), tokens.gather(1, _wide(keep)))
    last = video.untubelets(tokens, FRAMES)[0, -1]
    whole = float(last.sum()) == float(frames[0, -1].sum())
    digit = torch.zeros(1, 10)
    digit[0, int(16 * last.max()) - 1 - (not whole)] = 8.0 if whole else 1.0
    xs = torch.arange(SIDE) + 0.5
    mass = last.sum() + 1e-9
    centre = torch.stack(((last.sum(0) * xs).sum() / mass, (last.sum(1) * xs).sum() / mass))[None]
    return Answer(digit, centre)


def _wide(keep):
    return keep[..., None].expand(-1, -1, 128)


def policy(**other):
    settings = {"objective": 0.6 * DENSE, "budgets": BUDGETS, "base": 8, "hold": 8, "calm": 8, "audit": 10}
    return Policy(**{**settings, **other})


def loop(*, seed=0, model=MODEL, sparse=net, dense=net, choice=choose, period=0.04, check=None, **other):
    """A loop on simulated time; other settings go to the policy."""
    costs = calibrate(net, net, choose, [torch.stack([frame(i) for i in range(4)])[None]], BUDGETS,
                      SimulatedClock(MODEL, 99))  # fmt: skip
    return Live(
        dense=dense,
        sparse=sparse,
        choose=choice,
        frames=FRAMES,
        side=SIDE,
        policy=policy(**other),
        costs=costs,
        check=check,
        clock=SimulatedClock(model, seed),
        period=period,
    )
