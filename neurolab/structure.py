"""Structured pruning: whole layers, heads and feed-forward channels go, so that less is left to compute.

An unstructured zero is still multiplied. A head that is gone is not: its rows of the query, key and value
matrices and its columns of the output matrix leave the model, and what remains is an ordinary, smaller
`Transformer`. Before any further training the smaller model computes what the big one computes with the same
parts switched off.

How much a part matters is *measured* (switch it off, look at the loss) or estimated by its *Taylor* term:
with a gate xi = 1 on its output, E|dL / dxi| is the first-order change of the loss when the gate closes.

Sources: Michel, Levy and Neubig, Are sixteen heads really better than one?, NeurIPS 2019 (heads, gates);
Molchanov et al., Importance estimation for neural network pruning, CVPR 2019 (Taylor terms); Sun et al., A
simple and effective pruning approach for large language models, ICLR 2024 (weight times input norm).
Shapes: N layers, H heads of size E, D width, F channels of a feed-forward part, B sequences, L tokens.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from neurolab.assistant import Batch, answer_loss
from neurolab.transformer import Config, Transformer

KINDS = ("measured", "taylor")


@dataclass(frozen=True)
class Plan:
    """What stays. layers: indices, rising; heads, channels: for each of these layers, the indices that stay.

    Every layer keeps as many heads as the others, and as many channels: a `Config` has one number for all.
    """

    layers: tuple[int, ...]
    heads: tuple[tuple[int, ...], ...]
    channels: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        _rising("layers", self.layers)
        for name in ("heads", "channels"):
            kept = getattr(self, name)
            if len(kept) != len(self.layers) or len({len(one) for one in kept}) != 1:
                raise ValueError(f"{name} {kept}: must be one list for each kept layer, all of one length")
            for one in kept:
                _rising(name, one)

    def config(self, big: Config) -> Config:
        """The sizes of the smaller model. ValueError where `big` has no such layer, head or channel."""
        for name, kept, size in (
            ("layers", [self.layers], big.layers),
            ("heads", self.heads, big.heads),
            ("channels", self.channels, big.hidden),
        ):
            if max(max(one) for one in kept) >= size:
                raise ValueError(f"{name} {kept}: the model has {size}, numbered from 0")
        return replace(
            big,
            layers=len(self.layers),
            heads=len(self.heads[0]),
            hidden=len(self.channels[0]),
            head=big.head_size,
        )


def _rising(name: str, kept: Sequence[int]) -> None:
    if not kept or list(kept) != sorted(set(kept)) or kept[0] < 0:
        raise ValueError(f"{name} {kept!r}: must be at least one index from 0 up, rising, none twice")


def everything(config: Config) -> Plan:
    """The plan that keeps all."""
    layers = tuple(range(config.layers))
    return Plan(
        layers,
        tuple(tuple(range(config.heads)) for _ in layers),
        tuple(tuple(range(config.hidden)) for _ in layers),
    )


@contextmanager
def gated(model: Transformer, layers: Tensor, heads: Tensor, channels: Tensor) -> Iterator[None]:
    """Run with the outputs of parts multiplied: layers (N, ...), heads (N, ..., H), channels (N, ..., F).

    The dots stand for nothing, or for (B, 1): a gate of its own for every sequence.
    """
    size = model.config.head_size
    with ExitStack() as stack:
        for i, block in enumerate(model.blocks.children()):

            def narrow(_: nn.Module, args: tuple[Tensor, ...], i: int = i) -> tuple[Tensor]:
                return (args[0] * heads[i].repeat_interleave(size, -1),)

            def thin(_: nn.Module, args: tuple[Tensor, ...], i: int = i) -> tuple[Tensor]:
                return (args[0] * channels[i],)

            def drop(_: nn.Module, args: Any, y: Tensor, i: int = i) -> Tensor:
                return y * layers[i]

            out, down = block.get_submodule("attention.out"), block.get_submodule("feed_forward.down")
            stack.callback(out.register_forward_pre_hook(narrow).remove)
            stack.callback(down.register_forward_pre_hook(thin).remove)
            stack.callback(out.register_forward_hook(drop).remove)
            stack.callback(down.register_forward_hook(drop).remove)
        yield


def switches(plan: Plan, config: Config) -> tuple[Tensor, Tensor, Tensor]:
    """Gates (N,), (N, H), (N, F) that are 1 for what `plan` keeps and 0 for the rest."""
    layers = torch.zeros(config.layers)
    heads, channels = torch.zeros(config.layers, config.heads), torch.zeros(config.layers, config.hidden)
    layers[list(plan.layers)] = 1
    for i, some, others in zip(plan.layers, plan.heads, plan.channels, strict=True):
        heads[i, list(some)] = 1
        channels[i, list(others)] = 1
    return layers, heads, channels


def masked(model: Transformer, plan: Plan) -> Transformer:
    """A copy of `model`, as big as it was, in which what `plan` leaves out adds nothing (zeroed matrices)."""
    plan.config(model.config)
    made = copy.deepcopy(model)
    layers, heads, channels = switches(plan, model.config)
    with torch.no_grad():
        for i, block in enumerate(made.blocks.children()):
            out, down = block.get_submodule("attention.out"), block.get_submodule("feed_forward.down")
            out.weight.mul_(layers[i] * heads[i].repeat_interleave(model.config.head_size))  # type: ignore[operator]
            down.weight.mul_(layers[i] * channels[i])  # type: ignore[operator]
    return made


def smaller(model: Transformer, plan: Plan) -> Transformer:
    """The model without what `plan` leaves out: a `Transformer` of `plan.config(...)`, weights copied."""
    config = plan.config(model.config)
    size, old, new = config.head_size, model.state_dict(), {}
    for name, weight in old.items():
        if not name.startswith("blocks."):
            new[name] = weight.clone()
    for at, (i, heads, channels) in enumerate(zip(plan.layers, plan.heads, plan.channels, strict=True)):
        inner = (torch.tensor(heads)[:, None] * size + torch.arange(size)).flatten()  # rows of these heads
        some = torch.tensor(channels)
        kept: dict[str, tuple[Tensor | slice, Tensor | slice]] = {
            "attention.out.weight": (slice(None), inner),
            "feed_forward.up.weight": (some, slice(None)),
            "feed_forward.down.weight": (slice(None), some),
            **{f"attention.{x}.weight": (inner, slice(None)) for x in ("query", "key", "value")},
        }
        for name, weight in old.items():
            if name.startswith(f"blocks.{i}."):
                part = name.removeprefix(f"blocks.{i}.")
                rows, columns = kept.get(part, (slice(None), slice(None)))
                cut = weight[rows] if weight.ndim == 1 else weight[rows][:, columns]
                new[f"blocks.{at}.{part}"] = cut.clone()
    made = Transformer(config).to(model.embedding.weight.dtype)
    made.load_state_dict(new)
    return made.train(model.training)


@dataclass(frozen=True)
class Importance:
    """How much the parts matter: layers (N,), heads (N, H), channels (N, F), each on a scale of its own."""

    layers: Tensor
    heads: Tensor
    channels: Tensor

    def plan(self, layers: int, heads: int, channels: int) -> Plan:
        """The plan that keeps the most important ones: `layers` layers, in each `heads` and `channels`."""
        kept = _most("layers", self.layers, layers)
        return Plan(
            kept,
            tuple(_most("heads", self.heads[i], heads) for i in kept),
            tuple(_most("channels", self.channels[i], channels) for i in kept),
        )


def _most(name: str, score: Tensor, count: int) -> tuple[int, ...]:
    if not 1 <= count <= len(score):
        raise ValueError(f"{name} {count}: must be 1 to {len(score)}")
    return tuple(sorted(score.argsort(descending=True, stable=True)[:count].tolist()))


def importance(model: Transformer, batches: Sequence[Batch], kind: str = "measured") -> Importance:
    """How much every part matters to the answers of `batches`.

    measured: layers and heads by the loss in nats that is added when the part is off; channels by what they
    write, |w| ||x||: the norm of the column of the second matrix times that of the channel's activations.
    taylor: E|dL / dxi| of every part's gate xi, over sequences. ValueError for no batches or another kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r}: must be one of {', '.join(KINDS)}")
    if not batches:
        raise ValueError("batches []: must hold at least one")
    return _measured(model, batches) if kind == "measured" else _taylor(model, batches)


def _taylor(model: Transformer, batches: Sequence[Batch]) -> Importance:
    c = model.config
    total = [torch.zeros(c.layers), torch.zeros(c.layers, c.heads), torch.zeros(c.layers, c.hidden)]
    count = 0
    for batch in batches:
        rows = len(batch.ids)
        gates = [torch.ones(c.layers, rows, 1, size, requires_grad=True) for size in (1, c.heads, c.hidden)]
        with gated(model, *gates):
            loss = answer_loss(model, batch, "sum")
        grads = torch.autograd.grad(loss, gates)  # (N, B, 1, size): a sequence's loss moves its own gate only
        for sum_, grad in zip(total, grads, strict=True):
            sum_ += grad.abs().sum((1, 2)).reshape(sum_.shape)
        count += rows
    return Importance(*(x / count for x in total))


@torch.no_grad()
def loss_with(model: Transformer, batches: Sequence[Batch], layers: Tensor, heads: Tensor) -> float:
    """Cross-entropy of the answers, nats a token, with gates on layers (N,) and heads (N, H)."""
    nats, tokens = 0.0, 0
    with gated(model, layers, heads, torch.ones(model.config.layers, model.config.hidden)):
        for batch in batches:
            nats += float(answer_loss(model, batch, "sum"))
            tokens += int(batch.answer[:, 1:].sum())
    return nats / tokens


def _measured(model: Transformer, batches: Sequence[Batch]) -> Importance:
    c = model.config
    layers, heads = torch.ones(c.layers), torch.ones(c.layers, c.heads)
    whole = loss_with(model, batches, layers, heads)
    found = Importance(layers.clone(), heads.clone(), written(model, batches))
    for i in range(c.layers):
        off = layers.clone()
        off[i] = 0
        found.layers[i] = loss_with(model, batches, off, heads) - whole
        for h in range(c.heads):
            off = heads.clone()
            off[i, h] = 0
            found.heads[i, h] = loss_with(model, batches, layers, off) - whole
    return found


@torch.no_grad()
def written(model: Transformer, batches: Sequence[Batch]) -> Tensor:
    """What each channel writes into the residual stream, |column of W2| times ||its activations||: (N, F)."""
    squares = torch.zeros(model.config.layers, model.config.hidden)
    columns = torch.zeros_like(squares)
    with ExitStack() as stack:
        for i, block in enumerate(model.blocks.children()):
            down = block.get_submodule("feed_forward.down")
            columns[i] = down.weight.norm(dim=0)  # type: ignore[operator]

            def see(_: nn.Module, args: tuple[Tensor, ...], i: int = i) -> None:
                squares[i] += args[0].square().sum((0, 1))

            stack.callback(down.register_forward_pre_hook(see).remove)
        for batch in batches:
            model.features(batch.ids[:, :-1])
    return columns * squares.sqrt()


def macs(config: Config, new: int, seen: int = 0) -> int:
    """Multiply-adds of reading `new` tokens after `seen` ones and scoring the next: matrices, attention's
    products (causal, so token t meets t + 1 keys) and the output layer for the last token."""
    if new < 1 or seen < 0:
        raise ValueError(f"new {new}, seen {seen}: must be at least 1 and 0 tokens")
    inner = config.heads * config.head_size
    matrices = 4 * config.width * inner + 2 * config.width * config.hidden
    met = new * seen + new * (new + 1) // 2
    return config.layers * (new * matrices + 2 * inner * met) + config.vocabulary * config.width
