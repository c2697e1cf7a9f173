"""A tiny network that guesses, from pixels, where the video network would look.

Its teacher is the dense network: what the readout token looks at, averaged over blocks and heads, is a
distribution over the clip's tubelets, and the gate learns to give it from three numbers a tubelet. It has
seen no label. Sources: Rao et al., DynamicViT, NeurIPS 2021 (a learned choice of tokens); Hinton et al., 2015
(distillation). Shapes: B clips, F frames, S pixels, T = F / 2 slots, G = S / 8, N = T G G tubelets.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from neurolab import sparsity, video, video_net
from neurolab.video_net import VideoConfig, VideoTransformer

SLOTS = video.FRAMES // video.SLOT
LOOKED_AT = 3  # numbers a tubelet
WIDTH = 16
SEEDS = (0, 1, 2)
CLIPS, EPOCHS, BATCH, RATE = 1500, 40, 50, 0.01


def looked_at(frames: Tensor) -> Tensor:
    """frames (B, F, S, S) -> (B, 3 T, G, G), about 0 to 1: what the gate is told of each tubelet.

    How much it changes (`sparsity.change`, by its cube root, so that weak ones are seen too), how bright it
    is, and how far its brightest point stands out.
    """
    grid = frames.shape[-1] // video.PATCH
    changed = sparsity.change(frames).clamp(min=1e-9).pow(1 / 3).unflatten(1, (-1, grid, grid))
    still = frames[:, video.SLOT - 1 :: video.SLOT]  # one frame of each slot is enough to see what is there
    bright = sparsity.halved(still)
    level = bright.mean((2, 3), keepdim=True).clamp(min=1e-3)
    mean = F.avg_pool2d(bright, video.PATCH // 2) / level - 1
    most = F.max_pool2d(bright, video.PATCH // 2) / level - 1
    return torch.cat((changed, mean, most / 2), 1)


class Gate(nn.Module):
    """Two convolutions over the tubelets of all slots at once, 3 x 3 and 1 x 1; 2,000 weights or so."""

    def __init__(self) -> None:
        super().__init__()
        self.near = nn.Conv2d(LOOKED_AT * SLOTS, WIDTH, 3, padding=1)
        self.score = nn.Conv2d(WIDTH, SLOTS, 1)

    def rate(self, features: Tensor) -> Tensor:
        """(B, 3 T, G, G) -> (B, N): the logarithm of the attention expected, up to a constant."""
        return self.score(F.relu(self.near(features))).flatten(1)

    def forward(self, frames: Tensor) -> Tensor:
        """frames (B, F, S, S) -> scores (B, N), 0 to 1, 1 for a clip's strongest, as `sparsity.change` gives.

        Raises ValueError for frames of another number.
        """
        sparsity.check(frames)
        if frames.shape[1] != video.FRAMES:
            raise ValueError(f"frames: {frames.shape[1]} of them; the gate was made for {video.FRAMES}")
        rated = self.rate(looked_at(frames))
        return (rated - rated.amax(1, keepdim=True)).exp()


def macs(config: VideoConfig) -> int:
    """Multiply-adds of the two convolutions for one clip (`sparsity.change` and averages come on top)."""
    return config.grid**2 * (9 * LOOKED_AT * SLOTS * WIDTH + WIDTH * SLOTS)


@torch.no_grad()
def attention(net: VideoTransformer, frames: Tensor) -> Tensor:
    """(B, N), sums to 1: where the dense network's readout looks, averaged over blocks and heads."""
    tokens = video.tubelets(frames)
    x = net.embed(tokens, torch.arange(tokens.shape[1]))
    looks = torch.zeros(tokens.shape[:2])
    for i in range(net.config.layers):
        looks += net.attention_of_readout(i, x).mean(1)
        x = net.block(i, x)
    return looks / looks.sum(1, keepdim=True)


def lesson(net: VideoTransformer, seeds: Sequence[int], batch: int = 32) -> tuple[Tensor, Tensor]:
    """Features (M, 3 T, G, G) and the teacher's attention (M, N) for the training scenes of `seeds`."""
    if not seeds:
        raise ValueError("seeds: none given; must be at least one")
    features, targets = [], []
    for i in range(0, len(seeds), batch):
        frames = video.clips(seeds[i : i + batch], net.config.side).frames
        features.append(looked_at(frames))
        targets.append(attention(net, frames))
    return torch.cat(features), torch.cat(targets)


def surprise(gate: Gate, features: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of the gate's distribution against the teacher's, in nats: the loss."""
    return -(targets * gate.rate(features).log_softmax(1)).sum(1).mean()


def agreement(gate: Gate, features: Tensor, targets: Tensor, n: int = 32) -> float:
    """The share, 0 to 1, of the attention that the n best tubelets hold which the gate's n hold."""
    chosen = targets.gather(1, sparsity.keep_top(gate.rate(features), n)).sum(1)
    return float((chosen / targets.topk(n, 1).values.sum(1)).mean())


def distil(
    net: VideoTransformer, seed: int = 0, *, clips: int = CLIPS, epochs: int = EPOCHS, batch: int = BATCH
) -> tuple[Gate, list[float]]:
    """A gate taught by `net` on `clips` scenes that no network was trained on; and its loss, epoch by epoch.

    Deterministic by seed. ValueError for fewer than one clip, epoch or clip in a batch.
    """
    for name, value in (("clips", clips), ("epochs", epochs), ("batch", batch)):
        if value < 1:
            raise ValueError(f"{name} {value}: must be at least 1")
    first = 500_000_000 + 1_000_000 * seed
    features, targets = lesson(net, range(first, first + clips))
    random = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        gate = Gate()
    steps = epochs * -(-clips // batch)
    optimiser = torch.optim.Adam(gate.parameters(), RATE)
    cooling = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.02, steps)
    curve = []
    for _ in range(epochs):
        total = 0.0
        for rows in torch.randperm(clips, generator=random).split(batch):
            loss = surprise(gate, features[rows], targets[rows])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            cooling.step()
            total += loss.item() * len(rows)
        curve.append(round(total / clips, 5))
    return gate.eval(), curve


def ship(gate: Gate, seed: int, side: int, curve: Sequence[float], folder: Path | None = None) -> Path:
    """Keep the gate in `folder`, None for data/video/, beside the network that taught it."""
    path = video_net.weights("gate", seed, side)
    path = (folder or path.parent) / path.name
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in gate.state_dict().items()}, path)
    path.chmod(0o644)
    card = {"seed": seed, "side": side, "clips": CLIPS, "loss": list(curve)}
    path.with_suffix(".json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return path


def load(seed: int = 0, side: int = video.SIDE) -> Gate:
    """The gate distilled from the dense network of `seed`. FileNotFoundError that says how to make it."""
    path = video_net.weights("gate", seed, side)
    if not path.exists():
        raise FileNotFoundError(f"{path.name} is not in data/video; `neurolab train gate` makes it")
    gate = Gate()
    gate.load_state_dict(load_file(path))
    return gate.eval()


def course(seed: int, side: int = video.SIDE, folder: Path | None = None) -> Path:
    """Distil and keep the gate of `seed`: a minute."""
    torch.set_num_threads(1)
    gate, curve = distil(video_net.load("dense", seed, side), seed, clips=CLIPS, epochs=EPOCHS)
    return ship(gate, seed, side, curve, folder)


def everything_shipped(folder: Path | None = None) -> list[Path]:
    """`neurolab train gate`: a gate for every seed that has a dense network."""
    return [course(seed, folder=folder) for seed in SEEDS if video_net.weights("dense", seed).exists()]
