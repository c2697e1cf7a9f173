"""GPTQ: rounding a matrix column by column, each column's error made good by the columns still to come.

A linear layer y = W x, W (R, C), is asked for small errors in y on the inputs x that it really gets, not for
small errors in W. With Q for W the squared error, summed over the inputs, is tr((W - Q) H (W - Q)^T) with
H = sum x x^T, (C, C). Where inputs go together (H is not diagonal), an error in one column can be undone by
a change of the others: that is all of GPTQ.

Sources: Frantar et al., GPTQ: Accurate post-training quantization for generative pre-trained transformers,
ICLR 2023 (algorithm 1, without its lazy blocks); Hassibi and Stork, Second order derivatives for network
pruning: Optimal brain surgeon, NeurIPS 1992. Shapes: R outputs, C inputs, B sequences, L tokens, D width.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from neurolab.assistant import collate
from neurolab.facts import Question
from neurolab.quantized import Coded, Tensors, values
from neurolab.tokens import PAD_ID, encode_pair
from neurolab.transformer import Transformer

EMBEDDING = "embedding.weight"
STAGES = (
    ("attention.query", "attention.key", "attention.value"),
    ("attention.out",),
    ("feed_forward.up",),
    ("feed_forward.down",),
)

Rounding = Callable[[int, Tensor], tuple[Tensor, Tensor]]
"""round_column(j, rest) -> (codes (R,), values (R,)) of column j.

`rest` (R, n) holds the columns that are not yet rounded, as they stand now; rest[:, 0] is column j itself.
(A grouped grid may look at the rest of its group; the others need the first column only.)
"""


def compensate(
    W: Tensor, H: Tensor, round_column: Rounding, *, damp: float = 0.01, order: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Codes (R, C), int16, and values Q (R, C), float32, of W (R, C), for inputs with H = sum x x^T (C, C).

    damp: this share of H's mean diagonal is added to its diagonal (> 0: H may be singular). order: the
    columns in the order of their rounding, a permutation of 0..C-1 (None: from left to right).
    Raises ValueError where shapes do not fit or numbers are not finite.
    """
    check(W, H, damp)
    columns = torch.arange(W.shape[1]) if order is None else order
    U = inverse_root(H.double()[columns][:, columns], damp)  # H^-1 = U^T U, U upper triangular
    rest = W.detach().double()[:, columns].clone()
    codes = torch.zeros(W.shape, dtype=torch.int16)
    values = torch.zeros(W.shape, dtype=torch.float32)
    for i, j in enumerate(columns.tolist()):
        code, value = round_column(j, rest[:, i:].float())
        codes[:, j], values[:, j] = code.to(torch.int16), value.float()
        error = (rest[:, i] - value) / U[i, i]  # (R,)
        rest[:, i + 1 :] -= error[:, None] * U[i, i + 1 :]  # what the columns to come do about it
    return codes, values


def inverse_root(H: Tensor, damp: float = 0.01) -> Tensor:
    """U (C, C), upper triangular, with U^T U = (H + damp mean(diag H) 1)^-1.

    1 / U_jj^2 is what a squared error of 1 in column j costs once the columns after it have made up for what
    they can. H of zeros (no input ever) counts as the identity.
    """
    mean = H.diagonal().mean().item() or 1.0
    damped = H + (damp * mean if H.any() else 1.0) * torch.eye(len(H), dtype=H.dtype)
    return torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(damped)), upper=True)


def objective(W: Tensor, Q: Tensor, H: Tensor) -> float:
    """tr((W - Q) H (W - Q)^T): the squared error of the outputs, summed over inputs and outputs."""
    off = (W - Q).detach().double()
    return float(((off @ H.double()) * off).sum())


def check(W: Tensor, H: Tensor, damp: float) -> None:
    """ValueError where W (R, C), H (C, C) and damp are not what `compensate` can use."""
    if W.ndim != 2 or W.numel() == 0:
        raise ValueError(f"W of shape {tuple(W.shape)}: must be (R, C), with at least one weight")
    if tuple(H.shape) != (W.shape[1], W.shape[1]):
        raise ValueError(f"H of shape {tuple(H.shape)}: must be (C, C) with the C = {W.shape[1]} of W")
    if not (torch.isfinite(W).all() and torch.isfinite(H).all()):
        raise ValueError("W or H holds NaN or infinity: every number must be finite")
    if not damp > 0:
        raise ValueError(f"damp {damp!r}: must be above 0")


def uniform(step: Tensor | float, columns: int, low: int = -32768, high: int = 32767) -> Rounding:
    """The grid step x {low, ..., high} of a matrix of so many columns: as good as unbounded without bounds.

    step: one number, (R, 1) a step a row, (1, C) a step a column, or (R, C / g) a step a group of g columns.
    """
    s = torch.as_tensor(step, dtype=torch.float32)
    s = s.reshape(1, 1) if s.ndim == 0 else s
    if s.ndim != 2 or columns % s.shape[1] or not (s > 0).all():
        raise ValueError(
            f"step of shape {tuple(s.shape)}: must be (R, n) of numbers above 0, n a divisor of {columns}"
        )
    g = columns // s.shape[1]

    def round_column(j: int, rest: Tensor) -> tuple[Tensor, Tensor]:
        code = torch.round(rest[:, 0] / s[:, j // g]).clamp(low, high)
        return code, code * s[:, j // g]

    return round_column


def batches(
    tokenizer: Tokenizer, questions: Sequence[Question], batch: int = 128
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """ids, real, predicting, each (B, L): tokens read, which are no padding, which predict the answer.

    Questions of like length go together. Raises ValueError where there are none.
    """
    if not questions:
        raise ValueError("questions []: must hold at least one question")
    rows = sorted((encode_pair(tokenizer, q.text, q.answer) for q in questions), key=lambda row: len(row[0]))
    for i in range(0, len(rows), batch):
        made = collate(rows[i : i + batch])
        yield made.ids[:, :-1], made.ids[:, 1:] != PAD_ID, made.answer[:, 1:]


@contextmanager
def watching(
    linears: Mapping[str, nn.Linear], chosen: Callable[[str], Tensor]
) -> Iterator[dict[str, Tensor]]:
    """While open, sums H = sum x x^T (C, C), float64, of each layer's inputs at the tokens chosen(name)."""
    sums: dict[str, Tensor] = {}

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def add(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            sums[name] = sums.get(name, 0) + square(given[0][chosen(name)])

        return add

    with ExitStack() as stack:
        for name, layer in linears.items():
            stack.callback(layer.register_forward_pre_hook(watch(name)).remove)
        yield sums


def square(x: Tensor) -> Tensor:
    """sum x x^T (C, C), float64, of the rows of x (n, C)."""
    return (x.float().T @ x.float()).double()


def heard(model: Transformer, name: str) -> str:
    """Which tokens matter to a layer: "predicting" where only predictions use its output, otherwise "real".

    In the last block only keys and values are used by other tokens than the one that they stand at.
    """
    late = name.startswith(f"blocks.{model.config.layers - 1}.") and not name.endswith(
        ("key.weight", "value.weight")
    )
    return "predicting" if late or name == EMBEDDING else "real"


@torch.no_grad()
def hessians(
    model: Transformer,
    tokenizer: Tokenizer,
    questions: Sequence[Question],
    *,
    names: Collection[str] | None = None,
    batch: int = 128,
) -> dict[str, Tensor]:
    """H = sum x x^T (C, C), float64, of what each linear layer gets, by the weight's name.

    The sum runs over the tokens of the questions and their right answers that are `heard`. `embedding.weight`
    is seen as the output layer. names: only these weights.
    """
    linears = {f"{n}.weight": m for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    wanted = set(names) if names is not None else {*linears, EMBEDDING}
    if unknown := sorted(wanted - {*linears, EMBEDDING}):
        raise ValueError(f"names holds {unknown[0]!r}: no such linear layer in this model")
    tokens: dict[str, Tensor] = {}
    out = torch.zeros(model.config.width, model.config.width, dtype=torch.float64)
    some = {name: linears[name] for name in linears if name in wanted}
    with watching(some, lambda name: tokens[heard(model, name)]) as sums:
        for ids, tokens["real"], tokens["predicting"] in batches(tokenizer, questions, batch):
            out += square(model.features(ids)[0][tokens["predicting"]])
    return sums | ({EMBEDDING: out} if EMBEDDING in wanted else {})


@torch.no_grad()
def in_order(
    model: Transformer,
    tokenizer: Tokenizer,
    questions: Sequence[Question],
    code: Callable[[str, Tensor, Tensor], Coded | Tensor],
    *,
    batch: int = 128,
) -> Tensors:
    """All weights of `model`, its matrices coded one after the other, for the inputs that they really get.

    code(name, W (R, C), H (C, C)) -> W coded (a Tensor stays a float). First the embedding, as output layer,
    and the positions (H: the identity); then block by block what reads the stream, what writes to it, and so
    for the feed-forward part, with H gathered behind everything that is rounded already.
    """
    made = copy.deepcopy(model)
    done: Tensors = {name: p.detach().clone() for name, p in model.named_parameters()}

    def settle(name: str, H: Tensor) -> None:
        done[name] = code(name, model.get_parameter(name).detach(), H)
        made.get_parameter(name).copy_(values({name: done[name]})[name])

    out = hessians(model, tokenizer, questions, names=[EMBEDDING], batch=batch)[EMBEDDING]
    settle(EMBEDDING, out)
    settle("position.weight", torch.eye(model.config.width, dtype=torch.float64))
    cut = list(batches(tokenizer, questions, batch))
    streams = [made.embedding(ids) + made.position.weight[: ids.shape[1]] for ids, _, _ in cut]
    tokens: dict[str, Tensor] = {}
    for i, block in enumerate(made.blocks):
        for stage in STAGES:
            linears = {f"blocks.{i}.{part}.weight": block.get_submodule(part) for part in stage}
            with watching(linears, lambda name: tokens[heard(made, name)]) as sums:  # type: ignore[arg-type]
                for x, (_, tokens["real"], tokens["predicting"]) in zip(streams, cut, strict=True):
                    block(x)
            for name, H in sums.items():
                settle(name, H)
        streams = [block(x)[0] for x in streams]
    return done
