"""The chapter's four files (12x, 14x without training, 18x, 28x with it), three seeds, and the control."""

from __future__ import annotations

import copy
from dataclasses import asdict
from functools import lru_cache, partial
from typing import Any

import torch

from neurolab import assistant, compressed, entropy_grid, facts, measurements, priced, qat, quantized, tuning
from neurolab.paths import DATA, reader_folder
from neurolab.quantized import figures, float_bytes, put
from neurolab.sweep import Job
from neurolab.transformer import Transformer

SEEDS = (1, 2, 3)
CALIBRATED = 1500  # training questions
RATIOS = {"ptq12": 12.0, "ptq14": 14.0} | {plan.name: plan.ratio for plan in priced.PLANS}
SHIPPED = DATA / "compressed"


def questions(seed: int) -> list[facts.Question]:
    """The training questions that a seed calibrates on."""
    asked = facts.split("train")
    order = torch.randperm(len(asked), generator=torch.Generator().manual_seed(seed))
    return [asked[i] for i in order[:CALIBRATED].tolist()]


@lru_cache(maxsize=1)
def grids(seed: int) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """Steps by sensitivity, and H, of the assistant."""
    helper = assistant.load()
    return entropy_grid.best_steps(helper.model, helper.tokenizer, questions(seed))


def ship(name: str, seed: int, model: Transformer, tensors: quantized.Tensors, steps: int) -> None:
    """Write seed 1's file to data/compressed, for the chapters to open."""
    if seed == SEEDS[0]:
        SHIPPED.mkdir(exist_ok=True)
        path = SHIPPED / f"{name}.nlab"
        config = asdict(model.config)
        compressed.save(path, tensors, config=config, about=priced.about(name, seed, steps))
        path.chmod(0o644)


def rounded(target: str, seed: int) -> dict[str, Any]:
    """Without training: grids by sensitivity, error compensation, entropy coding."""
    helper = assistant.load()
    steps, hessians = grids(seed)
    tensors = entropy_grid.to_size(helper.model, steps, hessians, int(float_bytes() / RATIOS[target]))
    ship(target, seed, helper.model, tensors, 0)
    return {**figures(put(helper.model, tensors), tensors), "steps": 0}


def trained(plan: priced.Plan, seed: int) -> dict[str, Any]:
    """With parts taken out, and training to a size."""
    helper = assistant.load()
    folder = reader_folder() / "training" / "compression"
    model = priced.train(helper.model, helper.tokenizer, questions(seed), plan, seed, folder)
    tensors = priced.tensors_of(model)
    total = plan.floats + plan.steps
    small = qat.plain(model)
    ship(plan.name, seed, small, tensors, total)
    found = figures(put(small, tensors), tensors)
    parts = dict(zip(("layers", "heads", "channels"), plan.kept, strict=True))
    return {**found, **behind_control(found["exact_match"], total), "steps": total, **parts}


def behind_control(match: float, steps: int) -> dict[str, float]:
    """Points behind the float control of as many steps (mean of its seeds), if there is one."""
    for store in (measurements.own(), measurements.shipped()):
        rows = measurements.read("compression.control", store=store, steps=steps)
        if rows:
            mean = sum(row.figures["exact_match"] for row in rows) / len(rows)
            return {"exact_match_drop_from_control_points": 100 * (mean - match)}
    return {}


def control(steps: int, seed: int, batch: int = 128, rate: float = 0.004) -> dict[str, Any]:
    """The float assistant, trained for as many steps on the same batches."""
    model = copy.deepcopy(assistant.load().model)
    tuning.tune(model, steps=steps, seed=seed, batch=batch, rate_matrices=rate, rate_rest=rate / 2)
    return figures(model)


def jobs() -> list[Job]:
    """The rows of this module."""
    made = []
    for plan in priced.PLANS:
        total = plan.floats + plan.steps
        for seed in SEEDS:
            setting: dict[str, Any] = {"target": plan.name, "seed": seed}
            made.append(Job("compression.headline", setting, partial(trained, plan, seed), total / 150))
            setting = {"steps": total, "seed": seed}
            made.append(Job("compression.control", setting, partial(control, total, seed), total / 170))
    for target in ("ptq12", "ptq14"):
        for seed in SEEDS:
            setting = {"target": target, "seed": seed}
            made.append(Job("compression.headline", setting, partial(rounded, target, seed), 2.0))
    return made
