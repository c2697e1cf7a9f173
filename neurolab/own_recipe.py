"""What happens to one tensor of a model of the reader's own: pruned, rounded, coded, written, reported."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from neurolab import own_gptq, pruning
from neurolab.compressing import halved
from neurolab.own_file import Writer
from neurolab.own_folder import Entry, slabs
from neurolab.quantization import best_steps, check_bits, code_range, codes
from neurolab.quantized import Coded

GROUP = 128
"""Columns that share a step at 4 bits."""


@dataclass(frozen=True)
class Recipe:
    """How many bits what gets. group: columns that share a step (0: a row).  learned: by GPTQ.

    Embeddings and heads get more than 4 bits: no other matrix makes up for their errors.
    """

    linear: int
    other: int
    group: int = 0
    learned: bool = False


RECIPES = {"int8": Recipe(8, 8), "int4": Recipe(4, 6, GROUP, True)}


def recipe(precision: str) -> Recipe:
    """The recipe of a precision. ValueError for one that there is not."""
    if precision not in RECIPES:
        raise ValueError(f"precision {precision!r}: must be one of {', '.join(RECIPES)}")
    return RECIPES[precision]


@dataclass(frozen=True)
class Layer:
    """One line of the report.

    bits: of a code before coding (16 or 32: a float).  bytes, bits_coded: in the file, of a weight (0: among
    the vectors).  error: |W - Q| / |W|.  output_error: the same for the outputs W x on the calibration text
    (None: not by GPTQ).  zeros: share of codes that are 0.
    """

    name: str
    kind: str
    block: int | None
    numbers: int
    bits: int
    bytes: int
    bits_coded: float
    error: float
    output_error: float | None = None
    zeros: float = 0.0


class Maker:
    """Settles one tensor after the other; `layers` is the report so far."""

    def __init__(self, writer: Writer, how: Recipe, sparsity: float = 0.0, flipped: bool = False) -> None:
        pruning.check_sparsity(sparsity)
        self.writer, self.how, self.sparsity, self.flipped = writer, how, sparsity, flipped
        self.layers: list[Layer] = []

    def settle(self, entry: Entry, w: Tensor, H: Tensor | None = None) -> Tensor:
        """Write tensor `w`; what it is worth in the file, float32, of the same shape.

        H: sum x x^T of a matrix's inputs, for GPTQ. Only matrices of blocks are pruned.
        """
        if entry.kind == "vector":
            kept = halved(w)
            self.writer.vector(entry.name, kept)
            self._note(entry, 8 * kept.element_size(), 0, w, kept.float())
            return kept.float()
        flipped = self.flipped and entry.kind == "linear"
        matrix = w.T.contiguous() if flipped else w
        linear = entry.kind == "linear"
        bits = self.how.linear if linear else self.how.other
        keep = None
        if linear and self.sparsity:
            keep = pruning.masks(pruning.magnitude({"w": matrix}), self.sparsity, "layer")["w"].bool()
        if linear and self.how.learned and H is not None:
            coded = own_gptq.code(matrix, H, bits, group=self.how.group, keep=keep)
        else:
            coded = rounded(matrix if keep is None else matrix * keep, bits, self.how.group if linear else 0)
        size = self.writer.matrix(entry.name, coded, flipped=flipped)
        value = in_slabs(coded)
        output = None if H is None else output_error(matrix, value, H)
        zeros = 1 - int(torch.count_nonzero(coded.q)) / coded.q.numel()
        self._note(entry, bits, size, matrix, value, output, zeros)
        return value.T.contiguous() if flipped else value

    def _note(
        self,
        entry: Entry,
        bits: int,
        size: int,
        w: Tensor,
        q: Tensor,
        output: float | None = None,
        zeros: float = 0,
    ) -> None:
        n = entry.numbers
        self.layers.append(
            Layer(
                entry.name, entry.kind, entry.block, n, bits, size, 8 * size / n, error(w, q), output, zeros
            )
        )

    def report(self) -> list[dict[str, Any]]:
        """The layers as plain dicts."""
        return [asdict(layer) for layer in self.layers]


def rounded(W: Tensor, bits: int, group: int = 0) -> Coded:
    """W (R, C) rounded to the nearest codes, some rows at a time, with steps of least squared error."""
    check_bits(bits)
    q = torch.empty(W.shape, dtype=torch.int16)
    low, high = code_range(bits)
    steps = []
    for a, b in slabs(tuple(W.shape)):
        part = W[a:b]
        n = group if group and W.shape[1] % group == 0 else W.shape[1]
        rows = part.reshape(-1, n)
        if bits == 8:  # what is gained by clipping is within the noise
            largest = rows.abs().amax(1, keepdim=True)
            s = torch.where(largest > 0, largest / high, torch.ones_like(largest))
        else:
            s = best_steps(rows, low, high, 24)
        s = own_gptq.half(s)
        steps.append(s.reshape(b - a, -1))
        q[a:b] = codes(rows, s, None, low, high).reshape(b - a, -1)
    return Coded(q, torch.cat(steps))


def in_slabs(coded: Coded) -> Tensor:
    """`coded.value()`, made some rows at a time."""
    found = torch.empty(coded.q.shape)
    for a, b in slabs(tuple(coded.q.shape)):
        found[a:b] = Coded(coded.q[a:b], coded.step[a:b]).value()
    return found


def error(w: Tensor, q: Tensor) -> float:
    """|w - q| / |w|, 0 for a w of zeros that q equals."""
    off, size, w, q = 0.0, 0.0, w.reshape(len(w) if w.ndim else 1, -1), q.reshape(len(q) if q.ndim else 1, -1)
    for a, b in slabs(tuple(w.shape)):
        off += float((w[a:b] - q[a:b]).double().square().sum())
        size += float(w[a:b].double().square().sum())
    return (off / size) ** 0.5 if size else float(off > 0)


def output_error(W: Tensor, Q: Tensor, H: Tensor) -> float:
    """The relative error of the outputs W x: sqrt(tr((W - Q) H (W - Q)^T) / tr(W H W^T))."""
    size = float(((W @ H) * W).sum(dtype=torch.float64))
    off = W - Q
    return (max(float(((off @ H) * off).sum(dtype=torch.float64)), 0.0) / size) ** 0.5 if size > 0 else 0.0
