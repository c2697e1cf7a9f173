"""The decoder written down in ONNX by hand: 50 nodes where the exporter needs three times as many.

A network of this size spends much of its time between the nodes, so their number counts. What is left out:
the exporter's slices, squeezes and copies around attention, which is one operator here (`Attention`, opset
23, which takes the past keys and values and gives the longer ones), and the mask, which it makes itself.

    x = embedding[ids] + position[past : past + n]
    for each layer:  x = x + W_out attention(W_qkv norm1(x));  x = x + W_down gelu(W_up norm2(x))
    logits = embedding norm(x at the last place)

How a matrix is stored and multiplied is the precision's affair: `Matrices`, here in float32, rounded in
`onnx_quantized`. Every matrix is stored (in, out), transposed from torch's; the embedding is stored once.
Only standard operators. B sequences, n new tokens, L layers, H heads of size E, D width, V vocabulary.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from neurolab.export.decoder import Decoder

OPSET = 23
"""The first that has Attention with a cache; ONNX Runtime runs it from 1.23 on."""
MICROSOFT = "com.microsoft"
"""The domain of ONNX Runtime's own operators."""


class Graph:
    """Nodes and weights as they are added; each node is called as its first output is."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, onnx.TensorProto] = {}

    def weight(self, name: str, value: np.ndarray | onnx.TensorProto) -> str:
        """Add a constant, once; its name."""
        if name not in self.weights:
            made = value if isinstance(value, onnx.TensorProto) else numpy_helper.from_array(value, name)
            self.weights[name] = made
        return name

    def ints(self, *numbers: int) -> str:
        """A constant list of int64."""
        return self.weight("ints." + "_".join(map(str, numbers)), np.array(numbers, np.int64))

    def add(
        self, operator: str, inputs: list[str], *outputs: str, domain: str = "", **attributes: Any
    ) -> str:
        """Add a node; the name of its first output."""
        node = helper.make_node(operator, inputs, outputs, name=outputs[0], domain=domain, **attributes)
        self.nodes.append(node)
        return outputs[0]


class Matrices(Protocol):
    """How a precision stores matrices and multiplies by them."""

    def multiply(self, graph: Graph, x: str, weight: np.ndarray, name: str) -> str:
        """x (..., C), weight (R, C) -> x weight^T (..., R), an output called `name`."""
        ...

    def embed(self, graph: Graph, weight: np.ndarray, ids: str, name: str) -> str:
        """ids (B, n), weight (V, D) -> its rows (B, n, D)."""
        ...

    def score(self, graph: Graph, weight: np.ndarray, x: str, name: str) -> str:
        """x (B, D), the same weight (V, D) -> x weight^T (B, V)."""
        ...


class Floats:
    """float32, as trained."""

    def multiply(self, graph: Graph, x: str, weight: np.ndarray, name: str) -> str:
        """One MatMul with the transposed weight."""
        return graph.add("MatMul", [x, graph.weight(f"{name}.weight", transposed(weight))], name)

    def embed(self, graph: Graph, weight: np.ndarray, ids: str, name: str) -> str:
        """One Gather."""
        return graph.add("Gather", [graph.weight("embedding.weight", weight), ids], name)

    def score(self, graph: Graph, weight: np.ndarray, x: str, name: str) -> str:
        """One Gemm with the embedding as it is."""
        return graph.add("Gemm", [x, graph.weight("embedding.weight", weight)], name, transB=1)


def transposed(weight: np.ndarray) -> np.ndarray:
    """(R, C) -> (C, R), contiguous."""
    return np.ascontiguousarray(weight.T)


def array(x: Tensor) -> np.ndarray:
    """A weight as float32 numbers."""
    return x.detach().float().cpu().numpy()


def build(decoder: Decoder, matrices: Matrices | None = None) -> onnx.ModelProto:
    """The decoder as an ONNX model in memory, with the precision's matrices (default float32), checked."""
    matrices, c, graph = matrices or Floats(), decoder.config, Graph()
    L, H, E = c.layers, c.heads, c.head_size

    graph.add("Shape", ["cache"], "past", start=4, end=5)
    graph.add("Shape", ["ids"], "n", start=1, end=2)
    graph.add("Add", ["past", "n"], "seen")
    position = graph.weight("position.weight", array(decoder.position.weight))
    graph.add("Slice", [position, "past", "seen", graph.ints(0)], "places")  # (n, D)
    embedding = array(decoder.embedding.weight)
    matrices.embed(graph, embedding, "ids", "embedded")
    x = graph.add("Add", ["embedded", "places"], "x")

    # (L, 2, B, H, past, E) -> one (B, H, past, E) for the keys and one for the values of each layer
    graph.add("Shape", ["cache"], "batch", start=2, end=3)
    graph.add("Mul", ["batch", graph.ints(2 * L)], "rows")
    graph.add("Shape", ["cache"], "tail", start=3, end=6)
    graph.add("Concat", ["rows", "tail"], "flat", axis=0)
    graph.add("Reshape", ["cache", "flat"], "pasts", allowzero=1)
    names = [f"layers.{i}.past_{what}" for i in range(L) for what in ("keys", "values")]
    graph.add("Split", ["pasts"], *names, axis=0, num_outputs=2 * L)

    for i, layer in enumerate(decoder.layers):
        x = _layer(graph, matrices, layer, x, f"layers.{i}", H)  # type: ignore[arg-type]

    presents = [f"layers.{i}.{what}" for i in range(L) for what in ("keys", "values")]
    graph.add("Concat", presents, "presents", axis=0)
    graph.add("Shape", ["cache"], "head", start=0, end=4)
    graph.add("Concat", ["head", "seen", graph.ints(E)], "longer", axis=0)
    graph.add("Reshape", ["presents", "longer"], "new_cache", allowzero=1)

    last = graph.add("Gather", [x, graph.weight("last", np.array(-1, np.int64))], "last_place", axis=1)
    matrices.score(graph, embedding, _norm(graph, last, decoder.norm, "norm"), "logits")
    return _model(graph, c.vocabulary, (L, H, E))


def _layer(graph: Graph, matrices: Matrices, layer: nn.Module, x: str, name: str, heads: int) -> str:
    """One block: x (B, n, D) -> the same, and its keys and values."""
    y = _norm(graph, x, layer.norm1, f"{name}.norm1")  # type: ignore[arg-type]
    y = matrices.multiply(graph, y, array(layer.qkv.weight), f"{name}.qkv")  # type: ignore[union-attr,arg-type]
    parts = [f"{name}.{part}" for part in ("query", "key", "value")]
    graph.add("Split", [y], *parts, axis=-1, num_outputs=3)
    pasts = [f"{name}.past_keys", f"{name}.past_values"]
    made = (f"{name}.attention", f"{name}.keys", f"{name}.values")
    counts: dict[str, Any] = {"q_num_heads": heads, "kv_num_heads": heads}
    y = graph.add("Attention", [*parts, "", *pasts], *made, is_causal=1, **counts)
    y = matrices.multiply(graph, y, array(layer.out.weight), f"{name}.out")  # type: ignore[union-attr,arg-type]
    x = graph.add("Add", [x, y], f"{name}.middle")
    y = _norm(graph, x, layer.norm2, f"{name}.norm2")  # type: ignore[arg-type]
    y = matrices.multiply(graph, y, array(layer.up.weight), f"{name}.up")  # type: ignore[union-attr,arg-type]
    y = graph.add("Gelu", [y], f"{name}.gelu")
    y = matrices.multiply(graph, y, array(layer.down.weight), f"{name}.down")  # type: ignore[union-attr,arg-type]
    return graph.add("Add", [x, y], f"{name}.sum")


def _norm(graph: Graph, x: str, norm: nn.LayerNorm, name: str) -> str:
    """A LayerNorm over the last axis."""
    weights = [graph.weight(f"{name}.{part}", array(getattr(norm, part))) for part in ("weight", "bias")]
    return graph.add("LayerNormalization", [x, *weights], name, axis=-1, epsilon=norm.eps)


def _model(graph: Graph, vocabulary: int, sizes: tuple[int, int, int]) -> onnx.ModelProto:
    """The finished model with its named inputs and outputs."""
    layers, heads, size = sizes
    put, real, whole = helper.make_tensor_value_info, TensorProto.FLOAT, TensorProto.INT64
    inputs = [
        put("ids", whole, ["batch", "n"]),
        put("cache", real, [layers, 2, "batch", heads, "past", size]),
    ]
    outputs = [
        put("logits", real, ["batch", vocabulary]),
        put("new_cache", real, [layers, 2, "batch", heads, "past + n", size]),
    ]
    made = helper.make_graph(graph.nodes, "assistant", inputs, outputs, list(graph.weights.values()))
    opsets = [helper.make_opsetid("", OPSET)]
    if any(node.domain == MICROSOFT for node in graph.nodes):
        opsets.append(helper.make_opsetid(MICROSOFT, 1))
    model = helper.make_model(made, opset_imports=opsets, ir_version=11, producer_name="neurolab")
    onnx.checker.check_model(model)
    return model


def operators(model: onnx.ModelProto) -> dict[str, int]:
    """How many nodes of each operator a model has, the most frequent first."""
    from collections import Counter

    return dict(Counter(node.op_type for node in model.graph.node).most_common())
