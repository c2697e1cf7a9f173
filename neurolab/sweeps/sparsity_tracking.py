"""Following by change against cropping around the last prediction: rows sparsity.tracking, .tracking_sweep,
.tracking_stress."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import torch

from neurolab import tracking, video_net, video_training
from neurolab.sweep import Job
from neurolab.video_net import VideoTransformer

SEEDS = (0, 1, 2)
SCENES, STEPS = 40, 100  # scenes a row, looks at each of them: 200 frames
TOKENS = (16, 32, 64)
STRESS = ("flicker", "noise", "jitter", "several")  # where nothing moves there is nothing to follow


@lru_cache(maxsize=1)
def networks(seed: int) -> dict[str, VideoTransformer]:
    """A network for each way of choosing: the dynamic one, and the same trained on for crops."""
    cropping = video_net.load("dynamic", seed)
    tracking.tune(cropping, seed, video_training.KEPT)
    return {
        "dynamic": video_net.load("dynamic", seed),
        "cropping": cropping.eval(),
        "cropping_ahead": cropping,
    }


def figures(seed: int, tokens: int, variant: str) -> dict[str, Any]:
    """Figures of `tracking.compare` on test scenes, other ones for each seed."""
    torch.set_num_threads(1)
    first = 1000 * (1 + seed)
    return tracking.compare(networks(seed), range(first, first + SCENES), STEPS, tokens, variant)


def jobs() -> list[Job]:
    """Every row of this module. Each trains a network on crops first, which takes most of its time."""
    made, usual = [], video_training.KEPT
    for seed in SEEDS:
        for tokens in TOKENS:
            name = "sparsity.tracking" if tokens == usual else "sparsity.tracking_sweep"
            setting: dict[str, Any] = {"seed": seed, "tokens": tokens}
            made.append(Job(name, setting, partial(figures, seed, tokens, "usual"), 3.0, 6))
    for variant in STRESS:
        setting = {"variant": variant, "seed": 0, "tokens": usual}
        make = partial(figures, 0, usual, variant)
        made.append(Job("sparsity.tracking_stress", setting, make, 3.0, 6))
    return made
