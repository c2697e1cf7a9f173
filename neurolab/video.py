"""The video task of chapter 6: a handwritten digit moves over a textured background; say which, and where.

Everything is a pure function of a seed and of the time, so a scene has no end and every frame can be drawn
again. The digits are real (`neurolab.digits`); test scenes show other ones than training scenes. A still
digit of another class stands there too, so that the answer needs the movement. Shapes: B clips, F frames,
S pixels along an edge, N tubelets; times in frames, places in pixels (x to the right, y down, from a corner).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from neurolab import digits

FRAMES = 8  # a clip
SIDE = 64  # pixels
PATCH = 8  # pixels along the edge of a tubelet
SLOT = 2  # frames in a tubelet
DIGIT = 20  # pixels along the edge of a digit
VARIANTS = ("usual", "flicker", "noise", "jitter", "several", "still")
SPLITS = ("train", "validation", "test")
VALIDATION = 200  # pictures taken from those of training
FLICKER, NOISE, BLOBS = 0.15, 0.08, 2  # spread of the brightness, spread of a pixel's noise, further movers
NUMBERS = PATCH * PATCH * SLOT  # in a tubelet


@dataclass(frozen=True)
class Scene:
    """What a seed chose. digit, picture: the mover's class and number in its split; other: the still one.

    start (pixels) and velocity (pixels a frame) are the mover's centre's, still is the other's place;
    ink: brightness of both, 0..1.
    """

    seed: int
    side: int
    variant: str
    split: str
    digit: int
    picture: int
    other: int
    start: tuple[float, float]
    velocity: tuple[float, float]
    still: tuple[float, float]
    ink: float

    def centre(self, time: float) -> tuple[float, float]:
        """x, y of the mover's centre at `time`, in pixels."""
        x, y = (
            bounce(s + v * time, DIGIT / 2, self.side - DIGIT / 2)
            for s, v in zip(self.start, self.velocity, strict=True)
        )
        shift = camera(self.seed, int(time)) if self.variant == "jitter" else (0, 0)
        return x + shift[0], y + shift[1]

    def frames(self, start: int = 0, count: int = FRAMES, zoom: int = 1) -> Tensor:
        """(count, S, S) float32, about 0 to 1: the frames from time `start` on (zoom: see `draw`)."""
        return draw([self], start, count, zoom)[0]


@dataclass(frozen=True)
class Clips:
    """frames (B, F, S, S), digit (B,) int64, centre (B, 2) of the mover in the last frame, in pixels."""

    frames: Tensor
    digit: Tensor
    centre: Tensor


def bounce(place: float, low: float, high: float) -> float:
    """`place` folded into [low, high] as a ball folds its path between two walls."""
    room = high - low
    away = (place - low) % (2 * room)
    return low + (away if away <= room else 2 * room - away)


def camera(seed: int, time: int) -> tuple[int, int]:
    """Shift of a shaking camera at `time`: -1, 0 or 1 pixel each way."""
    drawn = torch.randint(-1, 2, (2,), generator=_random(seed, 7, time)).tolist()
    return drawn[0], drawn[1]


def _random(*numbers: int) -> torch.Generator:
    """A generator that depends on all the numbers (mixed as in splitmix64)."""
    state = 0
    for number in numbers:
        state = (state ^ (number & 0xFFFFFFFFFFFFFFFF)) * 0xBF58476D1CE4E5B9 + 0x9E3779B97F4A7C15
        state = (state ^ (state >> 27)) & 0xFFFFFFFFFFFFFFFF
    return torch.Generator().manual_seed(state >> 1)


@lru_cache(maxsize=1)
def _pictures() -> dict[str, tuple[Tensor, Tensor]]:
    """For each split: pictures (M, DIGIT, DIGIT) in [0, 1] and their classes (M,)."""
    train_x, train_y, test_x, test_y = digits.load()
    cut = len(train_x) - VALIDATION
    parts = ((train_x[:cut], train_y[:cut]), (train_x[cut:], train_y[cut:]), (test_x, test_y))
    made = {}
    for split, (x, y) in zip(SPLITS, parts, strict=True):
        small = torch.from_numpy(x).view(-1, 1, digits.SIDE, digits.SIDE)
        large = F.interpolate(small, size=(DIGIT, DIGIT), mode="bicubic", align_corners=False).clamp(0, 1)
        made[split] = large[:, 0], torch.from_numpy(y)
    return made


def _check(side: int, variant: str, split: str) -> None:
    if side < 3 * DIGIT or side % PATCH:
        raise ValueError(f"side {side}: must be a multiple of {PATCH} and at least {3 * DIGIT} pixels")
    if variant not in VARIANTS:
        raise ValueError(f"variant {variant!r}: must be one of {VARIANTS}")
    if split not in SPLITS:
        raise ValueError(f"split {split!r}: must be one of {SPLITS}")


def scene(seed: int, side: int = SIDE, variant: str = "usual", split: str = "train") -> Scene:
    """The scene of `seed`. Speed 1 to 3 pixels a frame (0 in 'still'), any direction."""
    _check(side, variant, split)
    random = _random(seed, SPLITS.index(split))
    classes = _pictures()[split][1]
    picture, other = torch.randint(0, len(classes), (2,), generator=random).tolist()
    while classes[other] == classes[picture]:
        other = (other + 1) % len(classes)
    u = torch.rand(8, generator=random).tolist()
    room = side - DIGIT
    speed, angle = 1 + 2 * u[0], 2 * math.pi * u[1]
    if variant == "still":
        speed = 0.0
    return Scene(
        seed,
        side,
        variant,
        split,
        int(classes[picture]),
        picture,
        other,
        (DIGIT / 2 + room * u[2], DIGIT / 2 + room * u[3]),
        (speed * math.cos(angle), speed * math.sin(angle)),
        (DIGIT / 2 + room * u[4], DIGIT / 2 + room * u[5]),
        0.7 + 0.3 * u[6],
    )


def _texture(scene: Scene, zoom: int = 1) -> Tensor:
    """(zoom S, zoom S) in [0, 0.55]: smooth noise of three sizes."""
    random = _random(scene.seed, 11)
    made = torch.zeros(scene.side * zoom, scene.side * zoom)
    for size, weight in ((PATCH * 2, 0.25), (PATCH // 2, 0.2), (1, 0.1)):
        coarse = torch.rand(1, 1, scene.side // size + 1, scene.side // size + 1, generator=random)
        made += weight * F.interpolate(coarse, size=made.shape, mode="bilinear", align_corners=True)[0, 0]
    return made


def _place(pictures: Tensor, centres: Tensor, side: int, zoom: int = 1) -> Tensor:
    """pictures (M, P, P) with their centres at (M, T, 2) pixels -> (M, T, S, S), bilinear, 0 outside.

    With a zoom the same, each pixel cut into zoom x zoom: (M, T, zoom S, zoom S).
    """
    count, times, fine = *centres.shape[:2], side * zoom
    pixel = (torch.arange(fine) + 0.5) / zoom
    half = pictures.shape[-1] / 2
    x = (pixel - centres[..., 0, None]) / half  # (M, T, S): -1 and 1 are the picture's edges
    y = (pixel - centres[..., 1, None]) / half
    grid = torch.stack((x[:, :, None, :].expand(-1, -1, fine, -1), y[..., None].expand(-1, -1, -1, fine)), -1)
    source = pictures[:, None].expand(-1, times, -1, -1).flatten(0, 1)[:, None]
    return F.grid_sample(source, grid.flatten(0, 1), align_corners=False).view(count, times, fine, fine)


def draw(scenes: Sequence[Scene], start: int = 0, count: int = FRAMES, zoom: int = 1) -> Tensor:
    """(B, count, S, S) float32: the frames of `scenes` (of one side) from time `start` on.

    zoom: the same scenes drawn so many times as fine, (B, count, zoom S, zoom S); places stay in pixels of S.
    Raises ValueError for no scenes, scenes of several sides, a negative start, no frames or a zoom below 1.
    """
    if not scenes or len({s.side for s in scenes}) > 1:
        raise ValueError(f"scenes: {len(scenes)} given; must be at least one, all of one side")
    if start < 0 or count < 1:
        raise ValueError(f"start {start}, count {count}: must be at least 0 and at least 1")
    if zoom < 1:
        raise ValueError(f"zoom {zoom}: must be at least 1")
    side = scenes[0].side
    times = range(start, start + count)
    paths = torch.tensor([[s.centre(t) for t in times] for s in scenes])  # (B, F, 2)
    pictures = torch.stack([_pictures()[s.split][0][s.picture] for s in scenes])
    others = torch.stack([_pictures()[s.split][0][s.other] for s in scenes])
    ink = torch.tensor([s.ink for s in scenes]).view(-1, 1, 1, 1)
    # Where nothing moves, a second digit would make the question senseless.
    both = torch.tensor([s.variant != "still" for s in scenes]).view(-1, 1, 1, 1)
    back = torch.stack([_texture(s, zoom) for s in scenes])[:, None]  # (B, 1, S, S)
    still = _place(others, torch.tensor([[s.still] for s in scenes]), side, zoom)
    back = torch.maximum(back, ink * still * both).expand(-1, count, -1, -1)
    if any(s.variant == "jitter" for s in scenes):
        back = torch.stack([_shaken(b, s, times, zoom) for b, s in zip(back, scenes, strict=True)])
    frames = torch.maximum(back, ink * _place(pictures, paths, side, zoom))
    return torch.stack([_disturbed(f, s, times, zoom) for f, s in zip(frames, scenes, strict=True)])


def _shaken(back: Tensor, scene: Scene, times: range, zoom: int) -> Tensor:
    """(F, S, S): the background under a shaking camera; what leaves on one side comes in on the other."""
    if scene.variant != "jitter":
        return back
    shifts = [camera(scene.seed, t) for t in times]
    return torch.stack(
        [b.roll((zoom * dy, zoom * dx), (0, 1)) for b, (dx, dy) in zip(back, shifts, strict=True)]
    )


def _disturbed(frames: Tensor, scene: Scene, times: range, zoom: int) -> Tensor:
    """(F, S, S): what the variant does to the frames that are already drawn."""
    if scene.variant == "flicker":
        factor = [1 + FLICKER * torch.randn((), generator=_random(scene.seed, 3, t)) for t in times]
        return frames * torch.stack(factor).view(-1, 1, 1)
    if scene.variant == "noise":
        grain = [torch.randn(frames.shape[1:], generator=_random(scene.seed, 5, t)) for t in times]
        return frames + NOISE * torch.stack(grain)
    if scene.variant == "several":
        return torch.maximum(frames, _blobs(scene, times, zoom))
    return frames


def _blobs(scene: Scene, times: range, zoom: int) -> Tensor:
    """(F, S, S): round spots that move as the digit does, and say nothing."""
    pixel = (torch.arange(scene.side * zoom) + 0.5) / zoom
    made = torch.zeros(len(times), scene.side * zoom, scene.side * zoom)
    for blob in range(BLOBS):
        u = torch.rand(4, generator=_random(scene.seed, 13, blob)).tolist()
        speed, angle = 1 + 2 * u[0], 2 * math.pi * u[1]
        walls = (PATCH / 2, scene.side - PATCH / 2)
        for i, t in enumerate(times):
            x = bounce(scene.side * u[2] + speed * math.cos(angle) * t, *walls)
            y = bounce(scene.side * u[3] + speed * math.sin(angle) * t, *walls)
            away = (pixel - x).square()[None, :] + (pixel - y).square()[:, None]
            made[i] = torch.maximum(made[i], scene.ink * torch.exp(-away / (2 * 3.0**2)))
    return made


def clips(seeds: Sequence[int], side: int = SIDE, variant: str = "usual", split: str = "train") -> Clips:
    """The first FRAMES frames of the scenes of `seeds`, with what is to be said of them."""
    scenes = [scene(seed, side, variant, split) for seed in seeds]
    last = torch.tensor([s.centre(FRAMES - 1) for s in scenes])
    return Clips(draw(scenes), torch.tensor([s.digit for s in scenes]), last)


def tubelets(frames: Tensor) -> Tensor:
    """(B, F, S, S) -> (B, N, SLOT * PATCH * PATCH): slot by slot, then row by row, then column by column."""
    if frames.ndim != 4 or frames.shape[1] % SLOT or frames.shape[2] % PATCH or frames.shape[3] % PATCH:
        raise ValueError(
            f"frames of shape {tuple(frames.shape)}: must be (B, F, S, S) with F a multiple of {SLOT} "
            f"and S a multiple of {PATCH}"
        )
    b, f, h, w = frames.shape
    cut = frames.reshape(b, f // SLOT, SLOT, h // PATCH, PATCH, w // PATCH, PATCH)
    return cut.permute(0, 1, 3, 5, 2, 4, 6).reshape(b, -1, NUMBERS)


def untubelets(tokens: Tensor, frames: int = FRAMES) -> Tensor:
    """The inverse of `tubelets` for square pictures of `frames` frames: (B, N, 128) -> (B, F, S, S)."""
    b, n, _ = tokens.shape
    grid = math.isqrt(n * SLOT // frames)
    if grid * grid * frames != n * SLOT:
        raise ValueError(f"tokens: {n} of them don't fill {frames} square frames of slots of {SLOT}")
    cut = tokens.reshape(b, frames // SLOT, grid, grid, SLOT, PATCH, PATCH)
    return cut.permute(0, 1, 4, 2, 5, 3, 6).reshape(b, frames, grid * PATCH, grid * PATCH)
