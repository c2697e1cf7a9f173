"""From the assistant to the spiking one: inherit, replace the parts, measure the steps, train each stage.

    inherit     weights of the teacher, LayerNorm folded into its neighbours
    parts       train with `Smooth`: norm, attention and ReLU learn to do the teacher's work, still in floats
    calibrate   steps that round each population's numbers best
    quantize    train with `Rest`: the integer network
    few steps   train with `Spikes`: the same neurons, but only T steps

Losses: cross-entropy of the answer; KL from the teacher's logits (Hinton et al., 2015); mean squared error of
hidden states; of counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from neurolab.assistant import Batch
from neurolab.spiking import Fire, bounds, features, logits
from neurolab.spiking_student import Form, Smooth, Student
from neurolab.transformer import Transformer

GAUSS = math.sqrt(math.pi / 2)  # standard deviation over mean absolute value, for a normal distribution


@torch.no_grad()
def inherit(teacher: Transformer, form: Form) -> Student:
    """A student with the teacher's weights. What LayerNorm subtracts and scales moves into its neighbours."""
    student = Student(form)

    def centred(w: Tensor) -> Tensor:  # writers leave nothing for LayerNorm to subtract; w (..., D)
        return w - w.mean(-1, keepdim=True)

    student.embedding.copy_(centred(teacher.embedding.weight))
    student.position.copy_(centred(teacher.position.weight))
    for new, old in zip(student.blocks, teacher.blocks, strict=True):
        for name, matrix, ln in (
            ("query", old.attention.query, old.norm1),
            ("key", old.attention.key, old.norm1),
            ("value", old.attention.value, old.norm1),
            ("up", old.feed_forward.up, old.norm2),
        ):
            new.get_parameter(name).copy_(matrix.weight * ln.weight / GAUSS)
            new.get_parameter(f"{name}_bias").copy_(matrix.weight @ ln.bias)
        new.out.copy_(centred(old.attention.out.weight.T).T)
        new.down.copy_(centred(old.feed_forward.down.weight.T).T)
    gain = teacher.norm.weight.clamp(min=0.05)
    student.norm_step.copy_((GAUSS / gain).log())
    student.logits_bias.copy_(teacher.embedding.weight @ teacher.norm.bias)
    choose_units(student)
    return student


@torch.no_grad()
def choose_units(student: Student, fine: int = 3) -> None:
    """Set the residual stream's unit and each writer's power of two from its largest weight."""
    student.unit.fill_(student.embedding.abs().max() / 127 / 2**fine)
    m = student.form.largest

    def shift(w: Tensor, m: int) -> float:
        s = w.abs().max() / m if m > 1 else w.abs().mean() * 1.4
        ratio = math.log2(float(s) / float(student.unit))
        return float(max(0, math.ceil(ratio) if m > 1 else round(ratio)))

    student.shifts[0], student.shifts[1] = fine, shift(student.position, 127)
    for i, block in enumerate(student.blocks):
        student.shifts[2 + 2 * i] = shift(block.out * block.mix_step.exp(), m)
        student.shifts[3 + 2 * i] = shift(block.down * block.hidden_step.exp(), m)


class Watch:
    """A rule that keeps what another one answers: `seen[name]` lists (S, kind) a population and call."""

    def __init__(self, fire: Fire) -> None:
        self.fire, self.seen = fire, {}

    def __call__(self, name: str, z: Tensor, theta: Tensor, kind: str) -> Tensor:
        S = self.fire(name, z, theta, kind)
        self.seen.setdefault(name, []).append((S, kind))
        return S

    def grow(self, K: Tensor, total: Tensor) -> Tensor:
        return self.fire.grow(K, total)

    def past(self, S: Tensor) -> Tensor:
        return self.fire.past(S)


@torch.no_grad()
def calibrate(student: Student, batches: list[Batch], candidates: int = 60) -> None:
    """Set every step so that rounding its population's numbers costs the least squared error on `batches`."""
    c = student.form.config
    watch = Watch(Smooth())
    for batch in batches:
        p = student.integers(rounded=False)
        features(p, batch.ids, c, watch)
    steps = {"norm": student.norm_step}
    for i, block in enumerate(student.blocks):
        steps |= {f"{i}.{n[:-5]}": s for n, s in block.named_parameters() if n.endswith("_step")}
    for name, step in steps.items():
        low, high = bounds(watch.seen[name][0][1], student.form.bits)
        groups = len(step)
        parts = []
        for S, _ in watch.seen[name]:
            if S.ndim == 4 and groups == c.heads:  # attention (B, H, L, L): only the past counts
                parts.append(S.transpose(0, 1).flatten(1)[:, ::7])
            else:
                if S.ndim == 4:
                    S = S.transpose(-3, -2).flatten(-2)
                parts.append(S.flatten(0, -2).T.reshape(groups, -1))  # (groups, numbers)
        x = torch.cat(parts, 1)
        if name.endswith("attention"):
            keep = 20000
            x = x[:, :: max(1, x.shape[1] // keep)]
        largest = x.abs().amax(1, keepdim=True).clamp(min=1e-9)
        best, least = torch.ones_like(largest), torch.full_like(largest, torch.inf)
        for j in range(1, candidates + 1):
            r = largest / high * (j / candidates)
            error = (x - r * torch.floor(x / r + 0.5).clamp(low, high)).square().mean(1, keepdim=True)
            better = error < least
            best, least = torch.where(better, r, best), torch.where(better, error, least)
        step += best[:, 0].log()
    choose_units(student)


@dataclass(frozen=True)
class Weights:
    """What each term of the loss weighs."""

    answer: float = 1.0
    kl: float = 1.0
    hidden: float = 0.0
    counts: float = 0.0


def student_loss(
    student: Student, batch: Batch, fire: Fire, rounded: bool, teacher: Transformer, w: Weights
) -> Tensor:
    """The loss of one batch, in nats per answer token (KL and cross-entropy) plus the weighed other terms."""
    ids, wanted = batch.ids[:, :-1], batch.answer[:, 1:]
    p = student.integers(rounded)
    states: list[Tensor] = []
    S = features(p, ids, student.form.config, fire, states)  # (..., L, D)
    S = S[-1] if S.ndim == 4 else S
    guess = logits(p, S[wanted]) * p["scale"]
    loss = w.answer * F.cross_entropy(guess, batch.ids[:, 1:][wanted])
    if w.kl or w.hidden:
        with torch.no_grad():
            told: list[Tensor] = []
            x = teacher.embedding(ids) + teacher.position(torch.arange(ids.shape[1]))
            for block in teacher.blocks:
                x, _ = block(x)
                told.append(x)
            goal = teacher.logits(teacher.norm(x)[wanted])
        loss = loss + w.kl * F.kl_div(
            guess.log_softmax(-1), goal.log_softmax(-1), log_target=True, reduction="batchmean"
        )
    if w.hidden:
        seen = batch.ids[:, :-1] != 0
        for mine, theirs in zip(states, told, strict=True):
            mine = (mine[-1] if mine.ndim == 4 else mine)[seen] * student.unit
            theirs = theirs[seen] - theirs[seen].mean(-1, keepdim=True)
            loss = loss + w.hidden * (mine - theirs).square().mean() / theirs.square().mean() / len(told)
    return loss
