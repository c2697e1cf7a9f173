"""One spiking layer through every runtime that is there: does it run, and does any spike differ?

And: has a runtime a spiking neuron among its operators? Its own list of them is asked, not its documentation.
Where a runtime cannot run here (Core ML), its list still counts.
"""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from neurolab.export import onnx_file

SPIKE = re.compile(
    r"spik|integrate_?and_?fire|leaky_?integrat|izhikevich|(?<![a-z])lif(?![a-z])|neuron", re.IGNORECASE
)
"""What an operator of a spiking neuron might be called; LeakyRelu is none."""


_made: WeakKeyDictionary[nn.Module, tuple[torch.Size, bytes]] = WeakKeyDictionary()


def onnx_bytes(layer: nn.Module, x: Tensor) -> bytes:
    """The layer as an ONNX file, by torch's own exporter; kept for the next runtime that reads it."""
    if layer in _made and _made[layer][0] == x.shape:
        return _made[layer][1]
    with onnx_file._quiet():
        program = torch.onnx.export(
            layer, (x,), dynamo=True, verbose=False, input_names=["x"], output_names=["y"]
        )
    made: bytes = program.model_proto.SerializeToString()  # type: ignore[union-attr]
    _made[layer] = (x.shape, made)
    return made


def run_onnx(layer: nn.Module, x: Tensor) -> np.ndarray:
    """In ONNX Runtime, from an ONNX file."""
    found: np.ndarray = onnx_file.session(onnx_bytes(layer, x)).run(None, {"x": x.numpy()})[0]
    return found


def run_ort(layer: nn.Module, x: Tensor) -> np.ndarray:
    """In ONNX Runtime, from a file in ORT format, as its mobile build reads it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = str(Path(folder) / "layer.ort")
        options.add_session_config_entry("session.save_model_format", "ORT")
        onnxruntime.InferenceSession(onnx_bytes(layer, x), options, providers=["CPUExecutionProvider"])
        opened = onnx_file.session(str(Path(folder) / "layer.ort"))
    found: np.ndarray = opened.run(None, {"x": x.numpy()})[0]
    return found


def run_openvino(layer: nn.Module, x: Tensor) -> np.ndarray:
    """In OpenVINO, at full precision."""
    import openvino

    core = openvino.Core()
    model = core.read_model(onnx_bytes(layer, x))
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    return np.asarray(core.compile_model(model, "CPU", settings)(x.numpy())[0])


def run_executorch(layer: nn.Module, x: Tensor) -> np.ndarray:
    """In ExecuTorch, with what XNNPACK takes over given to it."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower
    from executorch.runtime import Runtime

    with contextlib.redirect_stdout(io.StringIO()):
        lowered = to_edge_transform_and_lower(
            torch.export.export(layer, (x,)), partitioner=[XnnpackPartitioner()]
        )
        program = Runtime.get().load_program(lowered.to_executorch().buffer)
        found: Tensor = program.load_method("forward").execute([x])[0]
    return found.numpy().copy()


RUNS: dict[str, tuple[str, Callable[[nn.Module, Tensor], np.ndarray]]] = {
    "onnx": ("onnxruntime", run_onnx),
    "ort": ("onnxruntime", run_ort),
    "openvino": ("openvino", run_openvino),
    "executorch": ("executorch", run_executorch),
}
"""Runtime -> the package that it needs, and what runs a layer in it."""


def save_coreml(layer: nn.Module, x: Tensor) -> Counter[str]:
    """The operators, counted, of the layer as a Core ML program: it can be written here, not run."""
    with onnx_file._quiet(), contextlib.redirect_stderr(io.StringIO()):
        import coremltools as ct

        model = ct.convert(
            torch.jit.trace(layer, (x,), check_trace=False),
            convert_to="mlprogram",
            compute_precision=ct.precision.FLOAT32,
            minimum_deployment_target=ct.target.iOS17,
            inputs=[ct.TensorType(name="x", shape=x.shape)],
            skip_model_load=True,
        )
    blocks = model.get_spec().mlProgram.functions["main"].block_specializations.values()
    return Counter(o.type for block in blocks for o in block.operations if o.type != "const")


def through(layer: nn.Module, x: Tensor, runtimes: Iterable[str] = RUNS) -> dict[str, Any]:
    """Run a layer in each of the runtimes that are installed, beside torch.

    Gives runtimes_run and runtimes_exact (how many), exact, inexact and missing (their names), saved
    (coreml, if it is installed: written, but never run here), compared and differing (outputs in all),
    largest_difference. ValueError for a runtime without a run here.
    """
    names = list(runtimes)
    if unknown := sorted(set(names) - set(RUNS)):
        raise ValueError(f"runtime {unknown[0]!r}: must be one of {', '.join(RUNS)}")
    with torch.inference_mode():
        wanted = layer(x).numpy()
    lists: dict[str, list[str]] = {"exact": [], "inexact": [], "missing": []}
    largest, differing, compared = 0.0, 0, 0
    for name in names:
        package, run = RUNS[name]
        if find_spec(package) is None:
            lists["missing"].append(name)
            continue
        found = run(layer, x)
        off = np.abs(found.astype(np.float64) - wanted)
        wrong = int((off > 0).sum())
        largest, differing = max(largest, float(off.max())), differing + wrong
        compared += wanted.size
        lists["inexact" if wrong else "exact"].append(name)
    return {
        "runtimes_run": len(lists["exact"]) + len(lists["inexact"]),
        "runtimes_exact": len(lists["exact"]),
        **lists,
        "saved": ["coreml"] if find_spec("coremltools") and save_coreml(layer, x) else [],
        "compared": compared,
        "differing": differing,
        "largest_difference": largest,
    }


def _onnx_operators() -> set[str]:
    import onnx

    return {schema.name for schema in onnx.defs.get_all_schemas()}


def _ort_operators() -> set[str]:
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return {f"{schema.domain}.{schema.name}" for schema in state.get_all_operator_schema()}


def _openvino_operators() -> set[str]:
    import importlib
    import pkgutil

    import openvino

    sets = [m.name for m in pkgutil.iter_modules(openvino.__path__) if re.fullmatch(r"opset\d+", m.name)]
    return {
        name for one in sets for name in dir(importlib.import_module(f"openvino.{one}")) if name[0] != "_"
    }


def _torch_operators() -> set[str]:
    return {schema.name for schema in torch._C._jit_get_all_schemas()}


def _coreml_operators() -> set[str]:
    import coremltools  # noqa: F401
    from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry

    return {*SSAOpRegistry.core_ops, *SSAOpRegistry.dialect_ops}


OPERATORS: dict[str, tuple[str, Callable[[], set[str]]]] = {
    "onnx": ("onnx", _onnx_operators),
    "ort": ("onnxruntime", _ort_operators),
    "openvino": ("openvino", _openvino_operators),
    "executorch": ("executorch", _torch_operators),
    "coreml": ("coremltools", _coreml_operators),
}
"""Runtime -> the package that it needs, and what lists its operators."""


def spike_operators() -> dict[str, dict[str, Any]]:
    """For each runtime that is installed: how many operators it knows, and which are spiking neurons."""
    found = {}
    for name, (package, operators) in OPERATORS.items():
        if find_spec(package) is not None:
            known = operators()
            found[name] = {"operators": len(known), "spiking": sorted(o for o in known if SPIKE.search(o))}
    return found
