"""What chapter 4's explorers compute while the reader moves them. Pure functions of small arrays.

w weights, s step, q code, b bits, c clip (the largest number that has a code), x what a matrix is given
(N, D), y = x w^T what it makes of it. Errors are mean squares over the variance of the numbers, so that 1
means: nothing is left.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from neurolab import formats
from neurolab.assistant import Assistant, collate
from neurolab.facts import LANGUAGES, Question, split
from neurolab.quantization import best_scales, dequantize, quantize, round_matrices
from neurolab.tokens import encode_pair
from neurolab.transformer import Transformer

SHOWN = (
    "FP32", "TF32", "FP24", "BF16", "FP16", "FP8 E5M2", "FP8 E4M3", "FP6 E3M2", "FP4 E2M1", "INT8", "INT4",
    "ternary", "binary",
)  # fmt: skip
WINDOWS = {
    "0 ± 2": (0.0, 2.0),
    "0 ± 300": (0.0, 300.0),
    "0 ± 0.01": (0.0, 0.01),
    "1 ± 0.05": (1.0, 0.05),
}
"""What the formats' explorer looks at: name -> (middle, half the width)."""
UNITS = (1.0, 0.25, 0.01)
DENSE = 600  # ticks in a row at most: more than that look like a line anyway


def said(name: str) -> str:
    """What a reader sees for a weight: "blocks.0.attention.query.weight" -> "layer 1 query"."""
    parts = name.removesuffix(".weight").split(".")
    if parts[0] != "blocks":
        return {"embedding": "embedding", "position": "positions"}.get(parts[0], name)
    return f"layer {int(parts[1]) + 1} {parts[-1]}"


def steps_above(b: int) -> int:
    """Codes above zero of a symmetric b-bit ruler: 2^(b-1) - 1, at least 1."""
    return max(2 ** (b - 1) - 1, 1)


# ---- the first pictures: weights on the number line, facts falling ---------------------------------------


def on_the_line(w: Tensor, b: int, bins: int = 81) -> dict[str, Any]:
    """Weights w (R, C) as densities, before and after rounding to b bits with the best one step for all.

    Bars `x`, `y`, `width`: one a code that is used, as high as its share over its width. `clip`: where the
    outermost codes end; beyond them every weight is cut.
    """
    flat = w.reshape(1, -1)
    s = float(best_scales(flat, b))
    q = quantize(flat, torch.tensor([[s]]), b)[0].long()
    codes, counts = (t.numpy() for t in q.unique(return_counts=True))
    low, high = -(2 ** (b - 1)), 2 ** (b - 1) - 1
    widest = float(flat.abs().max())
    density, edges = np.histogram(flat[0].numpy(), bins=bins, range=(-widest, widest), density=True)
    error = dequantize(q, torch.tensor(s)) - flat[0]
    ends = np.array([s * (low - 0.5), s * (high + 0.5)])
    cut = float(((flat[0] < ends[0]) | (flat[0] > ends[1])).float().mean())
    return {
        "float x": (edges[1:] + edges[:-1]) / 2, "float y": density,
        "x": s * codes, "y": counts / counts.sum() / s, "width": np.full(len(codes), s),
        "clip x": np.repeat(np.clip(ends, -1.06 * widest, 1.06 * widest), 2), "clip y": _post(density),
        "b": b, "s": s, "cut": cut, "error": float(error.square().mean() / flat.var(correction=0)),
    }  # fmt: skip


def _post(density: np.ndarray) -> np.ndarray:
    """Up and down again: the heights of two posts."""
    top = 1.25 * float(density.max())
    return np.array([0.0, top, top, 0.0])


def right(model: Transformer, tokenizer: Any, questions: Sequence[Question], batch: int = 256) -> np.ndarray:
    """Which questions (N,) are answered in the very tokens of the truth: one pass, each token greedy."""
    rows = [encode_pair(tokenizer, q.text, q.answer) for q in questions]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
    found = np.zeros(len(rows), dtype=bool)
    with torch.inference_mode():
        for at in range(0, len(order), batch):
            chosen = order[at : at + batch]
            some = collate([rows[i] for i in chosen])
            wanted = some.answer[:, 1:]
            guess = torch.zeros_like(some.ids[:, 1:])
            guess[wanted] = model.logits(model.features(some.ids[:, :-1])[0][wanted]).argmax(-1)
            found[chosen] = ((guess == some.ids[:, 1:]) | ~wanted).all(1).numpy()
    return found


def some_facts(each: int = 24) -> dict[str, list[list[Question]]]:
    """Held-out questions: language -> for each relation (in the order of `relations`) `each` of them."""
    chosen: dict[str, list[list[Question]]] = {}
    for language in LANGUAGES:
        asked = split("held_out", language)
        rows = []
        for relation in relations():
            here = [q for q in asked if q.relation == relation]
            rows.append([here[i * len(here) // each] for i in range(each)])
        chosen[language] = rows
    return chosen


def relations() -> list[str]:
    """The kinds of fact, in the order of the picture."""
    return sorted({q.relation for q in split("held_out")})


def falling(helper: Assistant, widths: Sequence[int], each: int = 24) -> dict[int, dict[str, np.ndarray]]:
    """Bits -> language -> which of `some_facts` are still answered right (relations, each); 32 is float."""
    chosen = some_facts(each)
    found = {}
    for b in widths:
        model = helper.model if b == 32 else round_matrices(helper.model, b)
        found[b] = {
            language: right(model, helper.tokenizer, [q for row in rows for q in row]).reshape(-1, each)
            for language, rows in chosen.items()
        }
    return found


# ---- which numbers exist ------------------------------------------------------------------------------


def existing(window: str, step: float) -> dict[str, Any]:
    """The numbers of every format of `SHOWN` in a window, thinned out where they are dense; rows from 0."""
    middle, half = WINDOWS[window]
    made: dict[str, Any] = {"names": list(SHOWN), "window": np.array([middle - half, middle + half])}
    counts = {}
    for row, name in enumerate(SHOWN):
        x, counts[name] = _inside(name, middle - half, middle + half, step)
        made[f"{name} x"], made[f"{name} y"] = x, np.full(len(x), float(row))
    few = ", ".join(f"{name} {counts[name]:,}" for name in ("FP16", "BF16", "FP8 E4M3", "INT8", "INT4"))
    return made | {"words": f"From {middle - half:g} to {middle + half:g}: numbers of {few}"}


def _inside(name: str, low: float, high: float, step: float) -> tuple[np.ndarray, int]:
    """Numbers of a format from low to high (outside if there is none), and how many there are."""
    fmt = formats.of(name)
    if isinstance(fmt, formats.Float) and fmt.bits > formats.WIDEST:
        ends = torch.tensor([low, high], dtype=torch.float64)
        codes = formats.encode(ends.abs(), fmt)
        count = int(codes[1] - codes[0]) + 1 if low >= 0 else int(codes.sum()) + 1
        return np.linspace(low, high, DENSE), count
    x = formats.values(fmt, step=step if isinstance(fmt, formats.Whole) else 1.0).numpy()
    x = x[(x >= low) & (x <= high)]
    if not len(x):
        return np.array([2 * high + 1]), 0
    cell = np.floor((x - low) / (high - low) * DENSE)  # of those that would cover each other, one
    return x[np.unique(cell, return_index=True)[1]], len(x)


def format_error(w: Tensor, name: str, most: int = 4000) -> float:
    """Least mean squared error of w in a format over its variance, of up to `most` weights.

    Formats of up to 8 bits get the best of 40 steps (floats are divided by one, too).
    """
    fmt, flat = formats.of(name), w.flatten().double()
    flat = flat[:: max(1, len(flat) // most)]
    far = fmt.largest if isinstance(fmt, formats.Float) else float(max(fmt.high, 1))
    shares = np.arange(0.05, 2.01, 0.05) if fmt.stored <= 8 else [far / float(flat.abs().max())]
    errors = []
    for share in shares:
        step = float(share * flat.abs().max()) / far
        got = step * formats.round_to(flat / step, fmt, overflow="saturate")
        errors.append(float((got - flat).square().mean()))
    return min(errors) / float(flat.var(correction=0))


def format_rows(w: Tensor) -> list[list[str]]:
    """A line a format: bits, largest and smallest number above 0, and its error on w in per cent."""
    lines = []
    for name in SHOWN:
        fmt, error = formats.of(name), format_error(w, name)
        if isinstance(fmt, formats.Float):
            said_ = [f"1 + {fmt.exponent} + {fmt.mantissa}", f"{fmt.largest:.4g}", f"{fmt.smallest:.1e}"]
        else:
            said_ = ["", f"{fmt.high} s", "s"]
        off = f"{100 * error:.2g}" if error > 1e-9 else "none to speak of"
        lines.append([name, f"{fmt.stored}", *said_, off])
    return lines


# ---- one ruler: where to end it -----------------------------------------------------------------------


def cut_or_round(w: Tensor, b: int, share: float) -> dict[str, float]:
    """The two errors of a ruler of b bits that ends at c = share x max |w|, and the sum of both.

    rounding: of the numbers within half a step of a code; clipping: of those beyond; theory: s^2 / 12.
    All over the variance of w. ValueError for a share outside (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is {share}; it must be above 0 and at most 1")
    flat = w.flatten()
    c = share * float(flat.abs().max())
    s = c / steps_above(b)
    low, high = -(2 ** (b - 1)), 2 ** (b - 1) - 1
    off = (s * torch.clamp(torch.round(flat / s), low, high) - flat).square()
    beyond = (flat / s < low - 0.5) | (flat / s > high + 0.5)
    scale = float(flat.var(correction=0)) * flat.numel()
    return {
        "s": s, "c": c,
        "rounding": float(off[~beyond].sum()) / scale, "clipping": float(off[beyond].sum()) / scale,
        "total": float(off.sum()) / scale, "theory": s * s / 12 * flat.numel() / scale,
        "beyond": float(beyond.float().mean()),
    }  # fmt: skip


def clip_curves(w: Tensor, b: int, shares: np.ndarray) -> dict[str, np.ndarray]:
    """`cut_or_round` for many shares, as arrays."""
    each = [cut_or_round(w, b, float(share)) for share in shares]
    return {key: np.array([one[key] for one in each]) for key in each[0]}


def hill(x: Tensor, bins: int = 100) -> dict[str, np.ndarray]:
    """Numbers as a hill on a logarithmic height (0: none), with the window and heights to draw it in."""
    flat = x.flatten().numpy()
    counts, edges = np.histogram(flat, bins=bins)
    height = np.log10(1.0 + counts)
    margin = 0.04 * float(edges[-1] - edges[0])
    reach = max(abs(float(edges[0])), abs(float(edges[-1])))
    low = -reach if float(edges[0]) > -0.3 * reach else float(edges[0])
    return {
        "float x": (edges[1:] + edges[:-1]) / 2, "float y": height,
        "window": np.array([low - margin, edges[-1] + margin]),
        "heights": np.array([-0.6, 1.06 * height.max()]),
    }  # fmt: skip


def one_sided(x: Tensor, b: int, kind: str) -> dict[str, Any]:
    """Numbers x on a ruler of b bits from the least to the largest, symmetric or affine: codes and error."""
    flat = x.flatten()
    least, most = min(float(flat.min()), 0.0), max(float(flat.max()), 0.0)
    if kind == "affine":
        s, low, high = (most - least) / (2**b - 1), 0, 2**b - 1
        z = round(-least / s)
    elif kind == "symmetric":
        s, z, low, high = max(-least, most) / steps_above(b), 0, -(2 ** (b - 1)), 2 ** (b - 1) - 1
    else:
        raise ValueError(f"kind is {kind!r}; it must be 'symmetric' or 'affine'")
    q = torch.clamp(torch.round(flat / s) + z, low, high)
    error = float((s * (q - z) - flat).square().mean() / flat.var(correction=0))
    ruler = s * (np.arange(low, high + 1) - z)
    return {
        "ruler": ruler, "level": np.zeros(len(ruler)), "s": s, "z": z, "error": error,
        "used": len(q.unique()), "codes": 2**b,
    }  # fmt: skip


# ---- training through a staircase ---------------------------------------------------------------------


def slopes(s: float, b: int, points: int = 801) -> dict[str, np.ndarray]:
    """w in [-2, 2] -> what rounding makes of it, and its slopes in w and in s as LSQ takes them."""
    w = np.linspace(-2, 2, points)
    low, high = -(2 ** (b - 1)), 2 ** (b - 1) - 1
    q = np.clip(np.floor(w / s + 0.5), low, high)
    inside = (w / s >= low - 0.5) & (w / s < high + 0.5)
    return {
        "w": w, "rounded": s * q, "slope w": inside.astype(float), "slope s": np.where(inside, q - w / s, q),
    }  # fmt: skip


def heard(model: nn.Module, tokenizer: Any, questions: Sequence[Question]) -> dict[str, Tensor]:
    """Weight's name -> what that matrix is given (N, D) while the model reads questions and answers."""
    found: dict[str, list[Tensor]] = {}
    hooks = [
        part.register_forward_hook(
            lambda _part, given, _made, name=f"{name}.weight": found.setdefault(name, []).append(given[0])
        )
        for name, part in model.named_modules()
        if isinstance(part, nn.Linear)
    ]
    batch = collate([encode_pair(tokenizer, q.text, q.answer) for q in questions])
    real = batch.ids[:, :-1] != 0
    try:
        with torch.no_grad():
            model.features(batch.ids[:, :-1])  # type: ignore[operator]
    finally:
        for hook in hooks:
            hook.remove()
    return {name: torch.cat([x[real] for x in given]) for name, given in found.items()}


def signal_to_noise(error: float) -> float:
    """Decibels of a mean squared error over the variance: 0.01 -> 20."""
    return -10 * math.log10(error)


def share_right(found: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Language -> per cent right."""
    return {language: 100 * float(cells.mean()) for language, cells in found.items()}
