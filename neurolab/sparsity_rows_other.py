"""Chapter 6's other results: attention, exits, experts, kernels, the live loop, other work. None is typed."""

from __future__ import annotations

from typing import Any

from neurolab.measurements import read
from neurolab.sparsity_rows import VARIANTS, gathered

TENSORS = {
    "weight_numbers": "a weight, 90 % of its numbers pruned",
    "weight_blocks": "a weight, 75 % of its blocks pruned",
    "changed_tokens": "a clip's tokens that changed",
    "hybrid": "hybrid",
}
ENHANCED = {"dynamic": "what changed", "exact": "what changed, with all of its surroundings"}


METHODS = {
    "masked": "top-k, hidden by a mask",
    "gathered": "top-k, gathered",
    "compiled": "top-k, our kernel",
    "shared": "the same keys for all queries",
    "budgeted": "a budget of tiles",
    "flex": "a budget of tiles, FlexAttention",
    "topk_attention": "top-k",
    "shared_keys": "the same keys for all queries",
    "budgeted_attention": "a budget of tiles",
}
"""Ways to look at fewer keys: alone, and in the video network."""


def topk_table() -> Any:
    """Exact top-k attention, and what was tried beside it, against the fused dense one."""
    rows = [*read("sparsity.topk", tokens=1024), *read("sparsity.attention", tokens=1024)]
    return gathered(
        rows,
        {"method": "attention", "tokens": "tokens", "k": "keys", "share": "share kept"},
        [
            ("times fewer multiply-adds", "operations_ratio", 1),
            ("choosing included", "operations_ratio_with_choice", 1),
            ("times as fast", "latency_ratio", 2), ("if the choice lay ready", "latency_ratio_chosen", 2),
        ],
        _attention,
        bold=("latency_ratio",),
    )  # fmt: skip


def _attention(key: str, value: Any) -> Any:
    if key == "share" and value is not None:
        return f"{100 * value:.0f} %"
    return METHODS.get(value, value)


def rules_table() -> Any:
    """The same in the dense video network, which was not trained for it."""
    rows = [r for r in read("sparsity.mechanism") if r.setting["mechanism"] in METHODS]
    return gathered(
        rows,
        {"mechanism": "in the video network", "tokens": "tokens", "keep": "keys, or share"},
        [
            ("right (%)", "accuracy", 1), ("points lost", "accuracy_drop_points", 1),
            ("times fewer multiply-adds", "flops_ratio", 2), ("times as fast, p50", "latency_ratio", 2),
            ("p95", "p95_ratio", 2),
        ],
        lambda key, value: METHODS.get(value, value),
        bold=("latency_ratio",),
    )  # fmt: skip


def heads_table() -> Any:
    """Heads left out, chosen for each clip or once for all."""
    return gathered(
        read("sparsity.heads"),
        {"by": "heads chosen", "heads": "of 4 are kept"},
        [
            ("right (%)", "accuracy", 1), ("points lost", "accuracy_drop_points", 1),
            ("times fewer multiply-adds", "flops_ratio", 2), ("times as fast, p50", "latency_ratio", 2),
            ("p95", "p95_ratio", 2),
        ],
        lambda key, value: {"frame": "for each clip", "static": "once for all"}.get(value, value),
        bold=("latency_ratio",),
    )  # fmt: skip


def compile_table() -> Any:
    """What torch.compile is worth, and how long it takes."""
    return gathered(
        read("sparsity.compile"),
        {"what": "torch.compile on", "tokens": "tokens"},
        [("times as fast", "latency_ratio", 2), ("seconds to compile", "compile_seconds", 1)],
        lambda key, value: {"block": "a whole block", "feed-forward": "the two large matrices"}.get(
            value, value
        ),
        bold=("latency_ratio",),
    )


def experts_table() -> Any:
    """A mixture of experts against a dense network with as many parameters (claim C16)."""
    rows = read("sparsity.moe")
    return gathered(
        rows,
        {"experts": "experts", "m": "for a token"},
        [
            ("right (%)", "accuracy", 1), ("dense, as many parameters", "accuracy_dense", 1),
            ("dense, as much work", "accuracy_small", 1), ("times fewer operations", "operations_ratio", 1),
            ("energy, times less", "energy_ratio", 2), ("times as fast, one picture", "latency_ratio", 2),
            ("64 pictures", "latency_ratio_64", 2),
        ],
        note="simulated energy, the rest measured",
        bold=("latency_ratio",),
    )  # fmt: skip


def separable_table() -> Any:
    """A first layer of convolutions, whole and taken apart (claim B4)."""
    return gathered(
        read("sparsity.separable"),
        {"task": "on"},
        [
            ("right (%)", "accuracy", 1), ("ordinary convolutions", "accuracy_ordinary", 1),
            ("times fewer parameters", "parameters_ratio", 1), ("times fewer multiply-adds", "macs_ratio", 1),
            ("times as fast, 64 x 64 pixels", "latency_ratio", 2), ("8 x 8 pixels", "latency_ratio_8", 2),
        ],
        bold=("latency_ratio",),
    )  # fmt: skip


def formats_table() -> Any:
    """Three real matrices in each format: bytes, and the product by PyTorch's own kernel of that format."""
    return gathered(
        read("sparsity.formats"),
        {"tensor": "matrix", "format": "format"},
        [
            ("times smaller than dense", "bytes_ratio", 1),
            ("times as fast as the best dense", "latency_ratio", 2),
        ],
        lambda key, value: TENSORS.get(value, value.upper()),
        bold=("latency_ratio",),
    )


def block_table() -> Any:
    """Our block kernel against the best dense product of the same precision."""
    return gathered(
        read("sparsity.block"),
        {"precision": "numbers", "size": "size", "density": "blocks there", "columns": "columns of x"},
        [
            ("times fewer multiply-adds", "macs_ratio", 1), ("times as fast as dense", "latency_ratio", 2),
            ("written with numba", "latency_ratio_numba", 2), ("as dense bf16", "latency_ratio_bf16", 2),
        ],
        lambda key, value: f"{100 * value:.0f} %" if key == "density" else value,
        bold=("latency_ratio",),
    )  # fmt: skip


def fallback_table() -> Any:
    """The live loop on this machine's own clock, with other programs beside it (claim C11)."""
    rows = read("sparsity.fallback")
    return gathered(
        rows,
        {"variant": "the camera sees", "load": "programs beside it"},
        [
            ("p99 / objective: ours", "p99_over_objective", 2),
            ("without the fallback", "p99_without_over_objective", 2),
            ("gate alone", "p99_gate_over_objective", 2),
            ("dense after a breach", "p99_breach_over_objective", 2),
            ("always dense", "p99_dense_over_objective", 2),
            ("seconds held by ours (%)", "seconds_held_percent", 0),
            ("without the warm-up (%)", "seconds_held_cold_percent", 0),
        ],
        lambda key, value: VARIANTS.get(value, value),
        bold=("p99_over_objective",),
    )  # fmt: skip


def enhance_table() -> Any:
    """Twice the resolution, everything or only what changed (claims C10, C17)."""
    return gathered(
        read("sparsity.enhance"),
        {"method": "computed"},
        [
            ("dB, everything", "psnr_dense", 2), ("dB", "psnr", 2), ("dB lost", "psnr_drop_db", 2),
            ("patches (%)", "tokens_kept_percent", 0), ("times as fast, p50", "latency_ratio", 1),
            ("p95", "p95_ratio", 1), ("energy, times less (simulated)", "energy_ratio", 1),
        ],
        lambda key, value: ENHANCED.get(value, value),
        bold=("latency_ratio",),
    )  # fmt: skip


def tracking_table() -> Any:
    """Frames without the object: what changes against a crop round its last place (claim C15)."""
    return gathered(
        [*read("sparsity.tracking"), *read("sparsity.tracking_sweep"), *read("sparsity.tracking_stress")],
        {"variant": "the camera sees", "tokens": "tokens"},
        [
            ("lost by what changes (%)", "lost_dynamic", 1, 100.0),
            ("by cropping", "lost_cropping", 1, 100.0),
            ("by cropping ahead", "lost_cropping_ahead", 1, 100.0),
            ("what changes / cropping", "lost_ratio", 2),
        ],
        lambda key, value: VARIANTS[value or "usual"] if key == "variant" else value,
        "measured; for the last column half a frame is added to both, so that none is divided by nothing",
        ("lost_ratio",),
    )  # fmt: skip
