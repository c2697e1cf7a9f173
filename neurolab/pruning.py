"""Unstructured pruning: single weights set to zero, by hand.

A mask of zeros and ones is laid over a weight matrix as a torch parametrization, so that the model works
with `weight * mask` while the weight below goes on being trained; several parametrizations stack (a quantizer
on top of a mask). Which weights go is decided by a score: |w| (magnitude), or |w| ||x|| with the norm of the
input that the weight is multiplied with (Wanda). The lowest share of the scores goes, in the whole network
(``global``), in each matrix (``layer``) or in each output's row (``row``).

Sources: Han et al., Learning both weights and connections for efficient neural networks, NeurIPS 2015
(magnitude); Sun et al., A simple and effective pruning approach for large language models, ICLR 2024 (Wanda);
Zhu and Gupta, To prune, or not to prune, ICLR workshop 2018 (the cubic schedule).
Shapes: R outputs, C inputs; a convolution's kernel counts as (R, everything else). `sparsity` is the share of
zeros, in [0, 1).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from neurolab.assistant import Batch
from neurolab.qat import plain
from neurolab.tokens import PAD_ID
from neurolab.transformer import Transformer

Model = TypeVar("Model", bound=nn.Module)
__all__ = ["Gradual", "Mask", "masks", "plain", "prune", "put_masks"]
METHODS = ("magnitude", "wanda")
SCOPES = ("global", "layer", "row")


class Mask(nn.Module):
    """The parametrization w -> w * mask; mask is a boolean buffer of the weight's shape."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask.bool())

    def forward(self, w: Tensor) -> Tensor:
        """w * mask, same shape."""
        return w * self.mask


def prunable(model: nn.Module) -> dict[str, nn.Module]:
    """The linear and convolutional layers by the name of their weight ("blocks.0.attention.query.weight")."""
    return {
        f"{name}.weight": module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d)
    }


def underlying(module: nn.Module) -> Tensor:
    """The module's weight below its parametrizations: what is trained."""
    if parametrize.is_parametrized(module, "weight"):
        return module.parametrizations.weight.original  # type: ignore[union-attr,return-value]
    return module.weight  # type: ignore[return-value]


def weights(model: nn.Module) -> dict[str, Tensor]:
    """Every prunable weight below its parametrizations, by name, detached."""
    return {name: underlying(module).detach() for name, module in prunable(model).items()}


def check_sparsity(sparsity: float) -> None:
    """ValueError unless `sparsity` is in [0, 1)."""
    if not 0 <= sparsity < 1:
        raise ValueError(f"sparsity {sparsity}: must be at least 0 and below 1")


def lowest_off(score: Tensor, sparsity: float) -> Tensor:
    """A mask over the last axis of `score` (..., n): False for the round(sparsity n) lowest, else True.

    Of equal scores the first ones go.
    """
    check_sparsity(sparsity)
    if torch.isnan(score).any():
        raise ValueError("score holds NaN: every score must be a number")
    off = round(sparsity * score.shape[-1])
    order = score.argsort(dim=-1, stable=True)[..., :off]
    return torch.ones_like(score, dtype=torch.bool).scatter(-1, order, False)


def masks(scores: Mapping[str, Tensor], sparsity: float, scope: str = "layer") -> dict[str, Tensor]:
    """The mask of every weight, given the scores by name; `scope` says among which weights the lowest go."""
    if scope not in SCOPES:
        raise ValueError(f"scope {scope!r}: must be one of {', '.join(SCOPES)}")
    if scope == "global":
        flat = lowest_off(torch.cat([s.flatten() for s in scores.values()]), sparsity)
        parts = flat.split([s.numel() for s in scores.values()])
        return {name: part.view(s.shape) for (name, s), part in zip(scores.items(), parts, strict=True)}
    start = 0 if scope == "layer" else 1
    return {name: lowest_off(s.flatten(start), sparsity).view(s.shape) for name, s in scores.items()}


def magnitude(w: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The score |w|."""
    return {name: x.abs() for name, x in w.items()}


def wanda(w: Mapping[str, Tensor], norms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The score |w_ij| ||x_j||, from the weights (R, C) and the norms (C,) of what they multiply."""
    if missing := sorted(set(w) - set(norms)):
        raise ValueError(f"norms: has none for {missing[0]!r}")
    return {name: x.abs() * norms[name] for name, x in w.items()}


@torch.no_grad()
def input_norms(model: Transformer, batches: Sequence[Batch]) -> dict[str, Tensor]:
    """||x_j||, (C,), of each input of each linear layer, over all tokens of `batches` (padding left out)."""
    if not batches:
        raise ValueError("batches []: must hold at least one")
    squares: dict[str, Tensor] = {}
    real = torch.empty(0)
    with ExitStack() as stack:
        for name, module in prunable(model).items():

            def see(_: nn.Module, args: tuple[Tensor, ...], name: str = name) -> None:
                squares[name] = squares.get(name, 0) + (args[0] * real[..., None]).square().sum((0, 1))

            stack.callback(module.register_forward_pre_hook(see).remove)
        for batch in batches:
            ids = batch.ids[:, :-1]
            real = (ids != PAD_ID).float()
            model.features(ids)
    return {name: x.sqrt() for name, x in squares.items()}


def mask_of(module: nn.Module) -> Mask | None:
    """The mask that lies over the module's weight, if there is one."""
    if not parametrize.is_parametrized(module, "weight"):
        return None
    return next((p for p in module.parametrizations.weight if isinstance(p, Mask)), None)  # type: ignore[union-attr,operator]


def put_masks(model: Model, chosen: Mapping[str, Tensor]) -> Model:
    """Lay masks over the weights of `model`, in place, and give it back. A mask that is there is replaced.

    A mask lies under a quantizer, whichever came first. `plain` gives a copy with the weights as used.
    ValueError for a name that is no prunable weight, or a mask of another shape.
    """
    modules = prunable(model)
    for name, mask in chosen.items():
        if name not in modules:
            raise ValueError(f"masks hold {name!r}: the model has no such linear or convolutional weight")
        shape = tuple(underlying(modules[name]).shape)
        if mask.shape != shape:
            raise ValueError(f"mask of {name} has shape {tuple(mask.shape)}: must be {shape}")
        old = mask_of(modules[name])
        if old is not None:
            old.mask.copy_(mask)
        elif parametrize.is_parametrized(modules[name], "weight"):
            modules[name].parametrizations.weight.insert(0, Mask(mask))  # type: ignore[union-attr,operator]
        else:
            parametrize.register_parametrization(modules[name], "weight", Mask(mask))
    return model


@torch.no_grad()
def zeros(model: nn.Module) -> float:
    """The share of zeros among the prunable weights as they are used, in [0, 1]."""
    used: list[Any] = [module.weight for module in prunable(model).values()]
    return sum(int((w == 0).sum()) for w in used) / sum(w.numel() for w in used)


def prune(
    model: Model,
    sparsity: float,
    method: str = "magnitude",
    scope: str | None = None,
    norms: Mapping[str, Tensor] | None = None,
) -> Model:
    """A copy of `model` with masks of `sparsity`. scope: by default layer (magnitude), row (Wanda).

    norms: what `input_norms` gives, for Wanda. ValueError for another method, or Wanda without norms.
    """
    made = copy.deepcopy(model)
    return put_masks(made, masks(scores(made, method, norms), sparsity, scope or SCOPE[method]))


SCOPE = {"magnitude": "layer", "wanda": "row"}
"""The scope that each method was published with."""


def scores(
    model: nn.Module, method: str = "magnitude", norms: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """The scores of the weights below the masks, as they stand now."""
    if method not in METHODS:
        raise ValueError(f"method {method!r}: must be one of {', '.join(METHODS)}")
    if method == "magnitude":
        return magnitude(weights(model))
    if norms is None:
        raise ValueError("norms is None: Wanda needs what input_norms gives")
    return wanda(weights(model), norms)


def cubic(step: int, start: int, stop: int, final: float, first: float = 0.0) -> float:
    """The sparsity at `step`: `first` up to `start`, `final` from `stop` on, between them
    final + (first - final) (1 - (step - start) / (stop - start))^3: fast while much can still go.

    ValueError unless 0 <= start < stop and both sparsities are in [0, 1).
    """
    if not 0 <= start < stop:
        raise ValueError(f"start {start}, stop {stop}: must be 0 <= start < stop")
    check_sparsity(first)
    check_sparsity(final)
    along = min(max((step - start) / (stop - start), 0.0), 1.0)
    if along == 0:
        return first  # exactly
    return final + (first - final) * (1 - along) ** 3


class Gradual:
    """Masks that grow while a model is trained: give `before` to `tuning.tune`.

    Every `every` steps the lowest scores go, up to the sparsity that `cubic` says; what is gone stays gone.
    """

    def __init__(
        self,
        model: nn.Module,
        final: float,
        *,
        stop: int,
        start: int = 0,
        every: int = 10,
        method: str = "magnitude",
        scope: str | None = None,
        norms: Mapping[str, Tensor] | None = None,
    ) -> None:
        if every < 1:
            raise ValueError(f"every {every}: must be at least 1 step")
        cubic(0, start, stop, final)
        self.model, self.final, self.start, self.stop, self.every = model, final, start, stop, every
        self.method, self.scope, self.norms = method, scope or SCOPE[method], norms
        put_masks(model, {name: torch.ones_like(w, dtype=torch.bool) for name, w in weights(model).items()})

    def before(self, step: int) -> None:
        """Bring the masks to what they are at `step`."""
        if step > self.stop or ((step - self.start) % self.every and step != self.stop):
            return
        found = scores(self.model, self.method, self.norms)
        for name, module in prunable(self.model).items():
            mask = mask_of(module)
            if mask is not None:
                found[name] = found[name].masked_fill(~mask.mask, -1.0)  # scores are 0 or more
        put_masks(self.model, masks(found, cubic(step, self.start, self.stop, self.final), self.scope))
