"""What the ordinary assistant does for one token, counted while it does it.

`Meter` watches the tensor operations of a real forward pass, so that nothing is counted that is not run and
nothing that is run is forgotten: an operation it does not know raises. The products inside attention, which
counters that look at layers miss, are operations like any other here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from neurolab.energy import Counts
from neurolab.transformer import Config, Transformer

DTYPES = ("fp32", "int8")

# Operations that only move, name or mask numbers; what they read is counted by the operation that uses it.
MOVES = {
    "view",
    "_unsafe_view",
    "t",
    "transpose",
    "permute",
    "expand",
    "clone",
    "unsqueeze",
    "slice",
    "select",
}
MAKES = {
    "arange",
    "ones",
    "zeros",
    "full",
    "cat",
    "tril",
    "alias",
    "detach",
    "_to_copy",
    "where",
    "scalar_tensor",
}


class Meter(TorchDispatchMode):
    """Counts the operations of a `Transformer` while it runs; `counts(dtype)` gives them.

    Matrix products: one multiply-accumulate for each pair of numbers; the matrix (or the cached keys, values)
    fetched once, the vectors read once and the result written once. A layer norm of D numbers: 2 specials
    (root, division) and 4 D multiply-accumulates (mean, variance, scaling, weight); its weights are read.
    GELU: one special a number; ReLU: none. Softmax over M scores: M + 1 specials (exponentials, one
    division), M multiply-accumulates. An embedding: its row read. Additions to the residual stream: one each.
    """

    def __init__(self) -> None:
        super().__init__()
        self.products = 0.0  # multiply-accumulates of matrix products
        self.effective = 0.0  # those of them whose input is not 0 (attention's all count)
        self.fetched = 0.0  # numbers fetched for them: weights, cached keys and values
        self.handed = 0.0  # numbers handed on: read or written
        self.made = 0.0  # numbers that matrix products made
        self.small = 0.0  # multiply-accumulates of everything else
        self.parameters = 0.0  # numbers of norms, biases and embeddings read
        self.specials = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        name = func._schema.name.split("::")[-1]
        self._count(name, args, out)
        return out

    def _matrix(self, rows: int, inner: int, columns: int, batch: int = 1) -> None:
        self.products += batch * rows * inner * columns
        self.fetched += batch * inner * columns
        self.handed += batch * rows * (inner + columns)
        self.made += batch * rows * columns

    def _count(self, name: str, args: Any, out: Any) -> None:
        if name in ("mm", "addmm"):
            a, b = args[-2:]
            self._matrix(a.shape[0], a.shape[1], b.shape[1])
            self.effective += float(torch.count_nonzero(a)) * b.shape[1]
        elif name == "bmm":
            a, b = args
            self._matrix(a.shape[1], a.shape[2], b.shape[2], a.shape[0])
            self.effective += out.numel() * a.shape[2]
        elif name.startswith("_scaled_dot_product"):
            q, k, v = args[:3]  # (B, H, L, E), (B, H, M, E)
            if q.shape[2] != 1:
                raise ValueError(f"{q.shape[2]} queries at once: the meter counts one token at a time")
            heads, seen = q.shape[0] * q.shape[1], k.shape[2]
            self._matrix(1, q.shape[3], seen, heads)
            self._matrix(1, seen, v.shape[3], heads)
            self.effective += heads * seen * (q.shape[3] + v.shape[3])
            self.specials += heads * (seen + 1)
            self.small += heads * seen
        elif name == "native_layer_norm":
            x, D = args[0], args[1][-1]
            self.specials += 2 * x.numel() // D
            self.small += 4 * x.numel()
            self.parameters += 2 * D
            self.handed += 2 * x.numel()
        elif name == "relu":
            self.handed += 2 * out.numel()
        elif name == "gelu":
            self.specials += out.numel()
            self.handed += 2 * out.numel()
        elif name == "embedding":
            self.parameters += out.numel()
        elif name == "add" and isinstance(out, Tensor) and out.is_floating_point():
            self.small += out.numel()
        elif name not in MOVES | MAKES:
            raise ValueError(f"operation {name!r}: the meter does not know what it costs")

    def counts(self, dtype: str = "fp32") -> Counts:
        """What was counted, for one token. ValueError for another dtype than "fp32" and "int8".

        "int8" is W8A8: matrix products in int8 with one scaling of each result; norms, softmax and GELU in
        fp32, but all that is handed on takes one byte (kinder to it than most implementations).
        """
        if dtype not in DTYPES:
            raise ValueError(f"dtype {dtype!r}: must be one of {', '.join(DTYPES)}")
        shared = Counts(tokens=1, mac_fp32=self.small, special_fp32=self.specials, synapses=self.products)
        width = 4 if dtype == "fp32" else 1
        moved = replace(
            shared,
            weight_bytes=width * self.fetched + 4 * self.parameters,
            activation_bytes=width * self.handed,
        )
        if dtype == "fp32":
            return replace(moved, mac_fp32=self.products + self.small)
        return replace(moved, mac_int8=self.products, mul_int32=self.made)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    state = torch.get_rng_state()
    try:
        yield
    finally:
        torch.set_rng_state(state)


def counts_ordinary(config: Config, position: int, dtype: str = "fp32", answers: bool = True) -> Counts:
    """What the ordinary assistant does for the one token at `position` (0 .. context - 1), by a real pass.

    answers: whether the scores of the next token are asked for. The tokens before it lie in the cache. How
    much is done depends on the sizes alone, so the weights are random ones. ValueError for another position
    or dtype.
    """
    if not isinstance(position, int) or isinstance(position, bool) or not 0 <= position < config.context:
        raise ValueError(f"position {position!r}: must be a whole number from 0 to {config.context - 1}")
    token = torch.zeros(1, 1, dtype=torch.long)
    with _quiet(), torch.no_grad():  # inference_mode would hide what operations are made of
        torch.manual_seed(0)
        model = Transformer(config).eval()
        cache = model.features(token.expand(1, position))[1] if position else None
        with Meter() as meter:
            hidden = model.features(token, cache)[0]
            if answers:
                model.logits(hidden)
    return meter.counts(dtype)


def counts_sequences(
    config: Config, lengths: Sequence[int], dtype: str = "fp32", answers: Sequence[int] | None = None
) -> Counts:
    """What the ordinary assistant does for sequences of these lengths (tokens), token by token.

    answers[i]: the first position of sequence i whose scores are asked for (default: all). Only attention
    depends on the position, and in proportion to it: passes at the first and the last position give all of
    them. ValueError for a length outside 1 .. context, or answers that don't fit.
    """
    if not lengths or not all(1 <= n <= config.context for n in lengths):
        raise ValueError(
            f"lengths {lengths!r}: must be whole numbers from 1 to {config.context}, at least one"
        )
    starts = list(answers) if answers is not None else [0] * len(lengths)
    if len(starts) != len(lengths) or not all(0 <= a <= n for a, n in zip(starts, lengths, strict=True)):
        raise ValueError(f"answers {answers!r}: must be one position a sequence, from 0 to its length")
    tokens, asked = sum(lengths), sum(lengths) - sum(starts)
    first = counts_ordinary(config, 0, dtype, answers=False)
    found = _mix((first, tokens))
    if config.context > 1:
        last = counts_ordinary(config, config.context - 1, dtype, answers=False)
        share = sum(n * (n - 1) / 2 for n in lengths) / (config.context - 1)
        found = _mix((first, tokens - share), (last, share))
    return _mix((found, 1), (counts_ordinary(config, 0, dtype), asked), (first, -asked))


def _mix(*parts: tuple[Counts, float]) -> Counts:
    return Counts(
        **{f.name: sum(by * getattr(counts, f.name) for counts, by in parts) for f in fields(Counts)}
    )
