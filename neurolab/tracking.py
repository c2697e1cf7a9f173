"""Following the digit through an endless scene on a few tubelets: chosen by change, or cropped around it.

Cropping is what many trackers do: look only around the last predicted centre (Bertinetto et al., 2016). It
is cheap, and good for as long as the prediction is; but what it does not look at it can't find again. Both
ways get the same number of tubelets. A look counts as lost where the said centre is further than LOST pixels
from the true one: outside the digit's picture. Shapes: B scenes, F frames, n tubelets kept, T looks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from neurolab import sparsity, video
from neurolab.training import History, Schedule, fit
from neurolab.tuning import optimisers
from neurolab.video_net import VideoTransformer
from neurolab.video_training import loss

LOST = video.DIGIT / 2  # pixels
STRIDE = video.SLOT  # frames from one look to the next
CHOICES = ("dynamic", "cropping", "cropping_ahead")
SHAKEN = 4.0  # pixels, spread of the crop's place in training, as a prediction would be off
TUNING = 120  # steps


def crop(centre: Tensor, n: int, side: int = video.SIDE, slots: int = video.FRAMES // video.SLOT) -> Tensor:
    """The n tubelets around centre (B, 2) pixels: in each slot the n / slots nearest. (B, n), numbers rising.

    ValueError where n is no multiple of the slots, or more than there are.
    """
    grid = side // video.PATCH
    if n < slots or n % slots or n > slots * grid * grid:
        raise ValueError(f"n {n}: must be a multiple of {slots}, at most {slots * grid * grid}")
    at = (torch.arange(grid) + 0.5) * video.PATCH
    away = (at - centre[:, :1]).square()[:, None, :] + (at - centre[:, 1:]).square()[:, :, None]  # (B, G, G)
    near = away.flatten(1).topk(n // slots, dim=1, largest=False).indices  # (B, n / slots)
    every = near[:, None] + grid * grid * torch.arange(slots)[:, None]  # (B, slots, n / slots)
    return every.flatten(1).sort(1).values


@dataclass(frozen=True)
class Track:
    """said and true centres (T, B, 2) in pixels, step by step."""

    said: Tensor
    true: Tensor

    @property
    def away(self) -> Tensor:
        """(T, B) pixels between them."""
        return (self.said - self.true).norm(dim=-1)

    @property
    def lost(self) -> Tensor:
        """(T, B) bool: where the object is lost."""
        return self.away > LOST


def centres(scenes: list[video.Scene], steps: int) -> Tensor:
    """(steps + 1, B, 2): the true centre one look before the first, then at the end of each look."""
    last = [video.FRAMES - 1 + STRIDE * (i - 1) for i in range(steps + 1)]
    return torch.tensor([[s.centre(t) for s in scenes] for t in last])


@torch.inference_mode()
def follow(
    net: VideoTransformer, scenes: list[video.Scene], steps: int, n: int, how: str = "dynamic"
) -> Track:
    """Look at 8 frames, go on by STRIDE, `steps` times: where is the mover in the last of them?

    how: "dynamic", the n tubelets that change most; "cropping", those around the centre said last;
    "cropping_ahead", those around where it would be next if it went on as it went. To begin with, cropping is
    told the true centre of the look before. ValueError for another way or no steps.
    """
    if how not in CHOICES:
        raise ValueError(f"how {how!r}: must be one of {', '.join(CHOICES)}")
    if steps < 1 or not scenes:
        raise ValueError(f"steps {steps}, {len(scenes)} scenes: at least one of each is needed")
    side, true, said = scenes[0].side, centres(scenes, steps), []
    last = before = true[0]
    for i in range(steps):
        frames = video.draw(scenes, STRIDE * i)
        if how == "dynamic":
            keep = sparsity.keep_top(sparsity.change(frames), n)
        else:
            guess = last if how == "cropping" else (2 * last - before).clamp(0, side)
            keep = crop(guess, n, side)
        before, last = last, net(frames, keep).centre
        said.append(last)
    return Track(torch.stack(said), true[1:])


def compare(
    nets: dict[str, VideoTransformer],
    seeds: range,
    steps: int,
    n: int,
    variant: str = "usual",
    split: str = "test",
) -> dict[str, Any]:
    """Shares of frames lost, by way of choosing; nets holds a network for each of CHOICES.

    lost_ratio: dynamic over cropping, half a frame added to both so that none is divided by nothing.
    longest_*: the longest time lost, in frames. error_*: median distance in pixels.
    """
    found: dict[str, Any] = {"frames": steps * len(seeds), "lost_from_pixels": LOST}
    counts: dict[str, float] = {}
    for how in CHOICES:
        scenes = [video.scene(seed, nets[how].config.side, variant, split) for seed in seeds]
        track = follow(nets[how], scenes, steps, n, how)
        counts[how] = float(track.lost.sum())
        found[f"lost_{how}"] = float(track.lost.float().mean())
        found[f"error_{how}"] = float(track.away.median())
        found[f"longest_{how}"] = STRIDE * longest(track.lost)
    for how in CHOICES[1:]:
        name = "lost_ratio" + how.removeprefix("cropping")
        found[name] = (counts["dynamic"] + 0.5) / (counts[how] + 0.5)
    return found


def longest(lost: Tensor) -> int:
    """The longest run of True along the first axis of lost (T, B)."""
    run = most = torch.zeros(lost.shape[1], dtype=torch.long)
    for row in lost:
        run = (run + 1) * row
        most = torch.maximum(most, run)
    return int(most.max())


def tune(
    net: VideoTransformer,
    seed: int,
    n: int,
    *,
    steps: int = TUNING,
    batch: int = 48,
    rate: float = 0.0015,
    progress: bool = False,
    evaluate: Callable[[torch.nn.Module], dict[str, float]] | None = None,
) -> History:
    """Train `net` in place on crops around where the mover was one look ago, shaken: so that cropping has a
    network of its own, and loses for no other reason than what it looks at."""

    def loss_of(model: torch.nn.Module, step: int) -> Tensor:
        first = 50_000_000 * (1 + seed) + step * batch
        seeds = range(first, first + batch)
        clips = video.clips(seeds, net.config.side)
        dice = torch.Generator().manual_seed(first)
        before = video.FRAMES - 1 - STRIDE
        place = torch.tensor([video.scene(s, net.config.side).centre(before) for s in seeds])
        place = place + SHAKEN * torch.randn(place.shape, generator=dice)
        return loss(model(clips.frames, crop(place, n, net.config.side)), clips)

    schedule = Schedule(min(50, steps), max(1, steps // 2), steps - max(1, steps // 2))
    return fit(
        net,
        loss_of,
        optimisers(net, rate, rate / 2),
        schedule,
        evaluate=evaluate,
        every=100,
        progress=progress,
    )
