"""Post-training quantization of the assistant: rounded to nearest (RTN) or with error compensation (GPTQ).

Both take the step with the least squared error, or the one that cuts nothing off ("max").
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tokenizers import Tokenizer
from torch import Tensor

from neurolab import facts
from neurolab.facts import Question
from neurolab.gptq import compensate, in_order, uniform
from neurolab.quantization import best_steps, code_range, encode, shared
from neurolab.quantized import Coded, Tensors
from neurolab.transformer import Transformer

SCALES = ("mse", "max")
ASKED = 1024  # questions that GPTQ and activation ranges look at
DAMP = 0.1  # of H's mean diagonal; GPTQ's paper takes 0.01, which does worse here


def calibration_questions(seed: int = 0, count: int = ASKED) -> list[Question]:
    """`count` questions of the training split, drawn by `seed`: held-out ones are never looked at."""
    asked = facts.split("train")
    order = torch.randperm(len(asked), generator=torch.Generator().manual_seed(seed))
    return [asked[i] for i in order[:count].tolist()]


def steps(w: Tensor, bits: float, granularity: str, scales: str = "mse") -> Tensor:
    """Symmetric steps of w (R, C) in the form that `Coded` takes. ValueError for other `scales`."""
    if scales not in SCALES:
        raise ValueError(f"scales {scales!r}: must be one of {', '.join(SCALES)}")
    x = shared(w.detach().float(), granularity)  # (R', C', n)
    if scales == "max":
        return encode(w, bits, granularity).step
    best = best_steps(x.flatten(0, 1), *code_range(bits)).reshape(x.shape[:2])
    return best[0, 0] if granularity == "tensor" else best


def round_one(w: Tensor, s: Tensor, bits: float) -> Coded:
    """w (R, C) rounded to the nearest codes of the steps s."""
    made = Coded(torch.zeros(w.shape, dtype=torch.int16), s)
    q = torch.round(w.detach().float() / made.spread(s)).clamp(*code_range(bits))
    return Coded(q.to(torch.int16), s)


def rtn(model: Transformer, bits: float, granularity: str, scales: str = "mse") -> Tensors:
    """All weights of `model`, its matrices (embeddings included) rounded to the nearest codes."""
    return {
        name: round_one(p, steps(p, bits, granularity, scales), bits) if p.ndim == 2 else p.detach().clone()
        for name, p in model.named_parameters()
    }


def gptq(
    model: Transformer,
    tokenizer: Tokenizer,
    questions: Sequence[Question],
    bits: float,
    granularity: str,
    scales: str = "mse",
    damp: float = DAMP,
) -> Tensors:
    """The same, each column's error made good by the columns after it, on what `questions` feed the layers.

    Steps are those of the untouched matrix. The embedding is rounded as the output layer that it also is; the
    positions, which are only looked up, to nearest.
    """

    def code(name: str, W: Tensor, H: Tensor) -> Coded:
        s = steps(W, bits, granularity, scales)
        q, _ = compensate(W, H, uniform(s, W.shape[1], *code_range(bits)), damp=damp)
        return Coded(q, s)

    return in_order(model, tokenizer, questions, code)
