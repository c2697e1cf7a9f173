"""The entropy ledger: what codes could cost, what each coder makes of them, and where the rest goes.

A code of whole bits a symbol (Huffman, 1952) cannot say a symbol in less than one bit. When most weights are
zeros, the ideal is far less: log2(1 / p) bits for a symbol of probability p. ANS (Duda et al., 2015) spends
fractions of bits. zstd codes bytes, finds repetitions that are not there, and ends near Huffman.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from neurolab import coding, streams, symbols
from neurolab.compressing import round_to_nearest
from neurolab.pruning import check_sparsity, lowest_off
from neurolab.quantized import Coded
from neurolab.symbols import Ints

NAMES = {"packed": "fixed width", "huffman": "Huffman", "zstd": "zstd", "ans": "ANS"}
"""The coders as a reader knows them, from the plainest to the best."""


def codes_of(tensors: Mapping[str, Coded | Tensor]) -> list[Ints]:
    """The codes of the coded tensors, one stream (n,) a tensor."""
    return [x.q.reshape(-1).numpy().astype(np.int64) for x in tensors.values() if isinstance(x, Coded)]


def bills(some: Sequence[Ints]) -> dict[str, dict[str, float]]:
    """Of each coder, in bits a symbol: `entropy` + `tables` + `waste` = `all`, as the bytes really are.

    some: streams (n,), at least one; entropy is that of each stream by itself. tables: the probabilities or
    code lengths that go with the symbols.
    """
    if not some:
        raise ValueError("no streams: give at least one")
    n = sum(map(len, some))
    ideal = 8 * streams.entropy_bytes(some) / n
    found = {}
    for coder in NAMES:
        spec, data = streams.pack(some, coder)
        tables = _table_bits(spec, some, coder) / n
        bits = 8 * len(data) / n + symbols.HEADER_BITS * len(spec["tables"]) / n
        found[coder] = {"entropy": ideal, "tables": tables, "waste": bits - ideal - tables, "all": bits}
    return found


def _table_bits(spec: Mapping[str, Any], some: Sequence[Ints], coder: str) -> float:
    """Bits of a pack's tables: their rows in the header, and their levels."""
    rows = symbols.HEADER_BITS * len(spec["tables"])
    if coder != "ans":
        return rows + 8 * spec["head"]
    tables, _ = symbols.share([symbols.histogram(s) for s in some])
    return rows + sum(symbols.best_law(t.levels)[1] for t in tables if t.fineness)


def bars(some: Sequence[Ints], bits: int) -> dict[str, Any]:
    """The bills as stacked bars: `coders` (names), and `entropy`, `tables`, `waste` in bits a symbol (4,).

    bits: of the codes; `saved` says by how many per cent each makes the codes of that width smaller.
    """
    found = bills(some)
    parts = {key: [found[coder][key] for coder in NAMES] for key in ("entropy", "tables", "waste", "all")}
    return {
        "coders": list(NAMES.values()),
        **parts,
        "saved": [100 * (1 - x / bits) for x in parts["all"]],
        "symbols": sum(map(len, some)),
    }


def pruned_codes(w: Tensor, bits: int, sparsity: float) -> Ints:
    """Codes (n,) of w (R, C) rounded to `bits` bits, a step a row, the smallest |w| set to zero first."""
    check_sparsity(sparsity)
    keep = lowest_off(w.abs().flatten(), sparsity).reshape(w.shape)
    return round_to_nearest(w * keep, bits).q.reshape(-1).numpy().astype(np.int64)


def sparsity_curve(w: Tensor, bits: int, sparsities: Sequence[float]) -> dict[str, Any]:
    """Bits a weight of w (R, C) at each sparsity: `entropy`, `huffman` (without its table), `zeros` (share).

    `floor` is what Huffman's zeros alone cost, one bit each; `waste_percent` says by how much Huffman's bits
    are more than the entropy.
    """
    found: dict[str, list[float]] = {"sparsity": [], "entropy": [], "huffman": [], "zeros": []}
    for sparsity in sparsities:
        _, counts = np.unique(q := pruned_codes(w, bits, sparsity), return_counts=True)
        found["sparsity"].append(sparsity)
        found["zeros"].append(float((q == 0).mean()))
        found["entropy"].append(coding.entropy_of(counts))
        found["huffman"].append(coding.mean_length(counts))
    waste = [100 * (h / e - 1) if e else 0.0 for h, e in zip(found["huffman"], found["entropy"], strict=True)]
    return {**found, "floor": found["zeros"], "waste_percent": waste}
