"""One uniform grid per tensor, as fine as the tensor is sensitive, and an entropy coder for what comes out.

Without a fixed width there is one number to choose per tensor: its step s. Its codes then cost about
log2(sigma / s) + 2.05 bits each, and its rounding costs quality, which near the float weights grows with s^2:

    minimise  sum_t a_t s_t^2  +  mu sum_t N_t (-log2 s_t)      =>      s_t = c sqrt(N_t / a_t)

with N_t weights in tensor t and a_t its sensitivity, measured: the divergence from the float model's answers
that rounding tensor t alone brings, over s_t^2. One number c is left, which sets the size of the file.

Sources: entropy-constrained scalar quantization, Gish and Pierce, 1968; error compensation: `gptq`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from neurolab import compressed, gptq
from neurolab.facts import Question
from neurolab.quantized import Coded, Tensors
from neurolab.transformer import Transformer

NORM_BITS = 8
JUDGED = 500  # of the questions: those that sensitivities are measured on
Batches = list[tuple[Tensor, Tensor, Tensor]]


def matrices(model: Transformer) -> dict[str, Tensor]:
    """The weights of two dimensions, by name."""
    return {name: p.detach() for name, p in model.named_parameters() if p.ndim == 2}


@torch.no_grad()
def told(model: Transformer, batches: Batches) -> list[Tensor]:
    """Log-probabilities (answer tokens, V) that the model gives, batch by batch."""
    return [model.logits(model.features(ids)[0][says]).log_softmax(-1) for ids, _, says in batches]


@torch.no_grad()
def divergence(model: Transformer, batches: Batches, wanted: list[Tensor]) -> float:
    """Mean KL(wanted || model), in nats a token of the answers."""
    total = sum(
        float((want.exp() * (want - got)).sum())
        for want, got in zip(wanted, told(model, batches), strict=True)
    )
    return total / sum(len(want) for want in wanted)


def round_matrix(W: Tensor, H: Tensor | None, step: float) -> Coded:
    """W (R, C) on the grid step x {..., -1, 0, 1, ...}, errors compensated for inputs with H (C, C) if given.

    Columns go in the order of their inputs' size, the largest first.
    """
    if H is None:
        q = torch.round(W / step)
    else:
        order = H.diagonal().argsort(descending=True)
        q, _ = gptq.compensate(W, H, gptq.uniform(step, W.shape[1]), order=order)
    return Coded(q.clamp(-32768, 32767).to(torch.int16), torch.tensor(step, dtype=torch.float32))


@torch.no_grad()
def sensitivities(
    model: Transformer,
    hessians: Mapping[str, Tensor],
    steps: Mapping[str, float],
    batches: Batches,
) -> dict[str, float]:
    """a_t of each matrix: the divergence when it alone is rounded with its step, over the step squared."""
    wanted, found = told(model, batches), {}
    for name, W in matrices(model).items():
        other = copy.deepcopy(model)
        other.get_parameter(name).copy_(round_matrix(W, hessians.get(name), steps[name]).value())
        found[name] = max(divergence(other, batches, wanted), 1e-7) / steps[name] ** 2
    return found


@torch.no_grad()
def best_steps(
    model: Transformer, tokenizer: Any, questions: Sequence[Question], rounds: int = 2
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Steps sqrt(N_t / a_t) of each matrix, scaled so that together they cost what s = sigma would; and H.

    Sensitivities are measured at steps of 0.7 sigma first, then at those that the round before gave.
    """
    hessians = gptq.hessians(model, tokenizer, questions)
    batches = list(gptq.batches(tokenizer, questions[:: max(1, len(questions) // JUDGED)]))
    W = matrices(model)
    count = sum(w.numel() for w in W.values())
    steps = {name: 0.7 * float(w.std()) for name, w in W.items()}
    for _ in range(rounds):
        a = sensitivities(model, hessians, {name: 0.75 * s for name, s in steps.items()}, batches)
        wish = {name: math.sqrt(w.numel() / a[name]) for name, w in W.items()}
        off = sum(w.numel() * math.log(wish[name] / float(w.std())) for name, w in W.items()) / count
        steps = {name: s / math.exp(off) for name, s in wish.items()}
    return steps, hessians


def round_norm(x: Tensor, bits: int = NORM_BITS) -> Coded:
    """A vector (D,) of a norm as codes of so many bits with one step: it costs bytes, too."""
    top = float(x.abs().max()) or 1.0
    step = torch.tensor(top / (2 ** (bits - 1) - 1), dtype=torch.float32)
    return Coded(torch.round(x / step).to(torch.int16), step)


@torch.no_grad()
def compress(
    model: Transformer, steps: Mapping[str, float], hessians: Mapping[str, Tensor], c: float
) -> Tensors:
    """All weights of `model`: matrices on grids of c x steps, norms as 8-bit codes. ValueError for c <= 0."""
    if not c > 0:
        raise ValueError(f"c {c}: must be above 0")
    made: Tensors = {}
    for name, p in model.named_parameters():
        if p.ndim == 2:
            made[name] = round_matrix(p.detach(), hessians.get(name), c * steps[name])
        else:
            made[name] = round_norm(p.detach())
    return made


def to_size(
    model: Transformer,
    steps: Mapping[str, float],
    hessians: Mapping[str, Tensor],
    most: int,
    tries: int = 9,
) -> Tensors:
    """The finest grids, c in [1/8, 8], whose file has at most `most` bytes; log c is halved `tries` times.

    ValueError where c = 8 makes a larger file.
    """
    config = asdict(model.config)
    low, high, best = math.log(1 / 8), math.log(8.0), compress(model, steps, hessians, 8.0)
    if (least := compressed.size(best, config)) > most:
        raise ValueError(f"most {most} bytes: the coarsest grids still make a file of {least}")
    for _ in range(tries):
        middle = (low + high) / 2
        tensors = compress(model, steps, hessians, math.exp(middle))
        if compressed.size(tensors, config) <= most:
            best, high = tensors, middle
        else:
            low = middle
    return best
