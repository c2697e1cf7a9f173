"""Rows of the grid bits x sparsity, with no training: the lowest magnitudes set to zero, the rest rounded."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

from neurolab import assistant, mixed, pruning, quantized
from neurolab.sweep import Job

BITS = (2, 3, 4, 5, 6, 8)
SPARSITIES = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
EVERY = 8
"""Every 8th held-out question: about 1,200."""


@lru_cache(maxsize=1)
def _model() -> Any:
    return assistant.load().model


def point(bits: int, sparsity: float) -> dict[str, Any]:
    """Figures of one row: the share `sparsity` of the blocks' weights is zero (those with the smallest
    magnitude of all), then every matrix, embeddings included, is rounded to `bits` bits, a scale a row."""
    model = _model()
    weights = pruning.weights(model)
    keep = pruning.masks(pruning.magnitude(weights), sparsity, "global")
    pruned = quantized.put(model, {name: w * keep[name] for name, w in weights.items()})
    tensors = mixed.rounded(pruned, dict.fromkeys(mixed.matrices(pruned), bits))
    values = quantized.values(tensors)
    off = sum(int((values[name] == 0).sum()) for name in weights)
    return {
        **quantized.figures(quantized.put(model, tensors), tensors, "ans", every=EVERY),
        "zeros": off / sum(w.numel() for w in weights.values()),
    }


def jobs() -> list[Job]:
    """One row a point of the grid."""
    return [
        Job("compression.pareto", {"bits": bits, "sparsity": sparsity}, partial(point, bits, sparsity), 0.2)
        for bits in BITS
        for sparsity in SPARSITIES
    ]
