"""Mixed precision: how much each matrix minds being rounded, and bits given out under a budget of bytes.

A matrix W_i rounded to b_i bits takes numel_i b_i / 8 bytes and raises the loss by L_i(b_i). The rule of the
game: choose b_i so that sum_i L_i(b_i) is least while the bytes stay within the budget: a knapsack with
one choice a matrix, solved exactly by going through the matrices once (`allocate`). That losses add up is an
assumption; what the chosen bits do together is measured, on questions that the choice never saw.

Rounding is to nearest, a scale a row, the scale with the least squared error (`quantization.best_scales`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from neurolab import assistant
from neurolab.facts import Question
from neurolab.measurements import Measurement
from neurolab.quantization import best_scales, check_bits, quantize
from neurolab.quantized import Coded, float_bytes, put, scores, sizes
from neurolab.tokens import encode_pair
from neurolab.transformer import Transformer

WIDTHS = (2, 3, 4, 5, 6, 8)
BATCH = 32  # questions at a time: what fits the caches best
Bits = Mapping[str, int]
Losses = Mapping[str, Mapping[int, float]]
"""Matrix -> bits -> bits per answer byte lost."""


def matrices(model: Transformer) -> dict[str, Tensor]:
    """Every matrix of `model` by name, embeddings included, detached."""
    return {name: p.detach() for name, p in model.named_parameters() if p.ndim == 2}


def code(w: Tensor, bits: int) -> Coded:
    """w (R, C) rounded to nearest: codes of `bits` bits, a scale a row. ValueError as in `best_scales`."""
    s = best_scales(w, bits)
    return Coded(quantize(w, s, bits).to(torch.int16), s.float())


def split_rows(rows: int, share: float) -> Tensor:
    """Which of `rows` rows get one bit more, (R,) bool: round(share x rows) of them, evenly spread."""
    if not 0 <= share <= 1:
        raise ValueError(f"share {share}: must be 0 to 1")
    steps = torch.arange(rows + 1, dtype=torch.float64) * round(share * rows) / rows
    return steps[1:].floor() > steps[:-1].floor()


def size(model: Transformer, bits: Mapping[str, float]) -> int:
    """Bytes of the weights: codes of `bits` each, packed; a float32 scale a row; the norms in float32.

    Whole bits serve a whole matrix. Bits of 3.25, say: a quarter of the rows has 4, the others 3.
    """
    found = sum(4 * p.numel() for p in model.parameters() if p.ndim != 2)
    for name, w in matrices(model).items():
        low, share = divmod(bits[name], 1)
        more = int(split_rows(len(w), share).sum()) * w.shape[1]
        found += math.ceil((w.numel() * int(low) + more) / 8) + 4 * len(w)
    return found


def rounded(model: Transformer, bits: Bits) -> dict[str, Coded | Tensor]:
    """All weights of `model` as they go into a file: matrices named in `bits` coded, the rest float."""
    weights: dict[str, Coded | Tensor] = {name: p.detach() for name, p in model.named_parameters()}
    if unknown := sorted(set(bits) - set(matrices(model))):
        raise ValueError(f"bits names {unknown[0]!r}: the model has no such matrix")
    return weights | {name: code(w, bits[name]) for name, w in matrices(model).items() if name in bits}


def uniform(model: Transformer, bits: float) -> Transformer:
    """A copy of `model` with the same precision everywhere; bits of 3.25: a quarter of every matrix's rows
    has 4 bits, the others 3. So uniform precision can be made as large as any mixed one."""
    low, share = divmod(bits, 1)
    check_bits(math.ceil(bits))
    changed: dict[str, Coded | Tensor] = {}
    for name, w in matrices(model).items():
        value = code(w, int(low)).value()
        if share:
            more = split_rows(len(w), share)
            value[more] = code(w[more], int(low) + 1).value()
        changed[name] = value
    return put(model, changed)


def uniform_bits(model: Transformer, least: int) -> float:
    """The smallest precision, in steps of 1/160 bit, at which the uniform model takes at least `least` bytes.

    Raises ValueError if 8 bits take fewer.
    """
    for k in range(160 * 2, 160 * 8 + 1):
        if size(model, dict.fromkeys(matrices(model), k / 160)) >= least:
            return k / 160
    raise ValueError(f"least {least} bytes: uniform precision takes fewer at 8 bits")


def sensitivity(
    model: Transformer,
    tokenizer: Tokenizer,
    asked: Sequence[Question],
    names: Sequence[str],
    widths: Sequence[int] = WIDTHS,
    around: int | None = None,
) -> dict[str, dict[int, float]]:
    """Bits per answer byte lost when one matrix alone is rounded: name -> bits -> increase.

    around: the bits of all other matrices (None: float), and of the one that the increase is counted from. In
    a float model one rounded matrix is mostly put right by the others; among rounded ones it shows what it
    costs. Increases can be negative: rounding is noise, and may help by chance.
    """
    every = matrices(model)
    if unknown := sorted(set(names) - set(every)):
        raise ValueError(f"names holds {unknown[0]!r}: the model has no such matrix")
    if not asked:
        raise ValueError("asked []: must hold at least one question")
    pairs = sorted((encode_pair(tokenizer, q.text, q.answer) for q in asked), key=lambda row: len(row[0]))
    batches = [assistant.collate(pairs[i : i + BATCH]) for i in range(0, len(pairs), BATCH)]
    per_byte = 1 / math.log(2) / sum(len(q.answer.encode()) for q in asked)

    @torch.inference_mode()
    def bits_per_byte(of: Transformer) -> float:
        return per_byte * sum(assistant.answer_loss(of, batch, "sum").item() for batch in batches)

    base_model = put(model, rounded(model, dict.fromkeys(every, around) if around else {}))
    base = bits_per_byte(base_model)
    found: dict[str, dict[int, float]] = {}
    for name in names:
        found[name] = {}
        for bits in widths:
            found[name][bits] = bits_per_byte(put(base_model, {name: code(every[name], bits)})) - base
    return found


def monotone(losses: Losses) -> dict[str, dict[int, float]]:
    """`losses`, from the most bits down never falling: fewer bits help only by chance."""
    found: dict[str, dict[int, float]] = {}
    for name, by_bits in losses.items():
        worst, found[name] = -math.inf, {}
        for bits in sorted(by_bits, reverse=True):
            worst = max(worst, by_bits[bits])
            found[name][bits] = worst
    return found


def allocate(losses: Losses, sizes: Mapping[str, Mapping[int, int]], budget: int) -> dict[str, int]:
    """Bits for each matrix: the least sum of losses with at most `budget` bytes. Exact.

    losses, sizes: matrix -> bits -> loss, bytes. Matrix by matrix, best[u] is the least loss that u units of
    bytes can have so far (a unit is the greatest that divides every size). Between equal losses the fewer
    bytes win. Raises ValueError if even the fewest bits do not fit.
    """
    names = list(losses)
    unit = reduce(math.gcd, (sizes[name][b] for name in names for b in losses[name]))
    units = budget // unit
    best = torch.full((units + 1,), torch.inf, dtype=torch.float64)
    best[0] = 0.0
    chosen: list[Tensor] = []
    for name in names:
        options = sorted(losses[name])
        rows = torch.full((len(options), units + 1), torch.inf, dtype=torch.float64)
        for row, b in zip(rows, options, strict=True):
            need = sizes[name][b] // unit
            if need <= units:
                row[need:] = best[: units + 1 - need] + losses[name][b]
        best, which = rows.min(0)
        chosen.append(torch.tensor(options)[which])
    if not torch.isfinite(best).any():
        raise ValueError(f"budget {budget} bytes: even the fewest bits take more")
    at, found = int(best.argmin()), {}
    for name, bits in zip(reversed(names), reversed(chosen), strict=True):
        found[name] = int(bits[at])
        at -= sizes[name][found[name]] // unit
    return {name: found[name] for name in names}


def code_sizes(model: Transformer, widths: Sequence[int] = WIDTHS) -> dict[str, dict[int, int]]:
    """Bytes of each matrix's codes by bits: what `allocate` gives out (scales and norms come on top)."""
    return {name: {b: math.ceil(w.numel() * b / 8) for b in widths} for name, w in matrices(model).items()}


def within(model: Transformer, losses: Losses, ratio: float) -> dict[str, int]:
    """The best bits for a model `ratio` times smaller than the float file."""
    if ratio <= 1:
        raise ValueError(f"ratio {ratio}: must be above 1")
    fixed = size(model, dict.fromkeys(matrices(model), 0))
    return allocate(monotone(losses), code_sizes(model), math.floor(float_bytes() / ratio) - fixed)


def article(model: Transformer, high: int = 8, low: int = 4) -> dict[str, int]:
    """The articles' allocation: feed-forward matrices `low` bits; queries, keys, values, projections,
    embeddings and all of the first and last layer `high`. Norms stay float."""
    edges = ("blocks.0.", f"blocks.{len(model.blocks) - 1}.")
    return {
        name: low if ".feed_forward." in name and not name.startswith(edges) else high
        for name in matrices(model)
    }


def compare(model: Transformer, bits: Bits, *, every: int = 1) -> dict[str, Any]:
    """Mixed against uniform precision, both measured on each `every`-th held-out question.

    The uniform model takes as many bytes or more, by less than a row a matrix; its extra bits go to the same
    share of the rows of every matrix. `file_bytes`: the mixed model's file, codes packed, all counted.
    """
    weights = rounded(model, bits)
    mixed_bytes = size(model, bits)
    even = uniform_bits(model, mixed_bytes)
    mixed_scores = scores(put(model, weights), every)
    uniform_scores = scores(uniform(model, even), every)
    return {
        "bits_per_answer_byte_gain": uniform_scores["bits_per_answer_byte"]
        - mixed_scores["bits_per_answer_byte"],
        "exact_match_gain_points": 100 * (mixed_scores["exact_match"] - uniform_scores["exact_match"]),
        **mixed_scores,
        "uniform_exact_match": uniform_scores["exact_match"],
        "uniform_bits_per_answer_byte": uniform_scores["bits_per_answer_byte"],
        "bytes": mixed_bytes,
        "uniform_bytes": size(model, dict.fromkeys(bits, even)),
        "uniform_bits": even,
        "file_bytes": int(sizes(model, weights, "packed")["bytes"]),
        "size_ratio": float_bytes() / mixed_bytes,
        "bits_by_tensor": dict(bits),
    }


def short(name: str) -> str:
    """A matrix's name for a picture: "blocks.0.feed_forward.up.weight" -> "0 up"."""
    parts = name.removesuffix(".weight").split(".")
    return f"{parts[1]} {parts[-1]}" if parts[0] == "blocks" else parts[0]


def bars(rows: Sequence[Measurement]) -> dict[str, Any]:
    """Rows `compression.sensitivity` as arrays for a picture: the matrices in the model's order.

    names (N,); bits (B,), ascending; alone and among (B, N): bits per answer byte lost where only this matrix
    is rounded, and where all the others have 3 bits (NaN: not measured).
    """
    names = list(dict.fromkeys(row.setting["tensor"] for row in rows))
    widths = sorted({row.setting["bits"] for row in rows})
    found: dict[str, Any] = {"names": [short(name) for name in names], "bits": widths}
    for key, figure in (("alone", "bits_per_answer_byte"), ("among", "bits_per_answer_byte_among_3_bits")):
        by = {(row.setting["bits"], row.setting["tensor"]): row.figures.get(figure, math.nan) for row in rows}
        found[key] = [[by.get((b, name), math.nan) for name in names] for b in widths]
    return found


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Which of `points` (bytes, quality) are on the Pareto front, by bytes: no other is as small and better,
    or smaller and as good. Of equal points the first."""
    chosen: list[int] = []
    best = -math.inf
    for i in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        if points[i][1] > best:
            chosen.append(i)
            best = points[i][1]
    return chosen
