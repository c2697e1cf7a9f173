"""What the six orders came to: kept runs compared, as rows and as tables. Nothing is trained here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from neurolab import measurements, order_statistics
from neurolab.measurements import Measurement
from neurolab.orders import CONTROL, ORDERS, RUNS, SUBJECTS, TOGETHER, Budget

NAMES = {"P": "prune", "Q": "quantize", "D": "distil"}


def summary(model: str, runs: Sequence[Measurement]) -> dict[str, Any]:
    """Figures of the row compression.order from rows compression.order_run of this model, all seeds alike.

    The range is that of exact match, in points, between the six orders (`order_statistics.compare`); the same
    of the loss under loss_... Lists go by `orders`, the six and then the two yardsticks. ValueError where an
    order lacks a seed that another has.
    """
    loss = SUBJECTS[model].loss
    table = {(r.setting["order"], r.setting["seed"]): r.figures for r in runs if r.setting["model"] == model}
    seeds = sorted({seed for _, seed in table})
    if gaps := [f"{o} of seed {s}" for s in seeds for o in RUNS if (o, s) not in table] or not seeds:
        raise ValueError(f"runs of {model}: {gaps if seeds else 'none'} missing; the sweep makes them")

    def grid(figure: str, of: Sequence[str]) -> np.ndarray:
        return np.array([[table[order, seed][figure] for order in of] for seed in seeds], dtype=float)

    points, bits = 100 * grid("exact_match", RUNS), grid(loss, RUNS)
    six = len(ORDERS)
    control = points[:, -1]
    return {
        **order_statistics.compare(points[:, :six]),
        **{f"loss_{key}": value for key, value in order_statistics.compare(bits[:, :six]).items()},
        "orders": list(RUNS),
        "exact_match": (points / 100).mean(0),
        "exact_match_sd": (points / 100).std(0, ddof=1),
        "loss": bits.mean(0),
        "loss_sd": bits.std(0, ddof=1),
        "exact_match_drop_points": grid("exact_match_drop_points", RUNS).mean(0),
        "exact_match_drop_from_control_points": (control[:, None] - points).mean(0),
        "bytes": grid("bytes", RUNS[:-1]).mean(0),
        "zeros": grid("zeros", RUNS[:-1]).mean(0),
        "seeds": len(seeds),
    }


def summarise(model: str, budget: Budget, store: Path | None = None) -> dict[str, Any]:
    """`summary` of the kept runs of this budget: the reader's own or, where there is none, the shipped one.

    store: look there alone. ValueError where runs are missing.
    """
    runs: dict[tuple[str, int], Measurement] = {}
    for place in (measurements.shipped(), measurements.own()) if store is None else (store,):
        for row in measurements.read("compression.order_run", store=place, model=model, **asdict(budget)):
            runs[row.setting["order"], row.setting["seed"]] = row
    return summary(model, list(runs.values()))


def table(compared: Measurement) -> list[dict[str, Any]]:
    """One entry a run from a row compression.order, the six orders first: for a table or a chart.

    Keys: order, said ("prune, quantize, distil"), exact_match, exact_match_sd, loss, loss_sd,
    exact_match_drop_points, exact_match_drop_from_control_points, bytes (None for the control).
    """
    figures = compared.figures
    said = {TOGETHER: "all at once", CONTROL: "none (float, as many steps)"}
    keys = (
        "exact_match",
        "exact_match_sd",
        "loss",
        "loss_sd",
        "exact_match_drop_points",
        "exact_match_drop_from_control_points",
    )
    sizes = [*figures["bytes"], None]
    return [
        {
            "order": order,
            "said": said.get(order) or ", ".join(NAMES[stage] for stage in order),
            **{key: figures[key][i] for key in keys},
            "bytes": sizes[i],
        }
        for i, order in enumerate(figures["orders"])
    ]


def last_stage(compared: Measurement) -> dict[str, float]:
    """Mean exact match of the two orders that end with each stage, {"prune": ..., ...}, from the same row."""
    by: dict[str, list[float]] = {}
    for order, match in zip(compared.figures["orders"], compared.figures["exact_match"], strict=True):
        if order in ORDERS:
            by.setdefault(NAMES[order[-1]], []).append(match)
    return {stage: sum(found) / len(found) for stage, found in by.items()}
