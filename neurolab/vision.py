"""A network that makes pictures: it takes the noise out of a photograph. What do few bits cost there?

Six 3 x 3 convolutions say what is noise, and that is taken away (Zhang et al., 2017, both papers). Trained on
one photograph that scikit-learn ships (china.jpg), tested on the other (flower.jpg), both in grey: nothing
to download. Then weights and activations are rounded: weights with a step for each output channel, what
enters a convolution with one step, since it is never negative.

Pictures are (H, W) or (N, 1, H, W), float32, 0 black to 1 white. Quality is measured against the clean
photograph: PSNR in dB, and SSIM (Wang et al., 2004), 1 for the same picture. Keys are those of
``book/references.bib``.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from neurolab.paths import DATA
from neurolab.quantization import best_scales, check_bits, dequantize, quantize

FOLDER = DATA / "vision"
WEIGHTS, CARD = "denoiser.safetensors", "denoiser.json"
PHOTOGRAPHS = {"train": "china.jpg", "test": "flower.jpg"}
SIGMA = 25 / 255
"""Standard deviation of the noise."""
WIDTH = 16
DILATIONS = (1, 2, 3, 3, 2, 1)
"""How far apart a layer's nine pixels are: each pixel of the picture depends on 25 x 25 of what came in."""
GREY = (0.299, 0.587, 0.114)  # of red, green, blue: ITU-R BT.601
CROP = (slice(150, 246), slice(260, 356))
"""What an explorer shows of the test photograph: 96 x 96 pixels."""
RECIPE: dict[str, Any] = {"seed": 0, "steps": 3000, "batch": 8, "patch": 48, "rate": 0.003}


class VisionError(ValueError):
    """The image network's files are not what they should be; the message says which and why."""


@lru_cache(maxsize=2)
def _photograph(name: str) -> np.ndarray:
    from sklearn.datasets import load_sample_image

    return (load_sample_image(name).astype(np.float64) @ np.array(GREY) / 255).astype(np.float32)


def photograph(part: str = "test") -> Tensor:
    """The "train" or "test" photograph in grey: (427, 640), 0 to 1."""
    if part not in PHOTOGRAPHS:
        raise ValueError(f"part {part!r}: must be one of {', '.join(PHOTOGRAPHS)}")
    return torch.tensor(_photograph(PHOTOGRAPHS[part]))


def noisy(x: Tensor, dice: torch.Generator) -> Tensor:
    """x with normal noise of SIGMA, kept as a camera would: 256 shades from 0 to 1."""
    shaken = x + SIGMA * torch.randn(x.shape, generator=dice)
    return (shaken * 255).round().clamp(0, 255) / 255


class Denoiser(nn.Module):
    """x - convolutions(x): (N, 1, H, W) -> (N, 1, H, W), ReLU between the convolutions."""

    def __init__(self, width: int = WIDTH, dilations: Sequence[int] = DILATIONS) -> None:
        super().__init__()
        channels = [1, *[width] * (len(dilations) - 1), 1]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(i, o, 3, padding=d, dilation=d)
            for (i, o), d in zip(pairwise(channels), dilations, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """The picture without what is taken for noise."""
        h = x
        for i, convolution in enumerate(self.convolutions):
            h = convolution(F.relu(h) if i else h)
        return x - h


def train(steps: int | None = None, *, progress: bool = False) -> Denoiser:
    """A denoiser trained as RECIPE says (steps: fewer of them): a minute or two. Same seed, same weights."""
    from tqdm.auto import trange

    r = RECIPE | ({} if steps is None else {"steps": steps})
    dice, clean, P = torch.Generator().manual_seed(r["seed"]), photograph("train"), r["patch"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(r["seed"])
        model = Denoiser()
    optimiser = torch.optim.Adam(model.parameters(), lr=r["rate"])
    cooling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, r["steps"])
    for _ in trange(r["steps"], disable=not progress, desc="denoiser"):
        rows = torch.randint(clean.shape[0] - P + 1, (r["batch"],), generator=dice).tolist()
        columns = torch.randint(clean.shape[1] - P + 1, (r["batch"],), generator=dice).tolist()
        turns = torch.randint(4, (r["batch"],), generator=dice).tolist()
        cut = [clean[i : i + P, j : j + P].rot90(k) for i, j, k in zip(rows, columns, turns, strict=True)]
        contrast, shade = torch.rand(2, r["batch"], 1, 1, 1, generator=dice)
        target = shade + contrast * (
            torch.stack(cut).unsqueeze(1) - shade
        )  # as flat as skin, as steep as roofs
        loss = F.mse_loss(model(noisy(target, dice)), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        cooling.step()
    return model.eval()


def ship(folder: Path | None = None, *, steps: int | None = None, progress: bool = True) -> Path:
    """Train the denoiser and write its weights and card (`neurolab train vision`). Gives the folder."""
    folder = folder or FOLDER
    model = train(steps, progress=progress)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: p.detach().contiguous() for name, p in model.named_parameters()}, folder / WEIGHTS)
    figures = {part: quality(photograph(part), clean_up(model, scene(part))) for part in PHOTOGRAPHS}
    card = {
        "name": "the image network",
        "about": "Takes normal noise (standard deviation 25 of 255) out of a grey photograph.",
        "licence": "MIT (code and weights); photographs: CC BY, as scikit-learn states",
        "data": {"source": "scikit-learn, sklearn.datasets.load_sample_image", **PHOTOGRAPHS},
        "model": {
            "width": WIDTH,
            "dilations": DILATIONS,
            "parameters": sum(p.numel() for p in model.parameters()),
        },
        "recipe": RECIPE | ({} if steps is None else {"steps": steps}),
        "command": "neurolab train vision",
        "quality": figures,
        "sha256": {WEIGHTS: hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()},
    }
    (folder / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    return folder


def load(folder: Path | None = None) -> Denoiser:
    """The shipped denoiser. VisionError names a file that is missing, truncated or changed."""
    folder = folder or FOLDER
    path, sheet = folder / WEIGHTS, folder / CARD
    for file in (path, sheet):
        if not file.is_file():
            raise VisionError(f"{file}: missing; `neurolab train vision` makes it")
    try:
        card = json.loads(sheet.read_text(encoding="utf-8"))
        sizes, wanted = card["model"], card["sha256"][WEIGHTS]
        model = Denoiser(sizes["width"], sizes["dilations"])
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise VisionError(f"{sheet}: not a card ({error!r})") from error
    if (found := hashlib.sha256(path.read_bytes()).hexdigest()) != wanted:
        raise VisionError(f"{path}: changed or truncated (SHA-256 {found[:12]}, the card says {wanted[:12]})")
    try:
        model.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        raise VisionError(f"{path}: not the weights of this network ({error})") from error
    return model.eval()


# ---- fewer bits -----------------------------------------------------------------------------------------


class Rounded(nn.Module):
    """A convolution with codes for weights, (O, I, 3, 3), and, if it has a step, whole numbers for its input.

    y = s_w s_x conv(codes, round(x / s_x)) + b, the input's codes 0 to 2^bits - 1 (x below 0 gives 0).
    """

    def __init__(self, convolution: nn.Conv2d, bits: int, step: float | None) -> None:
        super().__init__()
        w = convolution.weight.detach()
        flat = w.reshape(len(w), -1)
        self.scales = best_scales(flat, bits)  # (O, 1)
        self.codes = quantize(flat, self.scales, bits).reshape(w.shape)
        self.weight = dequantize(self.codes.reshape(len(w), -1), self.scales).reshape(w.shape)
        assert convolution.bias is not None
        self.bias, self.bits, self.step = convolution.bias.detach().clone(), bits, step
        self.dilation = convolution.dilation[0]

    def input_codes(self, x: Tensor) -> Tensor:
        """Whole numbers, as float32, for the input x (N, I, H, W). ValueError where it is not rounded."""
        if self.step is None:
            raise ValueError("step None: only the weights of this convolution are rounded")
        return torch.clamp(torch.round(x / self.step), 0, 2**self.bits - 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, I, H, W) -> (N, O, H, W)."""
        if self.step is not None:
            x = self.input_codes(x) * self.step
        return F.conv2d(x, self.weight, self.bias, padding=self.dilation, dilation=self.dilation)


def best_step(x: Tensor, bits: int, candidates: int = 100) -> float:
    """The step for x >= 0 in codes 0 to 2^bits - 1: of 100 parts of the largest, the least squared error."""
    check_bits(bits)
    if not (torch.isfinite(x).all() and x.numel() and x.min() >= 0):
        raise ValueError("x: must hold at least one number, all of them finite and not below 0")
    top, most = float(x.max()) or 1.0, 2**bits - 1
    steps = [top * i / candidates / most for i in range(1, candidates + 1)]
    errors = [float((torch.clamp(torch.round(x / s), 0, most) * s - x).square().sum()) for s in steps]
    return steps[int(np.argmin(errors))]


@torch.inference_mode()
def few_bits(model: Denoiser, bits: int, *, activations: bool = True) -> Denoiser:
    """A copy with weights, and (activations) what enters each convolution, in `bits` bits, 2 to 8.

    Steps are calibrated on a part of the training photograph. Biases and the picture itself stay float.
    """
    check_bits(bits)
    rounded = copy.deepcopy(model)
    h = scene("train")[..., 100:300, 200:456]
    for i, convolution in enumerate(model.convolutions):
        h = F.relu(h) if i else h
        step = best_step(h.flatten()[::13], bits) if activations else None
        rounded.convolutions[i] = Rounded(convolution, bits, step)  # type: ignore[arg-type]
        h = convolution(h)
    return rounded


# ---- how good is the picture ----------------------------------------------------------------------------


def scene(part: str = "test", seed: int = 0) -> Tensor:
    """The noisy photograph that the network is given: (1, 1, 427, 640). Noise by seed."""
    return noisy(photograph(part)[None, None], torch.Generator().manual_seed(1000 + seed))


@torch.inference_mode()
def clean_up(model: nn.Module, x: Tensor) -> Tensor:
    """The picture (H, W) that the network makes of x (1, 1, H, W), kept within 0 and 1."""
    return model(x)[0, 0].clamp(0, 1)


def quality(clean: Tensor, picture: Tensor) -> dict[str, float]:
    """psnr (dB) and ssim of a picture (H, W) against the clean one, by scikit-image, its defaults."""
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    a, b = clean.double().numpy(), picture.double().numpy()
    return {
        "psnr": float(peak_signal_noise_ratio(a, b, data_range=1.0)),
        "ssim": float(structural_similarity(a, b, data_range=1.0)),
    }


def drop_percent(ssim: float, ssim_float: float) -> float:
    """Quality lost: how much lower SSIM is than the float network's, in percent of the latter."""
    return 100 * (ssim_float - ssim) / ssim_float


def measure(bits: int, seeds: int = 3) -> dict[str, Any]:
    """Figures of the row: means over `seeds` noises on the test photograph.

    psnr, ssim, quality_drop_percent (and its spread, smallest and largest): weights and activations in `bits`
    bits; `*_weights`: weights only; `*_float`: the network as trained; `*_noisy`: what it was given.
    """
    model, clean = load(), photograph()
    nets: dict[str, nn.Module] = {
        "_float": model, "": few_bits(model, bits), "_weights": few_bits(model, bits, activations=False),
        "_noisy": nn.Identity(),
    }  # fmt: skip
    found = {
        name: [quality(clean, clean_up(net, scene(seed=seed))) for seed in range(seeds)]
        for name, net in nets.items()
    }
    figures: dict[str, Any] = {"seeds": seeds}
    for name, each in found.items():
        figures |= {key + name: float(np.mean([one[key] for one in each])) for key in ("psnr", "ssim")}
    for name in ("", "_weights"):
        pairs = zip(found[name], found["_float"], strict=True)
        drops = [drop_percent(one["ssim"], best["ssim"]) for one, best in pairs]
        figures[f"quality_drop_percent{name}"] = float(np.mean(drops))
        figures[f"quality_drop_percent_range{name}"] = [min(drops), max(drops)]
        figures[f"psnr_drop_db{name}"] = figures["psnr_float"] - figures[f"psnr{name}"]
    return figures


@lru_cache(maxsize=32)
def _shown(bits: int, activations: bool) -> tuple[Tensor, dict[str, float]]:
    model = load()
    net = model if bits == 32 else few_bits(model, bits, activations=activations)
    picture = clean_up(net, scene())
    return picture, quality(photograph(), picture)


def shown(bits: int, activations: bool = True) -> dict[str, Any]:
    """For an explorer: part of the test photograph at `bits` bits (2 to 8, or 32 for float), (96, 96) uint8.

    picture, clean, noisy, float: shades 0 to 255.  psnr, ssim, quality_drop_percent: of the whole photograph.
    off: |picture - float| in shades.  It takes about a second a setting, then it is kept.
    """
    picture, found = _shown(bits, activations)
    best, wanted = _shown(32, True)
    parts = {"picture": picture, "clean": photograph(), "noisy": scene()[0, 0], "float": best}
    made: dict[str, Any] = {
        name: (part[CROP] * 255).round().to(torch.uint8).numpy() for name, part in parts.items()
    }
    made["off"] = np.abs(made["picture"].astype(int) - made["float"].astype(int)).astype(np.uint8)
    return made | found | {"quality_drop_percent": drop_percent(found["ssim"], wanted["ssim"]), "bits": bits}
