"""Writing an ONNX graph by hand: each call adds an operator and gives the name of its output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

OPSET, IR = 18, 10
Value = str | np.ndarray | np.generic
"""A name, or a constant."""


class Graph:
    """A graph under construction. A value is known by its name (text); Python numbers and arrays become
    constants, each kept once."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[tuple[Any, ...], str] = {}
        self.initializers: list[onnx.TensorProto] = []
        self.made = 0

    def constant(self, value: Any, dtype: Any = None, name: str = "") -> str:
        """The name of a constant that holds `value`."""
        array = np.asarray(value, dtype)
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self.constants:
            self.constants[key] = name or f"c{len(self.constants)}"
            self.initializers.append(numpy_helper.from_array(array, self.constants[key]))
        return self.constants[key]

    def op(self, kind: str, *inputs: Value, outputs: int = 1, **attributes: Any) -> Any:
        """Add an operator. Gives its output's name, or a list where there are several."""
        named = [x if isinstance(x, str) else self.constant(x) for x in inputs]
        found = [f"v{self.made + i}" for i in range(outputs)]
        self.made += outputs
        self.nodes.append(helper.make_node(kind, named, found, **attributes))
        return found[0] if outputs == 1 else found

    def body(self) -> Graph:
        """A graph for the body of a loop: names of its own, constants of this one."""
        inner = Graph()
        inner.constants, inner.initializers = self.constants, self.initializers
        inner.made = 1_000_000 + self.made  # far from any name outside
        return inner

    def model(
        self,
        name: str,
        inputs: Sequence[tuple[str, int, Sequence[int | str]]],
        outputs: Sequence[tuple[str, int, Sequence[int | str]]],
        about: str = "",
    ) -> onnx.ModelProto:
        """The finished model, checked. inputs, outputs: (name, ONNX's element type, shape)."""

        def values(some: Sequence[tuple[str, int, Sequence[int | str]]]) -> list[onnx.ValueInfoProto]:
            return [helper.make_tensor_value_info(*one) for one in some]

        used = {x for node in self.nodes for x in _read(node)}
        kept = [x for x in self.initializers if x.name in used]
        made = helper.make_model(
            helper.make_graph(self.nodes, name, values(inputs), values(outputs), kept),
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR,
            producer_name="neurolab",
            doc_string=about,
        )
        onnx.checker.check_model(made, full_check=True)
        return made


def _read(node: onnx.NodeProto) -> set[str]:
    """What a node reads, in the bodies of its loops too."""
    found = set(node.input)
    for attribute in node.attribute:
        for inner in attribute.g.node:
            found |= _read(inner)
    return found
