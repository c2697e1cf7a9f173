"""Training to a size: quantization-aware training in which every code has its price.

Between the steps of the optimiser each weight is moved a little towards the cheaper of the two codes it lies
between, in proportion to what it would save in bits (at most 3: a tensor of zeros would otherwise never find
its way back). How hard it is pushed is set by a controller, so that the codes' entropy falls in a line
to the size wanted during the first two fifths of the training, and stays there.

Before that, whole parts are taken out (`structure`): at so few bits, half the weights with twice the bits
each hold more than all of them.

Source: entropy as a training target, Wiedemann et al., 2020 (their EC2T assigns codes by cost, as in
rate-distortion optimisation; here the weights themselves drift).
"""

from __future__ import annotations

import copy
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from neurolab import qat, structure, tuning
from neurolab.entropy_grid import best_steps, matrices, round_norm
from neurolab.facts import Question
from neurolab.quantized import Coded, Tensors, float_bytes
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
class Plan:
    """One training to a size: take parts out, train what is left in floats, then train it under a price.

    ratio: how many times smaller than the float file.  kept: layers, heads a layer, channels that stay.
    floats, steps: steps of the two trainings.  batch, rate: as in `tuning.tune`.
    """

    name: str
    ratio: float
    kept: tuple[int, int, int]
    floats: int
    steps: int
    batch: int = 128
    rate: float = 0.004


PLANS = (
    Plan("qat18", 18.0, (3, 5, 640), 400, 700),
    Plan("qat28", 28.0, (2, 4, 576), 500, 1000),  # fewer weights with more bits beat more with fewer
)
REST = 4500  # bytes of the file that are no codes of matrices: norms, tables, header
ABOVE = 0.1  # bits a weight that the first codes cost more than the last ones shall
SENSED = 0.3  # how far the first steps follow the tensors' sensitivities; 0: their standard deviations


@torch.no_grad()
def begin(model: Transformer, steps: Mapping[str, float], target: float) -> Transformer:
    """A copy of `model` with grids on its matrices, their first steps between sigma and `entropy_grid`'s.

    All steps are scaled so that the codes cost about target + ABOVE bits a weight: twice the step is one bit.
    """
    made = qat.fake_quantize(copy.deepcopy(model), "grid", granularity="tensor")
    found = [(name, *qat.quantizer(module)) for name, module in qat.weights(made)]  # type: ignore[misc]
    count = sum(W.numel() for _, _, W in found)
    for name, fake, W in found:
        mixed = SENSED * math.log(steps[name]) + (1 - SENSED) * math.log(float(W.std()))
        fake.log_step.fill_(mixed)
    for _ in range(3):
        over = qat.code_bits(made) / count - (target + ABOVE)
        for _, fake, _ in found:
            fake.log_step.add_(math.log(2) * over)
    return made


@torch.no_grad()
def tensors_of(model: Transformer) -> Tensors:
    """What goes into the file: the codes, and the norms as 8-bit codes."""
    return {name: x if isinstance(x, Coded) else round_norm(x) for name, x in qat.coded(model).items()}


def smaller(model: Transformer, plan: Plan, seed: int) -> Transformer:
    """`model` without the parts that it misses least, trained on in floats for plan.floats steps."""
    sample = [tuning.training_rows(128, 0).at(i) for i in range(8)]
    found = structure.importance(model, sample, "measured").plan(*plan.kept)
    made = structure.smaller(model, found)
    tuning.tune(
        made,
        steps=plan.floats,
        seed=seed,
        batch=plan.batch,
        rate_matrices=plan.rate,
        rate_rest=plan.rate / 2,
    )
    return made


def train(
    model: Transformer,
    tokenizer: Any,
    questions: Sequence[Question],
    plan: Plan,
    seed: int,
    folder: Path,
) -> Transformer:
    """`model` trained to the size of `plan`, its FakeQuants on. questions: for the tensors' sensitivities.

    The float network between the two trainings, and the result, are kept in `folder`, and used again if they
    were made in the same way.
    """
    path = folder / f"{plan.name}-{seed}.safetensors"
    meta = {"plan": json.dumps(asdict(plan)), "seed": str(seed)}
    half = _kept(path.with_suffix(".float.safetensors"), meta)
    config = replace(model.config, layers=plan.kept[0], heads=plan.kept[1], hidden=plan.kept[2])
    config = replace(config, head=model.config.head_size)
    if half is None:
        small = smaller(model, plan, seed)
        _keep(small, path.with_suffix(".float.safetensors"), meta)
    else:
        small = Transformer(config)
        small.load_state_dict(half)
    count = sum(w.numel() for w in matrices(small).values())
    target = 8 * (float_bytes() / plan.ratio - REST) / count
    made = begin(small, {name: float(w.std()) for name, w in matrices(small).items()}, target)
    done = _kept(path, meta)
    if done is not None:
        made.load_state_dict(done)
        return made.eval()
    steps, _ = best_steps(small.eval(), tokenizer, questions)
    made = begin(small, steps, target)
    tuning.tune(
        made,
        steps=plan.steps,
        seed=seed + 1000,  # other batches than the float training had
        batch=plan.batch,
        rate_matrices=plan.rate,
        rate_rest=plan.rate / 2,
        before=Price(made, target, plan.steps),
    )
    _keep(made, path, meta)
    return made.eval()


def _kept(path: Path, meta: Mapping[str, str]) -> dict[str, Tensor] | None:
    """The tensors in `path`, if they were made as `meta` says."""
    if not path.is_file():
        return None
    with safe_open(path, framework="pt") as file:
        if file.metadata() != meta:
            return None
        return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)


def _keep(model: nn.Module, path: Path, meta: dict[str, str]) -> None:
    """Write a network; a crash leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    save_file({key: x.contiguous() for key, x in model.state_dict().items()}, new, metadata=meta)
    os.replace(new, path)


def about(plan: str, seed: int, steps: int) -> dict[str, Any]:
    """What a shipped file says about itself."""
    return {"made by": "neurolab sweep compression", "plan": plan, "seed": seed, "steps": steps}
