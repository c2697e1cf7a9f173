"""A model of the reader's own as an ONNX graph whose weights are read one by one while the file is written.

The network is traced without its weights (fake tensors: shapes only). In the int8 graph each matrix product
with a weight becomes: the inputs rounded to 8 bits as they come, whole numbers multiplied, one scale an
output; embeddings are looked up as 8-bit codes. Sources of the operators: ONNX, DynamicQuantizeLinear and
MatMulInteger, from operator set 11 and 10 on.

Input: input_ids (B, L), int64, no padding.  Output: hidden (B, L, D), float32, of the bare network; a head
on top of it, and a cache of keys and values, are not in the graph. 4-bit weights with a step a group of
columns have no such product in ONNX: their values are rounded once more, to 8 bits, a scale an output.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor, nn

from neurolab.own_file import Reader
from neurolab.own_folder import Folder
from neurolab.own_stream import Stack

Values = Callable[[str], Tensor]
"""A weight, float32, by its name in the bare network."""


class _Bare(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, input_ids: Tensor) -> Tensor:
        hidden: Tensor = self.net(input_ids=input_ids, use_cache=False).last_hidden_state
        return hidden


def trace(stack: Stack) -> ir.Model:
    """The graph of an empty network, with weights that are shapes only."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    buffers = {f"net.{name}": b.detach().clone() for name, b in stack.net.named_buffers()}
    quiet = logging.getLogger("torch.onnx")
    level, dynamic = quiet.level, torch.export.Dim.AUTO
    quiet.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with FakeTensorMode(allow_non_fake_inputs=True):
                for name in sorted(stack.names):
                    stack.put(name, torch.empty(stack.get(name).shape))
                ids = torch.zeros(2, 16, dtype=torch.int64)
                shapes = ({0: dynamic, 1: dynamic},)
                made = torch.export.export(_Bare(stack.net), (ids,), dynamic_shapes=shapes, strict=False)
            model: ir.Model = torch.onnx.export(made, dynamo=True, optimize=False, verbose=False).model  # type: ignore[union-attr]
    finally:
        quiet.setLevel(level)
        for name in sorted(stack.names):
            stack.put(name, None)
    for name, value in model.graph.initializers.items():
        if name in buffers:
            value.const_value = ir.tensor(buffers[name].numpy(), name=name)
    model.graph.inputs[0].name = "input_ids"
    model.graph.outputs[0].name = "hidden"
    return model


def lazy(
    name: str, shape: tuple[int, ...], dtype: ir.DataType, make: Callable[[], np.ndarray[Any, Any]]
) -> Any:
    """A weight that is made when it is written, and forgotten then."""
    return ir.LazyTensor(
        lambda: ir.tensor(make(), name=name), dtype=dtype, shape=ir.Shape(shape), name=name, cache=False
    )


class Graph:
    """The graph that is being given its weights."""

    def __init__(self, model: ir.Model) -> None:
        self.graph: ir.Graph = model.graph

    def floats(self, names: Mapping[str, tuple[int, ...]], values: Values) -> None:
        """Give float32 weights to every one of `names` (with its shape) that the graph still uses."""
        for name, shape in names.items():
            held = self.graph.initializers.get(f"net.{name}")
            if held is not None:
                held.const_value = lazy(
                    f"net.{name}",
                    shape,
                    ir.DataType.FLOAT,
                    lambda name=name: values(name).numpy(),  # type: ignore[misc]
                )

    def whole(self, name: str, shape: tuple[int, ...], codes: Codes) -> bool:
        """Put whole numbers in a matrix's place, in all uses that are known; whether it had any such."""
        held = self.graph.initializers.get(f"net.{name}")
        if held is None:
            return False
        uses = [node for node, _ in held.uses()]
        done = False
        for node in uses:
            if node.op_type == "Gather" and node.inputs[0] is held:
                self._gather(node, name, shape, codes)
                done = True
            elif node.op_type == "Transpose":
                for after, _ in list(node.outputs[0].uses()):
                    if after.op_type == "MatMul" and after.inputs[1] is node.outputs[0]:
                        self._product(after, name, shape, codes, True)
                        done = True
            elif node.op_type == "MatMul" and node.inputs[1] is held:
                self._product(node, name, shape, codes, False)
                done = True
            elif node.op_type == "Gemm" and node.inputs[1] is held:
                across = bool(node.attributes.get_int("transB", 0))
                self._product(node, name, shape, codes, across)
                done = True
        for node in uses:
            if node.op_type == "Transpose" and not node.outputs[0].uses():
                self.graph.remove(node, safe=True)
        if not held.uses():
            self.graph.initializers.pop(f"net.{name}")
        return done

    def _initial(self, name: str, tensor: Any) -> ir.Value:
        if name in self.graph.initializers:
            return self.graph.initializers[name]
        value = ir.Value(name=name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor)
        self.graph.register_initializer(value)
        return value

    def _replace(self, node: ir.Node, made: list[ir.Node]) -> None:
        self.graph.insert_before(node, made)
        old, new = node.outputs[0], made[-1].outputs[0]
        new.shape, new.type = old.shape, old.type
        for after, i in list(old.uses()):
            after.replace_input_with(i, new)
        for i, out in enumerate(self.graph.outputs):
            if out is old:
                self.graph.outputs[i] = new
        self.graph.remove(node, safe=True)

    def _gather(self, node: ir.Node, name: str, shape: tuple[int, ...], codes: Codes) -> None:
        q, s = self._weights(name, shape, codes, across=False, gather=True)
        ids = node.inputs[1]
        rows = ir.node("Gather", [q, ids], attributes={"axis": 0})
        scale = ir.node("Gather", [s, ids], attributes={"axis": 0})
        number = ir.node("Cast", [rows.outputs[0]], attributes={"to": ir.DataType.FLOAT.value})
        self._replace(node, [rows, scale, number, ir.node("Mul", [number.outputs[0], scale.outputs[0]])])

    def _product(self, node: ir.Node, name: str, shape: tuple[int, ...], codes: Codes, across: bool) -> None:
        q, s = self._weights(name, shape, codes, across=across, gather=False)
        x = node.inputs[0]
        rounded = ir.node("DynamicQuantizeLinear", [x], num_outputs=3)
        a, step, zero = rounded.outputs
        whole = ir.node("MatMulInteger", [a, q, zero])
        number = ir.node("Cast", [whole.outputs[0]], attributes={"to": ir.DataType.FLOAT.value})
        scale = ir.node("Mul", [step, s])
        made = [rounded, whole, number, scale, ir.node("Mul", [number.outputs[0], scale.outputs[0]])]
        if node.op_type == "Gemm" and len(node.inputs) > 2 and node.inputs[2] is not None:
            made.append(ir.node("Add", [made[-1].outputs[0], node.inputs[2]]))
        self._replace(node, made)

    def _weights(
        self, name: str, shape: tuple[int, ...], codes: Codes, *, across: bool, gather: bool
    ) -> tuple[ir.Value, ir.Value]:
        """Codes, with outputs in columns (across: they are rows in the model), and the scales.

        A table that is looked up keeps a row a token.
        """
        per = 0 if gather or across else 1  # the axis of the model's own matrix that has a scale each
        turned = across and not gather
        size = shape[::-1] if turned else shape
        steps = (shape[0], 1) if gather else (shape[per],)

        def q() -> np.ndarray[Any, Any]:
            found = codes(name, per)[0]
            return np.ascontiguousarray(found.T if turned else found)

        kind = ".looked" if gather else ".product"
        return (
            self._initial(f"{name}{kind}.codes", lazy(f"{name}{kind}.codes", size, ir.DataType.INT8, q)),
            self._initial(
                f"{name}{kind}.scale",
                lazy(
                    f"{name}{kind}.scale",
                    steps,
                    ir.DataType.FLOAT,
                    lambda: codes(name, per)[1].reshape(steps),
                ),
            ),
        )


Codes = Callable[[str, int], tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]
"""codes(name, axis) -> int8 of the model's own shape, float32 scales (n,) along that axis."""


def file_codes(reader: Reader, names: Mapping[str, str]) -> Codes:
    """Whole numbers from the compressed file: its own codes where they have a step a row, else rounded anew.

    names: from names in the bare network to names in the file.
    """

    def codes(bare: str, axis: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        entry = reader.tensors[names[bare]]
        flipped = bool(entry.get("flipped"))
        if axis == (1 if flipped else 0):
            coded = reader.matrix(names[bare])
            if coded.step.shape[1] == 1:
                q = coded.q.numpy().astype(np.int8)
                return (q.T if flipped else q), coded.step.numpy().reshape(-1)
            del coded
        w = reader.value(names[bare])
        largest = w.abs().amax(1 - axis)
        s = torch.where(largest > 0, largest / 127, torch.ones_like(largest))
        spread = s[:, None] if axis == 0 else s
        return torch.round(w / spread).to(torch.int8).numpy(), s.numpy()

    return codes


def write(
    folder: Folder, path: Path, reader: Reader | None = None, *, traced: ir.Model | None = None
) -> dict[str, Any]:
    """Write the graph to `path`, its weights beside it (path + ".data"): float32, or int8 from a file.

    traced: the graph without weights, if there is one already (it is not changed).

    Gives back bytes (both files), whole (how many matrices are whole numbers) and floating (the names of
    those that stayed float32 because the graph uses them in a way not known here).
    """
    stack = Stack(folder)
    shapes = {name: tuple(stack.get(name).shape) for name in sorted(stack.names)}
    names = {bare: found for bare in shapes if (found := folder.find(bare)) is not None}
    model = trace(stack) if traced is None else traced.clone()
    graph = Graph(model)
    whole: list[str] = []
    values: Values
    if reader is None:
        values = lambda bare: folder.tensor(names[bare])  # noqa: E731
    else:
        values = lambda bare: reader.value(names[bare])  # noqa: E731
        codes = file_codes(reader, names)
        whole = [
            n
            for n, shape in shapes.items()
            if len(shape) == 2 and n in names and graph.whole(n, shape, codes)
        ]
    graph.floats({name: shapes[name] for name in names}, values)
    beside = path.with_name(f"{path.name}.data")
    ir.save(model, path, external_data=beside.name, size_threshold_bytes=0)
    left = [n for n, shape in shapes.items() if len(shape) == 2 and f"net.{n}" in model.graph.initializers]
    size = path.stat().st_size + beside.stat().st_size
    return {"bytes": size, "whole": len(whole), "floating": left if reader else []}


__all__ = ["Graph", "file_codes", "trace", "write"]
