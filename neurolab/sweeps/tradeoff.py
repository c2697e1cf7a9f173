"""The trade-off over T x bits x sparsity: rows tradeoff.point, .energy (simulated) and .latency."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from neurolab import assistant, compressed, measurements, tradeoff
from neurolab.assistant import Assistant
from neurolab.sweep import Job, weights_hash
from neurolab.tradeoff import BITS, REAL, SPARSITIES, T_VALUES

TIMED = ((8, "int8"), (4, "int4"))
"""Bits -> the precision in which ONNX Runtime has kernels for them; others would be unpacked to floats."""
TIMED_SPARSITIES = (0.0, 0.5, 0.7)


def energy(T: int | str, bits: int, sparsity: float) -> dict[str, float]:
    """Figures of tradeoff.energy, from the counts of the point's row; without one the point is run again."""
    for store in (measurements.own(), measurements.shipped()):
        rows = measurements.read("tradeoff.point", store=store, **tradeoff.setting(T, bits, sparsity))
        if rows and rows[-1].figures.get("of") == weights_hash():
            return tradeoff.energies(rows[-1].figures["counts"])
    return tradeoff.energies(tradeoff.compute(T, bits, sparsity)["counts"])


@lru_cache(maxsize=2)
def _step(bits: int, sparsity: float, precision: str) -> Any:
    from neurolab.export import export, open_session

    helper = assistant.load()
    model = compressed.load(tradeoff.file(bits, sparsity)).model().eval() if bits else helper.model
    ours: Assistant = replace(helper, model=model)
    with tempfile.TemporaryDirectory() as room:
        folder = Path(room) / "export"
        export("onnx", precision, folder, assistant=ours, name=f"bits{bits}")
        return open_session(folder).run


def latency(bits: int, sparsity: float, precision: str) -> dict[str, float]:
    """Figures of tradeoff.latency: a token in ONNX Runtime with these weights, beside floats and 8 bits."""
    from neurolab.export import speed

    config = assistant.load().model.config
    this = _step(bits, sparsity, precision)
    others = {"fp32": _step(0, 0.0, "fp32"), "int8": _step(0, 0.0, "int8")}
    return speed.figures(this, config, "step", others)


def jobs() -> list[Job]:
    """Every row of this module; those of one file of weights follow each other: it stays in memory."""
    made = []
    for bits in BITS:
        for sparsity in SPARSITIES:
            for T in T_VALUES:
                setting = tradeoff.setting(T, bits, sparsity)
                make = partial(tradeoff.compute, T, bits, sparsity)
                made.append(Job("tradeoff.point", setting, make, 0.06, 8))
                make = partial(energy, T, bits, sparsity)
                setting = setting | {"energy": "model"}
                made.append(Job("tradeoff.energy", setting, make, 0.005, 8, "simulated"))
    for bits, precision in TIMED:
        for sparsity in TIMED_SPARSITIES:
            where = {"T": REAL, "bits": bits, "sparsity": sparsity}
            setting = {**where, "runtime": "onnx", "precision": precision, "what": "step"}
            made.append(Job("tradeoff.latency", setting, partial(latency, bits, sparsity, precision), 1.0, 8))
    return made
