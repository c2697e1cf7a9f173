"""Chapter 6's exercises on packing: only the chosen tokens are computed, and what that saves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from neurolab.exercises import Exercise, Mistake, register

Case = tuple[tuple[Any, ...], dict[str, Any]]
Tensor = torch.Tensor


def pack(x: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """x (B, N, D), keep (B, n) places -> (B, N, D): those tokens attend to one another, the others stay."""
    at = keep[:, :, None].expand(-1, -1, x.shape[2])  # (B, n, D)
    few = x.gather(1, at)
    A = (few @ few.transpose(1, 2) / x.shape[2] ** 0.5).softmax(-1)  # (B, n, n)
    return x.scatter(1, at, A @ few)


def _pack_cases(rng: np.random.Generator) -> list[Case]:
    def drawn(B: int, N: int, D: int, n: int, mixed: bool = True) -> Case:
        x = torch.tensor(rng.normal(size=(B, N, D)))
        keep = np.stack([rng.permutation(N)[:n] for _ in range(B)])
        return ((x, torch.tensor(keep if mixed else np.sort(keep, 1))), {})

    tiny = torch.tensor([[[1.0], [0.0], [5.0]]], dtype=torch.float64)
    cases: list[Case] = [((tiny, torch.tensor([[0, 1]])), {}), ((tiny, torch.tensor([[2]])), {})]
    cases += [((tiny, torch.tensor([[2, 0]])), {})]
    return [*cases, drawn(2, 4, 3, 2), drawn(1, 5, 2, 5), drawn(3, 8, 4, 3), drawn(2, 16, 4, 4, mixed=False)]


def _hear(few: Tensor, keys: Tensor | None = None, scaled: bool = True) -> Tensor:
    keys = few if keys is None else keys
    s = few @ keys.transpose(1, 2)
    return (s / few.shape[-1] ** 0.5 if scaled else s).softmax(-1) @ keys


def _pack_wrong(how: str) -> Callable[[Tensor, Tensor], Tensor]:
    """A packing with one thing wrong."""

    def wrong(x: Tensor, keep: Tensor) -> Tensor:
        at = keep[:, :, None].expand(-1, -1, x.shape[2])
        few = x.gather(1, at)
        if how == "zeros":
            return torch.zeros_like(x).scatter(1, at, _hear(few))
        if how == "front":
            return torch.cat((_hear(few), x[:, keep.shape[1] :]), 1)
        if how == "packed":
            return _hear(few)
        if how == "first":
            at = keep[:1, :, None].expand_as(at)
            return x.scatter(1, at, _hear(x.gather(1, at)))
        if how == "all":
            return x.scatter(1, at, _hear(x).gather(1, at))
        if how == "hidden":
            there = torch.zeros_like(x).scatter(1, at, few)
            return x.scatter(1, at, _hear(there).gather(1, at))
        if how == "sorted":
            return x.scatter(1, at.sort(1).values, _hear(few))
        if how == "added":
            return x.scatter_add(1, at, _hear(few))
        return x.scatter(1, at, _hear(few, scaled=False))

    return wrong


register(
    Exercise(
        name="sparsity.pack",
        chapter=6,
        minutes=9,
        difficulty="medium",
        task="Let some tokens think, and leave the others alone. `x` is (B, N, D): B clips of N tokens. "
        "`keep` (B, n) has the places of the chosen ones, of each clip its own, in any order. Take them "
        "out, let them attend to *one another* (no weights: queries, keys and values are the tokens "
        "themselves, scores are divided by `D**0.5`), and put each result back into its token's place. "
        "Nothing of the size of N x N may be needed. Return (B, N, D); tokens that were not chosen are as "
        "they were.",
        reference=pack,
        cases=_pack_cases,
        stub="def pack(x, keep):\n    ...",
        mistakes=[
            Mistake(
                _pack_wrong("zeros"),
                "The others have become 0. They were not computed, but they are still there: scatter into x.",
            ),
            Mistake(
                _pack_wrong("front"),
                "The results lie at the front, in places that belong to others. Each goes back where its "
                "token came from: `scatter` with the same places.",
            ),
            Mistake(
                _pack_wrong("packed"),
                "Those are the n results, still packed. Put them back among all N: `x.scatter(1, at, ...)`.",
            ),
            Mistake(
                _pack_wrong("first"),
                "Every clip uses the first one's places. `x[:, keep[0]]` won't do: use `gather`, with the "
                "places of each clip.",
            ),
            Mistake(
                _pack_wrong("all"),
                "The chosen tokens have listened to all N. Then all N keys and values are needed, and most "
                "of the work with them: gather first, then attend.",
            ),
            Mistake(
                _pack_wrong("hidden"),
                "The tokens that were not chosen are zeros, but they are still there: a score of 0 gets "
                "its share of the softmax. Gather, so that they are gone.",
            ),
            Mistake(
                _pack_wrong("sorted"),
                "Results and places are in different orders. `keep` need not be sorted; scatter with the "
                "places that you gathered with.",
            ),
            Mistake(
                _pack_wrong("added"),
                "`scatter_add` adds the result to the token. Asked is the result in its place.",
            ),
            Mistake(
                _pack_wrong("unscaled"),
                "The scores are not divided by `D ** 0.5`.",
            ),
        ],
        hints=[
            "`x.gather(1, at)` takes, for each clip, the tokens at places `at`. For it `at` must have D "
            "columns, all alike: (B, n, D).",
            "`at = keep[:, :, None].expand(-1, -1, D)`. And `x.scatter(1, at, result)` is the way back.",
            "In between: `A = (few @ few.transpose(1, 2) / D**0.5).softmax(-1)`, and the result is `A @ "
            "few`.",
        ],
    )
)


def macs(n: int, D: int, H: int) -> int:
    """Multiply-adds of a block on n tokens of width D with H hidden channels."""
    return 4 * n * D * D + 2 * n * n * D + 2 * n * D * H


def _macs_cases(rng: np.random.Generator) -> list[Case]:
    fixed: list[tuple[int, int, int]] = [(1, 1, 1), (1, 4, 8), (10, 4, 8), (32, 128, 256), (256, 128, 256)]
    fixed += [(1024, 192, 384), (2, 3, 7)]
    return [(one, {}) for one in fixed]


register(
    Exercise(
        name="sparsity.macs",
        chapter=6,
        minutes=6,
        difficulty="easy",
        task="What does a block cost? `n` tokens of `D` numbers each come in. Each is multiplied with four "
        "D x D matrices (query, key, value, output). The scores are an n x n table of products of D "
        "numbers; what is heard mixes n values of D numbers, for each of the n. And two matrices lead from "
        "D to `H` numbers and back. Return the number of multiply-adds. (Heads change nothing: they share "
        "the D numbers. Softmax, norms and biases are not counted.)",
        reference=macs,
        cases=_macs_cases,
        stub="def macs(n, D, H):\n    ...",
        mistakes=[
            Mistake(
                lambda n, D, H: 4 * n * D * D + n * n * D + 2 * n * D * H,
                "Attention has two products of n x n: the scores, and the mixing of the values.",
            ),
            Mistake(
                lambda n, D, H: 3 * n * D * D + 2 * n * n * D + 2 * n * D * H,
                "Query, key and value are three matrices; the fourth writes what was heard back.",
            ),
            Mistake(
                lambda n, D, H: 4 * n * D * D + 2 * n * n * D + n * D * H,
                "From D to H, and back again: that is twice n D H.",
            ),
            Mistake(
                lambda n, D, H: 4 * D * D + 2 * n * n * D + 2 * D * H,
                "The matrices are applied to *each* of the n tokens.",
            ),
            Mistake(
                lambda n, D, H: 4 * n * D * D + 2 * n * n + 2 * n * D * H,
                "Each of the n x n scores is a product of D numbers: D multiply-adds.",
            ),
            Mistake(
                lambda n, D, H: 2 * (4 * n * D * D + 2 * n * n * D + 2 * n * D * H),
                "Those are FLOPs, in which a multiplication and an addition are two. Asked are "
                "multiply-adds: articles mix the two up, and gain a factor of two.",
            ),
            Mistake(
                lambda n, D, H: 4 * n * D * D + 2 * n * D + 2 * n * D * H,
                "Every token looks at every token: n x n pairs.",
            ),
        ],
        hints=[
            "A token times a D x D matrix takes D * D multiply-adds. There are four such matrices, and n "
            "tokens.",
            "Scores: n * n pairs, D multiply-adds each. Mixing: as many again.",
            "`4 * n * D * D + 2 * n * n * D + 2 * n * D * H`.",
        ],
    )
)
