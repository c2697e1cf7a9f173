"""ORT format: what ONNX Runtime reads on phones and microcontrollers, and which operators it needs for it.

The file holds the graph as ONNX Runtime would have rewritten it when loading (fused, constants folded), in a
format that needs no protobuf. Beside it lies required_operators.config: a build of ONNX Runtime with
`--include_ops_by_config` holds these operators alone, which is how ONNX Runtime Mobile is made small. The
graph is rewritten up to the level "extended", whose results run on every processor; the level above lays the
numbers out for the processor at hand.

ONNX Runtime no longer rewrites such a file when it loads it, so it can't protect 8-bit sums on an x86
processor without VNNI either (`onnx_file.EXACT`); the weights' codes are therefore kept to 7 bits, where none
overflows.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from torch import nn

from neurolab.export import onnx_file
from neurolab.export.decoder import Step

FILE, OPERATORS = "model.ort", "required_operators.config"


def convert(source: Path, target: Path) -> None:
    """Write the .ort of an .onnx file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.optimized_model_filepath = str(target)
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])


def required(file: Path, target: Path) -> dict[str, list[str]]:
    """Write the operators that an .ort file needs, and give them by their domain and opset.

    The format is that of ONNX Runtime's reduced-operator builds: domain;opset;operator,operator,...
    """
    import logging

    from onnxruntime.tools.ort_format_model import create_config_from_models

    logging.getLogger("ort_format_model.utils").setLevel(logging.WARNING)  # its import sets it to INFO
    create_config_from_models([file], target, False)
    lines = [line for line in target.read_text(encoding="utf-8").splitlines() if ";" in line]
    kept = [line for line in lines if not line.startswith("#")]
    target.write_text(
        "# The operators that model.ort needs: domain;opset;operators\n" + "\n".join(kept) + "\n",
        encoding="utf-8",
    )
    parts = [line.split(";") for line in kept]
    return {f"{domain};{opset}": names.split(",") for domain, opset, names in parts}


def export(decoder: nn.Module, folder: Path, precision: str = "fp32") -> dict[str, Any]:
    """Write model.ort and required_operators.config into `folder`. ValueError for int4_unpacked."""
    if precision == onnx_file.UNPACKED:
        raise ValueError(f"precision {precision!r}: the ORT format has no tensors of 4-bit numbers")
    made = onnx_file.model(decoder, precision, reduced=True)
    with tempfile.TemporaryDirectory() as room:
        source = Path(room) / onnx_file.FILE
        source.write_bytes(made.SerializeToString(deterministic=True))
        convert(source, folder / FILE)
    return {"operators": required(folder / FILE, folder / OPERATORS)}


def open(folder: Path) -> Step:
    """The step of the folder's model.ort, in ONNX Runtime on one thread."""
    return onnx_file.step_of(onnx_file.open_file(folder, FILE))
