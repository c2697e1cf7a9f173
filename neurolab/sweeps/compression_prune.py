"""Pruning and the smaller student: rows compression.prune, .prune_speed and .distill."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import torch

from neurolab import assistant, facts, measurements, pruned_speed, pruning, structure, tuning
from neurolab.quantized import figures
from neurolab.structure import Importance, Plan
from neurolab.sweep import Job
from neurolab.transformer import Config, Transformer

SPARSITIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
TUNED = (0.5, 0.7, 0.8, 0.9)
STEPS = 200  # of fine-tuning
RATE = 0.006  # of the matrices; the rest gets half of it
SEEDS = (0, 1, 2)
EVERY = 4  # of the held-out questions, in all rows but the goal's
GOAL = (2, 4, 576)  # layers, heads, channels kept: half the multiply-adds
GOAL_STEPS = 600  # of the goal's rows, and of long ones at 70 per cent
KEPT = {  # layers, heads, channels, by the name of the method
    "structured_heads": ((4, 4, 640), (4, 3, 640), (4, 2, 640), (4, 1, 640)),
    "structured_channels": ((4, 5, 480), (4, 5, 320), (4, 5, 160)),
    "structured_layers": ((3, 5, 640), (2, 5, 640), (1, 5, 640)),
    "structured": (GOAL, (2, 3, 288), (2, 2, 160)),
}
ALONE = ((4, 2, 640), (4, 5, 320), (3, 5, 640), (2, 5, 640))  # fine-tuned: one kind of part alone
STUDENT = Config(width=96, layers=3, heads=3, hidden=384)
STUDENT_STEPS = 700


@lru_cache(maxsize=1)
def big() -> Transformer:
    """The assistant's network."""
    return assistant.load().model


@lru_cache(maxsize=1)
def sample() -> list[assistant.Batch]:
    """The training rows that importance is measured on: 8 batches of 128."""
    rows = tuning.training_rows(128, 0)
    return [rows.at(i) for i in range(8)]


@lru_cache(maxsize=2)
def importance(kind: str = "measured") -> Importance:
    """How much the assistant's parts matter."""
    return structure.importance(big(), sample(), kind)


def plan(kept: tuple[int, int, int], kind: str = "measured") -> Plan:
    """What stays of the assistant: layers, heads, channels."""
    return importance(kind).plan(*kept)


def gone(kept: tuple[int, int, int]) -> float:
    """The share of the blocks' weights that is gone, to three digits."""
    c = Config()
    layers, heads, channels = kept
    left = layers * (4 * heads * c.head_size + 2 * channels)
    return round(1 - left / (c.layers * (4 * c.heads * c.head_size + 2 * c.hidden)), 3)


def from_control(found: dict[str, float], steps: int, seed: int) -> dict[str, float]:
    """Points of exact match behind the float control of as many steps, if its row is there; else nothing."""
    for store in (measurements.own(), measurements.shipped()):
        rows = measurements.read("compression.control", store=store, steps=steps, seed=seed)
        if rows:
            lost = 100 * (rows[-1].figures["exact_match"] - found["exact_match"])
            return {"exact_match_drop_from_control_points": lost}
    return {}


def _tune(model: Transformer, steps: int, seed: int, before: Callable[[int], None] | None = None) -> None:
    tuning.tune(
        model,
        steps=steps,
        seed=seed,
        teacher=big(),
        before=before,
        rate_matrices=RATE,
        rate_rest=RATE / 2,
    )


def unstructured(method: str, schedule: str, sparsity: float, steps: int, seed: int) -> dict[str, float]:
    """Figures of the assistant with `sparsity` of its blocks' weights gone, fine-tuned if steps > 0."""
    norms = pruning.input_norms(big(), sample()) if method == "wanda" else None
    before = None
    if schedule == "gradual":
        model = copy.deepcopy(big())
        before = pruning.Gradual(model, sparsity, stop=steps // 2, method=method, norms=norms).before
    else:
        model = pruning.prune(big(), sparsity, method, norms=norms)
    if steps:
        _tune(model, steps, seed, before)
    flat = pruning.plain(model.eval())
    found = figures(flat, every=EVERY)
    found |= {"zeros": pruning.zeros(flat)}
    return found | (from_control(found, steps, seed) if steps else {})


def structured(kept: tuple[int, int, int], kind: str, steps: int, seed: int) -> dict[str, float]:
    """Figures of the assistant with only `kept` (layers, heads, channels) left, fine-tuned if steps > 0."""
    model = structure.smaller(big(), plan(kept, kind))
    if steps:
        _tune(model, steps, seed)
    found = figures(model.eval(), every=1 if steps == GOAL_STEPS else EVERY)
    found |= pruned_speed.mac_ratios(big().config, model.config)
    found |= {"parameters": model.parameters_count()}
    return found | (from_control(found, steps, seed) if steps else {})


def zeros_speed(runtime: str, sparsity: float) -> dict[str, float]:
    """Figures of compression.prune_speed for unstructured zeros."""
    return pruned_speed.zeros_speed(big(), sparsity, runtime)


def structured_speed(runtime: str, kept: tuple[int, int, int]) -> dict[str, float]:
    """Figures of compression.prune_speed for a smaller model; its weights do not matter for the time."""
    return pruned_speed.smaller_speed(structure.smaller(big(), plan(kept)), big(), runtime)


def distil(steps: int, seed: int) -> dict[str, float]:
    """A small student trained from nothing, on hard labels and on the assistant's soft ones."""
    made: dict[str, float] = {}
    for name, soft in (("hard", 0.0), ("soft", 0.5)):
        torch.manual_seed(seed)
        student = Transformer(STUDENT)
        tuning.tune(
            student, steps=steps, seed=seed, teacher=big(), soft=soft, rate_matrices=0.008, rate_rest=0.004
        )
        asked = facts.split("held_out")[::EVERY]
        found = assistant.quick_scores(student.eval(), assistant.load().tokenizer, asked)
        made |= {f"{key}_{name}": value for key, value in found.items()}
    made["exact_match_gain_points"] = 100 * (made["exact_match_soft"] - made["exact_match_hard"])
    made["parameters"] = Transformer(STUDENT).parameters_count()
    return made


def _unstructured(method: str, schedule: str, sparsity: float, steps: int, seed: int) -> Job:
    setting = {
        "method": method,
        "schedule": schedule,
        "sparsity": sparsity,
        "tuned": steps > 0,
        "steps": steps,
        "seed": seed,
    }
    make = partial(unstructured, method, schedule, sparsity, steps, seed)
    return Job("compression.prune", setting, make, 0.3 + steps / 140, 5)


def _structured(
    method: str, kept: tuple[int, int, int], steps: int, seed: int, kind: str = "measured"
) -> Job:
    setting: dict[str, Any] = {
        "method": method,
        "schedule": "one_shot" if steps else "none",
        "sparsity": gone(kept),
        "tuned": steps > 0,
        "steps": steps,
        "seed": seed,
        **dict(zip(("layers", "heads", "channels"), kept, strict=True)),
        "importance": kind,
    }
    make = partial(structured, kept, kind, steps, seed)
    return Job("compression.prune", setting, make, 0.2 + steps / 230, 5)


def jobs() -> list[Job]:
    """Every row of this module."""
    made = [_unstructured(m, "none", s, 0, 0) for m in pruning.METHODS for s in SPARSITIES]
    for s in TUNED:
        made += [_unstructured("magnitude", how, s, STEPS, 0) for how in ("one_shot", "gradual")]
    made.append(_unstructured("wanda", "one_shot", 0.7, STEPS, 0))
    made.append(_unstructured("magnitude", "one_shot", 0.7, GOAL_STEPS, 0))
    for method, choices in KEPT.items():
        for kept in choices:
            made.append(_structured(method, kept, 0, 0))
            if kept in ALONE:
                made.append(_structured(method, kept, STEPS, 0))
    made += [_structured("structured", GOAL, GOAL_STEPS, seed) for seed in SEEDS]
    made.append(_structured("structured", GOAL, 0, 0, "taylor"))
    for runtime in pruned_speed.RUNTIMES:
        for s in (0.5, 0.7, 0.9):
            made.append(
                Job(
                    "compression.prune_speed",
                    {"runtime": runtime, "sparsity": s},
                    partial(zeros_speed, runtime, s),
                    0.5,
                    5,
                )
            )
        for kept in (*KEPT["structured"], *KEPT["structured_layers"][1:2]):
            setting = {"runtime": runtime, **dict(zip(("layers", "heads", "channels"), kept, strict=True))}
            made.append(
                Job("compression.prune_speed", setting, partial(structured_speed, runtime, kept), 0.5, 5)
            )
    for seed in SEEDS:
        setting = {"width": STUDENT.width, "layers": STUDENT.layers, "steps": STUDENT_STEPS, "seed": seed}
        made.append(Job("compression.distill", setting, partial(distil, STUDENT_STEPS, seed), 6.5, 5))
    return made
