"""Chapter 3's small tools: a sentence in pieces, where a network looks, rows as tables and curves.

Shapes: L tokens, H heads, D width, T time steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from neurolab.assistant import Assistant
from neurolab.measurements import Measurement, read
from neurolab.spiking import UNSIGNED, Fire, Integers, bounds, features
from neurolab.spiking_training import Watch
from neurolab.tokens import encode_pair
from neurolab.transformer import Config, Transformer

REST = 0  # T of a row that was measured at rest


class Pieces(NamedTuple):
    """A question and its answer: ids (1, L), the L texts, and the index at which the answer begins."""

    ids: Tensor
    texts: tuple[str, ...]
    start: int


def pieces(helper: Assistant, question: str, answer: str) -> Pieces:
    """Cut a question and its answer as the assistant reads them; END is left out.

    Raises ValueError where a piece is no whole character (its letters are spread over two tokens), because it
    could not be shown.
    """
    ids, start = encode_pair(helper.tokenizer, question, answer)
    texts = tuple(helper.tokenizer.decode([i], skip_special_tokens=False).strip() for i in ids[:-1])
    broken = [i for i, text in enumerate(texts) if "�" in text]
    if broken:
        raise ValueError(f"question {question!r}: piece {broken[0]} of its tokens is half a character")
    return Pieces(
        torch.tensor([ids[:-1]]), tuple("→" if i == start - 1 else t for i, t in enumerate(texts)), start
    )


@torch.no_grad()
def streams(model: Transformer, ids: Tensor) -> list[Tensor]:
    """What every block of the float model is given: the residual stream (L, D), for one sentence ids (1, L)."""
    x = model.embedding(ids) + model.position(torch.arange(ids.shape[1]))
    given = []
    for block in model.blocks:
        given.append(x[0])
        x, _ = block(x)
    return given


@torch.no_grad()
def softmax_weights(model: Transformer, ids: Tensor) -> Tensor:
    """Attention weights (layers, H, L, L) of the float model for one sentence ids (1, L)."""
    found = []
    L = ids.shape[1]
    later = torch.ones(L, L, dtype=torch.bool).triu(1)
    for block, x in zip(model.blocks, streams(model, ids), strict=True):
        a, n = block.attention, block.norm1(x)[None]
        q, k = a.split(a.query(n))[0], a.split(a.key(n))[0]  # (H, L, E)
        z = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        found.append(z.masked_fill(later, -torch.inf).softmax(-1))
    return torch.stack(found)


@torch.no_grad()
def counts(p: Integers, config: Config, ids: Tensor, fire: Fire) -> dict[str, Tensor]:
    """The counts S of every population by name while `fire` runs the network on ids; T in front in Spikes."""
    watch = Watch(fire)
    features(p, ids, config, watch)
    return {name: seen[0][0] for name, seen in watch.seen.items()}


def shares(A: Tensor) -> Tensor:
    """Counts of attention (..., L) as shares: A / (sum A + 1), what the mix divides by."""
    return A / (A.sum(-1, keepdim=True) + 1)


def recode(p: Integers, config: Config, bits: int, old: int = 4) -> Integers:
    """The same network with counts of `bits` bits where it had `old`: thresholds and weights follow.

    A count of one bit fewer stands for numbers twice as far apart: thresholds double, and so do the weights
    that read it. Thresholds stay whole numbers of at least 1; weights may become halves and quarters, which
    floats hold exactly. Raises ValueError for bits outside 2 to 8.
    """
    bounds(UNSIGNED, bits)
    c = 2.0 ** (old - bits)  # what one count of the new network weighs in counts of the old
    new = dict(p)

    def whole(x: Tensor) -> Tensor:
        return x.round().clamp(min=1)

    for i in range(config.layers):
        for part in ("query", "key", "value", "up"):  # read counts of a norm, make counts of their own
            new[f"{i}.{part}.W"] = p[f"{i}.{part}.W"] * c
        for part in ("query", "key", "value"):
            new[f"{i}.{part}.theta"] = whole(p[f"{i}.{part}.theta"] * c)
        new[f"{i}.up.theta"] = whole(p[f"{i}.up.theta"] * c)
        for part in ("norm1", "norm2"):
            new[f"{i}.{part}.K"] = whole(p[f"{i}.{part}.K"] * c)
        new[f"{i}.attention.theta"] = whole(p[f"{i}.attention.theta"] / c)  # z has two operands: c / c^2
        new[f"{i}.attention.offset"] = (p[f"{i}.attention.offset"] / c**2).round()
        new[f"{i}.out.W"], new[f"{i}.down.W"] = p[f"{i}.out.W"] * c, p[f"{i}.down.W"] * c
    new["norm.K"] = whole(p["norm.K"] * c)
    new["logits.b"], new["scale"] = (p["logits.b"] / c).round(), p["scale"] * c
    return new


def figures(name: str, figure: str, over: str, **setting: Any) -> dict[Any, float]:
    """Setting `over` -> `figure`, from the rows called `name` that have it, smallest key first."""
    rows = read(name, **setting)
    found = {
        row.setting[over]: row.figures[figure]
        for row in rows
        if over in row.setting and figure in row.figures
    }
    return dict(sorted(found.items()))


def one(name: str, **setting: Any) -> Measurement:
    """The newest row called `name` with this setting. ValueError, naming the command to run, if there is none."""
    rows = read(name, **setting)
    if not rows:
        raise ValueError(f"no row {name!r} with {setting}; `neurolab bench spiking` measures it")
    return rows[-1]


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table. Numbers are written as they are given; None becomes an empty cell."""
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join(
        lines + ["| " + " | ".join("" if c is None else str(c) for c in row) + " |" for row in rows]
    )


def curve(found: Mapping[int, float], rest_at: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """T and figure as arrays, T = 0 (at rest) drawn last, at `rest_at`."""
    T = np.array([rest_at if t == REST else t for t in found], dtype=float)
    order = np.argsort(T)
    return T[order], np.array(list(found.values()), dtype=float)[order]
