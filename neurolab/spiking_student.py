"""The spiking assistant as it is trained: rules with derivatives, floats behind the integers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from neurolab.quantization import round_clip, round_ste
from neurolab.spiking import (
    FIRST,
    MIX_SHIFT,
    NORM_SHIFT,
    SIGNED,
    UNSIGNED,
    Fire,
    Integers,
    bounds,
    features,
    logits,
)
from neurolab.transformer import Config


class Rule:
    """What the three rules below share."""

    def grow(self, K: Tensor, total: Tensor) -> Tensor:
        return K * total

    def past(self, S: Tensor) -> Tensor:
        return S


class Smooth(Rule):
    """No rounding: S = z / theta, unsigned ones cut at 0. The float network that the parts make."""

    def __call__(self, name: str, z: Tensor, theta: Tensor, kind: str) -> Tensor:
        S = z / theta
        return S.clamp(min=0) if kind == UNSIGNED else S


class Rest(Rule):
    """S = clip(floor(z / theta + 1/2)), differentiable: the integer network as it is trained."""

    def __init__(self, bits: int = 4) -> None:
        self.bits = bits

    def __call__(self, name: str, z: Tensor, theta: Tensor, kind: str) -> Tensor:
        return round_clip(z / theta, *bounds(kind, self.bits))


class _Settle(torch.autograd.Function):
    """S(t) of the signed neuron for u = z / theta (T or 1, ...) and step weights w(t).

    s(t) = clip(floor((u(t) - S(t-1)) / w(t) + 1/2), -1, 1), no spike where S would leave its
    bounds. Backwards, where the spike was neither clipped nor forbidden S(t) follows u(t), elsewhere it
    follows S(t - 1).
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor, weights: Sequence[int], low: int, high: int) -> Tensor:
        S = torch.zeros_like(u[0])
        counts, follows = u.new_empty(len(weights), *u.shape[1:]), []
        for t, w in enumerate(weights):
            wish = torch.floor((u[min(t, u.shape[0] - 1)] - S) / w + 0.5)
            moved = S + w * wish.clamp(-1, 1)
            allowed = (moved >= low) & (moved <= high)
            S = torch.where(allowed, moved, S)
            follows.append(allowed & (wish.abs() <= 1))
            counts[t] = S
        ctx.constant = u.shape[0] == 1
        ctx.save_for_backward(*follows)
        return counts

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        back, carried = torch.empty_like(g), torch.zeros_like(g[0])
        for t in reversed(range(g.shape[0])):
            carried = carried + g[t]
            back[t] = carried * ctx.saved_tensors[t]
            carried = carried - back[t]
        return (back.sum(0, keepdim=True) if ctx.constant else back), None, None, None


class Spikes(Rule):
    """S(1..T) of signed integrate-and-fire neurons, differentiable: the spiking network as it is trained.

    weights: step weights by kind, from `schedule`. With `together` a token meets the earlier ones as they are
    at the same step; otherwise they have had their T steps already (tokens come one after another).
    """

    def __init__(self, weights: dict[str, tuple[int, ...]], bits: int = 4, together: bool = False) -> None:
        self.weights, self.bits, self.together = weights, bits, together

    def __call__(self, name: str, z: Tensor, theta: Tensor, kind: str) -> Tensor:
        u = z / theta
        changing = name not in FIRST
        return _Settle.apply(u if changing else u.unsqueeze(0), self.weights[kind], *bounds(kind, self.bits))

    def past(self, S: Tensor) -> Tensor:
        return S if self.together else S[-1:]


@dataclass(frozen=True)
class Form:
    """What a spiking assistant is made of: sizes, bits of a count (2 to 8), largest weight (127, 7 or 1)."""

    config: Config
    bits: int = 4
    largest: int = 127

    def __post_init__(self) -> None:
        bounds(SIGNED, self.bits)
        if self.largest not in (127, 7, 1):
            raise ValueError(
                f"largest {self.largest!r}: must be 127 (8-bit), 7 (4-bit) or 1 (ternary weights)"
            )


class StudentBlock(nn.Module):
    """The parameters of one block: matrices, biases, and the logarithms of the steps."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        D, F, H = config.width, config.hidden, config.heads

        def matrix(rows: int, columns: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(rows, columns) * 0.02)

        def zeros(size: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(size))

        self.query, self.key, self.value = matrix(D, D), matrix(D, D), matrix(D, D)
        self.out, self.up, self.down = matrix(D, D), matrix(F, D), matrix(D, F)
        self.query_bias, self.key_bias, self.value_bias, self.up_bias = zeros(D), zeros(D), zeros(D), zeros(F)
        self.norm1_step, self.norm2_step, self.hidden_step = zeros(D), zeros(D), zeros(F)
        self.query_step, self.key_step, self.value_step = zeros(H), zeros(H), zeros(D)
        self.attention_step, self.mix_step, self.offset = zeros(H), zeros(D), zeros(H)

    def log_steps(self) -> dict[str, nn.Parameter]:
        """Logarithms of the steps by population: (D,), (F,), or (H,) where a head shares one."""
        return {name[:-5]: p for name, p in self.named_parameters() if name.endswith("_step")}


class Student(nn.Module):
    """The network as it is trained: float weights and float steps, from which `integers` makes the integers.

    A count S stands for the number step x S, so a matrix w that reads counts acts as w x step. Rows of
    matrices that drive a population are rounded with a scale each, which its thresholds absorb; matrices that
    write to the residual stream share the stream's unit u, times a power of two.
    """

    unit: Tensor
    shifts: Tensor

    def __init__(self, form: Form) -> None:
        super().__init__()
        c, self.form = form.config, form
        self.embedding = nn.Parameter(torch.randn(c.vocabulary, c.width) * 0.02)
        self.position = nn.Parameter(torch.randn(c.context, c.width) * 0.02)
        self.blocks = nn.ModuleList(StudentBlock(c) for _ in range(c.layers))
        self.norm_step = nn.Parameter(torch.zeros(c.width))
        self.logits_bias = nn.Parameter(torch.zeros(c.vocabulary))
        self.scale = nn.Parameter(torch.zeros(()))  # log of a natural logit per unit of w S
        self.register_buffer("unit", torch.tensor(1.0))  # u: what 1 in the residual stream stands for
        self.register_buffer(
            "shifts", torch.zeros(2 + 2 * c.layers)
        )  # k: embedding, position, out, down, ...

    def parts(self) -> list[StudentBlock]:
        """The blocks, from the lowest."""
        return [block for block in self.blocks if isinstance(block, StudentBlock)]

    def integers(self, rounded: bool = True) -> Integers:
        """Everything `run` needs, by name. `rounded=False` leaves the same numbers unrounded."""
        n = round_ste if rounded else lambda x: x
        m, D = self.form.largest, self.form.config.width

        def at_least_one(x: Tensor) -> Tensor:
            return n(x.clamp(min=1)) if rounded else x

        def reader(w: Tensor) -> tuple[Tensor, Tensor]:  # w (R, C) -> integers (R, C), scales (R, 1)
            s = (w.abs().amax(1, keepdim=True) if m > 1 else w.abs().mean(1, keepdim=True) * 1.4) / m
            s = s.detach().clamp(min=1e-12)
            return n((w / s).clamp(-m, m)) if rounded else w / s, s

        def writer(w: Tensor, k: Tensor, m: int = m) -> tuple[Tensor, Tensor]:
            s = self.unit * 2**k
            return (n((w / s).clamp(-m, m)) if rounded else w / s), 2**k

        p: Integers = {}
        p["embedding.W"], p["embedding.unit"] = writer(self.embedding, self.shifts[0], 127)
        p["position.W"], p["position.unit"] = writer(self.position, self.shifts[1], 127)
        for i, block in enumerate(self.parts()):
            step = {name: s.exp() for name, s in block.log_steps().items()}
            p[f"{i}.norm1.K"] = at_least_one(2**NORM_SHIFT / D * step["norm1"])
            for name in ("query", "key", "value"):
                W, s = reader(block.get_parameter(name) * step["norm1"])
                out = step[name].repeat_interleave(D // len(step[name]))
                p[f"{i}.{name}.W"], p[f"{i}.{name}.theta"] = W, at_least_one(out / s[:, 0])
                p[f"{i}.{name}.b"] = n(block.get_parameter(f"{name}_bias") / s[:, 0])
            p[f"{i}.attention.theta"] = at_least_one(step["attention"] / (step["query"] * step["key"]))
            p[f"{i}.attention.offset"] = n(block.offset / (step["query"] * step["key"]))
            p[f"{i}.mix.K"] = at_least_one(2**MIX_SHIFT * step["mix"] / step["value"])
            p[f"{i}.out.W"], p[f"{i}.out.unit"] = writer(block.out * step["mix"], self.shifts[2 + 2 * i])
            p[f"{i}.norm2.K"] = at_least_one(2**NORM_SHIFT / D * step["norm2"])
            p[f"{i}.up.W"], s = reader(block.up * step["norm2"])
            p[f"{i}.up.theta"], p[f"{i}.up.b"] = (
                at_least_one(step["hidden"] / s[:, 0]),
                n(block.up_bias / s[:, 0]),
            )
            p[f"{i}.down.W"], p[f"{i}.down.unit"] = writer(
                block.down * step["hidden"], self.shifts[3 + 2 * i]
            )
        p["norm.K"] = at_least_one(2**NORM_SHIFT / D * self.norm_step.exp())
        p["logits.b"] = n(self.logits_bias / (self.unit * 2 ** self.shifts[0]))
        p["scale"] = self.scale.exp() * self.unit * 2 ** self.shifts[0]
        return p

    def forward(self, ids: Tensor, fire: Fire, rounded: bool = True) -> Tensor:
        """ids (B, L) -> natural logits (..., L, V)."""
        p = self.integers(rounded)
        return logits(p, features(p, ids, self.form.config, fire)) * p["scale"]
