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

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from neurolab.assistant import collate
from neurolab.facts import Question
from neurolab.tokens import PAD_ID, encode_pair
from neurolab.transformer import Transformer

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
    off = (W - Q).double()
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

    The sum runs over all tokens of the questions and their right answers. Layers of the last block whose
    output only the prediction uses (all but key and value), and `embedding.weight` as the output layer, are
    summed over the tokens that predict: what they say elsewhere is never heard. names: only these weights.
    """
    linears = {f"{n}.weight": m for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    wanted = set(names) if names is not None else {*linears, "embedding.weight"}
    unknown = wanted - {*linears, "embedding.weight"}
    if unknown:
        raise ValueError(f"names {sorted(unknown)}: no such linear layer in this model")
    last = f"blocks.{model.config.layers - 1}."
    sums: dict[str, Tensor] = {}
    seen: dict[str, Tensor] = {}

    def add(name: str, x: Tensor) -> None:
        late = name.startswith(last) and not name.endswith(("key.weight", "value.weight"))
        chosen = x[seen["predicting" if late or name == "embedding.weight" else "real"]].float()  # (n, C)
        H = (chosen.T @ chosen).double()
        sums[name] = sums[name] + H if name in sums else H

    def watch(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _, given: add(name, given[0])

    with ExitStack() as stack:
        for name in sorted(wanted & linears.keys()):
            stack.callback(linears[name].register_forward_pre_hook(watch(name)).remove)
        for ids, real, predicting in batches(tokenizer, questions, batch):
            seen["real"], seen["predicting"] = real, predicting
            hidden, _ = model.features(ids)
            if "embedding.weight" in wanted:
                add("embedding.weight", hidden)
    return sums
