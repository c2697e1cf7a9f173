"""Claim E1's chain on the digits and on the assistant: rows compression.chain."""

from __future__ import annotations

from functools import partial

from neurolab import chain
from neurolab.sweep import Job

MINUTES = {"float": 0.3, "int8": 0.5, "pruned": 2.5, "distilled": 5.0}  # of the assistant
DIGITS = 0.1


def jobs() -> list[Job]:
    """A row for each model, step and seed; what nothing is trained for has one seed on the assistant."""
    made = []
    for model, seeds in chain.SEEDS.items():
        for step in chain.steps_of(model):
            fixed = model == "assistant" and step in ("float", "int8")
            for seed in list(seeds)[:1] if fixed else seeds:
                setting = {
                    "model": model,
                    "step": step,
                    "seed": seed,
                    "steps": chain.TUNING[model],
                    "zeros": chain.ZEROS,
                    "bits": chain.BITS,
                }
                make = partial(chain.run, model, step, seed, chain.TUNING[model])
                minutes = DIGITS if model == "digits" else MINUTES[step]
                made.append(Job("compression.chain", setting, make, minutes, 5))
    return made
