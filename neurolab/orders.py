"""Prune, quantize, distil: in which order? Six orders, one budget, one form at the end.

A stage is "put it on, then train N steps", and what was put on stays on:

    P   a mask takes the smallest weights (70 % zeros in the layers), then N steps on the right answers
    Q   fake quantization to 3 bits with learned steps, then N steps on the right answers
    D   N steps on the soft answers of the float network alone

So after any of the six orders the network is pruned, quantized, of the same shape and 3 N steps older, with
the same batches in the same turn: only the order differs. Distillation goes into the same network, not into a
smaller one: a smaller student begins anew and throws away what was put on before it, so that "distil last"
would not be compressed at all. Where P comes after Q, the magnitudes are those of the float weights that
training keeps below the codes: the codes themselves have too few sizes to choose 70 % by.

Beside the six there are two yardsticks of 3 N steps with the same batches. `CONTROL` is the float network,
trained further with nothing put on. `TOGETHER` has mask and quantization on from the first step and both
kinds of answers in equal parts: what somebody does who does not believe in stages.

Sources: the stages are those of Han, Mao, Dally, Deep compression, 2016 (prune, quantize), Esser et al., 2020
(learned steps), Hinton et al., 2015 (soft answers).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import permutations
from typing import Any

from torch import nn

from neurolab import (
    assistant,
    compressed,
    digit_net,
    pruning,
    qat,
    quantized,
    tuning,
)

ORDERS = tuple("".join(order) for order in permutations("PQD"))
CONTROL, TOGETHER = "control", "together"
RUNS = (*ORDERS, TOGETHER, CONTROL)
RATE = 0.006  # of the assistant's matrices; the rest gets half of it: much is to be mended in few steps


@dataclass(frozen=True)
class Budget:
    """Steps a stage, share of zeros of the mask, bits of the codes."""

    steps: int
    zeros: float = 0.7
    bits: int = 3

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps {self.steps}: must be at least 1 a stage")
        if not 0 < self.zeros < 1:
            raise ValueError(f"zeros {self.zeros}: must lie strictly between 0 and 1")
        qat.levels(self.bits)


@dataclass(frozen=True)
class Subject:
    """A network to try the orders on.

    network(seed): the float network, a fresh copy in evaluation mode.
    teach(net, steps, seed, teacher, soft): trains it in place, soft in [0, 1] the weight of soft answers.
    score(net, every): figures on each `every`-th held-out example, among them "exact_match" in [0, 1] and the
    one that `loss` names.
    config(net): what its file says of its shape.
    scope: among which weights the smallest are sought, the better of the two for this network (the digits'
    first layer has 144 weights, needed more than others).
    """

    name: str
    loss: str
    scope: str
    network: Callable[[int], nn.Module]
    teach: Callable[[nn.Module, int, int, nn.Module | None, float], Any]
    score: Callable[[nn.Module, int], dict[str, float]]
    config: Callable[[Any], dict[str, Any]]


def _assistant(seed: int) -> nn.Module:
    return copy.deepcopy(assistant.load().model)  # one network for all seeds: they choose the batches


@lru_cache(maxsize=2)
def _digits_once(seed: int) -> nn.Module:
    return digit_net.trained(seed)


def _digits(seed: int) -> nn.Module:
    return copy.deepcopy(_digits_once(seed))


def _teach_assistant(net: nn.Module, steps: int, seed: int, teacher: Any, soft: float) -> None:
    tuning.tune(
        net, steps=steps, seed=seed, teacher=teacher, soft=soft, rate_matrices=RATE, rate_rest=RATE / 2
    )


def _teach_digits(net: nn.Module, steps: int, seed: int, teacher: Any, soft: float) -> None:
    digit_net.teach(net, steps=steps, seed=seed, teacher=teacher, soft=soft)


SUBJECTS = {
    "assistant": Subject(
        "assistant",
        "bits_per_answer_byte",
        "layer",
        _assistant,
        _teach_assistant,
        quantized.scores,
        lambda net: asdict(net.config),
    ),
    "digits": Subject(
        "digits",
        "bits_per_picture",
        "global",
        _digits,
        _teach_digits,
        digit_net.scores,
        lambda net: {"channels": list(net.channels)},
    ),
}


def put_mask(net: nn.Module, zeros: float, scope: str) -> None:
    """Hold the smallest `zeros` of the weights of linear and convolutional layers of `net` at 0, in place.

    scope: the smallest of the whole network ("global") or of each layer ("layer").
    The mask goes below the fake quantization, if that is there: a 0 has the code 0, so for the weights it
    makes no difference which lies on top.
    """
    pruning.put_masks(net, pruning.masks(pruning.scores(net), zeros, scope))


def put_codes(net: nn.Module, bits: int) -> None:
    """Fake quantization with a learned step a channel on every matrix of `net`, in place."""
    qat.fake_quantize(net, bits)


def compress(
    subject: Subject,
    order: str,
    seed: int,
    budget: Budget,
    *,
    after: Callable[[nn.Module], Any] | None = None,
) -> nn.Module:
    """The network after the three stages of `order`, parametrizations still on. after(net): once a stage.

    order: one of RUNS. Stage i of a seed has the same batches in every order.
    """
    if order not in RUNS:
        raise ValueError(f"order {order!r}: must be one of {', '.join(RUNS)}")
    net, teacher = subject.network(seed), subject.network(seed)
    if order == TOGETHER:
        put_mask(net, budget.zeros, subject.scope)
        put_codes(net, budget.bits)
    for i in range(3):
        stage = order[i] if order in ORDERS else ""
        if stage == "P":
            put_mask(net, budget.zeros, subject.scope)
        elif stage == "Q":
            put_codes(net, budget.bits)
        soft = {"D": 1.0}.get(stage, 0.5 if order == TOGETHER else 0.0)
        subject.teach(net, budget.steps, 3 * seed + i, teacher if soft else None, soft)
        if after is not None:
            after(net)
    return net.eval()


@lru_cache(maxsize=4)
def before(subject: Subject, seed: int, every: int = 1) -> dict[str, float]:
    """The scores of the float network of a seed."""
    return subject.score(subject.network(seed), every)


def run(model: str, order: str, seed: int, budget: Budget, *, every: int = 1) -> dict[str, Any]:
    """Figures of one run, a row compression.order_run: quality, what it lost, bytes, zeros, the way there.

    on_the_way: exact match after each of the three stages (the assistant: on every tenth held-out question).
    The drop is against the float network before the first stage. ValueError for a model there is not.
    """
    if model not in SUBJECTS:
        raise ValueError(f"model {model!r}: must be one of {', '.join(SUBJECTS)}")
    subject = SUBJECTS[model]
    way: list[float] = []
    glance = every * (10 if model == "assistant" else 1)
    net = compress(
        subject,
        order,
        seed,
        budget,
        after=lambda n: way.append(subject.score(qat.plain(n), glance)["exact_match"]),
    )
    start = before(subject, 0 if model == "assistant" else seed, every)
    found = subject.score(qat.plain(net), every)
    figures: dict[str, Any] = {
        **found,
        "exact_match_drop_points": 100 * (start["exact_match"] - found["exact_match"]),
        "on_the_way": way,
    }
    if order != CONTROL:
        tensors = qat.coded(net)
        figures["zeros"] = pruning.zeros(net)
        figures["bytes"] = compressed.size(tensors, subject.config(net))
    return figures


BUDGETS = {"assistant": Budget(30), "digits": Budget(60)}
HARD = {"digits": Budget(60, zeros=0.9, bits=2)}
"""A second budget for a network whose runs are cheap: where compression hurts, does the order matter more?"""
SEEDS = {"assistant": range(3), "digits": range(8)}
