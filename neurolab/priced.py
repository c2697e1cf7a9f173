"""Training to a size: quantization-aware training in which every code has its price.

Between the steps of the optimiser each weight is moved a little towards the cheaper of the two codes it lies
between, in proportion to what it would save in bits (at most 3: a tensor of zeros would otherwise never find
its way back). How hard it is pushed is set by a controller, so that the codes' entropy falls in a line
to the size wanted during the first two fifths of the training, and stays there.

Source: entropy as a training target, Wiedemann et al., 2020 (their EC2T assigns codes by cost, as in
rate-distortion optimisation; here the weights themselves drift).
"""

from __future__ import annotations

import copy
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from neurolab import qat, tuning
from neurolab.entropy_grid import round_norm
from neurolab.quantized import Coded, Tensors
from neurolab.transformer import Transformer

FALLING = 0.4  # of the steps
MOST_SLOPE = 3.0  # bits


class Price:
    """The push towards cheaper codes; `price(step)` is called before each step of the training.

    target: entropy in bits a weight, the mean over all coded weights, to be reached at FALLING x steps.
    """

    def __init__(self, model: nn.Module, target: float, steps: int) -> None:
        if not target > 0:
            raise ValueError(f"target {target}: must be above 0 bits a weight")
        self.model, self.target, self.steps = model, target, steps
        self.weights = [
            (module, found) for _, module in qat.weights(model) if (found := qat.quantizer(module))
        ]
        self.count = sum(W.numel() for _, (_, W) in self.weights)
        self.scale = {id(module): float(W.detach().std()) for module, (_, W) in self.weights}
        self.start = self.bits()
        self.push = 0.0005

    def bits(self) -> float:
        """Entropy of the codes now, bits a weight."""
        return qat.code_bits(self.model) / self.count

    @torch.no_grad()
    def __call__(self, step: int) -> None:
        """Set the push by how far the entropy is from where it should be now, and push."""
        bits = self.bits()
        fallen = min(1.0, step / (FALLING * self.steps))
        over = bits - (self.start + (self.target - self.start) * fallen)
        self.push = min(max(self.push * math.exp(0.2 * over), 1e-5), 0.02)
        strength = self.push * math.exp(max(-6.0, min(20 * over, 2.0)))
        for module, _ in self.weights:
            fake, W = qat.quantizer(module)  # type: ignore[misc]
            u = (W.flatten(1) / fake.step()).clamp(fake.low, fake.high)
            below = torch.floor(u)
            bits_of = qat.price_list(torch.floor(u + 0.5), fake.low, fake.high)
            at = (below - fake.low + 1).long()
            saved = (bits_of[at + 1] - bits_of[at]).clamp(-MOST_SLOPE, MOST_SLOPE)
            W.sub_((strength * self.scale[id(module)] * saved).view_as(W))


@dataclass(frozen=True)
class Stage:
    """One training to a size. start: the stage that it goes on from ("": the float model).

    bits: entropy a weight wanted.  steps, batch, rate: as in `tuning.tune`.
    """

    name: str
    start: str
    bits: float
    steps: int
    batch: int = 128
    rate: float = 0.004


STAGES = (
    Stage("qat18", "", 1.75, 700),
    Stage("thin", "qat18", 1.115, 1000),
    Stage("qat28", "thin", 1.165, 1200),  # about the same size: few bits want to be learned twice
)
FIRST = 1.2  # times the steps that `begin` mixes
SENSED = 0.3  # how far the first steps follow the tensors' sensitivities; 0: their standard deviations


@torch.no_grad()
def begin(model: Transformer, steps: Mapping[str, float]) -> Transformer:
    """A copy of `model` with grids on its matrices, their first steps between sigma and `entropy_grid`'s."""
    made = qat.fake_quantize(copy.deepcopy(model), "grid", granularity="tensor")
    for name, module in qat.weights(made):
        fake, W = qat.quantizer(module)  # type: ignore[misc]
        mixed = SENSED * math.log(steps[name]) + (1 - SENSED) * math.log(float(W.std()))
        fake.log_step.fill_(math.log(FIRST) + mixed)
    return made


@torch.no_grad()
def tensors_of(model: Transformer) -> Tensors:
    """What goes into the file: the codes, and the norms as 8-bit codes."""
    return {name: x if isinstance(x, Coded) else round_norm(x) for name, x in qat.coded(model).items()}


def train(
    model: Transformer,
    steps: Mapping[str, float],
    name: str,
    seed: int,
    folder: Path,
    *,
    stages: tuple[Stage, ...] = STAGES,
    progress: bool = False,
) -> tuple[Transformer, int]:
    """`model` trained to the size of stage `name`, and how many steps that took in all.

    What earlier stages left in `folder` is used if it was made in the same way; an interrupted stage goes on
    from its checkpoint there. ValueError for a stage that there is not.
    """
    by_name = {stage.name: stage for stage in stages}
    if name not in by_name:
        raise ValueError(f"name {name!r}: must be one of {', '.join(by_name)}")
    stage = by_name[name]
    if stage.start:
        made, done = train(model, steps, stage.start, seed, folder, stages=stages, progress=progress)
    else:
        made, done = begin(model, steps), 0
    total = done + stage.steps
    path = folder / f"{name}-{seed}.safetensors"
    meta = {"stages": json.dumps([asdict(s) for s in stages[: stages.index(stage) + 1]]), "seed": str(seed)}
    if path.is_file():
        with safe_open(path, framework="pt") as file:
            if file.metadata() == meta:
                made.load_state_dict({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
                return made.eval(), total
    price = Price(made, stage.bits, stage.steps)
    tuning.tune(
        made,
        steps=stage.steps,
        seed=seed,
        batch=stage.batch,
        rate_matrices=stage.rate,
        rate_rest=stage.rate / 2,
        before=price,
        progress=progress,
    )
    folder.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    save_file({key: x.contiguous() for key, x in made.state_dict().items()}, new, metadata=meta)
    os.replace(new, path)
    return made.eval(), total


def about(stage: str, seed: int, steps: int) -> dict[str, Any]:
    """What a shipped file says about itself."""
    return {"made by": "neurolab sweep compression", "stage": stage, "seed": seed, "steps": steps}
