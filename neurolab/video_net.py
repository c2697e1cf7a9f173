"""A small Transformer that watches a clip: which digit moves, and where is it?

Tubelets (2 frames x 8 x 8 pixels; Arnab et al., *ViViT*, 2021) become tokens; a readout token in front
gathers the answer (Dosovitskiy et al., 2021). The network takes any choice of the tokens: those that are not
chosen are never computed. Shapes: B clips, F frames, S pixels, N tubelets, n of them kept, D width, H heads,
E = D / H.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from neurolab import video
from neurolab.paths import DATA


@dataclass(frozen=True)
class VideoConfig:
    """Sizes of the network. side: pixels along an edge of its frames, a multiple of 8, 128 at most."""

    frames: int = video.FRAMES
    side: int = video.SIDE
    width: int = 128
    layers: int = 4
    heads: int = 4
    hidden: int = 256
    classes: int = 10

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} {value!r}: must be a whole number of at least 1")
        if self.width % self.heads:
            raise ValueError(f"width {self.width}: must be a multiple of heads ({self.heads})")
        if self.side % video.PATCH or self.side > LARGEST:
            raise ValueError(f"side {self.side}: must be a multiple of {video.PATCH}, {LARGEST} at most")

    @property
    def grid(self) -> int:
        """Tubelets along an edge."""
        return self.side // video.PATCH

    @property
    def tokens(self) -> int:
        """N, tubelets of a clip."""
        return self.frames // video.SLOT * self.grid**2


LARGEST = 128  # pixels: rows and columns of places that have a position


class Seen(NamedTuple):
    """digit (B, 10): scores of the classes; centre (B, 2): x, y of the mover in the last frame, in pixels."""

    digit: Tensor
    centre: Tensor


class Block(nn.Module):
    """x + attention(norm1(x)), then x + W2 gelu(W1 norm2(x)); every token may look at every other."""

    def __init__(self, config: VideoConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.norm1 = nn.LayerNorm(config.width)
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)
        self.norm2 = nn.LayerNorm(config.width)
        self.up = nn.Linear(config.width, config.hidden)
        self.down = nn.Linear(config.hidden, config.width)

    def split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, L, D) -> queries, keys, values, each (B, H, L, E)."""
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return q, k, v

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """x (B, L, D) -> the same; mask (B, 1, 1, L) bool: which tokens may be looked at."""
        y = F.scaled_dot_product_attention(*self.split(x), attn_mask=mask)  # (B, H, L, E)
        x = x + self.out(y.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class VideoTransformer(nn.Module):
    """Frames in, `Seen` out."""

    def __init__(self, config: VideoConfig) -> None:
        super().__init__()
        self.config = config
        self.patch = nn.Linear(video.NUMBERS, config.width)
        self.time = nn.Parameter(torch.randn(config.frames // video.SLOT, config.width) * 0.02)
        self.row = nn.Parameter(torch.randn(LARGEST // video.PATCH, config.width) * 0.02)
        self.column = nn.Parameter(torch.randn(LARGEST // video.PATCH, config.width) * 0.02)
        self.readout = nn.Parameter(torch.randn(config.width) * 0.02)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.digit = nn.Linear(config.width, config.classes)
        self.point = nn.Linear(config.width, config.width)  # where: a query over the tokens
        self.offset = nn.Linear(config.width, 2)
        nn.init.zeros_(self.offset.weight)

    def _where(self, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """places (...,) -> slot, row and column of these tubelets."""
        grid = self.config.grid
        return places // grid**2, places // grid % grid, places % grid

    def embed(self, tokens: Tensor, places: Tensor) -> Tensor:
        """tokens (B, n, 128) that lie at places (B, n) or (n,) of 0..N-1 -> (B, 1 + n, D), readout first."""
        slot, row, column = self._where(places)
        x = self.patch(tokens) + (self.time[slot] + self.row[row] + self.column[column])
        return torch.cat((self.readout.expand(len(x), 1, -1), x), dim=1)

    def block(self, i: int, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Block i of 0..layers-1 on x (B, 1 + n, D); mask (B, N) bool keeps the tokens that count."""
        if mask is not None:
            mask = F.pad(mask, (1, 0), value=True)[:, None, None]  # (B, 1, 1, 1 + N)
        made: Tensor = self.blocks[i](x, mask)
        return made

    def read(self, x: Tensor, places: Tensor, mask: Tensor | None = None) -> Seen:
        """The answer from x (B, 1 + n, D): classes from the readout, the centre by pointing at tokens."""
        x = self.norm(x)
        said, tokens = x[:, 0], x[:, 1:]
        score = (tokens @ self.point(said)[:, :, None])[..., 0] / self.config.width**0.5  # (B, n)
        if mask is not None:
            score = score.masked_fill(~mask, -torch.inf)
        _, row, column = self._where(places)
        middles = (torch.stack((column, row), -1) + 0.5) * video.PATCH  # (B, n, 2) or (n, 2), pixels
        pointed = (score.softmax(-1)[..., None] * middles).sum(-2)  # (B, 2)
        return Seen(self.digit(said), pointed + video.PATCH * self.offset(said))

    def attention_of_readout(self, i: int, x: Tensor) -> Tensor:
        """(B, H, n): what the readout token looks at in block i; sums to 1 with its look at itself."""
        q, k, _ = self.blocks[i].split(x)  # type: ignore[operator]
        return (q[:, :, :1] @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)[:, :, 0, 1:]

    def check(self, frames: Tensor) -> None:
        """ValueError where `frames` are not (B, F, S, S) of this network's sizes, or not finite."""
        wanted = (self.config.frames, self.config.side, self.config.side)
        if frames.ndim != 4 or frames.shape[1:] != wanted:
            raise ValueError(
                f"frames of shape {tuple(frames.shape)}: must be (B, {', '.join(map(str, wanted))})"
            )
        if not torch.isfinite(frames).all():
            raise ValueError("frames: some pixels are not finite")

    def forward(self, frames: Tensor, keep: Tensor | None = None, mask: Tensor | None = None) -> Seen:
        """frames (B, F, S, S); keep (B, n): the tubelets to compute; or mask (B, N) bool: the same, hidden.

        With `keep`, tokens are gathered before anything is computed. With `mask` all are computed and those
        that are False are hidden from the others: the same answer, and none of the time saved.
        """
        if keep is not None and mask is not None:
            raise ValueError("keep and mask: give one of them")
        tokens = video.tubelets(frames)  # (B, N, 128)
        if keep is None:
            places = torch.arange(tokens.shape[1])
        else:
            places = keep
            tokens = tokens.gather(1, keep[..., None].expand(-1, -1, tokens.shape[-1]))  # (B, n, 128)
        x = self.embed(tokens, places)
        for i in range(self.config.layers):
            x = self.block(i, x, mask)
        return self.read(x, places, mask)


def macs(config: VideoConfig, tokens: int | Sequence[int] | None = None) -> dict[str, int]:
    """Multiply-adds of one clip by part, for `tokens` kept (a number, or one for each block; None: all)."""
    kept = [config.tokens if tokens is None else tokens] if not isinstance(tokens, Sequence) else list(tokens)
    if len(kept) == 1:
        kept *= config.layers
    if len(kept) != config.layers or not all(1 <= n <= config.tokens for n in kept):
        raise ValueError(f"tokens {tokens}: must be 1 to {config.tokens}, one number or {config.layers}")
    d = config.width
    return {
        "patches": kept[0] * video.NUMBERS * d,
        "projections": sum((1 + n) * 4 * d * d for n in kept),
        "attention": sum(2 * (1 + n) ** 2 * d for n in kept),
        "feed_forward": sum((1 + n) * 2 * d * config.hidden for n in kept),
        "readout": d * (config.classes + d + 2 + kept[-1]),
    }


def weights(name: str, seed: int = 0, side: int = video.SIDE) -> Path:
    """Where the weights called `name` lie."""
    return DATA / "video" / f"{name}-{side}-{seed}.safetensors"


def load(name: str = "dense", seed: int = 0, side: int = video.SIDE) -> VideoTransformer:
    """The trained network `name` (dense, dynamic, static) of `seed` for frames of `side` pixels.

    Raises FileNotFoundError that says how to train it.
    """
    path = weights(name, seed, side)
    if not path.exists():
        raise FileNotFoundError(f"{path.name} is not in data/video; `neurolab train video` makes it")
    net = VideoTransformer(VideoConfig(**json.loads(path.with_suffix(".json").read_text())["config"]))
    net.load_state_dict({k: v.float() for k, v in load_file(path).items()})
    return net.eval()
