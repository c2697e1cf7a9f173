"""Which thresholds: every token's confidence is looked at once, then any threshold is played through.

Exact for the `late` cache of `early_exit` as long as every token is right, for its keys and values are those
of the whole assistant; an answer counts as wrong at its first wrong token, and its cost is that of the right
answer's length. What a setting is worth in the end, `exit_figures` measures by letting the network answer.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from neurolab.assistant import collate
from neurolab.early_exit import NEVER, ExitHeads, block_macs, states, thresholds_of
from neurolab.transformer import Config, Transformer

GRID = (0.0, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, NEVER)


@dataclass(frozen=True)
class Told:
    """What every layer says to every token of the right answers. A requests of up to T tokens, layers l.

    sure (A, T, l): the highest probability after each layer. right (A, T, l): whether that is the right
    token's; both hold the assistant's own output at the last l. question, answer (A,): tokens of each.
    """

    config: Config
    head: int
    sure: Tensor
    right: Tensor
    question: Tensor
    answer: Tensor


@torch.inference_mode()
def told(
    model: Transformer, heads: ExitHeads, rows: Sequence[tuple[list[int], int]], batch: int = 128
) -> Told:
    """Read (ids, start of the answer) rows with the right tokens put in. ValueError if there are none."""
    if not rows:
        raise ValueError("rows []: must hold at least one")
    question = torch.tensor([start for _, start in rows])
    answer = torch.tensor([len(ids) - start for ids, start in rows])
    layers, longest = model.config.layers, int(answer.max())
    sure = torch.zeros(len(rows), longest, layers)
    right = torch.zeros(len(rows), longest, layers, dtype=torch.bool)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
    for at in range(0, len(order), batch):
        chosen = torch.tensor(order[at : at + batch])
        b = collate([rows[i] for i in chosen])
        wanted, truth = b.answer[:, 1:], b.ids[:, 1:]
        a, t = wanted.nonzero(as_tuple=True)
        where = chosen[a], t - question[chosen[a]] + 1
        for i, x in enumerate(states(model, b.ids[:, :-1])):
            ready = (model.norm if i + 1 == layers else heads.heads[i])(x[wanted])
            best, guess = model.logits(ready).softmax(-1).max(-1)
            sure[(*where, torch.full_like(a, i))] = best
            right[(*where, torch.full_like(a, i))] = guess == truth[wanted]
    return Told(model.config, heads.head_macs(), sure, right, question, answer)


def replay(seen: Told, threshold: float | Sequence[float]) -> dict[str, float]:
    """Figures at a threshold: exact_match and full_exact_match (shares), accuracy_drop_points,
    mean_cost_ratio (exit over all layers), layers_mean (a token)."""
    config = seen.config
    thresholds = torch.tensor([*thresholds_of(threshold, config.layers), 0.0])
    depth = (seen.sure >= thresholds).int().argmax(-1)  # (A, T): index of the layer that it leaves after
    real = torch.arange(seen.sure.shape[1])[None] < seen.answer[:, None]
    right = seen.right.gather(-1, depth[..., None])[..., 0]
    exact = (right | ~real).all(1).double().mean().item()
    full = (seen.right[..., -1] | ~real).all(1).double().mean().item()
    position = torch.arange(1, seen.sure.shape[1] + 1)
    cost = torch.zeros(len(seen.question), dtype=torch.float64)
    output = config.vocabulary * config.width
    for i in range(config.layers):
        reached = real & (depth >= i)
        last = (reached * position).amax(1)  # the last token that needs this layer, counted from 1; 0 if none
        cost += _read(config, torch.where(last > 0, seen.question + last - 1, 0))
        asked = output if i + 1 == config.layers else seen.head * float(thresholds[i] <= 1)
        cost += reached.sum(1) * asked
    whole = config.layers * _read(config, seen.question + seen.answer - 1) + seen.answer * output
    return {
        "exact_match": exact,
        "full_exact_match": full,
        "accuracy_drop_points": 100 * (full - exact),
        "mean_cost_ratio": (cost.sum() / whole.sum()).item(),
        "layers_mean": (depth[real] + 1).double().mean().item(),
    }


def _read(config: Config, tokens: Tensor) -> Tensor:
    """Multiply-adds of one layer that has read so many tokens (A,), however they were split."""
    met = config.heads * config.head_size * tokens * (tokens + 1)
    return (tokens * (block_macs(config, 1) - 2 * config.heads * config.head_size) + met).double()


def search(
    play: Callable[[tuple[float, ...]], dict[str, float]],
    exits: int,
    allowed: Callable[[dict[str, float]], bool],
    grid: Sequence[float] = GRID,
) -> tuple[tuple[float, ...], dict[str, float]]:
    """The thresholds out of `grid`, one for each of the `exits`, that have the lowest mean_cost_ratio among
    those whose figures `play(thresholds)` are `allowed`; never to leave always counts as allowed."""
    never = (NEVER,) * exits
    best = never, play(never)
    for tried in itertools.product(grid, repeat=exits):
        if 0.0 in tried[:-1] and any(tried[tried.index(0.0) :]):
            continue  # nothing comes behind a layer after which all leave
        found = play(tried)
        if allowed(found) and found["mean_cost_ratio"] < best[1]["mean_cost_ratio"]:
            best = tried, found
    return best


def choose(
    seen: Told, most_lost: float = 0.5, grid: Sequence[float] = GRID
) -> tuple[tuple[float, ...], dict[str, float]]:
    """The cheapest thresholds, one a layer, that lose at most `most_lost` points, and their figures.

    `seen` must hold questions that nothing is judged by later. ValueError for most_lost below 0.
    """
    if not most_lost >= 0:
        raise ValueError(f"most_lost {most_lost}: must be at least 0 points")

    def allowed(found: dict[str, float]) -> bool:
        return found["accuracy_drop_points"] <= most_lost

    return search(lambda tried: replay(seen, tried), seen.config.layers - 1, allowed, grid)
