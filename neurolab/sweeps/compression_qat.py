"""Quantization-aware training at fixed widths: rows compression.qat, and the float control of equal steps."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

from neurolab import assistant, qat, qat_activations, tuning
from neurolab.quantized import figures
from neurolab.sweep import Job
from neurolab.sweeps.compression_headline import behind_control, control

STEPS, BATCH, RATE = 600, 128, 0.004
SHORT = 200  # steps of most trainings of chapter 5
TERNARY = 1.58  # log2(3), as the rows write it
KINDS: dict[float, qat.Kind] = {4: 4, 3: 3, 2: 2, TERNARY: "ternary", 1: "binary"}
SEEDS = (1, 2, 3)
SOFT = 0.5  # weight of the teacher's soft labels


def trained(bits: float, activations: int, seed: int, soft: float) -> dict[str, Any]:
    """Matrices to `bits`, inputs of linear layers to `activations` bits (32: floats), then STEPS steps."""
    helper = assistant.load()
    model = qat.fake_quantize(copy.deepcopy(helper.model), KINDS[bits])
    if activations < 32:
        rows = tuning.training_rows(BATCH, seed)
        qat_activations.quantize_activations(model, activations, [rows.at(i) for i in range(4)])
    tuning.tune(
        model,
        steps=STEPS,
        seed=seed,
        batch=BATCH,
        rate_matrices=RATE,
        rate_rest=RATE / 2,
        teacher=helper.model if soft else None,
        soft=soft,
    )
    tensors = qat.coded(model)
    used = model if activations < 32 else qat.plain(model)
    found = figures(used, tensors, every=2)
    return {**found, **behind_control(found["exact_match"], STEPS)}


def jobs() -> list[Job]:
    """The rows of this module."""
    wanted = [(bits, 32, seed, SOFT) for bits in KINDS for seed in SEEDS if bits == TERNARY or seed == 1]
    wanted += [(4, 8, 1, SOFT), (4, 4, 1, SOFT), (TERNARY, 32, 1, 0.0)]
    made = [
        Job(
            "compression.qat",
            {"bits": bits, "activations": activations, "soft": soft, "steps": STEPS, "seed": seed},
            partial(trained, bits, activations, seed, soft),
            STEPS / 110,
        )
        for bits, activations, seed, soft in wanted
    ]
    made += [
        Job(
            "compression.control",
            {"steps": steps, "seed": seed},
            partial(control, steps, seed, BATCH, RATE),
            steps / 170,
        )
        for steps in (STEPS, SHORT)
        for seed in SEEDS
    ]
    return made
