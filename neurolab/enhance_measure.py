"""What skipping is worth in `neurolab.enhance`: quality, time of each frame, operations and energy."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from neurolab import energy, video
from neurolab.benchmark import paired, tails
from neurolab.energy import Counts
from neurolab.enhance import PATCH, ZOOM, Dynamic, Enhancer, convolved, dense, psnr, seen

SCENES, LENGTH = 24, 64  # test scenes for the quality of the picture, frames of each
TIMED, TIMED_LENGTH = 3, 200  # and for the time
NEAR = 0.75 * video.DIGIT  # coarse pixels from the mover's centre: "where it moves"
BUSY = 1.5
VARIANTS = ("usual", "noise", "flicker", "jitter", "several", "still")


@dataclass(frozen=True)
class Stream:
    """coarse (F, S, S) is the input, fine (F, 2S, 2S) the truth, near (F, 2S, 2S) bool: around the mover."""

    coarse: Tensor
    fine: Tensor
    near: Tensor


def stream(seed: int, variant: str = "usual", length: int = LENGTH, split: str = "test") -> Stream:
    """The first `length` frames of a scene. In "noise" the camera is noisy, the truth is not."""
    shown = video.scene(seed, variant="usual" if variant == "noise" else variant, split=split)
    fine = shown.frames(0, length, zoom=ZOOM)
    noise = video.NOISE if variant == "noise" else 0.0
    pixel = (torch.arange(fine.shape[-1]) + 0.5) / ZOOM
    centre = torch.tensor([shown.centre(t) for t in range(length)])  # (F, 2)
    across = (pixel - centre[:, :1]).abs() < NEAR  # (F, 2S)
    down = (pixel - centre[:, 1:]).abs() < NEAR
    return Stream(
        seen(fine, noise, torch.Generator().manual_seed(seed)), fine, down[:, :, None] & across[:, None]
    )


def bicubic(coarse: Tensor) -> Tensor:
    """(F, S, S) -> (F, 2S, 2S) without any network: what it must beat."""
    return F.interpolate(coarse[:, None], scale_factor=ZOOM, mode="bicubic", align_corners=False)[:, 0]


def quality(net: Enhancer, make: Callable[[], Dynamic], streams: Sequence[Stream]) -> dict[str, Any]:
    """PSNR in dB over all frames of `streams`, dense and dynamic, and what was computed.

    psnr_near*: only around the mover, where there was something to do. worst_frame_drop_db: the largest loss
    of a single frame. patches_a_frame: mean number of patches computed, tokens_kept_percent: as a share.
    """
    truths, denses, dynamics, nears, done, drops = [], [], [], [], [], []
    for each in streams:
        run = make()
        for frame, fine in zip(each.coarse, each.fine, strict=True):
            step, best = run.step(frame), dense(net, frame)
            done.append(step.done.float().mean().item())
            denses.append(best)
            dynamics.append(step.picture)
            drops.append(psnr(fine, best) - psnr(fine, step.picture))
        truths.append(each.fine)
        nears.append(each.near)
    truth, near = torch.cat(truths), torch.cat(nears)
    made, best = torch.stack(dynamics), torch.stack(denses)
    patches = (streams[0].coarse.shape[-1] // PATCH) ** 2
    found = {
        "psnr": psnr(truth, made),
        "psnr_dense": psnr(truth, best),
        "psnr_bicubic": psnr(truth, torch.cat([bicubic(each.coarse) for each in streams])),
        "psnr_near": psnr(truth[near], made[near]),
        "psnr_near_dense": psnr(truth[near], best[near]),
        "worst_frame_drop_db": max(drops),
        "largest_difference": float((made - best).abs().max()),
        "tokens_kept_percent": 100 * float(np.mean(done)),
        "patches_a_frame": patches * float(np.mean(done)),
        "patches": patches,
        "frames": len(done),
    }
    found["psnr_drop_db"] = found["psnr_dense"] - found["psnr"]
    found["psnr_near_drop_db"] = found["psnr_near_dense"] - found["psnr_near"]
    return found


def patches_a_frame(make: Callable[[], Dynamic], streams: Sequence[Stream]) -> float:
    """How many patches are computed for a frame of `streams`, in the mean."""
    done: list[float] = []
    for each in streams:
        run = make()
        done += [float(run.step(frame).done.sum()) for frame in each.coarse]
    return float(np.mean(done))


def quicker(net: Enhancer, frame: Tensor) -> Callable[[Enhancer, Tensor], Tensor]:
    """The quicker of two ways to do a whole frame: one product over all pixels, or convolutions."""
    found = paired(lambda: convolved(net, frame), lambda: dense(net, frame), pairs=11)
    return convolved if found.median > 1 else dense


def speed(net: Enhancer, make: Callable[[], Dynamic], streams: Sequence[Stream]) -> dict[str, Any]:
    """Single frames, dynamic and dense (the quicker way) in turns: what `benchmark.Tails` tells.

    The first frame of each stream, of which nothing can be skipped, is among them. wall_over_cpu: how much
    longer a dense frame took than it computed. On a busy machine long calls are interrupted and short ones
    not, which flatters the short: from BUSY on, such a ratio means nothing.
    """
    frames = [(i == 0, frame) for each in streams for i, frame in enumerate(each.coarse)]
    whole, run = quicker(net, frames[0][1]), make()

    def packed(i: int) -> None:
        new, frame = frames[i]
        if new:
            run.forget()
        run.step(frame)

    computing = []
    for _ in range(9):
        start = time.thread_time()
        whole(net, frames[0][1])
        computing.append(time.thread_time() - start)
    found: dict[str, Any] = dict(tails(packed, lambda i: whole(net, frames[i][1]), len(frames)).figures())
    found["wall_over_cpu"] = found["milliseconds_dense"] / (1e3 * float(np.median(computing)))
    return found | {"dense_by": whole.__name__, "timed": len(frames)}


def counts(net: Enhancer, patches: float, side: int = video.SIDE, *, gate: bool, once: bool = True) -> Counts:
    """What a frame of `side` pixels costs with so many patches computed (a mean may be no whole number).

    The pixels of a frame go through a layer together, so each weight is fetched once a frame (never where
    nothing is computed); once=False: again for each pixel. A layer's numbers are written once, read once.
    gate: a difference and a comparison for each pixel of each patch with its halo (both read), what the
    computed patches saw written down, the rest of the last picture read and handed on.
    """
    if not 0 <= patches <= (side // PATCH) ** 2:
        raise ValueError(f"patches {patches!r}: must be from 0 to {(side // PATCH) ** 2}")
    pixels, width = patches * PATCH**2, PATCH + 2 * net.halo
    moved = pixels * net.numbers
    compared = 0
    if gate:
        compared = (side // PATCH) ** 2 * width**2
        moved += 2 * compared + patches * width**2 + 2 * (side**2 - pixels) * ZOOM**2
    return Counts(
        tokens=1,
        mac_fp32=pixels * net.macs + compared,
        compare_int32=compared,
        weight_bytes=4 * net.macs * (min(1.0, patches) if once else pixels),
        activation_bytes=4 * moved,
        synapses=side**2 * net.macs,
    )


def energies(net: Enhancer, patches: float, side: int = video.SIDE) -> dict[str, float]:
    """Energy of a frame by the model of `neurolab.energy`, simulated: dense over dynamic, by operations.

    patches: how many are computed in the mean. energy_ratio_each_use: weights fetched for each pixel anew.
    """
    every = (side // PATCH) ** 2
    found = {}
    for name, once in (("energy_ratio", True), ("energy_ratio_each_use", False)):
        whole = counts(net, every, side, gate=False, once=once)
        found[name] = energy.ratio(whole, counts(net, patches, side, gate=True, once=once))
    return found | {"energy_saved_percent": 100 * (1 - 1 / found["energy_ratio"])}
