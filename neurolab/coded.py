"""The assistant talking to itself in spikes: its activations, and its answers when it hears them so.

A *site* is a place in the network where one part speaks to the next: ``feed_forward`` (what GELU hands to the
second matrix) or ``attention`` (what the LayerNorm hands to queries, keys and values). Channels are scaled to
[0, 1] by the least and greatest value that a sample of questions brings out of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from neurolab.assistant import Assistant
from neurolab.codes import Code
from neurolab.spikes import numbers
from neurolab.tokens import encode_question
from neurolab.transformer import Transformer

SITES = ("feed_forward", "attention")
Channel = Callable[[Tensor], Tensor]  # numbers in [0, 1] -> what the listener hears, same shape


def speakers(model: Transformer, site: str) -> list[nn.Module]:
    """Return the modules, one a layer, whose output is spoken at ``site``. ValueError for an unknown site."""
    if site not in SITES:
        raise ValueError(f"site must be one of {', '.join(SITES)}, got {site!r}")
    inside = "feed_forward.act" if site == "feed_forward" else "norm1"
    return [block.get_submodule(inside) for block in model.blocks.children()]


@dataclass(frozen=True)
class Activations:
    """What a site said: ``raw`` (layers, tokens, channels), each channel's ``low`` and ``high``."""

    raw: Tensor
    low: Tensor
    high: Tensor

    @property
    def x(self) -> Tensor:
        """The same numbers scaled to [0, 1] channel by channel; a channel that never moves is 0."""
        return scale(self.raw, self.low, self.high)


def scale(raw: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Map [low, high] to [0, 1] and hold what lies outside at its ends; all zero where low = high."""
    span = (high - low).clamp(min=torch.finfo(raw.dtype).tiny)
    return ((raw - low) / span).clamp(0, 1)


@torch.inference_mode()
def activations(assistant: Assistant, questions: Sequence[str], site: str = "feed_forward") -> Activations:
    """Run the questions (text) through the model, one by one, and keep what ``site`` says at every token."""
    if not questions:
        raise ValueError("questions is empty: give at least one question")
    heard: list[list[Tensor]] = [[] for _ in assistant.model.blocks]
    with ExitStack() as stack:
        for layer, module in enumerate(speakers(assistant.model, site)):

            def keep(_module: nn.Module, _inputs: tuple, output: Tensor, layer: int = layer) -> None:
                heard[layer].append(output[0].clone())

            stack.callback(module.register_forward_hook(keep).remove)
        for question in questions:
            assistant.model(torch.tensor([encode_question(assistant.tokenizer, question)]))
    raw = torch.stack([torch.cat(tokens) for tokens in heard])  # (layers, tokens, channels)
    return Activations(raw, raw.amin(1, keepdim=True), raw.amax(1, keepdim=True))


@contextmanager
def speaking(
    model: Transformer, channels: Mapping[str, Channel], ranges: Mapping[str, Activations]
) -> Iterator[None]:
    """While open, every number spoken at the sites named in ``channels`` is replaced by what is heard of it.

    ``ranges`` says how each site is scaled. The model is as before when the block ends, also after an error.
    """
    with ExitStack() as stack:
        for site, channel in channels.items():
            if site not in ranges:
                raise ValueError(f"ranges lacks the site {site!r}: measure its activations first")
            for layer, module in enumerate(speakers(model, site)):
                low, high = ranges[site].low[layer, 0], ranges[site].high[layer, 0]

                def hear(
                    _module: nn.Module,
                    _inputs: tuple,
                    output: Tensor,
                    channel: Channel = channel,
                    low: Tensor = low,
                    high: Tensor = high,
                ) -> Tensor:
                    return low + channel(numbers(scale(output, low, high))) * (high - low)

                stack.callback(module.register_forward_hook(hear).remove)
        yield


class Counter:
    """A channel that speaks in a code, may be disturbed on the way, and counts spikes and numbers.

    ``code`` is one of ``neurolab.codes.CODES``; ``disturb(spikes, generator) -> spikes`` damages them. At
    most ``most`` numbers x ticks are held in memory at once.
    """

    def __init__(
        self,
        code: Code,
        T: int,
        seed: int = 0,
        disturb: Callable[[Tensor, torch.Generator], Tensor] | None = None,
        most: int = 8_000_000,
    ) -> None:
        self.code, self.T, self.disturb, self.most = code, T, disturb, most
        self.dice = torch.Generator().manual_seed(seed)
        self.spikes, self.numbers = 0.0, 0

    def __call__(self, x: Tensor) -> Tensor:
        """Numbers in [0, 1] of any shape -> what is heard, same shape."""
        parts = []
        for part in x.detach().reshape(-1).split(max(1, self.most // self.T)):
            spikes = self.code.encode(part, self.T, self.dice)
            self.spikes += float(spikes.sum(dtype=torch.float64))
            self.numbers += part.numel()
            if self.disturb is not None:
                spikes = self.disturb(spikes, self.dice)
            parts.append(self.code.decode(spikes))
        return torch.cat(parts).reshape(x.shape)

    @property
    def spikes_per_number(self) -> float:
        """Mean number of spikes sent for one number so far."""
        return self.spikes / self.numbers if self.numbers else 0.0
