"""The parts of the assistant, one at a time: what replaces each on the way to spikes, and at what cost.

`replace(model, part, name, ids)` gives a copy of the float assistant with one kind of part replaced in every
layer; `distil` trains the copy to do what the assistant did.

    activation   line         a x + b, a and b for each channel by least squares
                 relu         max(x, 0)
                 rate         max(x, 0) counted by integrate-and-fire neurons in T steps
    norm         folded       a x + b: the statistics taken as constant, so that the matrices can swallow them
                 mean absolute  g x / mean|x| + b: what a growing threshold can do (see `spiking.norm`)
                 rms          g x / sqrt(mean x^2) + b
    softmax      see `softmax_parts`

Shapes: B sequences, L tokens, D channels. Zhang and Sennrich (2019) introduced RMSNorm, Diehl et al. (2015)
the balanced thresholds of rate-coded networks.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurolab.assistant import Recipe, Rows, answer_loss, optimisers
from neurolab.quantization import round_ste
from neurolab.softmax_parts import SOFTMAX, Swapped, rule
from neurolab.training import History, Schedule, fit
from neurolab.transformer import Transformer

PARTS = {
    "activation": ("line", "relu", "rate"),
    "norm": ("folded", "mean absolute", "rms"),
    "softmax": SOFTMAX,
}
T_RATE = 16  # steps of the rate code
SHARE = 0.999  # of a channel's values that its balanced threshold covers


def least_squares(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """a, b (D,) of the lines a x + b nearest to y, channel by channel; x, y (N, D)."""
    centred = x - x.mean(0)
    a = (centred * y).mean(0) / centred.square().mean(0).clamp(min=1e-12)
    return a, y.mean(0) - a * x.mean(0)


class Line(nn.Module):
    """y = a x + b, channel by channel."""

    def __init__(self, a: Tensor, b: Tensor) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(a), nn.Parameter(b)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return self.a * x + self.b


class Rate(nn.Module):
    """y = theta n, n = clip(floor(x / theta + 1/2), 0, T): T steps of an integrate-and-fire neuron.

    Each step adds x to a membrane that begins half full; from the threshold T theta on it fires and loses as
    much. So T spikes stand for T theta, the channel's range (Diehl et al., 2015): the threshold is balanced.
    theta (D,): learned, as its log.
    """

    def __init__(self, theta: Tensor, T: int = T_RATE) -> None:
        super().__init__()
        if not isinstance(T, int) or isinstance(T, bool) or T < 1:
            raise ValueError(f"T = {T!r}: must be a whole number of at least 1")
        if not bool((theta > 0).all()):
            raise ValueError(f"theta has {float(theta.min())}: every threshold must be above 0")
        self.T, self.log_theta = T, nn.Parameter(theta.log())

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        theta = self.log_theta.exp()
        return theta * round_ste((x / theta).clamp(0, self.T))

    def run(self, x: Tensor) -> Tensor:
        """The spikes (T, ..., D) themselves, step by step, for the same x at every step."""
        threshold = self.T * self.log_theta.exp()
        V, spikes = (threshold / 2).expand_as(x), []
        for _ in range(self.T):
            V = V + x
            s = (V >= threshold).to(x.dtype)
            V = V - s * threshold
            spikes.append(s)
        return torch.stack(spikes)


class MeanAbsolute(nn.Module):
    """y = g x / mean|x| + b. No square, no root; the division is a threshold's that grows with sum |x|."""

    def __init__(self, gain: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.gain, self.bias = nn.Parameter(gain), nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return self.gain * x / (x.abs().mean(-1, keepdim=True) + 1e-6) + self.bias


class RMS(MeanAbsolute):
    """y = g x / sqrt(mean x^2) + b. LayerNorm without subtracting the mean."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return self.gain * x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() + self.bias


@torch.inference_mode()
def observe(model: Transformer, names: Sequence[str], ids: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Inputs and outputs (N, D) of the named modules for ids (B, L); padding (id 0) is left out."""
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    hooks = []
    for name in names:

        def keep(_module: nn.Module, given: tuple[Tensor, ...], output: Tensor, name: str = name) -> None:
            seen[name] = given[0][ids != 0].clone(), output[ids != 0].clone()

        hooks.append(model.get_submodule(name).register_forward_hook(keep))
    try:
        model(ids)
    finally:
        for hook in hooks:
            hook.remove()
    return {name: (x.clone(), y.clone()) for name, (x, y) in seen.items()}


def where(model: Transformer, part: str) -> list[str]:
    """Names of the modules that are this part. ValueError for an unknown part."""
    if part not in PARTS:
        raise ValueError(f"part {part!r}: must be one of {', '.join(PARTS)}")
    blocks = range(model.config.layers)
    if part == "norm":
        return [f"blocks.{i}.norm{j}" for i in blocks for j in (1, 2)] + ["norm"]
    return [f"blocks.{i}.{'feed_forward.act' if part == 'activation' else 'attention'}" for i in blocks]


def _made(model: Transformer, old: nn.Module, name: str, x: Tensor, y: Tensor) -> nn.Module:
    """The module that stands in for `old`, which gave y for x (N, D)."""
    if name in ("line", "folded"):
        return Line(*least_squares(x, y))
    if name == "relu":
        return nn.ReLU()
    if name == "rate":
        top = torch.quantile(x.clamp(min=0)[: 2**24 // x.shape[1]], SHARE, dim=0)
        return Rate(top.clamp(min=1e-3) / T_RATE)
    assert isinstance(old, nn.LayerNorm)
    gain, bias = old.weight.detach().clone(), old.bias.detach().clone()
    return RMS(gain, bias) if name == "rms" else MeanAbsolute(gain / math.sqrt(math.pi / 2), bias)


def replace(model: Transformer, part: str, name: str, ids: Tensor) -> Transformer:
    """A copy of the model with every `part` replaced by `name`; ids (B, L): tokens to measure ranges on.

    ValueError for an unknown part or a name that this part does not have.
    """
    places = where(model, part)
    if name not in PARTS[part]:
        raise ValueError(f"name {name!r}: {part} can be replaced by {', '.join(PARTS[part])}")
    new = copy.deepcopy(model)
    c = model.config
    seen = observe(model, places, ids) if part != "softmax" else {}
    for place in places:
        old = new.get_submodule(place)
        put = (
            Swapped(old, rule(name, c.heads, c.width // c.heads))  # type: ignore[arg-type]
            if part == "softmax"
            else _made(model, old, name, *seen[place])
        )
        new.set_submodule(place, put)
    return new


@torch.no_grad()
def swallow(model: Transformer) -> Transformer:
    """A copy whose folded norms are gone: W (a x + b) = (W a) x + W b, so matrices take them in.

    The last norm stays: the output matrix is the embedding, which must not change.
    """
    new = copy.deepcopy(model)
    for block in new.blocks:
        for norm, readers in (
            ("norm1", ("attention.query", "attention.key", "attention.value")),
            ("norm2", ("feed_forward.up",)),
        ):
            line = block.get_submodule(norm)
            if not isinstance(line, Line):
                raise ValueError(f"{norm} is a {type(line).__name__}: only folded norms can be swallowed")
            for reader in readers:
                old = block.get_submodule(reader)
                assert isinstance(old, nn.Linear)
                matrix = nn.Linear(old.in_features, old.out_features)
                matrix.weight.copy_(old.weight * line.a)
                matrix.bias.copy_(old.weight @ line.b)
                block.set_submodule(reader, matrix)
            block.set_submodule(norm, nn.Identity())
    return new


def distil(
    student: Transformer,
    teacher: Transformer | None,
    rows: Rows,
    steps: int,
    *,
    rate: float = 0.003,
    progress: bool = True,
) -> History:
    """Train `student` in place: cross-entropy of the answers, and KL from the teacher's logits if given.

    steps: batches of `rows`; rate: Muon's at the beginning (AdamW's is half of it), falling to 0.
    """

    def loss_of(net: nn.Module, step: int) -> Tensor:
        batch = rows.at(step)
        if teacher is None:
            return answer_loss(net, batch)  # type: ignore[arg-type]
        ids, wanted = batch.ids[:, :-1], batch.answer[:, 1:]
        guess = net.logits(net.features(ids)[0][wanted])  # type: ignore[operator]
        with torch.no_grad():
            told = teacher.logits(teacher.features(ids)[0][wanted]).log_softmax(-1)
        kl = F.kl_div(guess.log_softmax(-1), told, log_target=True, reduction="batchmean")
        return kl + F.cross_entropy(guess, batch.ids[:, 1:][wanted])

    recipe = Recipe(rate_matrices=rate, rate_rest=rate / 2, decay=0.0)
    plan = Schedule(warmup=min(20, steps - 1), stay=1, cool=max(steps - 1, 0))
    return fit(student, loss_of, optimisers(student, recipe), plan, progress=progress)
