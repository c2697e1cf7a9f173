"""An exported graph as a picture: boxes and arrows, and its operators counted by kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx

BESIDE = 1.0
"""How far to the right the second box of a row stands."""

KINDS = {
    "matrix product": {"MatMul", "Gemm"},
    "of whole numbers": {"MatMulInteger", "QLinearMatMul", "MatMulNBits", "DynamicQuantizeMatMul", "QGemm",
                         "MatMulIntegerToFloat"},
    "to and from codes": {"DynamicQuantizeLinear", "QuantizeLinear", "DequantizeLinear", "Cast"},
    "arithmetic": {"Mul", "Add", "Sub", "Div", "Gelu", "Softmax", "LayerNormalization", "Erf", "Sqrt", "Pow",
                   "LessOrEqual", "Where", "ReduceMean", "Tanh", "Max", "Min", "Neg", "And", "Not", "Or"},
}  # fmt: skip
OTHER = "moving numbers about"


def kind_of(operator: str) -> str:
    """The kind (a key of KINDS, or OTHER) of an ONNX operator."""
    return next((kind for kind, names in KINDS.items() if operator in names), OTHER)


def counted(graph: onnx.ModelProto) -> Counter[str]:
    """How many operators of each kind a graph holds."""
    return Counter(kind_of(node.op_type) for node in graph.graph.node)


def feed_forward(graph: onnx.ModelProto) -> list[Any]:
    """The nodes between the last layer norm but one and the addition behind it: the last block's two large
    matrices and what stands between them. ValueError where a graph has no two layer norms."""
    nodes = list(graph.graph.node)
    norms = [i for i, node in enumerate(nodes) if node.op_type == "LayerNormalization"]
    if len(norms) < 2:
        raise ValueError(f"graph with {len(norms)} layer norms: at least 2 are needed")
    made_by = {name: node for node in nodes for name in node.output}
    start, end = nodes[norms[-2]], made_by[_behind(nodes, norms[-1])]
    inside: dict[str, Any] = {}

    def back(name: str) -> bool:
        """Whether `name` comes, by whatever way, from the first norm; nodes on the way are kept."""
        node = made_by.get(name)
        if node is None:
            return False
        if node is start:
            return True
        if node.output[0] in inside:
            return bool(inside[node.output[0]])
        inside[node.output[0]] = None  # not known yet; graphs have no rings
        found = [back(source) for source in node.input]
        inside[node.output[0]] = node if any(found) else None
        return any(found)

    back(end.output[0])
    kept = {id(node) for node in inside.values() if node is not None}
    return [node for node in nodes if id(node) in kept]


def _behind(nodes: list[Any], norm: int) -> str:
    """The addition that a layer norm reads: the first input, seen through slices and gathers."""
    made_by = {name: node for node in nodes for name in node.output}
    name = nodes[norm].input[0]
    while made_by[name].op_type in ("Gather", "Slice", "Squeeze", "Reshape"):
        name = made_by[name].input[0]
    return str(name)


def drawn(graph: onnx.ModelProto) -> dict[str, Any]:
    """The feed-forward part of the last block as boxes and arrows, and the operators of the whole graph.

    x, y (m,): boxes, rows from top to bottom; name (m,): operators, written at `side` (m,); group (m,): kind.
    line x, line y: arrows, NaN between them.  count (5,): operators of each kind in the whole graph.
    What unpacks a weight stands beside the product that is given it.
    """
    main = feed_forward(graph)
    made_by = {name: i for i, node in enumerate(main) for name in node.output}
    depth: list[int] = []
    for node in main:
        before = [depth[made_by[name]] for name in node.input if made_by.get(name, len(depth)) < len(depth)]
        depth.append(1 + max(before, default=0))
    row: Counter[int] = Counter()
    at: dict[str, tuple[float, float]] = {}
    pairs = zip(main, depth, strict=True)
    for node, level in sorted(pairs, key=lambda pair: kind_of(pair[0].op_type) == "arithmetic"):
        at |= dict.fromkeys(node.output, (BESIDE * row[level], -float(level)))
        row[level] += 1
    lines: list[tuple[tuple[float, float], tuple[float, float]]] = []
    for node in main:
        sources = [at[name] for name in node.input if name in at] or [(0.0, 0.0)]
        lines += [(source, at[node.output[0]]) for source in sources]
    nodes = list(main)
    for node in graph.graph.node:
        if node.output[0] in at or kind_of(node.op_type) != "to and from codes":
            continue
        for user in main:
            if node.output[0] in user.input:
                x, y = at[user.output[0]]
                at[node.output[0]] = (x + BESIDE, y)
                lines.append((at[node.output[0]], (x, y)))
                nodes.append(node)
                break
    kinds = [*KINDS, OTHER]
    counts = counted(graph)
    return {
        "x": np.array([at[node.output[0]][0] for node in nodes]),
        "y": np.array([at[node.output[0]][1] for node in nodes]),
        "name": [node.op_type for node in nodes],
        "side": ["middle right" if at[node.output[0]][0] else "middle left" for node in nodes],
        "group": np.array([kinds.index(kind_of(node.op_type)) for node in nodes]),
        "line x": np.array([x for (a, _), (b, _) in lines for x in (a, b, np.nan)]),
        "line y": np.array([y for (_, a), (_, b) in lines for y in (a, b, np.nan)]),
        "kind": kinds, "count": np.array([counts.get(kind, 0) for kind in kinds]),
    }  # fmt: skip


def pictured(models: Mapping[str, onnx.ModelProto], file: str) -> dict[str, Any]:
    """`drawn` of one of several models, with a sentence. ValueError for a name that is not there."""
    if file not in models:
        raise ValueError(f"file {file!r}; it must be one of {', '.join(models)}")
    found = drawn(models[file])
    nodes, size = len(models[file].graph.node), models[file].ByteSize()
    whole = dict(zip(found["kind"], found["count"].tolist(), strict=True))
    return found | {
        "words": f"{file}: {nodes} operators, {size:,} bytes; {whole['matrix product']} products of floats, "
        f"{whole['of whole numbers']} of whole numbers, {whole['to and from codes']} that turn floats into "
        "codes or back"
    }
