"""Rounded matrices in ONNX: 8 bits with scales found at run time or before, and 4 bits in blocks.

    int8           dynamic: the scale of what goes into a matrix is found at each call
    int8_static    QDQ: that scale was found beforehand, on training questions
    int4           4-bit weights in blocks of 32, multiplied by kernels that know them (MatMulNBits)
    int4_unpacked  the same weights without such kernels: turned back into floats at each call

8-bit weights are codes q in [-127, 127] of one step s a matrix, W = s q; what is multiplied with them is
rounded to 0 .. 255 with a zero point (u8 x s8, which processors multiply fastest; with a step a row instead
of one a matrix, ONNX Runtime takes half as long again). int8 and int8_static use standard operators alone,
which ONNX Runtime fuses when it loads them. The embedding is stored once, as codes (D, V): its columns are
looked up, and it is the output matrix. Sources: ONNX's operators (DynamicQuantizeLinear, MatMulInteger,
QuantizeLinear); MatMulNBits and GatherBlockQuantized of ONNX Runtime's contributed operators.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper

from neurolab.export.onnx_graph import MICROSOFT, Graph, transposed

BLOCK = 32
"""Weights that share a step in int4."""
TABLE = "embedding"
FULL, REDUCED = 127, 63
"""The largest code of an 8-bit weight, and the one that is safe on processors with AVX2 but no VNNI: they add
two products in 16 bits, and 2 * 255 * 127 does not fit, 2 * 255 * 63 does (ONNX Runtime's `reduce_range`)."""


def rounded(weight: np.ndarray, most: int = FULL) -> tuple[np.ndarray, np.float32]:
    """The int8 codes and the step of a matrix: q = round(W / s), s = max |W| / most (1 for zeros)."""
    step = np.float32(np.abs(weight).max() / most) or np.float32(1)
    return np.clip(np.rint(weight / step), -most, most).astype(np.int8), step


def _stored(graph: Graph, weight: np.ndarray, name: str, most: int) -> tuple[str, str]:
    """Names of codes (C, R) and step of a weight (R, C)."""
    codes, step = rounded(weight, most)
    return graph.weight(f"{name}.codes", transposed(codes)), graph.weight(f"{name}.step", np.array(step))


def _look_up(graph: Graph, weight: np.ndarray, ids: str, name: str, most: int) -> str:
    """Columns of the 8-bit codes (D, V), turned into float rows (B, n, D)."""
    codes, step = _stored(graph, weight, TABLE, most)
    graph.add("Gather", [codes, ids], f"{name}.codes", axis=1)  # (D, B, n)
    graph.add("Transpose", [f"{name}.codes"], f"{name}.rows", perm=[1, 2, 0])
    return graph.add("DequantizeLinear", [f"{name}.rows", step], name)


@dataclass(frozen=True)
class Dynamic:
    """int8: DynamicQuantizeLinear, MatMulInteger, and the two scales; fused to DynamicQuantizeMatMul.

    most: the largest code of a weight, FULL or REDUCED.
    """

    most: int = FULL

    def multiply(self, graph: Graph, x: str, weight: np.ndarray, name: str) -> str:
        """x (..., C) is rounded by its own lowest and highest number."""
        codes, step = _stored(graph, weight, name, self.most)
        graph.add("DynamicQuantizeLinear", [x], f"{name}.x", f"{name}.x_step", f"{name}.x_zero")
        graph.add("MatMulInteger", [f"{name}.x", codes, f"{name}.x_zero"], f"{name}.sums")
        graph.add("Cast", [f"{name}.sums"], f"{name}.floats", to=TensorProto.FLOAT)
        graph.add("Mul", [f"{name}.x_step", step], f"{name}.steps")
        return graph.add("Mul", [f"{name}.floats", f"{name}.steps"], name)

    def embed(self, graph: Graph, weight: np.ndarray, ids: str, name: str) -> str:
        """Columns of the codes."""
        return _look_up(graph, weight, ids, name, self.most)

    def score(self, graph: Graph, weight: np.ndarray, x: str, name: str) -> str:
        """The codes as output matrix."""
        self.multiply(graph, x, weight, TABLE)
        graph.nodes[-1].output[0] = graph.nodes[-1].name = name
        return name


@dataclass(frozen=True)
class Static:
    """int8_static: QuantizeLinear and DequantizeLinear around each product, fused to integer products.

    ranges: the lowest and highest number that went into each matrix, by its name (see `onnx_calibration`).
    most: the largest code of a weight, FULL or REDUCED.
    """

    ranges: Mapping[str, tuple[float, float]]
    most: int = FULL

    def multiply(self, graph: Graph, x: str, weight: np.ndarray, name: str) -> str:
        """x (..., C) is rounded by the range found beforehand; what lies outside is cut off."""
        return self._product(graph, x, weight, name, name)

    def _product(self, graph: Graph, x: str, weight: np.ndarray, stored: str, name: str) -> str:
        low, high = self.ranges[name]
        low, high = min(low, 0.0), max(high, 0.0)
        step = np.float32((high - low) / 255) or np.float32(1)
        codes, weight_step = _stored(graph, weight, stored, self.most)
        pair = [
            graph.weight(f"{name}.x_step", np.array(step)),
            graph.weight(f"{name}.x_zero", np.array(np.clip(np.rint(-low / step), 0, 255), np.uint8)),
        ]
        graph.add("QuantizeLinear", [x, *pair], f"{name}.x")
        graph.add("DequantizeLinear", [f"{name}.x", *pair], f"{name}.rounded")
        graph.add("DequantizeLinear", [codes, weight_step], f"{name}.weight")
        return graph.add("MatMul", [f"{name}.rounded", f"{name}.weight"], name)

    def embed(self, graph: Graph, weight: np.ndarray, ids: str, name: str) -> str:
        """Columns of the codes."""
        return _look_up(graph, weight, ids, name, self.most)

    def score(self, graph: Graph, weight: np.ndarray, x: str, name: str) -> str:
        """The codes as output matrix."""
        return self._product(graph, x, weight, TABLE, name)


def blocks(weight: np.ndarray, block: int = BLOCK) -> tuple[np.ndarray, np.ndarray]:
    """4-bit codes (R, ceil(C / block), block) uint8 in 0 .. 15 and steps (R, ceil(C / block)); W = s (q - 8).

    The number furthest from 0 in a block becomes code 0 exactly (q - 8 = -8); a row is filled up with zeros.
    """
    rows, columns = weight.shape
    many = -(-columns // block)
    filled = np.zeros((rows, many * block), np.float32)
    filled[:, :columns] = weight
    parts = filled.reshape(rows, many, block)
    far = np.take_along_axis(parts, np.abs(parts).argmax(-1)[..., None], -1)[..., 0]
    step = np.where(far == 0, 1, far / -8).astype(np.float32)
    return np.clip(np.rint(parts / step[..., None]) + 8, 0, 15).astype(np.uint8), step


def _pairs(codes: np.ndarray) -> np.ndarray:
    """Two 4-bit codes a byte, the first in the low half."""
    return codes[..., 0::2] | (codes[..., 1::2] << 4)


class Blocks:
    """int4: ONNX Runtime's MatMulNBits, which rounds its input to 8 bits in blocks as well."""

    def multiply(self, graph: Graph, x: str, weight: np.ndarray, name: str) -> str:
        """One MatMulNBits."""
        return self._product(graph, x, weight, name, name)

    def _product(self, graph: Graph, x: str, weight: np.ndarray, stored: str, name: str) -> str:
        codes, step = blocks(weight)
        sizes = {"K": weight.shape[1], "N": weight.shape[0], "bits": 4, "block_size": BLOCK}
        packed = graph.weight(f"{stored}.codes", _pairs(codes))  # (R, blocks, 16)
        steps = graph.weight(f"{stored}.steps", step)
        return graph.add("MatMulNBits", [x, packed, steps], name, domain=MICROSOFT, accuracy_level=4, **sizes)

    def embed(self, graph: Graph, weight: np.ndarray, ids: str, name: str) -> str:
        """Rows of the packed codes: GatherBlockQuantized."""
        codes, step = blocks(weight)
        packed = graph.weight(f"{TABLE}.codes", _pairs(codes))
        steps = graph.weight(f"{TABLE}.steps", step)
        graph.add("Reshape", [packed, graph.ints(len(weight), -1)], f"{TABLE}.flat")
        shape = {"bits": 4, "block_size": BLOCK, "gather_axis": 0, "quantize_axis": 1}
        return graph.add(
            "GatherBlockQuantized", [f"{TABLE}.flat", ids, steps], name, domain=MICROSOFT, **shape
        )

    def score(self, graph: Graph, weight: np.ndarray, x: str, name: str) -> str:
        """The same packed codes as output matrix."""
        return self._product(graph, x, weight, TABLE, name)


class Unpacked:
    """int4_unpacked: ONNX's own 4-bit numbers, turned into floats by DequantizeLinear before each product.

    The runtime must not do that once and for all when it loads the file: see `SLOW` in `onnx_file`.
    """

    def multiply(self, graph: Graph, x: str, weight: np.ndarray, name: str) -> str:
        """DequantizeLinear to (C, R), then MatMul."""
        return graph.add("MatMul", [x, self._floats(graph, weight, name, f"{name}.weight")], name)

    def _floats(self, graph: Graph, weight: np.ndarray, stored: str, name: str) -> str:
        codes, step = blocks(weight)
        rows, columns = weight.shape
        numbers = codes.astype(np.int8).reshape(rows, -1)[:, :columns] - 8  # (R, C)
        flat = transposed(numbers).reshape(-1)
        pairs = (flat[0::2] & 15) | ((flat[1::2] & 15) << 4)
        tensor = helper.make_tensor(
            f"{stored}.codes", TensorProto.INT4, [columns, rows], pairs.astype(np.uint8).tobytes(), raw=True
        )
        inputs = [graph.weight(f"{stored}.codes", tensor), graph.weight(f"{stored}.steps", transposed(step))]
        return graph.add("DequantizeLinear", inputs, name, axis=0, block_size=BLOCK)

    def embed(self, graph: Graph, weight: np.ndarray, ids: str, name: str) -> str:
        """The whole table turned into floats (D, V), then its columns."""
        self._floats(graph, weight, TABLE, f"{TABLE}.weight")
        graph.add("Gather", [f"{TABLE}.weight", ids], f"{name}.columns", axis=1)
        return graph.add("Transpose", [f"{name}.columns"], name, perm=[1, 2, 0])

    def score(self, graph: Graph, weight: np.ndarray, x: str, name: str) -> str:
        """The same floats as output matrix."""
        return graph.add("MatMul", [x, f"{TABLE}.weight"], name)


def stored_bytes(model: onnx.ModelProto) -> dict[str, int]:
    """Bytes of each of a model's constants, the largest first."""
    sizes: Sequence[tuple[str, int]] = [(x.name, len(x.raw_data)) for x in model.graph.initializer]
    return dict(sorted(sizes, key=lambda item: -item[1]))
