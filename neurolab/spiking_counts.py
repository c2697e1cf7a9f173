"""What the spiking assistant and the integer network it rests at do for a token: `energy.Counts` from runs.

Fan-outs, in connections that one spike (or one count that is not 0) uses, for the token at position n:

    norm1      3 D   query, key, value         norm2     F   hidden
    query      n + 1 keys seen, its own too    hidden    D   residual stream
    key        1     its own score             norm      V   logits, where the token answers
    value      1     its own share of the mix
    attention  E     values (and 1 into the sum that the mix's thresholds grow with)
    mix        D     residual stream

Conventions are those of `energy`: a connection used is one operation and one byte (a weight, a cached count);
what outlives a step is read and written once for each neuron and step that visits it. Thresholds that grow
cost a product each, and D additions for the sum of |x|, whenever that sum has changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from neurolab.energy import SPIKE_BYTES, SUM_BYTES, Counts, neuron_step
from neurolab.spiking import features
from neurolab.spiking_digits import IntegerDigits
from neurolab.spiking_files import Spiking
from neurolab.spiking_rules import IntegerRadix, IntegerRest
from neurolab.spiking_state import populations
from neurolab.spiking_stream import Ran
from neurolab.transformer import Config

READERS = {"norm1": 3}  # layers that read a population; 1 for all others


def fan_outs(config: Config, position: Tensor, answers: Tensor) -> Tensor:
    """Connections (N, populations) of one neuron, for tokens at position (N) that do or don't answer (N)."""
    D, one = config.width, torch.ones_like(position)
    of = {
        "norm1": 3 * D * one,
        "query": position + 1,
        "key": one,
        "value": one,
        "attention": D // config.heads * one,
        "mix": D * one,
        "norm2": config.hidden * one,
        "hidden": D * one,
        "norm": config.vocabulary * answers.to(position.dtype),
    }
    return torch.stack([of[name.split(".")[-1]] for name in populations(config.layers)], 1)


def neurons(config: Config, position: Tensor) -> Tensor:
    """Neurons (N, populations) that a token at position (N) has; the attention has one for each key seen."""
    D, one = config.width, torch.ones_like(position)
    of = {"attention": config.heads * (position + 1), "hidden": config.hidden * one}
    return torch.stack([of.get(name.split(".")[-1], D * one) for name in populations(config.layers)], 1)


def _column(config: Config, part: str) -> list[int]:
    return [k for k, name in enumerate(populations(config.layers)) if name.split(".")[-1] == part]


def synapses(config: Config, position: Tensor, answers: Tensor) -> float:
    """Connections that a dense pass uses for these tokens, each once (own keys and values: n + 1 and E)."""
    used = (neurons(config, position) * fan_outs(config, position, answers)).double()
    for part in ("key", "value"):
        used[:, _column(config, part)] = 0
    return float(used.sum())


def _readers(config: Config) -> Tensor:
    return torch.tensor([1 + READERS.get(name.split(".")[-1], 1) for name in populations(config.layers)])


def _spiking(
    config: Config, position: Tensor, answers: Tensor, spikes: Tensor, steps: Tensor, products: Tensor
) -> Counts:
    """spikes (N, populations), steps (N, 1 or populations) that visit each neuron, products (N)."""
    spikes = spikes.double()
    used = float((spikes * fan_outs(config, position, answers)).sum())
    sums = float(spikes[:, _column(config, "attention")].sum())
    visits = float((neurons(config, position) * steps).double().sum())
    grown = float(products.double().sum())
    step = neuron_step()
    biased = 3 * config.width + config.hidden
    return Counts(
        tokens=float(len(position)),
        add_int32=used + sums + grown,
        mul_int32=grown,
        compare_int32=visits * step.compare_int32,
        weight_bytes=used + SUM_BYTES * len(position) * config.layers * biased,
        membrane_read_bytes=visits * step.membrane_read_bytes,
        membrane_write_bytes=visits * step.membrane_write_bytes,
        activation_bytes=float((spikes * _readers(config)).sum()) * SPIKE_BYTES,
        spikes=float(spikes.sum()),
        synapses=synapses(config, position, answers),
    )


def answering(ran: Ran, answers: Sequence[int]) -> Tensor:
    """Which tokens (N) answer: those from answers[i] on in sequence i."""
    first = torch.tensor(list(answers)).repeat_interleave(torch.tensor(ran.starts).diff())
    return ran.position >= first


def counts_stream(net: Spiking, ran: Ran, answers: Sequence[int]) -> Counts:
    """What a run of `spiking_stream.stream` did. answers[i]: first position of sequence i that answers."""
    return _spiking(
        net.config, ran.position, answering(ran, answers), ran.spikes, ran.steps[:, None], ran.products
    )


def batches(
    sequences: Sequence[Sequence[int]], answers: Sequence[int], most: int = 4096
) -> Iterator[tuple[Tensor, Tensor, list[int]]]:
    """Sequences of one length together: ids (B, L), which tokens answer (B, L), which sequences (B)."""
    lengths: dict[int, list[int]] = {}
    for i, ids in enumerate(sequences):
        lengths.setdefault(len(ids), []).append(i)
    for length, same in sorted(lengths.items()):
        size = max(1, most // length)
        for at in range(0, len(same), size):
            part = same[at : at + size]
            first = torch.tensor([answers[i] for i in part])
            rows = torch.tensor([list(sequences[i]) for i in part])
            yield rows, torch.arange(length) >= first[:, None], part


def by_token(name: str, x: Tensor) -> Tensor:
    """Sum the numbers x of a population over the neurons of each token: (B L)."""
    if name.endswith((".attention", ".mix")):  # (B, H, L, ...)
        return x.sum((1, 3)).flatten()
    return x.sum(-1).flatten()


class _Nonzero(IntegerRest):
    """`IntegerRest` that counts, token by token, the counts that are not 0."""

    def __init__(self, bits: int) -> None:
        super().__init__(bits)
        self.found: dict[str, Tensor] = {}

    def __call__(self, name: str, z: Tensor, theta: Tensor, kind: str) -> Tensor:
        S = super().__call__(name, z, theta, kind)
        self.found[name] = by_token(name, S != 0)
        return S


class _Digits(IntegerRadix):
    """`IntegerRadix` that counts spikes token by token."""

    def __init__(self, bits: int, offset: bool) -> None:
        super().__init__(bits, offset)
        self.found: dict[str, Tensor] = {}

    def fired(self, name: str, count: Tensor) -> None:
        self.found[name] = by_token(name, count)


class _Sparing(IntegerDigits):
    """`IntegerDigits` that counts spikes token by token."""

    def __init__(self, bits: int) -> None:
        super().__init__(bits)
        self.found: dict[str, Tensor] = {}

    def fired(self, name: str, count: Tensor) -> None:
        self.found[name] = by_token(name, count)


@torch.inference_mode()
def counts_radix(
    net: Spiking,
    sequences: Sequence[Sequence[int]],
    answers: Sequence[int],
    offset: bool = False,
    sparing: bool = False,
) -> Counts:
    """What the network does population after population, `bits` steps each (`spiking_rules.IntegerRadix`).

    offset=False: digits are +1, 0 or -1; sparing: none is ever taken back (`spiking_digits`). Thresholds are
    made once; a neuron is visited `bits` times.
    """
    total, c = Counts(), net.config
    for ids, answer, _ in batches(sequences, answers):
        rule = _Sparing(net.bits) if sparing else _Digits(net.bits, offset)
        features(net.p, ids, c, rule)
        spikes = torch.stack([rule.found[name] for name in populations(c.layers)], 1)
        position = torch.arange(ids.shape[1]).repeat(len(ids))
        products = torch.full_like(position, (3 * c.layers + 1) * c.width)
        steps = torch.full_like(position, net.bits)[:, None]
        total = total + _spiking(c, position, answer.flatten(), spikes, steps, products)
    return total


@torch.inference_mode()
def counts_integer(
    net: Spiking, sequences: Sequence[Sequence[int]], answers: Sequence[int]
) -> dict[str, Counts]:
    """What the integer network does, computed once: "dense", and "skipping" inputs that are 0.

    Its sums stay in registers. Its rounding costs `bits` comparisons a number (a search among thresholds),
    as in the radix run; its growing thresholds cost what they cost there.
    """
    c, zero = net.config, Counts()
    found = {"dense": zero, "skipping": zero}
    for ids, answer, _ in batches(sequences, answers):
        rule = _Nonzero(net.bits)
        features(net.p, ids, c, rule)
        position = torch.arange(ids.shape[1]).repeat(len(ids))
        tokens, answer = float(len(position)), answer.flatten()
        size = neurons(c, position)
        used = torch.stack([rule.found[name] for name in populations(c.layers)], 1)
        fan = fan_outs(c, position, answer)
        for part in ("key", "value"):
            fan[:, _column(c, part)] = 0
        attention = _column(c, "attention")
        thresholds = tokens * (3 * c.layers + 1) * c.width
        for way, active in (("dense", size), ("skipping", used)):
            macs = float((active * fan).double().sum())
            found[way] = found[way] + Counts(
                tokens=tokens,
                mac_int8=macs,
                add_int32=float(active[:, attention].sum()) + thresholds,
                mul_int32=thresholds,
                compare_int32=float(size.sum()) * net.bits,
                weight_bytes=macs + SUM_BYTES * tokens * c.layers * (3 * c.width + c.hidden),
                activation_bytes=float((size * _readers(c)).sum()),
                synapses=synapses(c, position, answer),
            )
    return found
