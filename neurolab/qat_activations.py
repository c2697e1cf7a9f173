"""Whole numbers on both sides of a matrix product: activations with a learned step, and the integer run.

With x = s_x q_x and row r of W = s_r q_r, output r is s_x s_r (q_r . q_x): a product of whole numbers, scaled
once. While training, the product runs in float32, which holds it exactly as long as it stays below 2^24; so
the network that was trained and the one that computes in integers give the same bits, not nearly the same.

Source: integer-only inference, Jacob et al., 2018; learned steps for activations, Esser et al., 2020.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from neurolab.assistant import Batch
from neurolab.qat import Model, levels, quantizer
from neurolab.quantization import best_scales, check_bits, round_clip

EXACT = 2**24  # up to here float32 holds every whole number


def linears(model: nn.Module) -> dict[str, nn.Linear]:
    """The linear layers without bias whose weights carry a FakeQuant, by name."""
    return {
        name: m
        for name, m in model.named_modules()
        if isinstance(m, nn.Linear) and m.bias is None and quantizer(m) is not None
    }


class CodedInput(nn.Module):
    """Codes of a layer's inputs: q = clip(floor(x / s + 1/2)), one learned step s a layer."""

    def __init__(self, x: Tensor, bits: int) -> None:
        super().__init__()
        check_bits(bits)
        self.low, self.high = levels(bits)
        self.log_step = nn.Parameter(best_scales(x.detach().reshape(1, -1), bits).reshape(()).log())

    def forward(self, x: Tensor) -> Tensor:
        """x (..., C) -> codes (..., C), whole numbers as floats, differentiable."""
        return round_clip(x / self.log_step.exp(), self.low, self.high)


def coded_forward(layer: nn.Linear, x: Tensor) -> Tensor:
    """x (..., C) -> s_x s_r (q_r . q_x), (..., R)."""
    fake, W = quantizer(layer)  # type: ignore[misc]
    made = layer.coded_input
    assert isinstance(made, CodedInput)
    q = made(x)
    scale = made.log_step.exp() * fake.step().T  # (1, R) or (1, 1)
    return F.linear(q, fake.codes(W)) * scale


@torch.no_grad()
def quantize_activations(model: Model, bits: int, batches: Sequence[Batch]) -> Model:
    """Give every linear layer with quantized weights `bits`-bit inputs (2 to 8), in place; returns `model`.

    The steps begin where they round the inputs of `batches` with the least squared error. ValueError
    where a layer's products could leave what float32 holds exactly, or where there is no such layer.
    """
    found = linears(model)
    if not found:
        raise ValueError("model: has no linear layer with quantized weights; call fake_quantize first")
    seen: dict[str, list[Tensor]] = {name: [] for name in found}
    handles = [
        m.register_forward_pre_hook(lambda _, given, name=name: seen[name].append(given[0].flatten()[::7]))
        for name, m in found.items()
    ]
    for batch in batches:
        model(batch.ids[:, :-1])
    for handle in handles:
        handle.remove()
    for name, layer in found.items():
        fake, _ = quantizer(layer)  # type: ignore[misc]
        largest = layer.in_features * 2 ** (bits - 1) * max(-fake.low, fake.high)
        if largest > EXACT:
            raise ValueError(f"bits {bits}: sums in {name} reach {largest}, float32 is exact to {EXACT}")
        layer.coded_input = CodedInput(torch.cat(seen[name]), bits)
        layer.forward = coded_forward.__get__(layer)  # type: ignore[method-assign]
    return model


class IntegerLinear(nn.Module):
    """The same layer in integers: int8 codes, an int32 sum, one multiplication by the scale."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        fake, W = quantizer(layer)  # type: ignore[misc]
        made = layer.coded_input
        assert isinstance(made, CodedInput)
        self.low, self.high = made.low, made.high
        self.register_buffer("q", fake.codes(W).detach().to(torch.int8))  # (R, C)
        self.step: Tensor
        self.register_buffer("step", made.log_step.exp().detach())
        self.register_buffer("scale", (self.step * fake.step().T).detach())

    def forward(self, x: Tensor) -> Tensor:
        """x (..., C) -> (..., R)."""
        codes = torch.floor(x / self.step + 0.5).clamp(self.low, self.high).to(torch.int8)
        total = codes.to(torch.int32) @ self.q.to(torch.int32).T  # type: ignore[operator]
        return total * self.scale  # type: ignore[no-any-return,operator]


@torch.no_grad()
def integer_run(model: Model) -> Model:
    """A copy of `model` whose quantized layers compute in integers; the rest as it was used in training."""
    made = copy.deepcopy(model)
    for name, layer in linears(model).items():
        parent, _, child = name.rpartition(".")
        made.get_submodule(parent).register_module(child, IntegerLinear(layer))
    for module in made.modules():
        if parametrize.is_parametrized(module, "weight"):
            W = module.weight.detach().clone()  # type: ignore[union-attr,operator]
            module.__class__ = parametrize.type_before_parametrizations(module)
            del module.parametrizations
            module.weight = nn.Parameter(W)
    return made
