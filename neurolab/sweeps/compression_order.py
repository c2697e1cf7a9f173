"""The six orders of prune, quantize and distil: rows compression.order_run and compression.order."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

from neurolab import orders
from neurolab.sweep import Job

MINUTES = {"assistant": 3.0, "digits": 0.1}  # a run


def jobs() -> list[Job]:
    """A row a run, and for each model a row that compares them; that one comes last: it reads the others."""
    made = []
    for model, budget in orders.BUDGETS.items():
        setting = {"model": model, **asdict(budget)}
        for seed in orders.SEEDS[model]:
            for order in orders.RUNS:
                make = partial(orders.run, model, order, seed, budget)
                run = {**setting, "order": order, "seed": seed}
                made.append(Job("compression.order_run", run, make, MINUTES[model], 5))
        made.append(Job("compression.order", setting, partial(orders.summarise, model), 0.001, 5))
    return made
