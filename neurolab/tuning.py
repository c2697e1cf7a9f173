"""Going on with the training of the assistant, after something was done to its weights.

One function for every chapter that trains further, so that results of equal steps compare: the same batches,
the same schedule, the same optimisers; the float control is this function on the untouched model.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from neurolab import assistant, facts
from neurolab.assistant import Batch, Rows, repeatable
from neurolab.tokens import encode_pair
from neurolab.training import History, Schedule, fit
from neurolab.transformer import Transformer


@lru_cache(maxsize=4)
def training_rows(batch: int, seed: int) -> Rows:
    """The training questions and answers as token rows, in an order that `seed` chooses."""
    tokenizer = assistant.load().tokenizer
    asked = facts.split("train")
    return Rows([encode_pair(tokenizer, q.text, q.answer) for q in asked], batch, seed)


def told_loss(model: nn.Module, batch: Batch, teacher: Transformer | None, soft: float) -> Tensor:
    """(1 - soft) cross-entropy of the answers + soft KL(teacher || model), in nats a token of the answers.

    Hinton et al., 2015, at temperature 1. Without a teacher only the cross-entropy counts.
    """
    ids, wanted = batch.ids[:, :-1], batch.answer[:, 1:]
    guess = model.logits(model.features(ids)[0][wanted])  # type: ignore[operator]  # (answer tokens, V)
    hard = F.cross_entropy(guess, batch.ids[:, 1:][wanted])
    if teacher is None or soft == 0:
        return hard
    with torch.no_grad():
        told = teacher.logits(teacher.features(ids)[0][wanted]).log_softmax(-1)
    kl = F.kl_div(guess.log_softmax(-1), told, log_target=True, reduction="batchmean")
    return (1 - soft) * hard + soft * kl


def optimisers(model: nn.Module, rate_matrices: float, rate_rest: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks, AdamW for the rest, as the assistant was trained; no decay."""
    named = [(n, p, p.ndim == 2 and n.startswith("blocks.")) for n, p in model.named_parameters()]
    matrices = [p for _, p, inside in named if inside and p.requires_grad and p.numel() > p.shape[0]]
    rest = [p for _, p, inside in named if p.requires_grad and not (inside and p.numel() > p.shape[0])]
    made: list[torch.optim.Optimizer] = []
    if matrices:
        made.append(
            torch.optim.Muon(matrices, lr=rate_matrices, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
        )
    made.append(torch.optim.AdamW(rest, lr=rate_rest, weight_decay=0.0, betas=(0.9, 0.98)))
    return made


def tune(
    model: nn.Module,
    *,
    steps: int,
    seed: int,
    batch: int = 128,
    rate_matrices: float = 0.002,
    rate_rest: float = 0.001,
    teacher: Transformer | None = None,
    soft: float = 0.5,
    extra: Callable[[nn.Module], Tensor] | None = None,
    before: Callable[[int], None] | None = None,
    checkpoint: Path | None = None,
    threads: int = 1,
    progress: bool = False,
) -> History:
    """Train `model` (a Transformer, its weights parametrised or not) in place for `steps` steps.

    The rates warm up over 20 steps and then fall in a line to 0. soft: weight of the teacher's soft labels
    in [0, 1]. extra(model) is added to the loss; before(step) is called before each step (a mask that grows).
    ValueError for steps below 1 or soft out of its range.
    """
    if steps < 1:
        raise ValueError(f"steps {steps}: must be at least 1")
    if not 0 <= soft <= 1:
        raise ValueError(f"soft {soft}: must be in [0, 1]")
    rows = training_rows(batch, seed)

    def loss_of(net: nn.Module, step: int) -> Tensor:
        if before is not None:
            before(step)
        with parametrize.cached():  # the embedding is used twice in a step
            loss = told_loss(net, rows.at(step), teacher, soft)
            return loss if extra is None else loss + extra(net)

    with repeatable(threads):
        return fit(
            model,
            loss_of,
            optimisers(model, rate_matrices, rate_rest),
            Schedule(warmup=min(20, steps), stay=1, cool=steps - 1),
            checkpoint=checkpoint,
            progress=progress,
        )
