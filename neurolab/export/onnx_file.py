"""ONNX: the decoder as one file that any ONNX runtime reads, with a cache that grows.

`torch.onnx.export(dynamo=True)` follows the step with symbolic sizes: batch, n and past are dynamic in one
file, so the prompt (past = 0) and a token (n = 1) are the same graph. Matrices are stored transposed, (in,
out), as MatMul takes them; the embedding serves as output matrix too and is stored once.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import torch

from neurolab.export.decoder import Decoder, Step, example

if TYPE_CHECKING:
    import onnx

FILE = "model.onnx"
INPUTS, OUTPUTS = ("ids", "cache"), ("logits", "new_cache")


@runtime_checkable
class BringsGraph(Protocol):
    """A decoder that knows its own ONNX model, such as `spiking_decoder.SpikingDecoder`."""

    def graph(self) -> onnx.ModelProto:
        """The model, with the inputs and outputs above."""
        ...


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's own deprecations and progress."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)


def graph(decoder: Decoder) -> onnx.ModelProto:
    """The decoder as an ONNX model in memory, float32, checked by ONNX's own checker.

    Inputs ids (batch, n), cache (layers, 2, batch, heads, past, head width); outputs logits, new_cache.
    """
    import onnx

    if isinstance(decoder, BringsGraph):
        return decoder.graph()
    dynamic = torch.export.Dim.DYNAMIC
    with _quiet():
        program = torch.onnx.export(
            decoder,
            example(decoder.config, n=3, past=2, batch=2),
            dynamo=True,
            dynamic_shapes={"ids": {0: dynamic, 1: dynamic}, "cache": {2: dynamic, 4: dynamic}},
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            verbose=False,
        )
    made: onnx.ModelProto = program.model_proto  # type: ignore[union-attr]
    _name_sizes(made)
    _name_matrices(made)
    onnx.checker.check_model(made)
    return made


def _name_sizes(made: onnx.ModelProto) -> None:
    """Call the dynamic sizes by their names."""
    for value in made.graph.input:
        dims = value.type.tensor_type.shape.dim
        named = {0: "batch", 1: "n"} if value.name == "ids" else {2: "batch", 4: "past"}
        for i, name in named.items():
            dims[i].dim_param = name
    for value in made.graph.output:
        dims = value.type.tensor_type.shape.dim
        for i, name in ({0: "batch"} if value.name == "logits" else {2: "batch", 4: "past + n"}).items():
            dims[i].dim_param = name
    del made.graph.value_info[:]  # shapes in the exporter's own symbols, which nobody needs


def _name_matrices(made: onnx.ModelProto) -> None:
    """Call the transposed matrices, in the order of the graph, by the layers that they belong to."""
    weights = {x.name: x for x in made.graph.initializer}
    found = [n for n in made.graph.node if n.op_type == "MatMul" and n.input[1] in weights]
    for i, node in enumerate(found):
        layer, part = divmod(i, 4)
        name = f"layers.{layer}.{('qkv', 'out', 'up', 'down')[part]}.weight"
        weights[node.input[1]].name = name
        node.input[1] = name
        node.name = name.removesuffix(".weight")


def export(decoder: Decoder, folder: Path, precision: str = "fp32") -> dict[str, Any]:
    """Write model.onnx into `folder`. ValueError for a precision other than fp32: `ort` has those."""
    if precision != "fp32":
        raise ValueError(f"precision {precision!r}: plain ONNX is exported as fp32; runtime 'ort' rounds it")
    made = graph(decoder)
    (folder / FILE).write_bytes(made.SerializeToString())
    return {"opset": made.opset_import[0].version}


def session(model: bytes | str, threads: int = 1, options: dict[str, str] | None = None) -> Any:
    """An ONNX Runtime session on the processor for a model's bytes or its path.

    options: entries of the session's configuration, by ONNX Runtime's names.
    """
    import onnxruntime

    chosen = onnxruntime.SessionOptions()
    chosen.intra_op_num_threads, chosen.inter_op_num_threads = threads, 1
    chosen.log_severity_level = 3
    for key, value in (options or {}).items():
        chosen.add_session_config_entry(key, value)
    return onnxruntime.InferenceSession(model, chosen, providers=["CPUExecutionProvider"])


def step_of(opened: Any) -> Step:
    """The step that an ONNX Runtime session runs."""

    def step(ids: np.ndarray, cache: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits, new = opened.run(list(OUTPUTS), {"ids": ids, "cache": cache})
        return logits, new

    return step


def open(folder: Path) -> Step:
    """The step of the folder's model.onnx, in ONNX Runtime on one thread."""
    return step_of(session(str(folder / FILE)))
