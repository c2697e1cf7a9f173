"""Models that were compressed by `neurolab compress`, of random weights, which the rows say: compress.model.

Each row: bytes, ratio_vs_fp32, cosine of the outputs (mean over tokens, and the least), compress_seconds on
one thread, the peak of memory in a process of its own (`neurolab.own_peak`), and the coder. Rows of precision
"int8_onnx": the int8 graph beside the file, its latency against the float32 graph in ONNX Runtime, paired.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from neurolab.sweep import Job

MODELS = {
    "BERT-base sized": ("bert", "bert-base", {"int8": 1.5, "int4": 3.0, "int8_onnx": 2.5}),
    "small BERT-like": ("bert", "small", {"int8": 0.5, "int4": 0.5, "int8_onnx": 0.5}),
    "small GPT-2-like": ("gpt2", "small", {"int8": 0.5, "int4": 0.5, "int8_onnx": 0.5}),
    "small Llama-like": ("llama", "small", {"int8": 0.5, "int4": 0.5, "int8_onnx": 0.5}),
}
"""Family, size, and about how many minutes each precision takes."""
ENOUGH = 100e6
"""Bytes of a model from which on its peak is a row's: a smaller one's is a fixed few megabytes of work."""
MEMORY = ("peak_bytes", "peak_over_model", "largest_layer_ratio")
LEFT = ("file", "model", "precision", "layers", "skipped", "cosine_by_block", "calibration", "sparsity")
"""Of the report, what is no figure of a row."""


def compressed(family: str, size: str, precision: str) -> dict[str, Any]:
    """The figures of one row."""
    from neurolab import own_file, own_folder, own_model, own_peak
    from neurolab.own_random import make
    from neurolab.own_timing import compare

    with tempfile.TemporaryDirectory() as room:
        folder = make(family, Path(room) / "model", size=size)
        out = Path(room) / "model.nlab"
        if precision == "int8_onnx":
            own_model.compress(folder, out, precision="int8", run=False)
            read = own_folder.read(folder)
            found = compare(read, own_file.Reader(out), Path(room) / "model.onnx", own_model.LENGTH)
            found["ratio_vs_fp32"] = read.float_bytes / found["onnx_bytes"]
            found["onnx_floating"] = len(found["onnx_floating"])
        else:
            found = own_peak.measure(folder, out, precision)
            of_matrices = [layer["error"] for layer in found["layers"] if layer["kind"] == "linear"]
            found["compress_seconds"] = found.pop("seconds")
            found["largest_error"] = max(of_matrices)
            if found["float_bytes"] < ENOUGH:
                found = {name: value for name, value in found.items() if name not in MEMORY}
    return {name: value for name, value in found.items() if name not in LEFT}


def jobs() -> list[Job]:
    """Every row of this module."""
    return [
        Job(
            "compress.model",
            {"model": model, "precision": precision, "weights": "random"},
            partial(compressed, family, size, precision),
            minutes,
            8,
        )
        for model, (family, size, precisions) in MODELS.items()
        for precision, minutes in precisions.items()
    ]
