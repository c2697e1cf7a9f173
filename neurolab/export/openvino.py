"""OpenVINO: Intel's runtime, with its weights rounded by NNCF (the extra `openvino`).

OpenVINO reads our ONNX graph with all its dynamic sizes and keeps it as two files: model.xml, the graph in
words, and model.bin, the weights. NNCF's `compress_weights` rounds weights alone, after training and without
data: activations stay floats in the file. How they are multiplied is the runtime's choice, and the processor
plugin has two that change results:

    INFERENCE_PRECISION_HINT           f32 here. Left alone, a processor with bfloat16 units computes in it.
    DYNAMIC_QUANTIZATION_GROUP_SIZE    its default rounds activations to 8 bits in front of rounded weights,
                                       a scale for so many numbers; 0 keeps them floats.

Left at its default, the second is what an owner of such a machine gets, so it is what we compare.

NNCF reports each call to a statistics server, without being asked; NNCF_CI stops it, so we set that first.

Sources: OpenVINO 2026.4 and NNCF 3.4, documentation and sources.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from neurolab.export import onnx_file
from neurolab.export.decoder import Step

XML, BIN = "model.xml", "model.bin"
GROUP = 32
"""Weights of one scale, at 4 bits."""
SETTINGS: dict[str, Any] = {
    "INFERENCE_PRECISION_HINT": "f32",
    "INFERENCE_NUM_THREADS": 1,
    "NUM_STREAMS": 1,
    "PERFORMANCE_HINT": "LATENCY",
}


def export(decoder: nn.Module, folder: Path, precision: str) -> dict[str, Any]:
    """Write model.xml and model.bin into `folder`.

    precision: fp32; int8 (weights, a scale and a zero point for each output); int4 (the same for each group
    of GROUP weights, embeddings included). ValueError for another.
    """
    if precision not in ("fp32", "int8", "int4"):
        raise ValueError(f"precision {precision!r}: OpenVINO is exported as fp32, int8 or int4")
    import openvino

    model = openvino.Core().read_model(onnx_file.graph(decoder).SerializeToString())  # type: ignore[arg-type]
    if precision != "fp32":
        model = _rounded(model, precision)
    _name(model)
    openvino.save_model(model, str(folder / XML), compress_to_fp16=False)
    return {"openvino": openvino.__version__.split("-")[0]}


def _rounded(model: Any, precision: str) -> Any:
    """The model with the weights of its matrices and tables rounded by NNCF."""
    os.environ["NNCF_CI"] = "1"
    import nncf

    modes = nncf.CompressWeightsMode
    how: dict[str, Any] = {"mode": modes.INT8_ASYM}
    if precision == "int4":
        how = {"mode": modes.INT4_ASYM, "group_size": GROUP, "ratio": 1.0, "all_layers": True}
    logger = logging.getLogger("nncf")  # prints tables of what is rounded to how many bits
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return nncf.compress_weights(model, **how)
    finally:
        logger.setLevel(before)


def _name(model: Any) -> None:
    """Number the operations in their order: OpenVINO counts on from one model of a process to the next."""
    for i, operation in enumerate(model.get_ordered_ops()):
        kind = operation.get_type_name()
        if re.fullmatch(rf"{kind}_\d+", operation.get_friendly_name()):
            operation.set_friendly_name(f"{kind}_{i}")


def compiled(xml: Path, **settings: Any) -> Any:
    """The model, compiled for this processor: one thread, in float32 where nothing is rounded.

    settings: of OpenVINO's processor plugin, beside or instead of SETTINGS.
    """
    import openvino

    return openvino.Core().compile_model(str(xml), "CPU", {**SETTINGS, **settings})


def step_of(model: Any) -> Step:
    """The step that a compiled model runs; it owns the arrays that it gives back."""
    request = model.create_infer_request()  # copies what it gives back

    def step(ids: np.ndarray, cache: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = request.infer({"ids": ids, "cache": cache})
        return found["logits"], found["new_cache"]

    return step


def open(folder: Path) -> Step:
    """The step of the folder's model."""
    return step_of(compiled(folder / XML))
