"""Rows of chapter 4, without training: rounding and GPTQ at every width, and four ways to calibrate."""

from __future__ import annotations

from functools import partial
from typing import Any

from neurolab import assistant, calibration, ptq, quantized
from neurolab.quantization import encode
from neurolab.sweep import Job

BITS = (8, 6, 5, 4, 3, 2, 1.58)
GRANULARITIES = ("tensor", "channel", "group32")
SEEDS = (0, 1, 2)  # of the questions that GPTQ looks at
COARSE = (("tensor", "rtn"), ("channel", "rtn"), ("channel", "gptq"))
EVERY = 4  # of the held-out questions


def rounding(bits: float, method: str, granularity: str, scales: str, seed: int) -> dict[str, Any]:
    """compression.ptq: the assistant rounded without training, as a file and in its answers."""
    helper = assistant.load()
    if method == "rtn":
        tensors = ptq.rtn(helper.model, bits, granularity, scales)
    else:
        asked = ptq.calibration_questions(seed)
        tensors = ptq.gptq(helper.model, helper.tokenizer, asked, bits, granularity, scales)
    return quantized.figures(quantized.put(helper.model, tensors), tensors, every=EVERY)


def compared(found: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Figures of compression.calibration from the scores by method."""
    right = {method: scores["exact_match"] for method, scores in found.items()}
    return {
        "worst_over_best_drop_points": 100 * (max(right.values()) - min(right.values())),
        "best": max(right, key=lambda method: right[method]),
        **{f"exact_match_{method}": value for method, value in right.items()},
        **{f"bits_per_answer_byte_{m}": scores["bits_per_answer_byte"] for m, scores in found.items()},
        "percentile": calibration.PERCENTILE,
    }


def weights(bits: int, granularity: str) -> dict[str, Any]:
    """compression.calibration of weights: matrices rounded to nearest, the clip chosen in four ways."""
    model, found = assistant.load().model, {}
    for method in calibration.METHODS:
        ranges = calibration.ranges(method, bits)
        tensors = {
            name: encode(p, bits, granularity, ranges=ranges)
            for name, p in model.named_parameters()
            if p.ndim == 2
        }
        found[method] = quantized.scores(quantized.put(model, tensors), EVERY)
    return compared(found)


def activations(bits: int) -> dict[str, Any]:
    """compression.calibration of activations: weights stay float; what each matrix is given is rounded."""
    helper, found = assistant.load(), {}
    seen = calibration.activations(helper.model, helper.tokenizer, ptq.calibration_questions())
    for method in calibration.METHODS:
        reach = {
            site: calibration.calibrate(numbers, method, bits, affine=True) for site, numbers in seen.items()
        }
        with calibration.rounded_activations(helper.model, reach, bits):
            found[method] = quantized.scores(helper.model, EVERY)
    return compared(found)


def jobs() -> list[Job]:
    """All rows of this module."""
    made = []
    for bits in BITS:
        for granularity in GRANULARITIES:
            for method in ("rtn", "gptq"):
                if bits not in (2, 3, 4) and (granularity, method) not in COARSE:
                    continue  # where 5 bits and more lose nothing, finer steps have nothing to show
                for seed in SEEDS if (method, granularity, bits) == ("gptq", "channel", 3) else SEEDS[:1]:
                    make = partial(rounding, bits, method, granularity, "mse", seed)
                    setting = {"bits": bits, "method": method, "granularity": granularity, "scales": "mse"}
                    made.append(Job("compression.ptq", {**setting, "seed": seed}, make, 0.7))
    for bits in (8, 4, 3):
        setting = {"bits": bits, "granularity": "tensor", "what": "weights"}
        made.append(Job("compression.calibration", setting, partial(weights, bits, "tensor"), 1.5))
    for bits in (8, 6, 4):
        setting = {"bits": bits, "granularity": "tensor", "what": "activations"}
        made.append(Job("compression.calibration", setting, partial(activations, bits), 2))
    return made
