"""ONNX: the decoder as one file that any ONNX runtime reads, with a cache that grows.

Two graphs give the same answers. `graph` is PyTorch's: `torch.onnx.export(dynamo=True)` follows the step
with symbolic sizes, so batch, n and past are dynamic in one file, and the prompt (past = 0) and a token
(n = 1) are the same graph. `onnx_graph` has the one that we write down by hand, which is what we ship. In
both, matrices are stored transposed, (in, out), as MatMul takes them; the embedding serves as output matrix
too and is stored once.
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
from torch import nn

from neurolab.export.decoder import Decoder, Step, example
from neurolab.export.folder import ExportError, read
from neurolab.transformer import Config

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


def graph(decoder: nn.Module) -> onnx.ModelProto:
    """The decoder as an ONNX model in memory, float32, checked by ONNX's own checker.

    Inputs ids (batch, n), cache (layers, 2, batch, heads, past, head width); outputs logits, new_cache.
    """
    import onnx

    if isinstance(decoder, BringsGraph):
        return decoder.graph()
    config: Config = decoder.config  # type: ignore[assignment]
    dynamic = torch.export.Dim.DYNAMIC
    with _quiet():
        program = torch.onnx.export(
            decoder,
            example(config, n=3, past=2, batch=2),
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


PRECISIONS = ("fp32", "int8", "int8_static", "int4", "int4_unpacked", "exported")
UNPACKED = "int4_unpacked"
EXACT = {"session.x64quantprecision": "1"}
"""For processors with AVX2 but no VNNI, where u8 x s8 cuts off sums of two products (ONNX Runtime's own
documentation, "Quantize ONNX models"): slower kernels are taken there. Nothing changes elsewhere. On an
emulated Haswell, 64 products of 1 and 1 add up to 32.4 without it, to 64 with it."""


def model(decoder: nn.Module, precision: str = "fp32", reduced: bool = False) -> onnx.ModelProto:
    """The ONNX model of a step in a precision; reduced: 8-bit weights with codes of 7 bits (-63 to 63).

    `exported` is the exporter's own graph, float32; the others are those of `onnx_graph` and
    `onnx_quantized`. A step other than `Decoder` has the graph of `graph` only, as fp32. ValueError for
    another precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision {precision!r}: must be one of {', '.join(PRECISIONS)}")
    if not isinstance(decoder, Decoder):
        if precision != "fp32":
            raise ValueError(f"precision {precision!r}: this network is exported as fp32 only")
        return graph(decoder)
    if precision == "exported":
        return graph(decoder)
    from neurolab.export import onnx_calibration, onnx_graph, onnx_quantized

    most = onnx_quantized.REDUCED if reduced else onnx_quantized.FULL
    chosen: onnx_graph.Matrices = onnx_graph.Floats()
    if precision == "int8":
        chosen = onnx_quantized.Dynamic(most)
    elif precision == "int8_static":
        chosen = onnx_quantized.Static(onnx_calibration.ranges(decoder), most)
    elif precision == "int4":
        chosen = onnx_quantized.Blocks()
    elif precision == UNPACKED:
        chosen = onnx_quantized.Unpacked()
    return onnx_graph.build(decoder, chosen)


def export(decoder: nn.Module, folder: Path, precision: str = "fp32") -> dict[str, Any]:
    """Write model.onnx into `folder`."""
    made = model(decoder, precision)
    (folder / FILE).write_bytes(made.SerializeToString(deterministic=True))
    return {"opset": made.opset_import[0].version}


def session(
    model: bytes | str, *, threads: int = 1, optimise: bool = True, options: dict[str, str] | None = None
) -> Any:
    """An ONNX Runtime session on the processor for a model's bytes or its path.

    optimise: whether ONNX Runtime may rewrite the graph; it would turn int4_unpacked's weights into floats
    once and for all.  options: entries of the session's configuration, by ONNX Runtime's names.
    """
    import onnxruntime

    chosen = onnxruntime.SessionOptions()
    chosen.intra_op_num_threads, chosen.inter_op_num_threads = threads, 1
    chosen.log_severity_level = 3
    if not optimise:
        chosen.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    for key, value in {**EXACT, **(options or {})}.items():
        chosen.add_session_config_entry(key, value)
    return onnxruntime.InferenceSession(model, chosen, providers=["CPUExecutionProvider"])


def step_of(opened: Any) -> Step:
    """The step that an ONNX Runtime session runs."""

    def step(ids: np.ndarray, cache: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits, new = opened.run(list(OUTPUTS), {"ids": ids, "cache": cache})
        return logits, new

    return step


def open_file(folder: Path, file: str = FILE) -> Any:
    """The session of a folder's file, in ONNX Runtime on one thread. ExportError if it can't read it."""
    from onnxruntime.capi import onnxruntime_pybind11_state as errors

    precision = read(folder).precision
    kinds = (
        errors.InvalidProtobuf,
        errors.InvalidGraph,
        errors.Fail,
        errors.NotImplemented,
        errors.NoSuchFile,
    )
    try:
        return session(str(folder / file), optimise=precision != UNPACKED)
    except (*kinds, errors.InvalidArgument) as error:
        raise ExportError(f"{folder / file}: ONNX Runtime can't read it ({error})") from error


def open(folder: Path) -> Step:
    """The step of the folder's model.onnx."""
    return step_of(open_file(folder))
