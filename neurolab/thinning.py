"""Pictures of pruning as plain arrays: a matrix thinning out under its mask, and what it brings in time.

Pure functions for chapter 5: the first is computed live on a real matrix, the second reads kept rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurolab import assistant, facts, pruning
from neurolab.assistant import collate
from neurolab.measurements import Measurement
from neurolab.tokens import encode_pair

BINS = 81  # odd: one bin stands around 0
QUESTIONS = 128


@lru_cache(maxsize=1)
def _sample() -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """Weights, input norms, and up to 512 inputs (n, C) of every linear layer of the assistant."""
    helper = assistant.load()
    asked = facts.split("train")
    rows = [
        encode_pair(helper.tokenizer, q.text, q.answer) for q in asked[:: len(asked) // QUESTIONS][:QUESTIONS]
    ]
    batches = [collate(rows[i : i + 32]) for i in range(0, len(rows), 32)]
    heard: dict[str, Tensor] = {}
    hooks = []
    for name, module in pruning.prunable(helper.model).items():

        def see(_: Any, args: tuple[Tensor, ...], name: str = name) -> None:
            heard[name] = args[0].flatten(0, 1)[:512]

        hooks.append(module.register_forward_pre_hook(see))
    with torch.inference_mode():
        helper.model.features(batches[0].ids[:, :-1])
    for hook in hooks:
        hook.remove()
    return pruning.weights(helper.model), pruning.input_norms(helper.model, batches), heard


def matrices() -> list[str]:
    """The names of the assistant's prunable matrices."""
    return list(_sample()[0])


def inputs(name: str) -> Tensor:
    """Up to 512 real inputs (n, C) of one of `matrices`."""
    return _sample()[2][name]


def histogram(
    sparsity: float,
    method: str = "magnitude",
    name: str = "blocks.1.feed_forward.up.weight",
    bins: int = BINS,
) -> dict[str, Any]:
    """One matrix of the assistant and its mask.

    centres (bins,): middles of the bins of w; stays, goes (bins,): how many weights of each bin stay and go;
    threshold: the largest |w| that goes; kept: the share that stays; error: the output's relative squared
    error, |W x - W' x|^2 / |W x|^2, on real inputs. ValueError for a matrix that there is not.
    """
    w_of, norms, heard = _sample()
    if name not in w_of:
        raise ValueError(f"name {name!r}: must be one of {', '.join(w_of)}")
    if method not in pruning.METHODS:
        raise ValueError(f"method {method!r}: must be one of {', '.join(pruning.METHODS)}")
    w = {name: w_of[name]}
    score = pruning.wanda(w, norms) if method == "wanda" else pruning.magnitude(w)
    mask = pruning.masks(score, sparsity, pruning.SCOPE[method])[name]
    top = float(w[name].abs().max())
    edges = np.linspace(-top, top, bins + 1)
    stays, _ = np.histogram(w[name][mask].numpy(), edges)
    goes, _ = np.histogram(w[name][~mask].numpy(), edges)
    x, gone = heard[name], w[name] * ~mask
    return {
        "centres": (edges[1:] + edges[:-1]) / 2,
        "stays": stays,
        "goes": goes,
        "threshold": float(gone.abs().max()),
        "kept": float(mask.float().mean()),
        "error": float((x @ gone.T).square().sum() / (x @ w[name].T).square().sum()),
    }


def corner(sparsity: float, name: str = "blocks.1.feed_forward.up.weight", size: int = 40) -> np.ndarray:
    """The first `size` rows and columns of the pruned matrix, zeros where weights are gone: (size, size)."""
    w = {name: _sample()[0][name]}
    mask = pruning.masks(pruning.magnitude(w), sparsity)[name]
    return (w[name] * mask)[:size, :size].numpy()


def speed_bars(rows: Sequence[Measurement], runtime: str = "torch", token: bool = False) -> dict[str, Any]:
    """Bars of compression.prune_speed: label, ratio, low, high, and the multiply-adds' ratio, as lists.

    token: one token from the cache instead of a whole question. The multiply-adds' ratio of zeros is what a
    kernel could save that skipped each of them, 1 / (1 - sparsity), in the matrices.
    """
    end = "_token" if token else ""
    bars: list[tuple[str, float, float, float, float]] = []

    def add(label: str, key: str, figures: Mapping[str, Any], possible: float) -> None:
        if key + end in figures:
            ratio, low, high = (figures[f"{key}{end}{part}"] for part in ("", "_low", "_high"))
            bars.append((label, ratio, low, high, possible))

    here = [row for row in rows if row.setting.get("runtime") == runtime]
    zeros = sorted((r for r in here if "sparsity" in r.setting), key=lambda r: r.setting["sparsity"])
    for key, kernel in (("dense_kernel_speedup", "dense kernel"), ("csr_speedup", "sparse rows")):
        for row in zeros:
            s = row.setting["sparsity"]
            add(f"{100 * s:.0f} % zeros, {kernel}", key, row.figures, 1 / (1 - s))
    for row in sorted((r for r in here if "layers" in r.setting), key=lambda r: r.figures["mac_ratio"]):
        s = row.setting
        label = f"{s['layers']} layers, {s['heads']} heads, {s['channels']} channels"
        add(label, "structured_speedup", row.figures, row.figures[f"mac_ratio{end}"])
    keys = ("label", "ratio", "low", "high", "multiply_adds")
    return {key: [bar[i] for bar in bars] for i, key in enumerate(keys)}
