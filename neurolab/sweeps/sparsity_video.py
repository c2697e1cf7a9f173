"""The headline of chapter 6: dense, static and dynamic networks on the test scenes; rows sparsity.video,
.training and .stress."""

from __future__ import annotations

import json
import math
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor

from neurolab import energy, sparsity, video, video_cost, video_net, video_training
from neurolab.benchmark import tails
from neurolab.sweep import Job
from neurolab.video_net import VideoTransformer

SEEDS = (0, 1, 2)
SCENES = {video.SIDE: 6400, 128: 4096}  # of the test split, for accuracy
FEWER = 1024  # the same for the stress variants
KEPT = video_training.KEPT  # tubelets that the sparse networks think about
TIMED = 400  # calls of each network, in turns
CLIPS = 40  # different ones among them


def tokens(net: VideoTransformer, method: str) -> int:
    """How many tubelets `method` keeps of a clip."""
    return net.config.tokens if method == "dense" else KEPT


def choose(net: VideoTransformer, method: str, frames: Tensor) -> Tensor | None:
    """The tubelets that `method` keeps of frames (B, F, S, S)."""
    if method == "dense":
        return None
    if method == "static":
        return sparsity.static_pattern(net.config.tokens, tokens(net, method)).expand(len(frames), -1)
    return sparsity.keep_top(sparsity.change(frames), tokens(net, method))


@lru_cache(maxsize=8)
def seen(method: str, seed: int, side: int, variant: str, count: int) -> dict[str, Tensor]:
    """Scene by scene: right (count,) and away (count,) pixels."""
    net = video_net.load(method, seed, side)
    return video_training.scores(net, lambda f, _: choose(net, method, f), count, variant=variant)


def difference(dense: Tensor, other: Tensor) -> dict[str, float]:
    """Points of accuracy that `other` loses against `dense`, the same scenes, and their 95 % interval."""
    lost = 100 * (dense.float() - other.float())  # (count,) -100, 0 or 100
    half = 1.96 * lost.std().item() / math.sqrt(len(lost))
    mean = lost.mean().item()
    return {
        "accuracy_drop_points": mean,
        "accuracy_drop_points_low": mean - half,
        "accuracy_drop_points_high": mean + half,
    }


def timed(method: str, seed: int, side: int) -> dict[str, float]:
    """Single clips through both networks, choosing included; what was saved in time.

    In turns of CLIPS, as each finds its weights in the cache where it runs by itself; `alternating_ratio` and
    `alternating_p95_ratio`: in turns of one clip, after which nothing of its own is there.
    """
    net, dense = video_net.load(method, seed, side), video_net.load("dense", seed, side)
    clips = video.clips(range(CLIPS), side, split="test").frames
    with torch.inference_mode():

        def fast(i: int) -> None:
            clip = clips[i % CLIPS, None]
            net(clip, choose(net, method, clip))

        def slow(i: int) -> None:
            dense(clips[i % CLIPS, None])

        rounds = TIMED if side == video.SIDE else TIMED // 2
        found = tails(fast, slow, rounds, turn=CLIPS).figures()
        cold = tails(fast, slow, rounds)
    found["latency_saved_percent"] = 100 * (1 - 1 / found["latency_ratio"])
    found["p95_saved_percent"] = 100 * (1 - 1 / found["p95_ratio"])
    found |= {"alternating_ratio": cold.ratio(50), "alternating_p95_ratio": cold.ratio(95)}
    return found | {"frames_ratio": found["latency_ratio"]}


def costs(method: str, side: int) -> dict[str, float]:
    """Operations, and bytes at once, against the dense network. The weights' values do not matter."""
    net = VideoTransformer(video_net.VideoConfig(side=side)).eval()
    n, gate = tokens(net, method), method == "dynamic"
    dense, this = video_cost.counts(net.config), video_cost.counts(net.config, n, gate=gate)
    clip = video.clips([0], side).frames
    whole = video_cost.working_set(net, lambda: net(clip))
    less = video_cost.working_set(net, lambda: net(clip, choose(net, method, clip)))
    return {
        "flops_ratio": dense.mac_fp32 / this.mac_fp32,
        "macs": this.mac_fp32,
        "macs_dense": dense.mac_fp32,
        "tokens_kept_percent": 100 * n / net.config.tokens,
        "peak_bytes": sum(less.values()),
        "peak_memory_saved_percent": 100 * (1 - sum(less.values()) / sum(whole.values())),
        "tensors_saved_percent": 100 * (1 - less["tensors"] / whole["tensors"]),
    }


def simulated(method: str, side: int) -> dict[str, float]:
    """Energy by the model (`energy.ratio`) of a clip, against the dense network."""
    config = video_net.VideoConfig(side=side)
    kept = config.tokens if method == "dense" else KEPT
    this = video_cost.counts(config, kept, gate=method == "dynamic")
    saved = energy.ratio(video_cost.counts(config), this)
    return {"energy_ratio": saved, "energy_saved_percent": 100 * (1 - 1 / saved)}


def row(method: str, seed: int, side: int) -> dict[str, Any]:
    """Figures of one row of sparsity.video."""
    torch.set_num_threads(1)
    count = SCENES[side]
    dense, this = (seen(name, seed, side, "usual", count) for name in ("dense", method))
    found = {
        "accuracy": 100 * this["right"].float().mean().item(),
        "accuracy_dense": 100 * dense["right"].float().mean().item(),
        "tracking_error": this["away"].mean().item(),
        "tracking_error_dense": dense["away"].mean().item(),
        "scenes": count,
    }
    found |= difference(dense["right"], this["right"]) | costs(method, side)
    return found if method == "dense" else found | timed(method, seed, side)


def training(name: str, seed: int, side: int) -> dict[str, Any]:
    """The curve of a training, from its card: steps, accuracy on validation scenes, and the last gain."""
    card = json.loads(video_net.weights(name, seed, side).with_suffix(".json").read_text(encoding="utf-8"))
    curve = [100 * point["accuracy"] for point in card["curve"]]
    half = len(curve) // 2
    return {
        "steps": [point["step"] for point in card["curve"]],
        "accuracy": curve,
        "gain_of_last_half_points": max(curve[half:]) - max(curve[:half]) if half else math.nan,
    }


def stress(variant: str, method: str, seed: int) -> dict[str, float]:
    """Figures of one row of sparsity.stress: scenes of a kind that no network was trained on."""
    torch.set_num_threads(1)
    dense, this = (seen(name, seed, video.SIDE, variant, FEWER) for name in ("dense", method))
    found = {
        "accuracy": 100 * this["right"].float().mean().item(),
        "accuracy_dense": 100 * dense["right"].float().mean().item(),
        "tracking_error": this["away"].mean().item(),
        "tracking_error_dense": dense["away"].mean().item(),
        "scenes": FEWER,
    }
    return found | difference(dense["right"], this["right"])


def jobs() -> list[Job]:
    """Every row of this module; those of 128 pixels have one seed."""
    made = []
    for side, seeds in ((video.SIDE, SEEDS), (128, SEEDS[:1])):
        for method in ("dense", "static", "dynamic"):
            if side == 128 and method == "static":
                continue
            share = 1.0 if method == "dense" else KEPT / video_net.VideoConfig(side=side).tokens
            for seed in seeds:
                setting = {
                    "method": method,
                    "budget": share,
                    "background": "still",
                    "seed": seed,
                    "side": side,
                }
                make = partial(row, method, seed, side)
                made.append(Job("sparsity.video", setting, make, 3.0, 6))
                setting = {"model": method, "seed": seed, "side": side}
                made.append(Job("sparsity.training", setting, partial(training, method, seed, side), 0.01, 6))
            if method == "dense" or side != video.SIDE:
                continue
            setting = {
                "method": method,
                "budget": share,
                "background": "still",
                "side": side,
                "energy": "model",
            }
            make = partial(simulated, method, side)
            made.append(Job("sparsity.video", setting, make, 0.01, 6, "simulated"))
    for variant in video.VARIANTS[1:]:
        for seed in SEEDS:
            for method in ("dynamic", "static"):
                setting = {"variant": variant, "method": method, "seed": seed}
                made.append(Job("sparsity.stress", setting, partial(stress, variant, method, seed), 0.4, 6))
    return made
