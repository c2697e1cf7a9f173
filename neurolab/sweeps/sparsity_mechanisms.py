"""Every way to choose tubelets, held against the dense network: rows sparsity.mechanism and sparsity.mask.

A mechanism is a network and a choice. Networks: `dense` and what was trained on from it for few tubelets,
`static` for a fixed pattern and `dynamic` for what changes. Time, operations and energy include the choosing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor

from neurolab import energy, learned_gate, sparsity, video, video_cost, video_net, video_training
from neurolab.benchmark import tails
from neurolab.energy import Counts
from neurolab.sweep import Job
from neurolab.sweeps import sparsity_video
from neurolab.video_net import Seen, VideoConfig, VideoTransformer

SEEDS = (0, 1, 2)
TOKENS = (8, 16, 32, 64, 128)
SCENES = 4096  # of the test split, for accuracy
TIMED = 400  # calls of each network, in turns
CLIPS = 40  # different ones among them
MASKED = (32, 64, 128)

Watch = Callable[[Tensor, int], tuple[Seen, Tensor]]
"""From frames (B, F, S, S) and a number n of tubelets: what is seen, and how many were kept of each (B,)."""


@dataclass(frozen=True)
class Mechanism:
    """network: whose weights; make(net, seed) -> how it watches; gate: "none", "change" or "learned"."""

    network: str
    make: Callable[[VideoTransformer, int], Watch]
    gate: str = "none"


def _same(keep: Tensor) -> Tensor:
    return torch.full((len(keep),), keep.shape[1])


def everything(net: VideoTransformer, seed: int) -> Watch:
    """No choice: all tubelets."""
    return lambda frames, n: (net(frames), torch.full((len(frames),), net.config.tokens))


def static(net: VideoTransformer, seed: int) -> Watch:
    """The same places for every clip."""
    pattern = lru_cache(maxsize=None)(partial(sparsity.static_pattern, net.config.tokens))

    def watch(frames: Tensor, n: int) -> tuple[Seen, Tensor]:
        keep = pattern(n).expand(len(frames), -1)
        return net(frames, keep), _same(keep)

    return watch


def by_scores(net: VideoTransformer, score: Callable[[Tensor], Tensor]) -> Watch:
    """The n strongest."""

    def watch(frames: Tensor, n: int) -> tuple[Seen, Tensor]:
        keep = sparsity.keep_top(score(frames), n)
        return net(frames, keep), _same(keep)

    return watch


def change(net: VideoTransformer, seed: int) -> Watch:
    """The n that change most."""
    return by_scores(net, sparsity.change)


def gate(net: VideoTransformer, seed: int) -> Watch:
    """The n that the learned gate rates highest."""
    return by_scores(net, learned_gate.load(seed, net.config.side))


def threshold(net: VideoTransformer, seed: int) -> Watch:
    """At most n, and of these only the ones that reach the threshold."""

    def watch(frames: Tensor, n: int) -> tuple[Seen, Tensor]:
        scores = sparsity.change(frames)
        if len(frames) == 1:
            keep = sparsity.choose(scores, n)
            return net(frames, keep), _same(keep)
        return in_groups(net, frames, sparsity.chosen(scores, n))

    return watch


def attention(net: VideoTransformer, seed: int) -> Watch:
    """The n that the readout looks at most in the first block."""

    def watch(frames: Tensor, n: int) -> tuple[Seen, Tensor]:
        seen, keep = sparsity.attention_top(net, frames, n)
        return seen, _same(keep)

    return watch


def in_groups(net: VideoTransformer, frames: Tensor, mask: Tensor) -> tuple[Seen, Tensor]:
    """Clips that keep as many tubelets as each other go through the network together. mask (B, N) bool."""
    counts = mask.sum(1)
    digit, centre = torch.zeros(len(frames), net.config.classes), torch.zeros(len(frames), 2)
    for n in counts.unique().tolist():
        rows = (counts == n).nonzero()[:, 0]
        keep = mask[rows].nonzero()[:, 1].view(-1, n)
        seen = net(frames[rows], keep)
        digit[rows], centre[rows] = seen.digit, seen.centre
    return Seen(digit, centre), counts


MECHANISMS = {
    "dense": Mechanism("dense", everything),
    "static": Mechanism("static", static),
    "change": Mechanism("dynamic", change, "change"),
    "change_untuned": Mechanism("dense", change, "change"),
    "threshold": Mechanism("dynamic", threshold, "change"),
    "attention": Mechanism("dense", attention),
    "gate": Mechanism("dynamic", gate, "learned"),
}


def watching(name: str, seed: int, side: int = video.SIDE) -> Watch:
    """How mechanism `name` watches, with its trained network. ValueError for another name."""
    if name not in MECHANISMS:
        raise ValueError(f"mechanism {name!r}: must be one of {tuple(MECHANISMS)}")
    mechanism = MECHANISMS[name]
    return mechanism.make(video_net.load(mechanism.network, seed, side), seed)


@torch.inference_mode()
def scores(watch: Watch, n: int, count: int, side: int = video.SIDE) -> dict[str, Tensor]:
    """Scene by scene of the test split: right (count,) bool, away (count,) pixels, kept (count,) tubelets."""
    found: dict[str, list[Tensor]] = {"right": [], "away": [], "kept": []}
    for first in range(0, count, video_training.BATCH):
        clips = video.clips(range(first, min(first + video_training.BATCH, count)), side, split="test")
        seen, kept = watch(clips.frames, n)
        found["right"].append(seen.digit.argmax(-1) == clips.digit)
        found["away"].append((seen.centre - clips.centre).norm(dim=-1))
        found["kept"].append(kept)
    return {key: torch.cat(values) for key, values in found.items()}


def counts(name: str, config: VideoConfig, n: int) -> Counts:
    """What mechanism `name` does for one clip of which it keeps n tubelets, choosing included."""
    mechanism, pixels = MECHANISMS[name], config.frames * config.side**2
    if name == "dense":
        return video_cost.counts(config)
    done = video_cost.counts(config, n, gate=mechanism.gate != "none")
    if mechanism.gate == "learned":  # brightness of half of the frames, two convolutions
        weights = 9 * learned_gate.LOOKED_AT * learned_gate.SLOTS * learned_gate.WIDTH
        numbers = config.grid**2 * (2 * learned_gate.LOOKED_AT * learned_gate.SLOTS + learned_gate.WIDTH)
        done += Counts(
            mac_fp32=learned_gate.macs(config) + pixels,
            weight_bytes=4 * weights,
            activation_bytes=4 * (pixels + numbers),
            special_fp32=2 * config.tokens,  # a cube root, an exponential
        )
    if name == "attention":  # what is dropped after the first look
        d, dropped = config.width, config.tokens - n
        done += Counts(
            mac_fp32=sparsity.attention_macs(config, n) - sum(video_net.macs(config, n).values()),
            activation_bytes=4 * (dropped * (video.NUMBERS + 6 * d) + 2 * (1 + n) * dropped * d),
            special_fp32=2 * dropped + config.heads * (config.tokens + (1 + n) * dropped),
        )
    return done


def costs(name: str, config: VideoConfig, kept: Tensor) -> dict[str, float]:
    """Operations and energy by the model against the dense network, the mean over clips that keep `kept`."""
    dense = video_cost.counts(config)
    each = [counts(name, config, n) for n in kept.unique().tolist()]
    share = [(kept == n).float().mean().item() for n in kept.unique().tolist()]
    operations = sum(s * c.mac_fp32 for s, c in zip(share, each, strict=True))
    joules = sum(s * energy.total(c) for s, c in zip(share, each, strict=True))
    return {
        "macs": operations,
        "flops_ratio": dense.mac_fp32 / operations,
        "energy_ratio": energy.total(dense) / joules,
        "tokens_kept_percent": 100 * kept.float().mean().item() / config.tokens,
    }


def timed(name: str, n: int, seed: int, side: int, rounds: int = TIMED) -> dict[str, float]:
    """Single clips through the mechanism and through the dense network, in turns of CLIPS."""
    watch, dense = watching(name, seed, side), video_net.load("dense", seed, side)
    clips = video.clips(range(CLIPS), side, split="test").frames
    with torch.inference_mode():
        return tails(
            lambda i: watch(clips[i % CLIPS, None], n),
            lambda i: dense(clips[i % CLIPS, None]),
            rounds,
            turn=CLIPS,
        ).figures()


@lru_cache(maxsize=4)
def dense_right(seed: int, side: int) -> Tensor:
    """(SCENES,) bool: where the dense network is right."""
    return scores(watching("dense", seed, side), 0, SCENES, side)["right"]


def row(name: str, n: int, seed: int, side: int = video.SIDE) -> dict[str, Any]:
    """Figures of one row of sparsity.mechanism."""
    torch.set_num_threads(1)
    found = scores(watching(name, seed, side), n, SCENES, side)
    figures: dict[str, Any] = {
        "accuracy": 100 * found["right"].float().mean().item(),
        "tracking_error": found["away"].mean().item(),
        "scenes": SCENES,
    }
    figures |= costs(name, VideoConfig(side=side), found["kept"])
    if name != "dense":
        figures |= sparsity_video.difference(dense_right(seed, side), found["right"])
        figures |= timed(name, n, seed, side)
    return figures


def masked(n: int, rounds: int = TIMED) -> dict[str, float]:
    """Time of hiding all but n tubelets, and of packing n, against the dense network; random weights.

    latency_ratio: masking with its choosing; without_choosing: the mask lies ready; packed_ratio: packing
    with its choosing.
    """
    torch.set_num_threads(1)
    net = VideoTransformer(VideoConfig()).eval()
    clips = video.clips(range(CLIPS), split="test").frames
    total = net.config.tokens

    def clip(i: int) -> Tensor:
        return clips[i % CLIPS, None]

    def keep(i: int) -> Tensor:
        return sparsity.keep_top(sparsity.change(clip(i)), n)

    def dense(i: int) -> Seen:
        return net(clip(i))

    with torch.inference_mode():
        ready = [sparsity.mask_of(keep(i), total) for i in range(CLIPS)]
        whole = tails(
            lambda i: net(clip(i), mask=sparsity.mask_of(keep(i), total)), dense, rounds, turn=CLIPS
        )
        alone = tails(lambda i: net(clip(i), mask=ready[i % CLIPS]), dense, rounds, turn=CLIPS)
        packed = tails(lambda i: net(clip(i), keep(i)), dense, rounds, turn=CLIPS)
    return {
        "latency_ratio": whole.ratio(50),
        "p95_ratio": whole.ratio(95),
        "without_choosing": alone.ratio(50),
        "packed_ratio": packed.ratio(50),
    }


def jobs() -> list[Job]:
    """Every row of this module: seed 0 for all numbers of tubelets, the others for the network's own."""
    made = [Job("sparsity.mask", {"tokens": n}, partial(masked, n), 0.5, 6) for n in MASKED]
    for seed in SEEDS:
        for name in MECHANISMS:
            every = (256,) if name == "dense" else TOKENS if seed == SEEDS[0] else (video_training.KEPT,)
            for n in every:
                setting = {"mechanism": name, "tokens": n, "seed": seed, "side": video.SIDE}
                made.append(Job("sparsity.mechanism", setting, partial(row, name, n, seed), 0.7, 6))
    return made
