"""Early exit of the video network: a clip is answered after the first block whose reading head is sure.

Each block but the last gets a head of its own for the class (`early_exit.ExitHead` on the readout token, then
the classes) and for the place (a query over the tokens, as in the network's own reading). The network stays
as it is; a clip is one request and one answer, so there is nothing that later answers would miss.

Shapes: B clips, F frames, S pixels, n tokens kept, D width, l blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from neurolab import video, video_cost, video_net
from neurolab.assistant import repeatable
from neurolab.early_exit import ExitHead, thresholds_of
from neurolab.exit_choice import GRID, search
from neurolab.training import History, Schedule, fit
from neurolab.video_net import Seen, VideoConfig, VideoTransformer
from neurolab.video_training import loss

Choose = Callable[[Tensor], Tensor | None]
"""Frames (B, F, S, S) -> the tubelets to keep (B, n), or None for all."""

HIDDEN = 128
STEPS = 600
BATCH = 48
RATE = 0.002
FIRST = 900_000_000  # seeds of the scenes that heads train on begin here


class VideoHead(nn.Module):
    """What a block's state says: class and place. It begins as a copy of the network's own reading."""

    def __init__(self, net: VideoTransformer, hidden: int) -> None:
        super().__init__()
        config = net.config
        self.grid = config.grid
        self.said = ExitHead(config.width, hidden)
        self.norm = nn.LayerNorm(config.width)
        self.digit = nn.Linear(config.width, config.classes)
        self.point = nn.Linear(config.width, config.width)
        self.offset = nn.Linear(config.width, 2)
        for mine, its in (
            (self.said.norm2, net.norm),
            (self.norm, net.norm),
            (self.digit, net.digit),
            (self.point, net.point),
            (self.offset, net.offset),
        ):
            mine.load_state_dict(its.state_dict())

    def forward(self, x: Tensor, places: Tensor) -> Seen:
        """x (B, 1 + n, D), places (B, n) or (n,) -> class and place."""
        said = self.said(x[:, 0])
        score = (self.norm(x[:, 1:]) @ self.point(said)[:, :, None])[..., 0] / x.shape[-1] ** 0.5  # (B, n)
        row, column = places // self.grid % self.grid, places % self.grid
        middles = (torch.stack((column, row), -1) + 0.5) * video.PATCH  # pixels
        pointed = (score.softmax(-1)[..., None] * middles).sum(-2)  # (B, 2)
        return Seen(self.digit(said), pointed + video.PATCH * self.offset(said))


class VideoHeads(nn.Module):
    """A head after each block of `net` but the last. ValueError for hidden below 1 or a net of one block."""

    def __init__(self, net: VideoTransformer, hidden: int = HIDDEN) -> None:
        super().__init__()
        if hidden < 1:
            raise ValueError(f"hidden {hidden}: must be at least 1")
        if net.config.layers < 2:
            raise ValueError(f"net of {net.config.layers} block: must have at least 2")
        self.hidden = hidden
        self.heads = nn.ModuleList(VideoHead(net, hidden) for _ in range(net.config.layers - 1))


class Exited(NamedTuple):
    """The answer for one clip, and the blocks that it went through (1 to the last)."""

    seen: Seen
    layers: int


def begin(net: VideoTransformer, frames: Tensor, keep: Tensor | None) -> tuple[Tensor, Tensor]:
    """Embedded tokens (B, 1 + n, D) and their places, (B, n) or (n,)."""
    tokens = video.tubelets(frames)
    if keep is None:
        places = torch.arange(tokens.shape[1])
    else:
        places, tokens = keep, tokens.gather(1, keep[..., None].expand(-1, -1, tokens.shape[-1]))
    return net.embed(tokens, places), places


def answers(net: VideoTransformer, heads: VideoHeads, frames: Tensor, keep: Tensor | None) -> list[Seen]:
    """What each block's head says, and last the network itself."""
    x, places = begin(net, frames, keep)
    made = []
    for i in range(net.config.layers):
        x = net.block(i, x)
        made.append(net.read(x, places) if i + 1 == net.config.layers else heads.heads[i](x, places))
    return made


@torch.inference_mode()
def watch(
    net: VideoTransformer,
    heads: VideoHeads,
    frames: Tensor,
    keep: Tensor | None,
    threshold: float | Sequence[float],
) -> Exited:
    """One clip (1, F, S, S) through as many blocks as it takes. ValueError for more clips than one."""
    net.check(frames)
    if len(frames) != 1:
        raise ValueError(f"frames: {len(frames)} clips; must be one, as each leaves where it is sure")
    thresholds = thresholds_of(threshold, net.config.layers)
    x, places = begin(net, frames, keep)
    for i, limit in enumerate(thresholds):
        x = net.block(i, x)
        if limit > 1:
            continue
        seen = heads.heads[i](x, places)
        if seen.digit.softmax(-1).max().item() >= limit:
            return Exited(seen, i + 1)
    return Exited(net.read(net.block(net.config.layers - 1, x), places), net.config.layers)


def train(
    net: VideoTransformer,
    choose: Choose,
    *,
    steps: int = STEPS,
    seed: int = 0,
    batch: int = BATCH,
    hidden: int = HIDDEN,
    progress: bool = False,
) -> tuple[VideoHeads, History]:
    """Train heads for `net`, which stays as it is, on training scenes; one thread, deterministic by seed."""
    if steps < 1:
        raise ValueError(f"steps {steps}: must be at least 1")
    torch.manual_seed(seed)
    heads = VideoHeads(net, hidden)

    def loss_of(model: nn.Module, step: int) -> Tensor:
        first = FIRST + 1_000_000 * seed + step * batch
        clips = video.clips(range(first, first + batch), net.config.side)
        with torch.no_grad():
            x, places = begin(net, clips.frames, choose(clips.frames))
            states = []
            for i in range(net.config.layers - 1):
                x = net.block(i, x)
                states.append(x)
        said = [head(x, places) for head, x in zip(heads.heads, states, strict=True)]
        return torch.stack([loss(seen, clips) for seen in said]).mean()

    with repeatable(1):
        history = fit(
            heads,
            loss_of,
            [torch.optim.AdamW(heads.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.0)],
            Schedule(warmup=min(20, steps), stay=1, cool=steps - 1),
            progress=progress,
        )
    return heads.eval(), history


@dataclass(frozen=True)
class Watched:
    """What every block says of A clips: sure (A, l), right (A, l) bool, away (A, l) pixels; the sizes; tokens
    kept; hidden units of a head; multiply-adds of choosing the tokens."""

    config: VideoConfig
    tokens: int
    hidden: int
    gate: int
    sure: Tensor
    right: Tensor
    away: Tensor


@torch.inference_mode()
def watched(
    net: VideoTransformer,
    heads: VideoHeads,
    choose: Choose,
    count: int,
    split: str,
    *,
    gate: bool = False,
    variant: str = "usual",
    batch: int = 64,
) -> Watched:
    """Look at the first `count` scenes of `split`. gate: choosing costs `video_cost.GATE` a pixel."""
    sure, right, away = [], [], []
    tokens = net.config.tokens
    for first in range(0, count, batch):
        clips = video.clips(range(first, min(first + batch, count)), net.config.side, variant, split)
        keep = choose(clips.frames)
        tokens = net.config.tokens if keep is None else keep.shape[1]
        said = answers(net, heads, clips.frames, keep)
        best = [seen.digit.softmax(-1).max(-1) for seen in said]
        sure.append(torch.stack([b.values for b in best], -1))
        right.append(torch.stack([b.indices == clips.digit for b in best], -1))
        away.append(torch.stack([(seen.centre - clips.centre).norm(dim=-1) for seen in said], -1))
    pixels = net.config.frames * net.config.side**2 if gate else 0
    return Watched(
        net.config,
        tokens,
        heads.hidden,
        video_cost.GATE * pixels,
        torch.cat(sure),
        torch.cat(right),
        torch.cat(away),
    )


def exit_macs(config: VideoConfig, tokens: int, hidden: int, layers: int, asked: int) -> int:
    """Multiply-adds of a clip that leaves after `layers` blocks, `asked` heads having been asked."""
    parts = video_net.macs(replace(config, layers=layers), tokens)
    reading = parts.pop("readout")
    head = reading + 2 * config.width * hidden
    return sum(parts.values()) + asked * head + (reading if layers == config.layers else 0)


def replay(seen: Watched, threshold: float | Sequence[float]) -> dict[str, float]:
    """Figures at a threshold: accuracy, full_accuracy (per cent), accuracy_drop_points, tracking_error and
    full_tracking_error (pixels), mean_cost_ratio (exit over all blocks), layers_mean."""
    config = seen.config
    limits = thresholds_of(threshold, config.layers)
    depth = (seen.sure >= torch.tensor([*limits, 0.0])).int().argmax(-1)  # (A,) index of the block
    asked = [sum(limit <= 1 for limit in limits[: i + 1]) for i in range(config.layers)]
    costs = [
        seen.gate + exit_macs(config, seen.tokens, seen.hidden, i + 1, asked[i]) for i in range(config.layers)
    ]
    whole = seen.gate + exit_macs(config, seen.tokens, seen.hidden, config.layers, 0)
    at = depth[:, None]
    accuracy, full = (100 * x.double().mean().item() for x in (seen.right.gather(1, at), seen.right[:, -1]))
    return {
        "accuracy": accuracy,
        "full_accuracy": full,
        "accuracy_drop_points": full - accuracy,
        "tracking_error": seen.away.gather(1, at).double().mean().item(),
        "full_tracking_error": seen.away[:, -1].double().mean().item(),
        "mean_cost_ratio": torch.tensor(costs, dtype=torch.float64)[depth].mean().item() / whole,
        "layers_mean": (depth + 1).double().mean().item(),
    }


def exits_right(seen: Watched, threshold: float | Sequence[float]) -> list[bool]:
    """Clip by clip, whether the answer at this threshold is right."""
    limits = torch.tensor([*thresholds_of(threshold, seen.config.layers), 0.0])
    depth = (seen.sure >= limits).int().argmax(-1, keepdim=True)
    return [bool(x) for x in seen.right.gather(1, depth)[:, 0]]


def choose_thresholds(
    seen: Watched,
    most_lost: float = 0.5,
    most_away: float = 1.1,
    grid: Sequence[float] = GRID,
) -> tuple[float, ...]:
    """The cheapest thresholds that lose at most `most_lost` points, with a tracking error at most `most_away`
    times that of all blocks. `seen` must hold scenes that nothing is judged by later."""
    if not most_lost >= 0 or not most_away >= 1:
        raise ValueError(f"most_lost {most_lost}, most_away {most_away}: must be at least 0 and at least 1")

    def allowed(found: dict[str, float]) -> bool:
        return (
            found["accuracy_drop_points"] <= most_lost
            and found["tracking_error"] <= most_away * found["full_tracking_error"]
        )

    return search(lambda tried: replay(seen, tried), seen.config.layers - 1, allowed, grid)[0]
