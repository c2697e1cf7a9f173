"""Chapter 5's exercises on what to take away: single weights, and whole channels."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from neurolab.exercise_runs import alike
from neurolab.exercises import Exercise, Mistake, register

Case = tuple[tuple[Any, ...], dict[str, Any]]
Tensor = torch.Tensor
Parts = tuple[Tensor, Tensor, Tensor]


def mask(w: torch.Tensor, sparsity: float) -> torch.Tensor:
    """w (...), sparsity 0..1 -> 1 for the weights that stay, 0 for the round(sparsity n) smallest, (...)."""
    k = round(sparsity * w.numel())
    kept = torch.ones(w.numel())
    kept[w.abs().flatten().argsort()[:k]] = 0
    return kept.view_as(w)


def _mask(w: Tensor, sparsity: float) -> Tensor:
    """`mask`, with .tied (...): whether a weight is as large as the largest that went and one that stayed."""
    kept = mask(w, sparsity)
    size, stays = w.abs(), kept > 0
    both = size[~stays].max() == size[stays].min() if stays.any() and not stays.all() else False
    vars(kept)["tied"] = (size == size[~stays].max()) if both else torch.zeros_like(stays)
    return kept


def _same_mask(got: Any, want: Any) -> bool:
    """Whether two masks agree; among equal weights any choice will do, if the number of zeros is right."""
    got = torch.as_tensor(got)
    if got.shape != want.shape:
        return False
    if torch.equal(got.double(), want.double()):
        return True
    tied = getattr(want, "tied", torch.zeros(want.shape, dtype=torch.bool))
    a, b = got.double(), want.double()
    return bool(torch.isin(a, b.new_tensor([0, 1])).all() and a.sum() == b.sum() and (a == b)[~tied].all())


def _mask_cases(rng: np.random.Generator) -> list[Case]:
    few: list[tuple[Any, float]] = [
        ([0.5, -0.1, 0.3, -2.0], 0.5),
        ([0.5, -0.1, 0.3, -2.0], 0.0),
        ([0.5, -0.1, 0.3], 1.0),
        ([0.2, -0.2, 0.2, 0.2], 0.5),  # all alike
        ([[0.0, 0.5, 0.0], [0.5, -0.5, 1.0]], 2 / 3),  # zeros already there, and equals at the mark
        ([[0.1, 0.2, 0.3], [4.0, 5.0, 6.0]], 1 / 3),  # one row small, one large
    ]
    cases: list[Case] = [((torch.tensor(w), sparsity), {}) for w, sparsity in few]
    for shape, sparsity in (((10, 10), 0.29), ((6, 4), 0.75), ((2, 3, 5), 0.4), ((20, 30), 0.9)):
        cases.append(((torch.tensor(rng.normal(size=shape).astype(np.float32)), sparsity), {}))
    grid = rng.integers(-3, 4, (8, 10)) / 4  # quantized weights: equals everywhere
    return [*cases, ((torch.tensor(grid, dtype=torch.float32), 0.6), {})]


def _threshold(w: Tensor, sparsity: float, strict: bool) -> Tensor:
    size, k = w.abs().flatten().sort().values, round(sparsity * w.numel())
    if strict:
        return (w.abs() >= (size[k] if k < len(size) else torch.inf)).float()
    return (w.abs() > (size[k - 1] if k else -1.0)).float()


def _by_row(w: Tensor, sparsity: float) -> Tensor:
    return torch.stack([mask(row, sparsity) for row in w]) if w.ndim > 1 else mask(w, sparsity)


def _floored(w: Tensor, sparsity: float) -> Tensor:
    return mask(w, int(sparsity * w.numel()) / w.numel())


def _signed(w: Tensor, sparsity: float) -> Tensor:
    return mask(w - w.min(), sparsity)


register(
    Exercise(
        name="pruning.mask",
        chapter=5,
        minutes=6,
        difficulty="easy",
        task="Which weights may stay? Of the n weights in `w`, of any shape, the `k = round(sparsity * n)` "
        "with the smallest magnitude go, wherever they stand. Return the mask, of w's shape: 0 (or False) "
        "for those that go, 1 (or True) for those that stay. It has *exactly* k zeros. Quantized weights "
        "are often equal: which of the equals go is yours to choose.",
        reference=_mask,
        answer=inspect.getsource(mask),
        cases=_mask_cases,
        same=_same_mask,
        seconds=10.0,
        stub="def mask(w, sparsity):\n    ...",
        mistakes=[
            Mistake(
                lambda w, sparsity: _threshold(w, sparsity, strict=False),
                "Right as long as no two weights are equal. Where several are as large as the last that "
                "goes, a threshold (`w.abs() > t`) sends them all away: more than k zeros. Choose places, "
                "not sizes.",
            ),
            Mistake(
                lambda w, sparsity: _threshold(w, sparsity, strict=True),
                "Right as long as no two weights are equal. Where several are as large as the last that "
                "goes, a threshold (`w.abs() >= t`) keeps them all: fewer than k zeros. Choose places, not "
                "sizes.",
            ),
            Mistake(
                lambda w, sparsity: (w.abs() > w.abs().flatten().quantile(sparsity)).float(),
                "A quantile is a threshold too: equals go or stay together, and at sparsity 0 the smallest "
                "goes all the same. Choose k places with `argsort` or `topk`.",
            ),
            Mistake(
                _signed,
                "You sort with the sign: large negative weights go first. What counts is the distance from "
                "0: `w.abs()`.",
            ),
            Mistake(
                lambda w, sparsity: 1 - mask(w, sparsity),
                "Turned round: your zeros are the weights that should stay.",
            ),
            Mistake(
                lambda w, sparsity: 1 - mask(w, 1 - sparsity),
                "The largest weights go here. They are the ones that the sums are made of.",
            ),
            Mistake(
                _by_row,
                "The same share of every row goes. Here all weights stand in one line: a row of small "
                "weights may lose all of its own.",
            ),
            Mistake(
                _floored,
                "`int` cuts off: 0.29 * 100 is 28.999999999999996 for a computer, and you lose one zero. "
                "Use `round`.",
            ),
            Mistake(
                lambda w, sparsity: mask(w, 1 - sparsity),
                "You keep the share `sparsity`. It is the share that goes.",
            ),
            Mistake(
                lambda w, sparsity: w * mask(w, sparsity),
                "Those are the pruned weights. Asked is the mask, 0 and 1: it will be needed again after "
                "every step of training.",
            ),
        ],
        hints=[
            "`w.abs().flatten()` puts all magnitudes in one row. In which order must you go through it?",
            "`argsort()` gives places, the smallest weight's first. The first k of them go.",
            "Begin with `kept = torch.ones(w.numel())`, write 0 at those places, then `.view_as(w)`.",
        ],
    )
)


def narrow(
    w1: torch.Tensor, b1: torch.Tensor, w2: torch.Tensor, k: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """w1 (D, C), b1 (D,), w2 (R, D) -> the same without the k channels of the least |w1_i| |w2_i|."""
    score = w1.norm(dim=1) * w2.norm(dim=0)
    kept = score.argsort()[k:]
    return w1[kept], b1[kept], w2[:, kept]


def _same_parts(got: Any, want: Parts) -> bool:
    """Whether two layers have the same channels, in any order."""
    if not isinstance(got, list | tuple) or len(got) != 3 or not all(isinstance(x, Tensor) for x in got):
        return False
    if any(a.shape != b.shape for a, b in zip(got, want, strict=True)):
        return False
    if alike(got, want):
        return True
    mine, theirs = (sorted(torch.cat([w1, b1[:, None], w2.T], 1).tolist()) for w1, b1, w2 in (got, want))
    return alike(np.array(mine), np.array(theirs))


def _channel_cases(rng: np.random.Generator) -> list[Case]:
    def case(D: int, C: int, R: int, k: int) -> Case:
        shapes = ((D, C), (D,), (R, D))
        w1, b1, w2 = (rng.normal(size=shape) for shape in shapes)
        w1, w2 = w1 * rng.uniform(0.2, 2.0, (D, 1)), w2 * rng.uniform(0.2, 2.0, D)
        return ((torch.tensor(w1), torch.tensor(b1), torch.tensor(w2), k), {})

    small: list[Any] = [[[3.0], [1.0]], [0.5, 2.0], [[0.1, 1.0]]]  # the larger row has the smaller column
    even: list[Any] = [[[3.0, 0.0], [2.0, 2.0]], [0.0, 1.0], [[1.0, 1.0]]]  # 3 or the root of 8?
    few: list[Case] = [
        ((*(torch.tensor(x, dtype=torch.float64) for x in parts), 1), {}) for parts in (small, even)
    ]
    return [*few, case(3, 2, 2, 0), case(4, 4, 4, 1), case(8, 3, 3, 6), case(16, 4, 4, 5), case(5, 5, 5, 2)]


def _channels_wrong(
    score: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda w1, b1, w2: w1.norm(dim=1) * w2.norm(dim=0),
    largest: bool = False,
    keep: bool = False,
    apart: bool = False,
    bias: bool = True,
) -> Callable[[Tensor, Tensor, Tensor, int], Parts]:
    """A narrowing with one thing wrong."""

    def wrong(w1: Tensor, b1: Tensor, w2: Tensor, k: int) -> Parts:
        order = score(w1, b1, w2).argsort(descending=largest)
        kept = order[len(order) - k :] if keep else order[k:]
        other = w2.norm(dim=0).argsort()[k:].sort().values if apart else kept
        kept = w1.norm(dim=1).argsort()[k:].sort().values if apart else kept
        return w1[kept], b1[kept] if bias else b1[: len(kept)], w2[:, other]

    return wrong


def _only_zeroed(w1: Tensor, b1: Tensor, w2: Tensor, k: int) -> Parts:
    gone = (w1.norm(dim=1) * w2.norm(dim=0)).argsort()[:k]
    w1, b1, w2 = w1.clone(), b1.clone(), w2.clone()
    w1[gone], b1[gone], w2[:, gone] = 0, 0, 0
    return w1, b1, w2


def _rows_of_both(w1: Tensor, b1: Tensor, w2: Tensor, k: int) -> Parts:
    kept = (w1.norm(dim=1) * w2.norm(dim=0)).argsort()[k:]
    return w1[kept], b1[kept], w2[kept]


register(
    Exercise(
        name="pruning.channels",
        chapter=5,
        minutes=7,
        difficulty="medium",
        task="A feed-forward layer has two matrices. Hidden channel i is row i of `w1` (D, C), number i of "
        "the bias `b1` (D,) and *column* i of `w2` (R, D). Its score is the Euclidean length of its row "
        "times that of its column. Take out the `k` channels with the smallest scores, in all three, so "
        "that smaller matrices are left. Return the new w1, b1 and w2 (the channels that stay may stand in "
        "any order, if it is the same in all three).",
        reference=narrow,
        cases=_channel_cases,
        same=_same_parts,
        seconds=10.0,
        stub="def narrow(w1, b1, w2, k):\n    ...",
        mistakes=[
            Mistake(
                _only_zeroed,
                "The channels are set to 0, and the matrices are as large as before: as many "
                "multiplications, as much time. Take the rows and columns out.",
            ),
            Mistake(
                _rows_of_both,
                "From w2 you took rows; those are its outputs. A hidden channel is a *column* of w2: `w2[:, "
                "kept]`.",
            ),
            Mistake(
                _channels_wrong(bias=False),
                "The bias does not go with its channel. `b1` needs the same places as w1.",
            ),
            Mistake(
                _channels_wrong(apart=True),
                "Each matrix chose for itself, and now row i and column i belong to different neurons. One "
                "score for the channel, one choice for all three.",
            ),
            Mistake(
                _channels_wrong(score=lambda w1, b1, w2: w1.norm(dim=1)),
                "You look at what a channel is given, not at what is made of it. A large row with a tiny "
                "column does little: multiply both lengths.",
            ),
            Mistake(
                _channels_wrong(score=lambda w1, b1, w2: w2.norm(dim=0)),
                "You look at what is made of a channel, not at what it is given. Multiply both lengths.",
            ),
            Mistake(
                _channels_wrong(score=lambda w1, b1, w2: w1.norm(dim=1) + w2.norm(dim=0)),
                "You add the two lengths. What passes through a channel is scaled by both, one after the "
                "other: multiply them.",
            ),
            Mistake(
                _channels_wrong(score=lambda w1, b1, w2: w1.abs().sum(1) * w2.abs().sum(0)),
                "Those are sums of magnitudes. The Euclidean length is the root of the sum of squares: "
                "`.norm(dim=...)`.",
            ),
            Mistake(
                _channels_wrong(largest=True),
                "The channels with the largest scores are gone.",
            ),
            Mistake(
                _channels_wrong(keep=True),
                "k channels are left. Asked is to take k out.",
            ),
        ],
        hints=[
            "`w1.norm(dim=1)` has a length for each row, `w2.norm(dim=0)` for each column: both have shape "
            "(D,).",
            "`score.argsort()` gives the places from the smallest score up. Which of them stay?",
            "`kept = score.argsort()[k:]`; then `w1[kept]`, `b1[kept]`, `w2[:, kept]`.",
        ],
    )
)
