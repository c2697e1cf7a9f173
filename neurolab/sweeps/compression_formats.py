"""Rows about number formats: the example 0.75 -> 192, ResNet-50 in FP32, and pictures at fewer bits."""

from __future__ import annotations

from functools import partial
from typing import Any

from neurolab import resnet, vision
from neurolab.formats import encode, round_to, scales_for
from neurolab.sweep import Job

X, CODE = 0.75, 192
BITS = (8, 6, 5, 4, 3, 2)


def example() -> dict[str, Any]:
    """Codes of 0.75 at the usual steps, and the steps at which it is 192.

    code_at_scale_1_N: unsigned 8-bit.  code_signed_at_scale_1_N: signed 8-bit, -128 to 127.  code_affine:
    where -1 to 1 spans all 256 codes, zero point 128.  scale_smallest, scale_largest: round(0.75 / s) is 192
    from one to the other.  whole_scales: the N for which s = 1 / N lies there.  largest_at_scale_1_256: what
    code 255 stands for.
    """
    figures: dict[str, Any] = {}
    for n in (255, 256):
        figures[f"code_at_scale_1_{n}"] = int(encode(X, "UINT8", step=1 / n))
        figures[f"error_at_scale_1_{n}"] = abs(float(round_to(X, "UINT8", step=1 / n)) - X)
    for n in (127, 128, 256):
        figures[f"code_signed_at_scale_1_{n}"] = int(encode(X, "INT8", step=1 / n))
    figures["code_affine"] = int(encode(X, "INT8", step=2 / 255)) + 128
    smallest, largest = scales_for(X, CODE)
    figures |= {"scale_smallest": smallest, "scale_largest": largest, "largest_at_scale_1_256": 255 / 256}
    figures["code_of_1_at_scale_1_256"] = int(encode(1.0, "UINT8", step=1 / 256))
    figures["whole_scales"] = [n for n in range(1, 1025) if int(encode(X, "UINT8", step=1 / n)) == CODE]
    return figures


def jobs() -> list[Job]:
    """The rows: compression.example, compression.resnet, compression.vision and compression.vision_low."""
    found = [
        Job("compression.example", {"x": X, "code": CODE}, example, 0.01),
        Job("compression.resnet", {"side": resnet.SIDE, "counted": "in place"}, resnet.counts, 0.01),
    ]
    for bits in BITS:
        name = "compression.vision" if bits == 8 else "compression.vision_low"
        setting = {"bits": bits, "activations": bits, "granularity": "channel", "scales": "mse"}
        found.append(Job(name, setting, partial(vision.measure, bits), 0.2))
    return found
