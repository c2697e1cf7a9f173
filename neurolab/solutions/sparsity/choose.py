"""Chapter 6's exercises on choosing: which tokens are computed, and which keys are heard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from neurolab.exercises import Exercise, Mistake, register

Case = tuple[tuple[Any, ...], dict[str, Any]]
Tensor = torch.Tensor


def gate(change: torch.Tensor, threshold: float, budget: int) -> list[int]:
    """change (N,) -> places that reach threshold * the largest, the `budget` largest at most, rising."""
    order = change.argsort(descending=True)[:budget]
    return sorted(i for i in order.tolist() if change[i] >= threshold * change.max())


def _gate_cases(rng: np.random.Generator) -> list[Case]:
    few: list[tuple[list[float], float, int]] = [
        ([0.0, 0.3, 0.1, 0.5], 0.4, 3),  # the threshold decides
        ([0.6, 0.3, 0.4, 0.5], 0.25, 2),  # the budget decides
        ([0.01, 0.03, 0.02], 0.5, 2),  # hardly anything moves
        ([2.0, 4.0, 1.0], 0.5, 3),  # one just reaches it
        ([0.7], 0.1, 1),
        ([0.1, 0.9, 0.2], 0.0, 3),
        ([8.0, 9.0, 1.0], 1.0, 3),  # only the largest
    ]
    cases: list[Case] = [((torch.tensor(c, dtype=torch.float64), t, b), {}) for c, t, b in few]
    for n, t, b, size in ((12, 0.5, 4, 1.0), (16, 0.5, 12, 0.2), (40, 0.9, 8, 3.0), (40, 0.2, 8, 1.0)):
        cases.append(((torch.tensor(size * (rng.permutation(n) / n + 0.003)), t, b), {}))
    return cases


def _gate_wrong(
    lid: bool = True, mark: str = "largest", ordered: bool = True, strict: bool = False, first: bool = False,
    largest: bool = True,
) -> Callable[[Tensor, float, int], list[int]]:  # fmt: skip
    """A gate with one thing wrong."""

    def wrong(change: Tensor, threshold: float, budget: int) -> list[int]:
        sizes = {"largest": float(change.max()), "mean": float(change.mean()), "none": 0.0, "plain": 1.0}
        order = change.argsort(descending=largest).tolist()
        order = order[:budget] if lid and not first else order
        limit = threshold * sizes[mark]
        kept = [i for i in order if (change[i] > limit if strict else change[i] >= limit)]
        if first:
            kept = sorted(kept)[:budget]
        return sorted(kept) if ordered else kept

    return wrong


register(
    Exercise(
        name="sparsity.gate",
        chapter=6,
        minutes=7,
        difficulty="easy",
        task="Which tokens shall be computed? `change` (N,) says how much happens in each of them. Keep "
        "those that reach `threshold` times the largest of them (which always does); if these are more "
        "than `budget`, keep only the `budget` largest. Return the places as a list, in rising order.",
        reference=gate,
        cases=_gate_cases,
        stub="def gate(change, threshold, budget):\n    ...",
        mistakes=[
            Mistake(
                _gate_wrong(lid=False),
                "There is no budget yet. If the camera shakes, *everything* changes, and you keep all of "
                "it: that frame takes as long as if there were no gate.",
            ),
            Mistake(
                _gate_wrong(mark="none"),
                "The budget is always spent. Where hardly anything moves, most of it goes to tokens in which "
                "nothing happens: ask for `threshold` as well.",
            ),
            Mistake(
                _gate_wrong(mark="plain"),
                "The threshold is taken as it is. It is a share of the *largest* change: in a dim scene "
                "every change is small, and yours would keep nothing.",
            ),
            Mistake(
                _gate_wrong(mark="mean"),
                "You compare with the mean. It falls as more of the picture stands still, so that the "
                "threshold would sink where it should not. Compare with the largest.",
            ),
            Mistake(
                _gate_wrong(first=True),
                "Of those that reach the threshold you take the *first* ones, those at the top of the "
                "frame. Take the ones that changed most.",
            ),
            Mistake(
                _gate_wrong(ordered=False),
                "The right tokens, from the largest change to the smallest. Asked are the places in rising "
                "order: memory likes to be read from front to back.",
            ),
            Mistake(
                _gate_wrong(strict=True),
                "Who just reaches the threshold is kept: `>=`. With a threshold of 1 yours keeps nothing "
                "at all.",
            ),
            Mistake(
                _gate_wrong(largest=False),
                "The budget goes to the smallest changes. `argsort(descending=True)` begins with the "
                "largest.",
            ),
        ],
        hints=[
            "Begin with the budget: `change.argsort(descending=True)[:budget]` are the places of the "
            "largest.",
            "Of those, keep the ones with `change[i] >= threshold * change.max()`.",
            "`return sorted(i for i in order.tolist() if change[i] >= threshold * change.max())`.",
        ],
    )
)


def topk(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, most: int) -> torch.Tensor:
    """q (L, E), k and v (N, E) -> (L, E): each query hears only the `most` keys that fit it best."""
    s = q @ k.T / k.shape[1] ** 0.5  # (L, N)
    s, at = s.topk(most, dim=1)  # (L, most)
    return (s.softmax(1)[:, :, None] * v[at]).sum(1)


def _topk_cases(rng: np.random.Generator) -> list[Case]:
    def drawn(L: int, N: int, E: int, most: int, size: float = 1.0) -> Case:
        q, k, v = (torch.tensor(size * rng.normal(size=(n, E))) for n in (L, N, N))
        return ((q, k, v, most), {})

    one = torch.tensor([[1.0]], dtype=torch.float64)
    k = torch.tensor([[0.0], [1.0], [-3.0]], dtype=torch.float64)
    v = torch.tensor([[10.0], [20.0], [90.0]], dtype=torch.float64)
    cases: list[Case] = [((one, k, v, 2), {}), ((one, k, v, 1), {}), ((one, k, v, 3), {})]
    return [*cases, drawn(3, 5, 4, 2), drawn(5, 5, 2, 5), drawn(4, 9, 8, 3), drawn(6, 12, 4, 1, 2.0)]


def _topk_wrong(
    scaled: bool = True, zeroed: bool = False, after: bool = False, size: bool = False, shared: bool = False,
    even: bool = False, least: bool = False,
) -> Callable[[Tensor, Tensor, Tensor, int], Tensor]:  # fmt: skip
    """Top-k attention with one thing wrong."""

    def wrong(q: Tensor, k: Tensor, v: Tensor, most: int) -> Tensor:
        s = q @ k.T
        s = s / k.shape[1] ** 0.5 if scaled else s
        rank = s.abs() if size else s.sum(0).expand_as(s) if shared else -s if least else s
        at = rank.topk(most, dim=1).indices
        keep = torch.zeros_like(s, dtype=torch.bool).scatter(1, at, value=True)
        if zeroed:
            return torch.where(keep, s, 0.0).softmax(1) @ v
        if after:
            return torch.where(keep, s.softmax(1), 0.0) @ v
        if even:
            return keep.to(s) @ v / most
        return s.masked_fill(~keep, -torch.inf).softmax(1) @ v

    return wrong


register(
    Exercise(
        name="sparsity.topk",
        chapter=6,
        minutes=8,
        difficulty="medium",
        task="Each query hears only the keys that fit it best. Given are `q` (L, E), `k` and `v` (N, E). "
        "Scores are `q @ k.T / E**0.5`. Every query keeps its own `most` largest scores, takes the softmax "
        "over *those*, and mixes the values that belong to them. Return what each query hears, (L, E).",
        reference=topk,
        cases=_topk_cases,
        stub="def topk(q, k, v, most):\n    ...",
        mistakes=[
            Mistake(
                _topk_wrong(after=True),
                "The softmax was taken over all keys, and the rest thrown away afterwards: the shares no "
                "longer add up to 1, and everybody hears too little. First choose, then softmax.",
            ),
            Mistake(
                _topk_wrong(zeroed=True),
                "The scores of the others are 0. But exp(0) is 1: they are still heard. Leave them out, or "
                "set their scores to minus infinity.",
            ),
            Mistake(
                _topk_wrong(scaled=False),
                "The scores are not divided by `E ** 0.5`. The same keys are chosen, but the best one gets "
                "too much.",
            ),
            Mistake(
                _topk_wrong(size=True),
                "Chosen by size without the sign: a key that fits very badly has a large negative score.",
            ),
            Mistake(
                _topk_wrong(shared=True),
                "All queries share one choice. That is a thing of its own (and far quicker, as you will "
                "see), but here each query chooses for itself: `topk(most, dim=1)`.",
            ),
            Mistake(
                _topk_wrong(even=True),
                "The chosen ones are averaged. The better a key fits, the more it is heard: softmax over the "
                "chosen scores.",
            ),
            Mistake(
                _topk_wrong(least=True),
                "Those are the keys that fit worst.",
            ),
        ],
        hints=[
            "`s.topk(most, dim=1)` gives both: the largest scores of each query, and the places of their "
            "keys.",
            "With `s, at = s.topk(most, dim=1)` the shares are `s.softmax(1)`, (L, most), and the values "
            "`v[at]`, (L, most, E).",
            "Multiply the shares, as `[:, :, None]`, with the values, and add up over dim 1.",
        ],
    )
)
