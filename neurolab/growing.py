"""A Huffman tree while it grows: where to draw its nodes, and its table, step by step.

All functions are pure and quick enough to be called while a slider moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neurolab import coding
from neurolab.coding import Code, Step
from neurolab.symbols import Ints


def steps(counts: Ints | Sequence[int]) -> list[Step]:
    """All joins for counts (K,), first to last."""
    return list(coding.grow(counts))


def leaf_order(joins: Sequence[Step]) -> list[int]:
    """The symbols from left to right, so that no branch of the finished tree crosses another."""
    order: dict[tuple[int, ...], list[int]] = {(i,): [i] for step in joins for i in (*step.left, *step.right)}
    last: tuple[int, ...] = ()
    for step in joins:
        last = step.left + step.right
        order[last] = order[step.left] + order.get(step.right, [])
    return order[last]


def forest(counts: Ints | Sequence[int], done: int, names: Sequence[str] | None = None) -> dict[str, Any]:
    """The trees after `done` joins (0: only leaves), to be drawn.

    x, y, weight, label: (nodes,) places, counts and texts; y is the height above the leaves.  root: (nodes,)
    whether nothing is above.  joined: (nodes,) whether this step made it.  edge_x, edge_y: lines between
    nodes, with None between them.  names: of the symbols; the default is their numbers.
    Raises ValueError for a `done` that is not from 0 to the number of joins.
    """
    joins = steps(counts)
    if not 0 <= done <= len(joins):
        raise ValueError(f"done {done}: must be 0 to {len(joins)}, the number of joins")
    place = {symbol: float(i) for i, symbol in enumerate(leaf_order(joins))}
    nodes: dict[tuple[int, ...], tuple[float, float, int]] = {
        (i,): (x, 0.0, int(counts[i])) for i, x in place.items()
    }
    above: set[tuple[int, ...]] = set()
    edges: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
    new: tuple[int, ...] = ()
    for step in joins[:done]:
        if not step.right:  # a lone symbol has nothing to be joined with
            break
        new = step.left + step.right
        (ax, ay, an), (bx, by, bn) = nodes[step.left], nodes[step.right]
        nodes[new] = ((ax + bx) / 2, max(ay, by) + 1, an + bn)
        above |= {step.left, step.right}
        edges += [(new, step.left), (new, step.right)]
    named: dict[tuple[int, ...], str] = {(i,): names[i] if names is not None else str(i) for i in place}
    lines = [(nodes[a], nodes[b]) for a, b in edges]
    return {
        "x": [node[0] for node in nodes.values()],
        "y": [node[1] for node in nodes.values()],
        "weight": [node[2] for node in nodes.values()],
        "label": [named.get(key, "") for key in nodes],
        "root": [key not in above for key in nodes],
        "joined": [key == new for key in nodes],
        "edge_x": [x for a, b in lines for x in (a[0], b[0], None)],
        "edge_y": [y for a, b in lines for y in (a[1], b[1], None)],
        "joins": len(joins),
    }


def table(counts: Ints | Sequence[int], done: int, names: Sequence[str] | None = None) -> dict[str, Any]:
    """The code's table after `done` joins, the most frequent symbol first.

    symbol, count, length, word: (K',) of the symbols that occur; the canonical words stand only when the tree
    is whole, before that they are "".  ideal: (K',) log2(1 / p).  mean: bits a symbol so far.  entropy: of
    the counts.  kraft: sum of 2^-length over the symbols (1 when the tree is whole; a lone symbol: 1/2).
    """
    joins = steps(counts)
    if not 0 <= done <= len(joins):
        raise ValueError(f"done {done}: must be 0 to {len(joins)}, the number of joins")
    n = np.asarray(counts, np.int64)
    used = np.flatnonzero(n)
    used = used[np.argsort(-n[used], kind="stable")]
    lengths = joins[done - 1].lengths[used] if done else np.zeros(len(used), np.int64)
    words = [""] * len(used)
    if done == len(joins):
        code = Code(np.sort(used), joins[-1].lengths[np.sort(used)])
        by_symbol = dict(zip(code.symbols.tolist(), code.text(), strict=True))
        words = [by_symbol[int(i)] for i in used]
    total = int(n.sum())
    return {
        "symbol": [names[i] if names is not None else str(i) for i in used.tolist()],
        "count": n[used].tolist(),
        "length": lengths.tolist(),
        "word": words,
        "ideal": np.log2(total / n[used]).tolist(),
        "mean": float((lengths * n[used]).sum() / total),
        "entropy": coding.entropy_of(n),
        "kraft": coding.kraft(lengths),
    }
