"""Training the networks of chapter 6: one start on few tokens, then a dense network and a sparse one from it.

The start is cheap: it computes only the tokens that change most and a few others by chance (as masked
training does: He et al., *Masked Autoencoders*, 2022). From it the dense network goes on with all tokens
until its accuracy on validation scenes stops rising; a sparse one goes on with the tokens that it will get.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from neurolab import sparsity, video, video_net
from neurolab.paths import DATA
from neurolab.training import History, Schedule, fit
from neurolab.tuning import optimisers
from neurolab.video_net import Seen, VideoConfig, VideoTransformer

Choose = Callable[[Tensor, int], Tensor | None]
"""From frames (B, F, S, S) and the step: the tubelets to keep, (B, n), or None for all."""

Point = dict[str, float]
"""One evaluation: step, loss, accuracy (0 to 1), away (pixels)."""

BATCH = 64
VALIDATION = 1000  # scenes
KEPT = 32  # tubelets by change
CHANCE = {"start": 1 / 16, "wide": 3 / 8}  # share of the tubelets that chance adds to them
SEEDS = (0, 1, 2)
LARGE = 128  # pixels along an edge of the larger task, which begins with what the smaller one has learnt
FOLDER = DATA / "video"
STEPS = {
    64: {"start": 2400, "wide": 400, "dense": 300, "dynamic": 300, "static": 300},
    LARGE: {"start": 400, "wide": 150, "dense": 100, "dynamic": 200},
}
RATE = {"start": 0.003, "wide": 0.002, "dense": 0.002, "dynamic": 0.001, "static": 0.002}
PER_PATCH = 0.5  # weight of the centre's error, an error of a patch counting as 1


def loss(seen: Seen, clips: video.Clips) -> Tensor:
    """Cross-entropy of the digit (nats) + half of the smooth L1 error of the centre in patches."""
    away = F.smooth_l1_loss(seen.centre / video.PATCH, clips.centre / video.PATCH)
    return F.cross_entropy(seen.digit, clips.digit) + PER_PATCH * away


def by_change_and_chance(share: float, frames: Tensor, step: int) -> Tensor:
    """The KEPT tubelets that change most, and a `share` of all by chance: (B, KEPT + share N)."""
    scores = sparsity.change(frames)
    chance = round(share * scores.shape[1])
    chosen = scores.topk(KEPT).indices
    random = torch.Generator().manual_seed(step)
    others = torch.rand(scores.shape, generator=random).scatter(1, chosen, -1.0).topk(chance).indices
    return torch.cat((chosen, others), dim=1).sort().values


def by_change(frames: Tensor, step: int) -> Tensor:
    """KEPT tubelets that change most."""
    return sparsity.keep_top(sparsity.change(frames), KEPT)


def everything(frames: Tensor, step: int) -> None:
    """All tubelets."""


def static(frames: Tensor, step: int) -> Tensor:
    """The same KEPT tubelets of every clip."""
    tokens = frames.shape[1] // video.SLOT * (frames.shape[2] // video.PATCH) ** 2
    return sparsity.static_pattern(tokens, KEPT).expand(len(frames), -1)


CHOICES: dict[str, Choose] = {
    "start": partial(by_change_and_chance, CHANCE["start"]),
    "dense": everything,
    "dynamic": by_change,
    "static": static,
    "wide": partial(by_change_and_chance, CHANCE["wide"]),
}


@torch.inference_mode()
def scores(
    net: VideoTransformer,
    choose: Choose,
    count: int,
    *,
    variant: str = "usual",
    split: str = "test",
    first: int = 0,
) -> dict[str, Tensor]:
    """right (count,) bool and away (count,) pixels between the said and the true centre, scene by scene."""
    right, away = [], []
    for begin in range(first, first + count, BATCH):
        seeds = range(begin, min(begin + BATCH, first + count))
        clips = video.clips(seeds, net.config.side, variant, split)
        seen = net(clips.frames, choose(clips.frames, 0))
        right.append(seen.digit.argmax(-1) == clips.digit)
        away.append((seen.centre - clips.centre).norm(dim=-1))
    return {"right": torch.cat(right), "away": torch.cat(away)}


def train(
    name: str,
    net: VideoTransformer,
    seed: int,
    *,
    turn: int = 0,
    steps: int | None = None,
    rate: float | None = None,
    batch: int | None = None,
    checkpoint: Path | None = None,
    progress: bool = True,
) -> History:
    """Train `net` in place as `name` (a key of CHOICES); the last two thirds of it cool.

    turn: how often this stage was run before; each time it starts at half the rate and sees other clips.
    steps, rate (of the matrices; the rest gets half of it) and batch (clips) are those of the stage, if None.
    """
    if name not in CHOICES:
        raise ValueError(f"name {name!r}: must be one of {tuple(CHOICES)}")
    torch.set_num_threads(1)
    choose, count, rate = CHOICES[name], steps or STEPS[net.config.side][name], rate or RATE[name] / 2**turn
    batch = batch or BATCH * 64 // net.config.side // (2 if name == "dense" else 1)
    offset = 10_000_000 * (1 + seed) + 1_000_000 * list(CHOICES).index(name) + 100_000 * turn

    def loss_of(model: torch.nn.Module, step: int) -> Tensor:
        first = offset + step * batch
        clips = video.clips(range(first, first + batch), net.config.side)
        return loss(model(clips.frames, choose(clips.frames, step)), clips)

    def evaluate(model: torch.nn.Module) -> dict[str, float]:
        found = scores(net, choose, VALIDATION * 64 // net.config.side, split="validation")
        return {"accuracy": found["right"].float().mean().item(), "away": found["away"].mean().item()}

    cool = 2 * count // 3
    schedule = Schedule(100, count - cool, cool)
    return fit(
        net,
        loss_of,
        optimisers(net, rate, rate / 2),
        schedule,
        evaluate=evaluate,
        every=100 if name != "dense" else 50,
        checkpoint=checkpoint,
        progress=progress,
    )


def ship(net: VideoTransformer, name: str, seed: int, curve: list[Point], folder: Path) -> Path:
    """Keep the network in `folder`: weights as float16, sizes and the training's curve as JSON."""
    path = folder / video_net.weights(name, seed, net.config.side).name
    save_file({k: v.half().contiguous() for k, v in net.state_dict().items()}, path)
    path.chmod(0o644)
    card = {"config": asdict(net.config), "seed": seed, "curve": curve}
    path.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return path


def until_it_stops(
    name: str, stage: Callable[[str, int], History], least: float = 0.003, turns: int = 6
) -> list[Point]:
    """A stage again and again, `turns` times at most, until a turn gains less than `least` accuracy.

    A turn's accuracy is that at its end, when it has cooled. Gives the curve of all turns.
    """
    curve: list[Point] = []
    for turn in range(turns):
        history = stage(name, turn)
        stopped = bool(curve) and history.evaluations[-1]["accuracy"] < curve[-1]["accuracy"] + least
        before = curve[-1]["step"] if curve else 0
        curve += [{**point, "step": before + point["step"]} for point in history.evaluations]
        if stopped:
            break
    return curve


def course(
    seed: int, side: int = video.SIDE, *, begun: dict[str, Tensor] | None = None, folder: Path, progress: bool
) -> dict[str, Tensor]:
    """Train and keep the networks of `seed` in `folder`, and give the weights after the start.

    start -> dynamic, start -> static (small frames only), start -> wide -> dense. begun: what to begin with.
    """
    torch.manual_seed(seed)
    net = VideoTransformer(VideoConfig(side=side))
    if begun is not None:
        net.load_state_dict(begun)

    def stage(name: str, turn: int = 0) -> History:
        kept = folder / f"{name}{turn or ''}-{side}-{seed}.checkpoint.safetensors"
        return train(name, net, seed, turn=turn, checkpoint=kept, progress=progress)

    stage("start")
    begun = {k: v.clone() for k, v in net.state_dict().items()}
    for name in ("dynamic", "static", "dense"):
        if name in STEPS[side]:
            net.load_state_dict(begun)
            if name == "dense":
                stage("wide")
            curve = stage(name).evaluations if name == "static" else until_it_stops(name, stage)
            ship(net, name, seed, curve, folder)
    return begun


def everything_shipped(folder: Path | None = None, *, resume: bool = True, progress: bool = True) -> Path:
    """`neurolab train video`: all networks of the chapter, some hours on one core; gives their folder.

    An interrupted run goes on from its checkpoints, which lie beside the networks; resume=False forgets them.
    """
    place = folder or FOLDER
    place.mkdir(parents=True, exist_ok=True)
    if not resume:
        for kept in place.glob("*.checkpoint.safetensors"):
            kept.unlink()
    for seed in SEEDS:
        begun = course(seed, folder=place, progress=progress)
        if seed == SEEDS[0]:
            course(seed, LARGE, begun=begun, folder=place, progress=progress)
    return place
