"""Training the network of `neurolab.enhance`: under five minutes on one thread, until it stops improving."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from neurolab import video
from neurolab.enhance import ZOOM, Enhancer, dense, files, padded, psnr, seen
from neurolab.training import History, Schedule, fit

SEEDS = (0, 1, 2)
SCENES, CHECKED = 2000, 40  # training scenes, one frame of each; validation scenes
RATE = 3e-3  # Adam's
BATCH = 1024  # windows a step, from anywhere
SCHEDULE = Schedule(warmup=100, stay=4000, cool=2000, watch="psnr", least=0.03, patience=3)
EVERY = 500  # steps between two looks at the validation scenes
COMMAND = "neurolab train enhance"


def pairs(split: str, count: int) -> tuple[Tensor, Tensor]:
    """What the camera sees (count, S, S) and the truth (count, 2S, 2S): a frame each of the first scenes."""
    scenes = (video.scene(seed, split=split) for seed in range(count))
    fine = torch.cat([s.frames(7 * s.seed % 97, 1, zoom=2) for s in scenes])
    return seen(fine), fine


def train(
    seed: int = 0, *, steps: int | None = None, scenes: int = SCENES, progress: bool = False
) -> tuple[Enhancer, History]:
    """A network and its curve. steps: fewer than the full run. Same seed, same machine: the same weights."""
    coarse, fine = pairs("train", scenes)
    checked = pairs("validation", CHECKED)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Enhancer()
    order = torch.Generator().manual_seed(seed)

    side, k = coarse.shape[-1], 2 * net.halo + 1
    around = padded(coarse, net.halo).unfold(1, k, 1).unfold(2, k, 1)  # (B, S, S, k, k), a view
    wanted = fine.view(-1, side, ZOOM, side, ZOOM).transpose(2, 3)  # (B, S, S, 2, 2), a view

    def loss(model: nn.Module, step: int) -> Tensor:
        i = torch.randint(scenes, (BATCH,), generator=order)
        row, column = torch.randint(side, (2, BATCH), generator=order)
        middle = coarse[i, row, column, None]  # (BATCH, 1)
        made = model(around[i, row, column].flatten(1) - middle)  # (BATCH, 4)
        return F.mse_loss(middle + made, wanted[i, row, column].flatten(1))

    def evaluate(model: nn.Module) -> dict[str, float]:
        made = torch.stack([dense(net, frame) for frame in checked[0]])
        return {"psnr": psnr(checked[1], made)}

    optimiser = torch.optim.Adam(net.parameters(), lr=RATE)
    history = fit(
        net, loss, [optimiser], SCHEDULE, evaluate=evaluate, every=EVERY, progress=progress, stop_after=steps
    )
    return net.eval(), history


def ship(
    folder: Path | None = None,
    *,
    seeds: tuple[int, ...] = SEEDS,
    steps: int | None = None,
    scenes: int = SCENES,
    progress: bool = True,
) -> list[Path]:
    """Train a network for each seed; write weights and card (`neurolab train enhance`). Gives the weights."""
    made = []
    for seed in seeds:
        net, history = train(seed, steps=steps, scenes=scenes, progress=progress)
        weights, card = files(seed, folder)
        weights.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: p.detach().contiguous() for name, p in net.named_parameters()}, weights)
        weights.chmod(0o644)
        text: dict[str, Any] = {
            "about": "Video at twice the resolution: the fine pixels of a coarse one from what is around it.",
            "licence": "MIT (code and weights)",
            "model": net.sizes,
            "parameters": sum(p.numel() for p in net.parameters()),
            "recipe": {"seed": seed, "steps": history.step, "scenes": scenes, "batch": BATCH, "rate": RATE},
            "seconds": round(history.cpu_seconds, 1),
            "curve": history.evaluations,
            "command": COMMAND,
            "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        }
        card.write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")
        made.append(weights)
    return made
