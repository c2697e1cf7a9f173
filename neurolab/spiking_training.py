"""What a training of the spiking assistant is made of: an inheritance, a calibration, a teacher and a loss.

    inherit     weights of the teacher, LayerNorm folded into its neighbours
    calibrate   steps that round each population's numbers best
    loss_of     cross-entropy of the answer, KL from the teacher's logits (Hinton et al., 2015), squared error
                of the residual stream, and of the counts (the spike rates, if divided by T)

`spiking_recipe` puts them in order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from neurolab.assistant import Batch
from neurolab.spiking import MIX_SHIFT, NORM_SHIFT, UNSIGNED, Fire, Integers, bounds, features, logits
from neurolab.spiking_student import Form, Rest, Smooth, Student
from neurolab.tokens import PAD_ID
from neurolab.transformer import Block, Transformer

GAUSS = math.sqrt(math.pi / 2)  # standard deviation over mean absolute value, for a normal distribution


def _blocks(model: Transformer) -> list[Block]:
    return [block for block in model.blocks if isinstance(block, Block)]


@torch.no_grad()
def inherit(teacher: Transformer, form: Form) -> Student:
    """A student with the teacher's weights. What LayerNorm subtracts and scales moves into its neighbours."""
    student = Student(form)

    def centred(w: Tensor) -> Tensor:  # writers leave nothing for LayerNorm to subtract; w (..., D)
        return w - w.mean(-1, keepdim=True)

    student.embedding.copy_(centred(teacher.embedding.weight))
    student.position.copy_(centred(teacher.position.weight))
    for new, old in zip(student.parts(), _blocks(teacher), strict=True):
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
    for i, block in enumerate(student.parts()):
        student.shifts[2 + 2 * i] = shift(block.out * block.mix_step.exp(), m)
        student.shifts[3 + 2 * i] = shift(block.down * block.hidden_step.exp(), m)


class Watch:
    """A rule that keeps what another one answers: `seen[name]` lists (S, kind) a population and call."""

    def __init__(self, fire: Fire) -> None:
        self.fire = fire
        self.seen: dict[str, list[tuple[Tensor, str]]] = {}

    def __call__(self, name: str, z: Tensor, theta: Tensor, kind: str) -> Tensor:
        S = self.fire(name, z, theta, kind)
        self.seen.setdefault(name, []).append((S, kind))
        return S

    def grow(self, K: Tensor, total: Tensor) -> Tensor:
        return self.fire.grow(K, total)

    def past(self, S: Tensor) -> Tensor:
        return self.fire.past(S)


def _by_step(S: Tensor, steps: int, heads: int, most: int = 20_000) -> Tensor:
    """Numbers (B, L, C) or (B, H, L, ...) -> (steps, about `most`): those that share a step in a row."""
    if S.ndim == 4 and steps != heads:  # the mix, (B, H, L, E), has a step a channel
        S = S.transpose(-3, -2).flatten(-2)
    x = S.transpose(0, 1).flatten(1) if S.ndim == 4 else S.flatten(0, -2).T
    x = x.reshape(steps, -1)  # queries and keys, (D, tokens), share a step a head
    return x[:, :: max(1, x.shape[1] // most)]


@torch.no_grad()
def calibrate(student: Student, batches: list[Batch], candidates: int = 60) -> None:
    """Set every step so that rounding its population's numbers costs the least squared error on `batches`."""
    c = student.form.config
    watch = Watch(Smooth())
    for batch in batches:
        p = student.integers(rounded=False)
        features(p, batch.ids, c, watch)
    steps = {"norm": student.norm_step}
    for i, block in enumerate(student.parts()):
        steps |= {f"{i}.{name}": step for name, step in block.log_steps().items()}
    for name, step in steps.items():
        low, high = bounds(watch.seen[name][0][1], student.form.bits)
        numbers = [_by_step(S, len(step), c.heads) for S, _ in watch.seen[name]]
        x = torch.cat(numbers, 1)  # (steps, numbers)
        largest = x.abs().amax(1, keepdim=True).clamp(min=1e-9)
        best, least = torch.ones_like(largest), torch.full_like(largest, torch.inf)
        for j in range(1, candidates + 1):
            r = largest / high * (j / candidates)
            error = (x - r * torch.floor(x / r + 0.5).clamp(low, high)).square().mean(1, keepdim=True)
            better = error < least
            best, least = torch.where(better, r, best), torch.where(better, error, least)
        step.add_(best[:, 0].log())
    choose_units(student)


@dataclass(frozen=True)
class Terms:
    """What each term of the loss weighs: answer, KL, residual stream, counts."""

    answer: float = 1.0
    kl: float = 1.0
    hidden: float = 0.5
    counts: float = 0.0


@dataclass
class Told:
    """What a teacher says of a batch: logits (answers, V), residual streams (B, L, D), counts by name."""

    logits: Tensor
    states: list[Tensor]
    counts: dict[str, Tensor]


Teacher = Callable[[Batch], Told]


def float_teacher(model: Transformer) -> Teacher:
    """The assistant itself. Its residual streams are centred: LayerNorm subtracts their mean."""

    @torch.no_grad()
    def tell(batch: Batch) -> Told:
        ids = batch.ids[:, :-1]
        x = model.embedding(ids) + model.position(torch.arange(ids.shape[1]))
        states: list[Tensor] = []
        for block in _blocks(model):
            x, _ = block(x)
            states.append(x - x.mean(-1, keepdim=True))
        return Told(model.logits(model.norm(x)[batch.answer[:, 1:]]), states, {})

    return tell


def integer_teacher(student: Student) -> Teacher:
    """An integer network: the quantized one teaches those that have few steps."""

    @torch.no_grad()
    def tell(batch: Batch) -> Told:
        watch = Watch(Rest(student.form.bits))
        states: list[Tensor] = []
        p = student.integers()
        S = features(p, batch.ids[:, :-1], student.form.config, watch, states)
        told = logits(p, S[batch.answer[:, 1:]]) * p["scale"]
        return Told(told, [x * student.unit for x in states], {k: v[0][0] for k, v in watch.seen.items()})

    return tell


def last(x: Tensor, ndim: int) -> Tensor:
    """The final time step of x, if it has a time axis in front of `ndim` others."""
    return x[-1] if x.ndim > ndim else x


def loss_of(student: Student, batch: Batch, rule: Fire, teacher: Teacher, terms: Terms) -> Tensor:
    """The loss of one batch; the first two terms in nats per answer token, the others relative errors."""
    ids, wanted = batch.ids[:, :-1], batch.answer[:, 1:]
    seen = ids != PAD_ID  # (B, L)
    p = student.integers(rounded=not isinstance(rule, Smooth))
    watch = Watch(rule)
    states: list[Tensor] = []
    S = last(features(p, ids, student.form.config, watch, states), 3)  # (B, L, D)
    guess = logits(p, S[wanted]) * p["scale"]  # (answer tokens, V)
    told = teacher(batch)
    loss = terms.answer * F.cross_entropy(guess, batch.ids[:, 1:][wanted])
    loss = loss + terms.kl * F.kl_div(
        guess.log_softmax(-1), told.logits.log_softmax(-1), log_target=True, reduction="batchmean"
    )
    if terms.hidden:
        for mine, theirs in zip(states, told.states, strict=True):
            off = (last(mine, 3) * student.unit - theirs)[seen].square().mean()
            loss = loss + terms.hidden / len(states) * off / theirs[seen].square().mean()
    if terms.counts and told.counts:
        for name, theirs in told.counts.items():
            mine, kind = watch.seen[name][0]
            high = bounds(kind, student.form.bits)[1]
            off = last(mine, theirs.ndim) - theirs
            if theirs.ndim == 4:  # (B, H, L, ...)
                off, theirs = off.transpose(1, 2), theirs.transpose(1, 2)
            usual = theirs[seen].square().mean() if kind == UNSIGNED else theirs.new_tensor(high**2 / 4)
            off = off[seen].square()  # (tokens, ...)
            loss = loss + terms.counts / len(told.counts) * off.mean() / (usual + 1e-6)
    return loss


@torch.no_grad()
def revive(p: Integers, form: Form) -> Student:
    """A student whose `integers` are p again, to train a shipped network further.

    Which number a count stands for is lost in the integers; here 1, except where a norm or mix divides.
    ValueError for ternary weights, whose scales the integers do not hold.
    """
    if form.largest == 1:
        raise ValueError("largest 1: a ternary network cannot be revived; train it from the quantized one")
    student, c = Student(form), form.config
    student.embedding.copy_(p["embedding.W"] * p["embedding.unit"])
    student.position.copy_(p["position.W"] * p["position.unit"])
    student.shifts[0], student.shifts[1] = p["embedding.unit"].log2(), p["position.unit"].log2()
    for i, block in enumerate(student.parts()):
        entry = {name: p[f"{i}.{name}.K"] * c.width / 2**NORM_SHIFT for name in ("norm1", "norm2")}
        entry["mix"] = p[f"{i}.mix.K"] / 2**MIX_SHIFT
        entry["attention"] = p[f"{i}.attention.theta"]
        for name, step in entry.items():
            block.log_steps()[name].copy_(step.log())
        for name, source in (("query", "norm1"), ("key", "norm1"), ("value", "norm1"), ("up", "norm2")):
            s = 1 / p[f"{i}.{name}.theta"]  # one step of 1 is theta scales
            block.get_parameter(name).copy_(p[f"{i}.{name}.W"] * s[:, None] / entry[source])
            block.get_parameter(f"{name}_bias").copy_(p[f"{i}.{name}.b"] * s)
        block.out.copy_(p[f"{i}.out.W"] * p[f"{i}.out.unit"] / entry["mix"])
        block.down.copy_(p[f"{i}.down.W"] * p[f"{i}.down.unit"])
        student.shifts[2 + 2 * i], student.shifts[3 + 2 * i] = (
            p[f"{i}.out.unit"].log2(),
            p[f"{i}.down.unit"].log2(),
        )
        block.offset.copy_(p[f"{i}.attention.offset"])
    student.norm_step.copy_((p["norm.K"] * c.width / 2**NORM_SHIFT).log())
    student.logits_bias.copy_(p["logits.b"] * p["embedding.unit"])
    student.scale.copy_((p["scale"] / p["embedding.unit"]).log())
    return student
