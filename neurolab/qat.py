"""Quantization-aware training: rounding in the forward pass, a derivative for it in the backward pass.

A weight w is used as s q, q = clip(floor(w / s + 1/2), low, high), while training moves the float w behind it
and the step s. Rounding has no useful derivative; the straight-through estimator takes that of the identity
where nothing was clipped (Bengio et al., 2013), from which the step's own derivative follows: q - w / s
within the bounds, the bound beyond them (LSQ: Esser et al., Learned step size quantization, ICLR 2020,
equation 3).

    2 to 8     whole numbers of so many bits
    "ternary"  -1, 0, 1          (Li et al., Ternary weight networks, 2016)
    "binary"   -1, 1             (Rastegari et al., XNOR-Net, 2016)
    "grid"     whole numbers without narrow bounds, to be entropy-coded; `price` says what they will cost
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from neurolab.quantization import best_scales, check_bits, round_clip
from neurolab.quantized import Coded, Tensors

Model = TypeVar("Model", bound=nn.Module)
Kind = int | str
KINDS = ("ternary", "binary", "grid")
GRANULARITIES = ("tensor", "channel")


def levels(kind: Kind) -> tuple[int, int]:
    """The lowest and highest code of a kind. ValueError for one that there is not."""
    if kind in ("ternary", "binary"):
        return -1, 1
    if kind == "grid":
        return -127, 127
    if isinstance(kind, str):
        raise ValueError(f"kind {kind!r}: must be 2 to 8 bits or one of {', '.join(KINDS)}")
    check_bits(kind)
    return -(2 ** (kind - 1)), 2 ** (kind - 1) - 1


def first_steps(W: Tensor, kind: Kind, granularity: str) -> Tensor:
    """Steps to begin with, (R, 1) or (1, 1), for W (R, C).

    Bits: those of least squared error. Binary: mean |w|, which is their closed form. Ternary: 1.4 mean |w|,
    near the best for a normal distribution. Grid: the standard deviation, some 2 bits a weight.
    """
    if granularity not in GRANULARITIES:
        raise ValueError(f"granularity {granularity!r}: must be one of {', '.join(GRANULARITIES)}")
    rows = W.reshape(1, -1) if granularity == "tensor" else W
    if isinstance(kind, int):
        return best_scales(rows, kind)
    levels(kind)
    by = {"binary": 1.0, "ternary": 1.4}
    size = rows.std(1, keepdim=True) if kind == "grid" else by[kind] * rows.abs().mean(1, keepdim=True)
    return torch.where(size > 0, size, torch.ones_like(size))


class FakeQuant(nn.Module):
    """A weight (R, ...) as it is used: s q. Put on by `torch.nn.utils.parametrize`."""

    def __init__(self, W: Tensor, kind: Kind, granularity: str) -> None:
        super().__init__()
        self.kind = kind
        self.low, self.high = levels(kind)
        self.log_step = nn.Parameter(first_steps(W.detach().flatten(1), kind, granularity).log())

    def step(self) -> Tensor:
        """s, (R, 1) or (1, 1)."""
        return self.log_step.exp()

    def codes(self, W: Tensor) -> Tensor:
        """q of W (R, ...) -> (R, C), whole numbers as floats, differentiable."""
        u = W.flatten(1) / self.step()
        if self.kind == "binary":
            return 2 * round_clip((u + 1) / 2, 0, 1) - 1
        return round_clip(u, self.low, self.high)

    def forward(self, W: Tensor) -> Tensor:
        """W (R, ...) -> s q, of the same shape."""
        return (self.step() * self.codes(W)).view_as(W)


def fake_quantize(
    model: Model, kind: Kind, *, granularity: str = "channel", skip: Collection[str] = ()
) -> Model:
    """Put a FakeQuant on every weight of two dimensions or more of `model`, in place; returns it.

    skip: names of weights to leave as they are. What is there already (a mask) stays underneath.
    """
    named = {name for name, _ in weights(model)}
    if unknown := sorted(set(skip) - named):
        raise ValueError(f"skip holds {unknown[0]!r}: must be among the model's matrices")
    for name, module in list(weights(model)):
        if name not in skip:
            fake = FakeQuant(module.weight, kind, granularity)  # type: ignore[arg-type]
            parametrize.register_parametrization(module, "weight", fake)
    return model


def weights(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Name of each weight of two dimensions or more, as without parametrizations, and its module."""
    for name, module in model.named_modules():
        if isinstance(getattr(module, "weight", None), Tensor) and module.weight.ndim >= 2:
            yield f"{name}.weight", module


def quantizer(module: nn.Module) -> tuple[FakeQuant, Tensor] | None:
    """The FakeQuant of a module's weight and what it is given (R, ...); None if it has none."""
    if not parametrize.is_parametrized(module, "weight"):
        return None
    chain = module.parametrizations.weight  # type: ignore[union-attr]
    *others, last = chain  # type: ignore[misc]
    if not isinstance(last, FakeQuant):
        return None
    W = chain.original  # type: ignore[union-attr]
    for part in others:
        W = part(W)
    return last, W  # type: ignore[return-value]


@torch.no_grad()
def coded(model: nn.Module) -> Tensors:
    """The weights by their plain names: quantized ones as codes and steps, the others as float tensors."""
    made: Tensors = {name: p.detach().clone() for name, p in plain(model).state_dict().items()}
    for name, module in weights(model):
        found = quantizer(module)
        if found is not None:
            fake, W = found
            step = fake.step().detach()
            q = fake.codes(W).to(torch.int16).reshape(W.shape)
            made[name] = Coded(q, step.reshape(()) if step.numel() == 1 else step)
    return made


@torch.no_grad()
def plain(model: Model) -> Model:
    """A copy of `model` without parametrizations, its weights as they were used."""
    made = copy.deepcopy(model)
    for _, module in weights(made):
        if parametrize.is_parametrized(module, "weight"):
            W = module.weight.detach().clone()  # type: ignore[union-attr,operator]
            # torch's own removal would change the class, which the copy shares with `model`
            module.__class__ = parametrize.type_before_parametrizations(module)
            del module.parametrizations
            module.weight = nn.Parameter(W)
    return made


def price_list(q: Tensor, low: int, high: int) -> Tensor:
    """What each code from low - 1 to high + 1 costs: -log2 of its share among q, in bits.

    Every code counts once more than it is there, so that one that nobody uses has a price too.
    """
    counts = torch.bincount((q.flatten() - low + 1).long(), minlength=high - low + 3).float() + 1
    return torch.log2(counts.sum() / counts)


def price(model: nn.Module) -> Tensor:
    """Bits that an entropy coder will need for all codes of `model`, differentiable.

    A weight between two codes costs what lies between their prices on a straight line, so that it is drawn
    to the cheaper one. Without that (rounded) it is the entropy of the codes, tensor by tensor.
    """
    total = torch.zeros(())
    for _, module in weights(model):
        found = quantizer(module)
        if found is None:
            continue
        fake, W = found
        u = (W.flatten(1) / fake.step()).clamp(fake.low, fake.high)
        bits = price_list(torch.floor(u.detach() + 0.5), fake.low, fake.high)
        below = torch.floor(u.detach())
        at = (below - fake.low + 1).long()
        total = total + (bits[at] + (u - below) * (bits[at + 1] - bits[at])).sum()
    return total


@torch.no_grad()
def code_bits(model: nn.Module) -> float:
    """Entropy of all codes of `model`, in bits: sum over the tensors of count x H0."""
    total = 0.0
    for _, module in weights(model):
        found = quantizer(module)
        if found is not None:
            q = found[0].codes(found[1]).long().flatten()
            counts = torch.bincount(q - q.min()).double()
            counts = counts[counts > 0]
            total += float((counts * torch.log2(counts.sum() / counts)).sum())
    return total
