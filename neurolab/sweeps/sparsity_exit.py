"""Early exit (claim A21): rows sparsity.early_exit, the settings chosen, and sparsity.exit_sweep, the others.

`mean_cost_ratio` is the cost with exits over that of all layers (below 1 is cheaper); `p50_ratio`,
`p95_ratio`, `p99_ratio` and `mean_time_ratio` are times as fast (below 1 the tail has got worse).
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor

from neurolab import assistant, early_exit, exit_figures, exit_video, facts, sparsity, video, video_net
from neurolab.benchmark import tails
from neurolab.exit_figures import lost, times
from neurolab.exit_video import VideoHeads
from neurolab.sweep import Job
from neurolab.video_net import VideoTransformer

SEEDS = (0, 1, 2)
NEVER = early_exit.NEVER
EVERY = 4  # of the held-out questions, in the rows of the settings chosen
FEW = 16  # the same in the sweep
TIMED = 400  # requests timed, different ones
TURN = 40  # of them in a row, so that each finds its own weights in the cache
STEPS = {"dense": 350, "dynamic": 600}  # of the video networks' heads: under three minutes, and one
KEPT = 32  # tubelets that the dynamic network thinks about
VALIDATION, TEST = 2000, 4096  # scenes
SWEPT: dict[str, float | tuple[float, ...]] = {
    "0.5": 0.5,
    "0.7": 0.7,
    "0.8": 0.8,
    "0.9": 0.9,
    "0.95": 0.95,
    "0.99": 0.99,
    "never": NEVER,
    "always after 2": (NEVER, 0.0, 0.0),
    "always after 3": (NEVER, NEVER, 0.0),
}


def assistant_chosen(seed: int) -> dict[str, Any]:
    """Heads of `seed` for the assistant, thresholds chosen on training questions, asked what was held out;
    beside it phrasings never trained, which the choice did not see either."""
    torch.set_num_threads(1)
    helper, heads = assistant.load(), exit_figures.trained(seed)
    thresholds = exit_figures.chosen(heads)
    asked = facts.split("held_out")[seed % EVERY :: EVERY]
    found = exit_figures.figures(helper, heads, thresholds, "late", asked, TIMED)
    new = exit_figures.figures(helper, heads, thresholds, "late", facts.split("new_template")[::FEW])
    return {
        **found,
        "thresholds": list(thresholds),
        "accuracy_drop_points_new_phrasing": new["accuracy_drop_points"],
        "mean_cost_ratio_new_phrasing": new["mean_cost_ratio"],
    }


def assistant_swept(threshold: str, cache: str) -> dict[str, Any]:
    """The assistant with the shipped heads at a threshold of `SWEPT`."""
    torch.set_num_threads(1)
    asked = facts.split("held_out")[::FEW]
    heads = exit_figures.shipped()
    return exit_figures.figures(assistant.load(), heads, SWEPT[threshold], cache, asked, TIMED)


def kept(network: str, frames: Tensor) -> Tensor | None:
    """The tubelets that `network` thinks about: all, or those that change most."""
    return None if network == "dense" else sparsity.keep_top(sparsity.change(frames), KEPT)


@lru_cache(maxsize=1)
def video_trained(network: str, seed: int) -> tuple[VideoTransformer, VideoHeads]:
    """The network of `seed`, and heads trained now: a minute or two on one thread."""
    net = video_net.load(network, seed)
    return net, exit_video.train(net, partial(kept, network), steps=STEPS[network], seed=seed)[0]


def video_times(
    net: VideoTransformer, heads: VideoHeads, network: str, threshold: Any, rounds: int
) -> dict[str, float]:
    """Single clips with exits and through all blocks, choosing the tubelets included."""
    clips = video.clips(range(min(rounds, 100)), net.config.side, split="test").frames

    def exiting(i: int) -> None:
        clip = clips[i % len(clips), None]
        exit_video.watch(net, heads, clip, kept(network, clip), threshold)

    @torch.inference_mode()
    def whole(i: int) -> None:
        clip = clips[i % len(clips), None]
        net(clip, kept(network, clip))

    return times(tails(exiting, whole, rounds, turn=TURN))


def video_figures(
    network: str, seed: int, threshold: str, *, validation: int = VALIDATION, test: int = TEST
) -> dict[str, Any]:
    """The video network with exits, on test scenes; threshold: "chosen" on validation, or one of SWEPT."""
    torch.set_num_threads(1)
    net, heads = video_trained(network, seed)
    look = partial(exit_video.watched, net, heads, partial(kept, network), gate=network == "dynamic")
    limits = (
        exit_video.choose_thresholds(look(validation, "validation"))
        if threshold == "chosen"
        else early_exit.thresholds_of(SWEPT[threshold], net.config.layers)
    )
    seen = look(test, "test")
    right = exit_video.exits_right(seen, limits)
    found = exit_video.replay(seen, limits) | lost(seen.right[:, -1].tolist(), right)
    timed = video_times(net, heads, network, limits, TIMED)
    return {**found, **timed, "thresholds": list(limits), "scenes": test}


def jobs() -> list[Job]:
    """Every row of this module."""
    made = []
    for seed in SEEDS:
        setting: dict[str, Any] = {"model": "assistant", "threshold": "chosen", "cache": "late", "seed": seed}
        make = partial(assistant_chosen, seed)
        made.append(Job("sparsity.early_exit", setting, make, 4.0, 6))
        setting = {"model": "video", "network": "dense", "threshold": "chosen", "seed": seed}
        make = partial(video_figures, "dense", seed, "chosen")
        made.append(Job("sparsity.early_exit", setting, make, 8.0, 6))
        setting = {"model": "video", "network": "dynamic", "threshold": "chosen", "seed": seed}
        make = partial(video_figures, "dynamic", seed, "chosen")
        made.append(Job("sparsity.exit_sweep", setting, make, 2.0, 6))
    for threshold in SWEPT:
        for cache in early_exit.CACHES:
            setting = {"model": "assistant", "threshold": threshold, "cache": cache}
            made.append(
                Job("sparsity.exit_sweep", setting, partial(assistant_swept, threshold, cache), 0.6, 6)
            )
        setting = {"model": "video", "network": "dynamic", "threshold": threshold, "seed": 0}
        make = partial(video_figures, "dynamic", 0, threshold)
        made.append(Job("sparsity.exit_sweep", setting, make, 2.0, 6))
    return made
