"""Video at twice the resolution, thinking only about what changed.

The scene of `neurolab.video` is drawn twice as fine: that is the truth, (2S, 2S). A camera with pixels twice
as large sees the mean of 2 x 2 of its pixels in 256 shades: that is the input, (S, S). A small network gives
the four fine pixels of each coarse one from those at most HALO away (sub-pixel output: Shi et al., 2016).

Why such a network: no pixel sees further than HALO, so a patch whose surroundings did not change would come
out as before, and copying it is exact, not a guess. A Transformer would mix all patches, and skipping would
only be approximate. And since only the first layer reads the halo, a patch done alone costs no more than its
share of a whole frame; with 3 x 3 convolutions all the way it would. Shapes: S pixels along an edge of the
input, G patches along it, k = 2 HALO + 1.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from neurolab.enhance_moves import PATCH, ZOOM, Moves, moves, padded
from neurolab.paths import DATA

HALO = 3  # how many pixels around a pixel matter
WIDTH, LAYERS = 96, 4
SHADES = 255
FOLDER = DATA / "video"
ALL = 0.7  # share of the patches from which on the whole frame is done: packing costs something too


class Enhancer(nn.Module):
    """What is around a coarse pixel -> the four fine pixels in it.

    width: of the hidden layers. layers: linear ones, at least 2. halo: pixels around the middle one, >= 1.
    """

    def __init__(self, width: int = WIDTH, layers: int = LAYERS, halo: int = HALO) -> None:
        super().__init__()
        for name, value, least in (("width", width, 1), ("layers", layers, 2), ("halo", halo, 1)):
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name} {value!r}: must be a whole number of at least {least}")
        self.sizes = {"width": width, "layers": layers, "halo": halo}
        self.halo = halo
        sizes = [(2 * halo + 1) ** 2, *[width] * (layers - 1), ZOOM**2]
        self.layers = nn.ModuleList(nn.Linear(i, o) for i, o in itertools.pairwise(sizes))

    def forward(self, differences: Tensor) -> Tensor:
        """(n, k * k), what is around a pixel minus that pixel -> (n, 4): its fine pixels minus that pixel."""
        x = differences
        for layer in self.layers[:-1]:
            x = F.relu(layer(x), inplace=True)
        made: Tensor = self.layers[-1](x)
        return made

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one window."""
        return sum(layer.weight.numel() for layer in self.layers if isinstance(layer, nn.Linear))

    @property
    def numbers(self) -> int:
        """Numbers read and written by the layers for one window."""
        layers = [layer for layer in self.layers if isinstance(layer, nn.Linear)]
        return sum(layer.in_features + layer.out_features for layer in layers)


def seen(fine: Tensor, noise: float = 0.0, dice: torch.Generator | None = None) -> Tensor:
    """What the coarse camera sees of fine (F, 2S, 2S): (F, S, S) in 256 shades. noise: its spread."""
    coarse = F.avg_pool2d(fine[:, None], ZOOM)[:, 0]
    if noise:
        coarse = coarse + noise * torch.randn(coarse.shape, generator=dice)
    return (coarse * SHADES).round().clamp(0, SHADES) / SHADES


def check(frame: Tensor) -> None:
    """ValueError where `frame` is no finite (S, S), S a multiple of PATCH."""
    if frame.ndim != 2 or frame.shape[0] != frame.shape[1] or frame.shape[0] % PATCH:
        raise ValueError(f"frame of shape {tuple(frame.shape)}: must be (S, S), S a multiple of {PATCH}")
    if not math.isfinite(float(frame.sum())):  # one pass: a NaN or an infinity stays in the sum
        raise ValueError("frame: some pixels are not finite")


def think(net: Enhancer, frame: Tensor, which: Tensor, picture: Tensor, by: Moves | None = None) -> None:
    """Compute the patches `which` (n,) of frame (S, S), packed, and put them into picture (2S, 2S)."""
    by = by or moves()
    by.paste(net(by.pack(frame, which, net.halo)), frame, which, picture)


@torch.inference_mode()
def dense(net: Enhancer, frame: Tensor) -> Tensor:
    """The whole frame: (S, S) -> (2S, 2S)."""
    check(frame)
    picture = torch.empty(ZOOM * frame.shape[0], ZOOM * frame.shape[0])
    think(net, frame.contiguous(), torch.arange((frame.shape[0] // PATCH) ** 2), picture)
    return picture


@torch.inference_mode()
def convolved(net: Enhancer, frame: Tensor) -> Tensor:
    """The same by convolutions, (S, S) -> (2S, 2S): the other way to do a whole frame, to compare with."""
    check(frame)
    x, k = padded(frame[None], net.halo)[None], 2 * net.halo + 1
    first, *others = (layer for layer in net.layers if isinstance(layer, nn.Linear))
    middle = frame[None, None]
    y = F.conv2d(x, first.weight.view(-1, 1, k, k), first.bias)
    y = y - first.weight.sum(1).view(1, -1, 1, 1) * middle  # the differences to the middle pixel
    for layer in others:
        y = F.conv2d(F.relu(y, inplace=True), layer.weight[:, :, None, None], layer.bias)
    return F.pixel_shuffle(middle + y, ZOOM)[0, 0]


@dataclass(frozen=True)
class Step:
    """One frame done. picture (2S, 2S); done (G, G) bool: patches that were thought about."""

    picture: Tensor
    done: Tensor


class Dynamic:
    """A stream enhanced patch by patch: those that changed are computed together, the others are kept.

    threshold: the largest change (of 0..1) that a patch may ignore; at 0 the result is that of `dense`.
    margin: how far around a patch changes count, 0 to the halo (None: all of it, and threshold 0 is exact).
    most: patches a frame at most (None: no limit); the most changed go first, the others wait, still marked.
    A patch's changes are added up until it is computed, so that slow ones are not missed. by: the version of
    the moves (None: the quicker one that there is).
    """

    def __init__(
        self,
        net: Enhancer,
        threshold: float = 0.0,
        margin: int | None = None,
        most: int | None = None,
        by: Moves | None = None,
    ) -> None:
        margin = net.halo if margin is None else margin
        if not 0 <= threshold < 1:
            raise ValueError(f"threshold {threshold!r}: must be from 0 to less than 1")
        if not 0 <= margin <= net.halo:
            raise ValueError(f"margin {margin!r}: must be from 0 to the halo, {net.halo}")
        if most is not None and most < 1:
            raise ValueError(f"most {most!r}: must be at least 1, or None")
        self.net, self.threshold, self.margin, self.most = net, threshold, margin, most
        self.by = by or moves()
        self.forget()

    def forget(self) -> None:
        """Back to the beginning: the next frame is computed whole."""
        self._before: Tensor | None = None  # (S, S): the last frame
        self._picture = self._missed = torch.empty(0)  # (2S, 2S); (G, G): changes since a patch was computed

    @torch.inference_mode()
    def step(self, frame: Tensor) -> Step:
        """The next frame (S, S), of the same size as those before. ValueError for another, or a NaN in it."""
        check(frame)
        frame, grid, before = frame.contiguous(), frame.shape[0] // PATCH, self._before
        if before is None:
            return self._whole(frame)
        if frame.shape != before.shape:
            raise ValueError(f"frame of {frame.shape[0]} pixels: those before had {before.shape[0]}")
        self.by.look(frame, before, self._missed, self.margin)
        chosen = self._missed > self.threshold
        which = chosen.view(-1).nonzero()[:, 0]
        if self.most is not None and len(which) > self.most:
            which = self._missed.view(-1).topk(self.most).indices
            chosen = torch.zeros_like(chosen).view(-1).index_fill_(0, which, True).view_as(chosen)
        if len(which) > ALL * grid**2:
            return self._whole(frame)
        if len(which):
            think(self.net, frame, which, self._picture, self.by)
            self._missed.view(-1).index_fill_(0, which, 0.0)
        return Step(self._picture.clone(), chosen)

    def _whole(self, frame: Tensor) -> Step:
        grid = frame.shape[0] // PATCH
        self._before, self._picture, self._missed = (
            frame.clone(),
            dense(self.net, frame),
            torch.zeros(grid, grid),
        )
        return Step(self._picture.clone(), torch.ones(grid, grid, dtype=torch.bool))


def psnr(truth: Tensor, made: Tensor) -> float:
    """Peak signal-to-noise ratio in dB, the peak being 1: over all frames together. Equal ones: infinity."""
    error = float((truth.double() - made.double().clamp(0, 1)).square().mean())
    return math.inf if error == 0 else -10 * math.log10(error)


def files(seed: int, folder: Path | None = None) -> tuple[Path, Path]:
    """Where the weights and the card of the network of `seed` lie."""
    weights = (folder or FOLDER) / f"enhance-{seed}.safetensors"
    return weights, weights.with_suffix(".json")


def load(seed: int = 0, folder: Path | None = None) -> Enhancer:
    """The shipped network of `seed`, 0 to 2. ValueError names a file that is missing or changed."""
    weights, sheet = files(seed, folder)
    for file in (weights, sheet):
        if not file.is_file():
            raise ValueError(f"{file}: missing; `neurolab train enhance` makes it")
    try:
        card: dict[str, Any] = json.loads(sheet.read_text(encoding="utf-8"))
        net, wanted = Enhancer(**card["model"]), card["sha256"]
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{sheet}: not a card ({error!r})") from error
    if (found := hashlib.sha256(weights.read_bytes()).hexdigest()) != wanted:
        raise ValueError(
            f"{weights}: changed or truncated (SHA-256 {found[:12]}, the card says {wanted[:12]})"
        )
    try:
        net.load_state_dict(load_file(weights))
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{weights}: not the weights of this network ({error})") from error
    return net.eval()
