"""What rounding one matrix does to its layer: chapter 4's quantizer with all its knobs, and its repair.

w (R, C) weights, x (N, C) what the layer is given, y = x w^T (N, R) what it says, b bits, s steps.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurolab import gptq
from neurolab.calibration import METHODS, Numbers, by_entropy
from neurolab.quantization import best_scales, code_range, codes, shared

SHARED = {"a tensor": "tensor", "a channel": "channel", "32 weights": "group32"}
"""What a reader chooses -> granularity."""
PERCENTILE = 0.999
BINS = 256  # of the entropy method's histogram: coarser than TensorRT's, quick enough for a slider


@lru_cache(maxsize=64)
def _entropy_reach(key: tuple[int, int], b: int) -> float:
    """The clip that entropy chooses for a whole matrix, in units of its root mean square."""
    w = _KNOWN[key]
    c = by_entropy(Numbers.of(w), b, bins=BINS)[1]
    return c / float(w.square().mean().sqrt())


_KNOWN: dict[tuple[int, int], Tensor] = {}


def clips(w: Tensor, b: int, granularity: str, method: str) -> Tensor:
    """Where each step's codes end, (R', C'), by one of `calibration.METHODS`.

    A channel or a group is too few numbers for a histogram: there, entropy takes the whole matrix's clip,
    in units of the root mean square. ValueError for another method.
    """
    rows = shared(w, granularity)  # (R', C', n)
    if method == "max":
        return rows.abs().amax(-1)
    if method == "percentile":
        return rows.abs().quantile(PERCENTILE, dim=-1)
    if method == "mse":
        flat = rows.reshape(-1, rows.shape[-1])
        return (best_scales(flat, b) * code_range(b)[1]).reshape(rows.shape[:2])
    if method == "entropy":
        key = (w.data_ptr(), w.numel())
        _KNOWN[key] = w
        return _entropy_reach(key, b) * rows.square().mean(-1).sqrt()
    raise ValueError(f"method is {method!r}; it must be one of {', '.join(METHODS)}")


def rounded(w: Tensor, b: int, granularity: str, method: str) -> tuple[Tensor, Tensor, int]:
    """Codes and values of w, both (R, C), and how many steps there are."""
    low, high = code_range(b)
    c = clips(w, b, granularity, method)
    s = torch.where(c > 0, c / high, torch.ones_like(c))[..., None]
    rows = shared(w, granularity)
    q = codes(rows, s, None, low, high)
    return q.reshape(w.shape), (q * s).reshape(w.shape), s.numel()


class Layer:
    """One matrix with its inputs, for an explorer. shown: how many outputs are drawn."""

    def __init__(self, name: str, w: Tensor, x: Tensor, shown: int = 240) -> None:
        self.name, self.w, self.x = name, w, x
        self.y = x @ w.T
        every = max(1, self.y.numel() // shown)
        self.at = torch.arange(every // 2, self.y.numel(), every)[:shown]
        reach = 1.1 * float(self.y.flatten()[self.at].abs().max())
        self.ends = np.array([-reach, reach])

    def tried(self, bits: int, shared_by: str, clip: str) -> dict[str, Any]:
        """What `pictures.quantizer` draws of one setting, and its errors in words."""
        q, value, steps = rounded(self.w, bits, SHARED[shared_by], clip)
        used, counts = (t.numpy() for t in q.unique(return_counts=True))
        y = self.x @ value.T
        error = float((value - self.w).square().mean() / self.w.var(correction=0))
        off = float((y - self.y).square().mean() / self.y.square().mean())
        size = bits + 16 * steps / self.w.numel()
        return {
            "codes": used, "counts": 100 * counts / counts.sum(), "ends": self.ends,
            "y": self.y.flatten()[self.at].numpy(), "y rounded": y.flatten()[self.at].numpy(),
            "error": error, "output error": off, "bits": size,
            "words": f"{self.name}, {bits} bits, a step for {shared_by}, clip by {clip}: {size:.2f} bits "
            "a weight in all, "
            f"{len(used)} codes in use; error of the weights {error:.2%}, of the outputs {off:.2%}",
        }  # fmt: skip


def repaired(w: Tensor, H: Tensor, b: int) -> dict[str, float]:
    """Errors of w (R, C), a step a channel, rounded to the nearest and by GPTQ: of weights and of outputs.

    All over the same error of rounding to the nearest, so that its own are 1.
    """
    low, high = code_range(b)
    s = best_scales(w, b)
    nearest = s * torch.clamp(torch.round(w / s), low, high)
    _, mended = gptq.compensate(w, H, gptq.uniform(s, w.shape[1], low, high))
    return {
        "weights": float((mended - w).square().sum() / (nearest - w).square().sum()),
        "outputs": gptq.objective(w, mended, H) / gptq.objective(w, nearest, H),
    }
