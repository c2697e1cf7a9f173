"""The six orders of prune, quantize and distil: rows compression.order_run and compression.order."""

from __future__ import annotations

import time
from dataclasses import asdict
from functools import partial
from typing import Any

from neurolab import order_rows, orders
from neurolab.orders import Budget
from neurolab.sweep import Job

MINUTES = {"assistant": 2.5, "digits": 0.06}  # a run


def compare(model: str, budget: Budget, patience: float = 120.0) -> dict[str, Any]:
    """The comparison of the kept runs; waits up to `patience` seconds for those that another worker makes."""
    until = time.monotonic() + patience
    while True:
        try:
            return order_rows.summarise(model, budget)
        except ValueError:
            if time.monotonic() >= until:
                raise
            time.sleep(0.5)


def compared(name: str, model: str, budget: Budget) -> list[Job]:
    """A row a run, and one, called `name`, that compares them; it comes last, for it reads the others."""
    setting = {"model": model, **asdict(budget)}
    made = []
    for seed in orders.SEEDS[model]:
        for order in orders.RUNS:
            make = partial(orders.run, model, order, seed, budget)
            run = {**setting, "order": order, "seed": seed}
            made.append(Job("compression.order_run", run, make, MINUTES[model], 5))
    return [*made, Job(name, setting, partial(compare, model, budget), 0.001, 5)]


def jobs() -> list[Job]:
    """compression.order for each model (claim B2 reads it), compression.order_hard for the harder budget."""
    usual = [compared("compression.order", model, budget) for model, budget in orders.BUDGETS.items()]
    hard = [compared("compression.order_hard", model, budget) for model, budget in orders.HARD.items()]
    return [job for some in (*usual, *hard) for job in some]
