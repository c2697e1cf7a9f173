"""Chapter 3's small tools: a sentence in pieces, where a network looks, rows as tables and curves.

Shapes: L tokens, H heads, D width, T time steps.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from neurolab.assistant import Assistant
from neurolab.spiking import UNSIGNED, Fire, Integers, bounds, features
from neurolab.spiking_training import Watch
from neurolab.tokens import encode_pair
from neurolab.transformer import Block, Config, Transformer


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
    """What each block of the float model is given: the residual stream (L, D) of a sentence ids (1, L)."""
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
        assert isinstance(block, Block)
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


def settled(counted: Mapping[str, Tensor]) -> Tensor:
    """The step (1..T) of the last spike anywhere, per token (B, L), from the counts of every population.

    counted: as `counts` gives them for Spikes: (T, B, L, ...) or, by heads, (T, B, H, L, ...).
    """
    latest = torch.tensor(0)
    for S in counted.values():
        moved = (S.diff(dim=0, prepend=torch.zeros_like(S[:1])) != 0).any(-1)  # (T, B, L) or (T, B, H, L)
        moved = moved.any(2) if moved.ndim == 4 else moved
        step = torch.arange(1, len(S) + 1).view(-1, 1, 1)
        latest = torch.maximum(latest, (moved * step).amax(0))
    return latest


def shares(A: Tensor) -> Tensor:
    """Counts of attention (..., L) as shares: A / (sum A + 1), what the mix divides by."""
    return A / (A.sum(-1, keepdim=True) + 1)


def recode(p: Integers, config: Config, bits: int, old: int = 4) -> Integers:
    """The same network with counts of `bits` bits where it had `old`, all of it still whole numbers.

    With one bit more a count stands for half as much. Matrices and their thresholds stay; what matrices add
    up is twice as large, and so are biases. Scores have two operands and are four times as large; the stream
    between the layers is written in units half as large. Raises ValueError for bits outside 2 to 8.
    """
    bounds(UNSIGNED, bits)
    c = 2.0 ** (bits - old)  # counts of the new network for one of the old
    new = dict(p)

    def whole(x: Tensor, least: float | None = 1.0) -> Tensor:
        return x.round().clamp(min=least) if least is not None else x.round()

    for i in range(config.layers):
        for part in ("query", "key", "value", "up"):
            new[f"{i}.{part}.b"] = whole(p[f"{i}.{part}.b"] * c, None)
        for part in ("norm1", "norm2"):
            new[f"{i}.{part}.K"] = whole(p[f"{i}.{part}.K"] / c)
        new[f"{i}.attention.theta"] = whole(p[f"{i}.attention.theta"] * c)
        new[f"{i}.attention.offset"] = whole(p[f"{i}.attention.offset"] * c * c, None)
    units = [name for name in p if name.endswith(".unit")]
    for name in units:
        read_counts = name.endswith(("out.unit", "down.unit"))
        new[name] = p[name] * (max(1.0, 1 / c) if read_counts else max(1.0, c))
    new["norm.K"] = whole(p["norm.K"] / c)
    new["logits.b"], new["scale"] = whole(p["logits.b"] * c, None), p["scale"] / c
    return new


class Drives:
    """A rule that keeps what another one is given: `z[name]`, `theta[name]` of the populations in `names`."""

    def __init__(self, fire: Fire, names: Sequence[str]) -> None:
        self.fire, self.names = fire, names
        self.z: dict[str, Tensor] = {}
        self.theta: dict[str, Tensor] = {}

    def __call__(self, name: str, z: Tensor, theta: Tensor, kind: str) -> Tensor:
        if name in self.names:
            self.z[name], self.theta[name] = z, theta
        return self.fire(name, z, theta, kind)

    def grow(self, K: Tensor, total: Tensor) -> Tensor:
        return self.fire.grow(K, total)

    def past(self, S: Tensor) -> Tensor:
        return self.fire.past(S)


def settle(z: np.ndarray, theta: float, weights: Sequence[int], low: int, high: int) -> np.ndarray:
    """The counts S(1..T) of one signed neuron whose input so far is z(1..T), with step weights w(1..T).

    V = z - theta S + w theta / 2; S + w where V >= w theta, S - w where V < 0, unless a bound is in the way.
    """
    S, said = 0, []
    for z_t, w in zip(z, weights, strict=True):
        V = z_t - theta * S + w * theta / 2
        if V >= w * theta and S + w <= high:
            S += w
        elif V < 0 and S - w >= low:
            S -= w
        said.append(S)
    return np.array(said)


def climb(z: np.ndarray, theta: float, high: int) -> np.ndarray:
    """The counts of plain integrate-and-fire for the same input: half full at first, never a step back."""
    S, said = 0, []
    for z_t in z:
        S += int(z_t - theta * S + theta / 2 >= theta and high > S)
        said.append(S)
    return np.array(said)


def source(*functions: Any) -> Any:
    """The source of functions, as code to read: without docstrings and without the types of arguments."""
    from IPython.display import Markdown

    return Markdown("```python\n" + "\n\n".join(_plain(function) for function in functions) + "\n```")


def _plain(function: Any) -> str:
    text = textwrap.dedent(inspect.getsource(function))
    lines = text.splitlines()
    found = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    for node in sorted(found, key=lambda node: -node.lineno):  # from the end, so that line numbers stay
        first = node.body[1] if ast.get_docstring(node) else node.body[0]
        names, given = [a.arg for a in node.args.args], node.args.defaults
        for i, value in enumerate(given, start=len(names) - len(given)):
            names[i] += f"={ast.unparse(value)}"
        head = " " * node.col_offset + f"def {node.name}({', '.join(names)}):"
        lines[node.lineno - 1 : first.lineno - 1] = [head]
    return "\n".join(lines)
