"""Attention over fewer keys: rows sparsity.topk, .attention, .compile, .heads, and some of .mechanism.

Time on random queries, keys and values of the video network's sizes (4 heads of 32 numbers); accuracy on its
test scenes, with the trained dense network and nothing trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from neurolab import energy, flex, topk_attention, video, video_attention, video_cost, video_net
from neurolab.benchmark import paired, tails
from neurolab.energy import Counts
from neurolab.sweep import Job
from neurolab.sweeps import sparsity_mechanisms, sparsity_video
from neurolab.video_attention import HeadGate
from neurolab.video_net import VideoConfig, VideoTransformer

SEEDS = (0, 1, 2)
HEADS, SIZE = 4, 32  # of the video network
TOPK = ((256, 32), (1024, 64), (1024, 128), (2048, 64), (2048, 128))  # tokens, keys of each query
SHARES = (0.125, 0.25, 0.5)  # of the keys, or of the tiles
TILES = {256: 32, 1024: 64, 2048: 64}  # queries and keys in a tile, by tokens
PAIRS = 15
RULES = (("topk", 32), ("topk", 64), ("shared", 32), ("shared", 64), ("budgeted", 0.25), ("budgeted", 0.5))
LARGE = (("topk", 64), ("shared", 128), ("budgeted", 0.25))  # at 1,024 tokens, seed 0
FITTED = 512  # training scenes for the gate of heads, of numbers that no training uses
FIRST = 9_000_000
TIMED, CLIPS = 300, 40


def given(tokens: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values (1, H, N, E), standard normal."""
    generator = torch.Generator().manual_seed(seed)
    q, k, v = torch.randn(3, 1, HEADS, tokens, SIZE, generator=generator)
    return q, k, v


def against_dense(call: Callable[[], Any], tokens: int) -> dict[str, float]:
    """Time of dense attention (the fused kernel) over that of `call`, in turns, on one thread."""
    q, k, v = given(tokens)
    found = paired(call, lambda: topk_attention.dense(q, k, v), pairs=PAIRS, warmup=2)
    return {
        "latency_ratio": found.median,
        "latency_ratio_low": found.low,
        "latency_ratio_high": found.high,
        "milliseconds": 1e3 * found.a_seconds,
        "milliseconds_dense": 1e3 * found.b_seconds,
    }


def operations(name: str, tokens: int, keep: float, tile: int = topk_attention.TILE) -> dict[str, float]:
    """Multiply-adds, dense over this: after the choice, and with the choice."""
    dense = sum(topk_attention.macs("dense", tokens, tokens, SIZE, HEADS).values())
    parts = topk_attention.macs(name, tokens, tokens, SIZE, HEADS, keep, tile)
    return {
        "operations_ratio": dense / parts["after"],
        "operations_ratio_with_choice": dense / sum(parts.values()),
    }


def topk(tokens: int, keep: int, method: str) -> dict[str, float]:
    """Exact top-k against dense attention. operations_ratio: N / k, as the claim counts."""
    torch.set_num_threads(1)
    q, k, v = given(tokens)
    found = operations("topk", tokens, keep)
    found["operations_ratio"] = tokens / keep
    return found | against_dense(lambda: topk_attention.topk(q, k, v, keep, method), tokens)


def attention(tokens: int, share: float, method: str) -> dict[str, float]:
    """Shared keys, or a budget of tiles (ours, FlexAttention), choosing included, against dense attention."""
    torch.set_num_threads(1)
    q, k, v = given(tokens)
    tile = TILES[tokens]
    if method == "shared":
        keep = round(share * tokens)
        found = operations("shared", tokens, keep)
        return found | against_dense(lambda: topk_attention.shared_keys(q, k, v, keep), tokens)
    found = operations("budgeted", tokens, share, tile)
    chosen = topk_attention.tiles(q, k, share, tile)
    ours = topk_attention.budgeted(q, k, v, chosen)
    if method == "budgeted":

        def call() -> Tensor:
            return topk_attention.budgeted(q, k, v, topk_attention.tiles(q, k, share, tile))

        ready = against_dense(lambda: topk_attention.budgeted(q, k, v, chosen), tokens)
    else:

        def call() -> Tensor:
            mask = flex.block_mask(topk_attention.tiles(q, k, share, tile), tile)
            return flex.compiled(q, k, v, mask)

        mask = flex.block_mask(chosen, tile)
        torch.testing.assert_close(flex.compiled(q, k, v, mask), ours, atol=1e-4, rtol=1e-4)
        ready = against_dense(lambda: flex.compiled(q, k, v, mask), tokens)
    return found | {"latency_ratio_chosen": ready["latency_ratio"]} | against_dense(call, tokens)


def compiling(what: str, tokens: int) -> dict[str, float]:
    """What torch.compile is worth: time as it is over time compiled, and the seconds that compiling took."""
    torch.set_num_threads(1)
    q, k, v = given(tokens)
    block = VideoTransformer(VideoConfig()).eval().requires_grad_(False).blocks[0]
    x = torch.randn(1, 1 + tokens, VideoConfig().width, generator=torch.Generator().manual_seed(1))
    calls: dict[str, tuple[Callable[..., Any], tuple[Tensor, ...]]] = {
        "block": (block, (x,)),
        "top-k": (partial(_topk, keep=tokens // 8), (q, k, v)),
        "feed-forward": (_Feed(block), (x,)),
    }
    function, args = calls[what]
    with torch.no_grad():
        quick, seconds = flex.compile_seconds(function, *args)
        torch.testing.assert_close(quick(*args), function(*args), atol=1e-4, rtol=1e-4)
        found = paired(lambda: quick(*args), lambda: function(*args), pairs=PAIRS, warmup=2)
    return {
        "latency_ratio": found.median,
        "latency_ratio_low": found.low,
        "latency_ratio_high": found.high,
        "compile_seconds": seconds,
    }


def _topk(q: Tensor, k: Tensor, v: Tensor, keep: int) -> Tensor:
    z = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    top = z.topk(keep, dim=-1, sorted=False)
    return torch.full_like(z, -torch.inf).scatter(-1, top.indices, top.values).softmax(-1) @ v


class _Feed:
    """The feed-forward half of a block; the same object is equal to itself, so that it is compiled once."""

    def __init__(self, block: Any) -> None:
        self.block = block

    def __call__(self, x: Tensor) -> Tensor:
        made: Tensor = x + self.block.down(F.gelu(self.block.up(self.block.norm2(x))))
        return made


def counts(config: VideoConfig, parts: dict[str, float], looked_at: float) -> Counts:
    """`video_cost.counts` of the dense network, with other multiply-adds by part and another share of the
    looks: how many (query, key) pairs get a weight, 1 for all."""
    dense = video_cost.counts(config)
    L = 1 + config.tokens
    pairs = config.layers * L * L * (1 - looked_at)  # a head's, no longer weighed
    return replace(
        dense,
        mac_fp32=dense.mac_fp32 - sum(video_net.macs(config).values()) + sum(parts.values()),
        special_fp32=dense.special_fp32 - pairs * config.heads,
        activation_bytes=dense.activation_bytes - 4 * pairs * config.width,  # values that nobody reads
    )


def _figures(
    seed: int,
    side: int,
    watch: Callable[[Tensor], video_net.Seen],
    parts: dict[str, float],
    looked_at: float,
) -> dict[str, float]:
    """Accuracy, cost and time of `watch` (frames -> Seen) against the dense network."""
    config = VideoConfig(side=side)
    count = sparsity_mechanisms.SCENES if side == video.SIDE else sparsity_video.FEWER
    kept = torch.full((1,), config.tokens)
    seen = sparsity_mechanisms.scores(lambda f, n: (watch(f), kept.expand(len(f))), 0, count, side)
    before = dense_right(seed, side, count)
    this, dense = counts(config, parts, looked_at), video_cost.counts(config)
    found = {
        "accuracy": 100 * seen["right"].float().mean().item(),
        "tracking_error": seen["away"].mean().item(),
        "scenes": count,
        "macs": this.mac_fp32,
        "flops_ratio": dense.mac_fp32 / this.mac_fp32,
        "energy_ratio": energy.ratio(dense, this),
        "tokens_kept_percent": 100.0,
    }
    net = video_net.load("dense", seed, side)
    clips = video.clips(range(CLIPS), side, split="test").frames
    with torch.inference_mode():
        timed = tails(
            lambda i: watch(clips[i % CLIPS, None]), lambda i: net(clips[i % CLIPS, None]), TIMED, turn=CLIPS
        ).figures()
    return found | sparsity_video.difference(before, seen["right"]) | timed


@lru_cache(maxsize=4)
def dense_right(seed: int, side: int, count: int) -> Tensor:
    """(count,) bool: where the dense network is right."""
    net = video_net.load("dense", seed, side)
    all_of_them = torch.full((1,), net.config.tokens)
    return sparsity_mechanisms.scores(lambda f, n: (net(f), all_of_them.expand(len(f))), 0, count, side)[
        "right"
    ]


def mechanism(name: str, keep: float, seed: int, side: int) -> dict[str, float]:
    """Figures of a row of sparsity.mechanism: the dense network with another attention."""
    torch.set_num_threads(1)
    net, by = video_net.load("dense", seed, side), video_attention.rule(name, keep)
    share = keep if name == "budgeted" else keep / (1 + net.config.tokens)
    parts = video_attention.macs(net.config, name, keep)
    return _figures(seed, side, lambda f: video_attention.look(net, f, by), parts, share)


@lru_cache(maxsize=2)
def head_gate(seed: int) -> HeadGate:
    """The gate of heads of a dense network."""
    frames = video.clips(range(FIRST, FIRST + FITTED)).frames
    return video_attention.fit_gate(video_net.load("dense", seed), frames)


def heads(by: str, keep: int, seed: int) -> dict[str, float]:
    """Figures of a row of sparsity.heads: `keep` of the heads of each block, by frame or always the same."""
    torch.set_num_threads(1)
    net, gate = video_net.load("dense", seed), head_gate(seed)
    parts = video_attention.head_macs(net.config, keep, by)
    return _figures(
        seed,
        video.SIDE,
        lambda f: video_attention.look_with_heads(net, f, gate, keep, by),
        parts,
        keep / net.config.heads,
    )


def jobs() -> list[Job]:
    """Every row of this module."""
    made = []
    for tokens, keep in TOPK:
        for method in topk_attention.EXACT:
            setting: dict[str, Any] = {"tokens": tokens, "k": keep, "method": method}
            made.append(Job("sparsity.topk", setting, partial(topk, tokens, keep, method), 0.3, 6))
    for tokens in TILES:
        for share in SHARES:
            for method in ("shared", "budgeted", "flex"):
                if method == "flex" and (tokens, share) not in ((256, 0.25), (1024, 0.25), (2048, 0.25)):
                    continue
                setting = {"tokens": tokens, "share": share, "method": method}
                minutes = 1.0 if method == "flex" else 0.1
                make = partial(attention, tokens, share, method)
                made.append(Job("sparsity.attention", setting, make, minutes, 6))
    for what in ("block", "feed-forward", "top-k"):
        for tokens in (32, 256, 1024):
            setting = {"what": what, "tokens": tokens}
            made.append(Job("sparsity.compile", setting, partial(compiling, what, tokens), 1.0, 6))
    names = {"topk": "topk_attention", "shared": "shared_keys", "budgeted": "budgeted_attention"}
    wanted = [(rule, seed, video.SIDE) for rule in RULES for seed in SEEDS if seed == 0 or rule in RULES[::2]]
    for (name, keep_), seed, side in [*wanted, *((rule, 0, 128) for rule in LARGE)]:
        tokens = VideoConfig(side=side).tokens
        setting = {"mechanism": names[name], "tokens": tokens, "keep": keep_, "seed": seed, "side": side}
        make = partial(mechanism, name, keep_, seed, side)
        made.append(Job("sparsity.mechanism", setting, make, 2.0 if side == video.SIDE else 8.0, 6))
    for by in ("frame", "static"):
        for keep in (3, 2):
            for seed in SEEDS:
                setting = {"by": by, "heads": keep, "seed": seed}
                made.append(Job("sparsity.heads", setting, partial(heads, by, keep, seed), 1.5, 6))
    return made
