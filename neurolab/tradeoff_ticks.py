"""The assistant with every activation said in T ticks: quality, spikes, and what spikes and numbers cost.

Nothing is trained. Between the assistant's matrices stand populations of chapter 1's rate code: a neuron (two
for a signed number, on and off) is given its number x at each of T ticks and fires at most once a tick, so
that after T ticks the count n is

    n = sign(x) floor(min(|x| / theta, T) + 1/2),      what its readers take for x:  theta n

(`rates.count_torch` fires the same counts, tick by tick; a test holds the two together.) Populations work one
after another, each when those before it are done: T ticks a population, `CHAIN` populations in a row a layer.
Norms, softmax and GELU stay floats. theta: one a population, the one with the least squared error on training
questions. The populations are those of `spiking`: norm1, query, key, value, attention, mix, norm2, hidden in
each layer, and norm. T None: real-valued activations, no spikes.

Shapes: B sequences, L tokens, D width, H heads of size E, F hidden, V vocabulary, C inputs of a matrix.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from neurolab.energy import SPIKE_BYTES, Counts, neuron_step
from neurolab.energy_counts import counts_sequences
from neurolab.facts import Question
from neurolab.spiking_counts import READERS, neurons
from neurolab.tokens import encode_pair
from neurolab.transformer import Transformer

CHAIN = 6
"""Populations of a layer that wait for one another; query, key and value work at the same time."""
BATCH = 4096  # tokens
SAMPLES = 1 << 16  # numbers of a population that its threshold is chosen on
SHARES = 50  # thresholds tried, in equal steps up to the one that cuts nothing off
READ_BY = {
    "norm1": ("attention.query", "attention.key", "attention.value"),
    "mix": ("attention.out",),
    "norm2": ("feed_forward.up",),
    "hidden": ("feed_forward.down",),
}
"""A population -> the matrices that read it."""


def counted(x: Tensor, theta: float, T: int) -> Tensor:
    """The counts n of numbers x (...) after T ticks, as float32; theta > 0."""
    y = x / theta
    return y.sign() * (y.abs().clamp(max=T) + 0.5).floor()


@dataclass
class Rule:
    """What happens to the numbers x of a population: nothing (T None), or T ticks; and what is noted of them.

    fired, used: by population, over all tokens: spikes, and numbers that are not 0; (C,) where matrices read
    them, else one number. A query's are weighted by the keys that each of them meets.
    """

    T: int | None = None
    theta: Mapping[str, float] = field(default_factory=dict)
    fired: dict[str, Tensor] = field(default_factory=dict)
    used: dict[str, Tensor] = field(default_factory=dict)
    spikes: float = 0.0

    def __call__(self, name: str, x: Tensor) -> Tensor:
        """x -> what the readers take it for, of the same shape."""
        n = x if self.T is None else counted(x, self.theta[name], self.T)
        part = name.split(".")[-1]
        size, there = n.abs(), (n != 0).to(n.dtype)
        if self.T is not None:
            self.spikes += float(size.sum(dtype=torch.float64))
        for kept, seen in ((self.fired, size), (self.used, there)):
            if part == "query":  # (B, H, L, E): token l meets l + 1 keys
                seen = seen.sum((0, 1, 3)) @ torch.arange(1.0, seen.shape[2] + 1)
            else:
                seen = seen.sum() if part in ("key", "value", "attention") else seen.flatten(0, -2).sum(0)
            kept[name] = kept.get(name, 0) + seen.double()
        return x if self.T is None else n * self.theta[name]


class Watch(Rule):
    """Real values, some of which are kept: `seen`, by population."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, list[Tensor]] = {}

    def __call__(self, name: str, x: Tensor) -> Tensor:
        """Keep every n-th number of x, and change nothing."""
        flat = x.flatten()
        self.seen.setdefault(name, []).append(flat[:: max(1, len(flat) // SAMPLES)].clone())
        return x


def hidden(model: Transformer, ids: Tensor, rule: Rule) -> Tensor:
    """ids (B, L) -> the last norm's numbers (B, L, D), every population but the last through `rule`."""
    L = ids.shape[1]
    later = torch.ones(L, L, dtype=torch.bool).triu(1)
    x = model.embedding(ids) + model.position.weight[:L]
    for i, block in enumerate(model.blocks):
        a, f = block.attention, block.feed_forward
        n = rule(f"{i}.norm1", block.norm1(x))  # type: ignore[operator]
        q, k, v = (
            rule(f"{i}.{part}", a.split(getattr(a, part)(n)))  # type: ignore[operator,union-attr]
            for part in ("query", "key", "value")
        )  # (B, H, L, E)
        z = (q @ k.transpose(-1, -2)) / math.sqrt(q.shape[-1])
        A = rule(f"{i}.attention", z.masked_fill(later, -math.inf).softmax(-1))  # (B, H, L, L)
        y = rule(f"{i}.mix", (A @ v).transpose(1, 2).flatten(2))
        x = x + a.out(y)  # type: ignore[operator,union-attr]
        n = rule(f"{i}.norm2", block.norm2(x))  # type: ignore[operator]
        x = x + f.down(rule(f"{i}.hidden", F.gelu(f.up(n))))  # type: ignore[operator,union-attr]
    return model.norm(x)


def rows_of(tokenizer: Tokenizer, questions: Sequence[Question]) -> list[tuple[Tensor, Tensor, list[int]]]:
    """Questions of one length together: ids (B, L + 1) with END, which tokens answer (B, L), which ones (B).

    ValueError where there are none.
    """
    if not questions:
        raise ValueError("questions []: must hold at least one question")
    by_length: dict[int, list[tuple[list[int], int, int]]] = {}
    for i, q in enumerate(questions):
        ids, start = encode_pair(tokenizer, q.text, q.answer)
        by_length.setdefault(len(ids), []).append((ids, start, i))
    made = []
    for length, same in sorted(by_length.items()):
        size = max(1, BATCH // length)
        for at in range(0, len(same), size):
            part = same[at : at + size]
            answers = torch.arange(1, length) >= torch.tensor([[start] for _, start, _ in part])
            made.append((torch.tensor([ids for ids, _, _ in part]), answers, [i for _, _, i in part]))
    return made


@torch.inference_mode()
def sampled(model: Transformer, tokenizer: Tokenizer, questions: Sequence[Question]) -> dict[str, Tensor]:
    """Numbers (n,) that each population of the real-valued network is given, at most about SAMPLES."""
    watch = Watch()
    for ids, answers, _ in rows_of(tokenizer, questions):
        watch("norm", hidden(model, ids[:, :-1], watch)[answers])
    found = {name: torch.cat(some) for name, some in watch.seen.items()}
    return {name: x[:: max(1, len(x) // SAMPLES)] for name, x in found.items()}


@torch.inference_mode()
def thresholds(seen: Mapping[str, Tensor], T: int) -> dict[str, float]:
    """For each population the theta with the least squared error after T ticks, of SHARES ones.

    ValueError for a T that is no whole number of at least 1, or numbers that are all 0.
    """
    if not isinstance(T, int) or isinstance(T, bool) or T < 1:
        raise ValueError(f"T is {T!r}: must be a whole number of at least 1")
    found = {}
    for name, x in seen.items():
        top = float(x.abs().max())
        if top == 0:
            raise ValueError(f"seen: the numbers of {name} are all 0")
        tried = [top * i / SHARES / T for i in range(1, SHARES + 1)]
        found[name] = min(tried, key=lambda t: float((t * counted(x, t, T) - x).square().mean()))
    return found


@torch.inference_mode()
def judged(
    model: Transformer, tokenizer: Tokenizer, questions: Sequence[Question], rule: Rule
) -> tuple[list[bool], list[float]]:
    """Which questions are answered rightly, token by token, and the nats that each right answer costs."""
    right, nats = [False] * len(questions), [0.0] * len(questions)
    for ids, answers, which in rows_of(tokenizer, questions):
        x = rule("norm", hidden(model, ids[:, :-1], rule)[answers])
        guess, true = model.logits(x), ids[:, 1:][answers]
        hit = torch.zeros_like(answers) | ~answers
        hit[answers] = guess.argmax(-1) == true
        cost = torch.zeros(answers.shape)
        cost[answers] = F.cross_entropy(guess, true, reduction="none")
        for i, ok, lost in zip(which, hit.all(1).tolist(), cost.sum(1).tolist(), strict=True):
            right[i], nats[i] = ok, lost
    return right, nats


# ---- what it costs ----------------------------------------------------------------------------------------


def _read(model: Transformer, seen: Mapping[str, Tensor], bits: float, pruned: bool) -> dict[str, float]:
    """Connections used, and bytes fetched for them, by numbers or spikes `seen` at each input of a matrix.

    Weights that are 0 are not used, but cost a bit in the map that says so where a matrix was pruned.
    """
    config = model.config
    used = fetched = 0.0
    readers = {
        f"{i}.{name}": [f"blocks.{i}.{matrix}.weight" for matrix in some]
        for i in range(config.layers)
        for name, some in READ_BY.items()
    } | {"norm": ["embedding.weight"]}
    for name, matrices in readers.items():
        for matrix in matrices:
            weight = model.get_parameter(matrix)
            mapped = pruned and name != "norm"
            there = (weight != 0).sum(0) if mapped else torch.full((weight.shape[1],), weight.shape[0])
            uses = float(seen[name] @ there.double())
            used += uses
            fetched += uses * bits / 8 + (float(seen[name].sum()) * weight.shape[0] / 8 if mapped else 0.0)
    own = sum(float(x) for name, x in seen.items() if name.endswith((".key", ".value")))
    past = sum(float(x) for name, x in seen.items() if name.endswith(".query"))
    past += config.head_size * sum(float(x) for name, x in seen.items() if name.endswith(".attention"))
    return {"weights": used, "bytes": fetched, "own": own, "past": past}


def counts(
    model: Transformer,
    tokenizer: Tokenizer,
    questions: Sequence[Question],
    rule: Rule,
    bits: int,
    pruned: bool,
) -> dict[str, Counts]:
    """What `judged` did, all tokens together: as "spikes" (T ticks), and as "numbers" that skip what is 0.

    bits: of a weight.  pruned: whether its zeros are left out, by a map of one bit a weight. Keys and values
    in the cache take a byte (floats: four). "numbers" are the same counts, each multiplied once: W8A8; with T
    None they are floats. Norms, softmax and GELU cost what they cost the ordinary network (`energy_counts`).
    """
    config = model.config
    lengths, starts, position = [], [], []
    for ids, answers, which in rows_of(tokenizer, questions):
        lengths += [ids.shape[1] - 1] * len(which)
        starts += (~answers).sum(1).tolist()
        position += list(range(ids.shape[1] - 1)) * len(which)
    whole, small = (counts_sequences(config, lengths, dtype, starts) for dtype in ("fp32", "int8"))
    numbers = (whole.weight_bytes - small.weight_bytes) / 3  # fetched for products
    common: dict[str, Any] = {
        "tokens": float(sum(lengths)), "mac_fp32": small.mac_fp32, "special_fp32": small.special_fp32,
        "synapses": small.synapses,
    }  # fmt: skip
    floats = small.weight_bytes - numbers  # bytes of norms and embeddings
    told = _read(model, rule.used, bits, pruned)
    products = told["weights"] + told["past"]
    if rule.T is None:
        common["mac_fp32"] += products
        return {
            "numbers": Counts(
                **common,
                weight_bytes=told["bytes"] + 4 * told["past"] + floats,
                activation_bytes=whole.activation_bytes,
            )
        }
    found = {
        "numbers": Counts(
            **common,
            mac_int8=products,
            mul_int32=small.mul_int32,
            weight_bytes=told["bytes"] + told["past"] + floats,
            activation_bytes=small.activation_bytes,
        )
    }
    told = _read(model, rule.fired, bits, pruned)
    adds = told["weights"] + told["past"] + told["own"]
    visits = rule.T * float(neurons(config, torch.tensor(position)).double().sum())
    step = neuron_step()
    found["spikes"] = Counts(
        **common,
        add_int32=adds,
        compare_int32=visits * step.compare_int32,
        weight_bytes=told["bytes"] + told["past"] + told["own"] + floats,
        membrane_read_bytes=visits * step.membrane_read_bytes,
        membrane_write_bytes=visits * step.membrane_write_bytes,
        activation_bytes=SPIKE_BYTES * _handed(rule),
        spikes=rule.spikes,
    )
    return found


def _handed(rule: Rule) -> float:
    """Spikes written once, and read by each reader."""
    more = sum(
        float(x.sum()) * (READERS[part] - 1)
        for name, x in rule.fired.items()
        if (part := name.split(".")[-1]) in READERS
    )
    return 2 * rule.spikes + more


def bits(nats: Sequence[float]) -> float:
    """The sum of these nats, in bits."""
    return math.fsum(nats) / math.log(2)
