"""Video at twice the resolution: rows sparsity.enhance, .enhance_sweep, .enhance_stress and
.enhance_training."""

from __future__ import annotations

import json
from functools import lru_cache, partial
from typing import Any

import torch

from neurolab import enhance, enhance_measure
from neurolab.enhance import Dynamic, Enhancer
from neurolab.enhance_measure import SCENES, TIMED, TIMED_LENGTH, VARIANTS, Stream, stream
from neurolab.sweep import Job

SEEDS = (0, 1, 2)
METHODS: dict[str, dict[str, Any]] = {
    "dynamic": {"margin": 1},  # the least margin that lost under 0.1 dB on validation scenes
    "exact": {},
    "budget": {"margin": 1, "most": 64},  # a quarter of the patches
}
SWEPT = ((0.0, 3), (0.0, 2), (0.0, 1), (0.0, 0), (0.05, 1), (0.1, 1), (0.2, 1), (0.4, 1))  # threshold, margin
FEWER = 8  # scenes of a stress row or of the sweep


@lru_cache(maxsize=2)
def scenes(seed: int, variant: str, count: int, timed: bool) -> tuple[Stream, ...]:
    """Test scenes of `variant`, others for each seed: for quality, or (longer) for time."""
    first, length = 1000 * seed, TIMED_LENGTH if timed else enhance_measure.LENGTH
    return tuple(stream(s, variant, length) for s in range(first, first + count))


def figures(seed: int, variant: str, count: int, **how: Any) -> dict[str, Any]:
    """Quality, time and operations of `Dynamic(net, **how)` for the network of `seed`."""
    torch.set_num_threads(1)
    net: Enhancer = enhance.load(seed)
    found = enhance_measure.quality(net, partial(Dynamic, net, **how), scenes(seed, variant, count, False))
    found |= enhance_measure.speed(net, partial(Dynamic, net, **how), scenes(seed, variant, TIMED, True))
    if (busy := found["wall_over_cpu"]) > enhance_measure.BUSY:
        raise RuntimeError(f"the machine is too busy to time anything: frames took {busy:.1f} times as long")
    return found | {"macs_ratio": found["patches"] / max(found["patches_a_frame"], 1.0)}


def simulated(seed: int, method: str) -> dict[str, Any]:
    """Energy of the headline's rows, by the model: the share of patches computed is measured."""
    torch.set_num_threads(1)
    net = enhance.load(seed)
    how = METHODS[method]
    run = partial(Dynamic, net, **how)
    done = enhance_measure.patches_a_frame(run, scenes(seed, "usual", SCENES, False))
    return {"patches_a_frame": done, **enhance_measure.energies(net, done)}


def training(seed: int) -> dict[str, Any]:
    """The curve of a training, from its card: steps, PSNR on validation scenes (dB), seconds on one core."""
    card = json.loads(enhance.files(seed)[1].read_text(encoding="utf-8"))
    curve = [point["psnr"] for point in card["curve"]]
    return {
        "steps": [point["step"] for point in card["curve"]],
        "psnr": curve,
        "training_seconds": card["seconds"],
        "gain_of_last_half_db": max(curve[len(curve) // 2 :]) - max(curve[: len(curve) // 2]),
    }


def jobs() -> list[Job]:
    """Every row of this module."""
    made = []
    for seed in SEEDS:
        for method in ("dynamic", "exact"):
            setting: dict[str, Any] = {"method": method, "seed": seed}
            make = partial(figures, seed, "usual", SCENES, **METHODS[method])
            made.append(Job("sparsity.enhance", setting, make, 0.8, 6))
            setting = {"method": method, "seed": seed, "energy": "model"}
            made.append(
                Job("sparsity.enhance", setting, partial(simulated, seed, method), 0.2, 6, "simulated")
            )
        made.append(Job("sparsity.enhance_training", {"seed": seed}, partial(training, seed), 0.01, 6))
    for threshold, margin in SWEPT:
        setting = {"threshold": threshold, "margin": margin, "seed": 0}
        make = partial(figures, 0, "usual", FEWER, threshold=threshold, margin=margin)
        made.append(Job("sparsity.enhance_sweep", setting, make, 0.5, 6))
    for variant in VARIANTS[1:]:
        for method in METHODS:
            setting = {"variant": variant, "method": method, "seed": 0}
            make = partial(figures, 0, variant, FEWER, **METHODS[method])
            made.append(Job("sparsity.enhance_stress", setting, make, 0.5, 6))
    return made
