"""The spiking assistant in the oldest code of all: plain integrate-and-fire neurons whose spikes are counted.

One more rule for `spiking.features`. A neuron adds up what it hears and fires, at most once a step, when its
membrane reaches the threshold; every spike weighs the same, and none can be taken back. A signed number takes
two neurons, one for what is above 0 (on) and one for what is below (off), each with a membrane of its own. So

    V_on(t) = sum of u / R - n_on,   V_off(t) = - sum of u / R - n_off,   a spike where V >= 1/2
    S(t) = (n_on - n_off) R / t

u = z / theta: the drive in codes; n: spikes so far; R: the range, the largest code that the neuron can say
(by firing at every step), to which its threshold is *balanced*: T spikes stand for R, one for R / T. A
listener takes spikes per step so far, so the sum of u over t steps is t u(t), and norms and attention, which
divide, divide by rates. With T steps there are T + 1 rates: at the end S is u, rounded to R / T, if the drive
stayed where it was. It does not: all 33 populations start at once, and what a neuron fired on early, wrong
drive stays.

Sources: Diehl et al., IJCNN 2015 (balancing to the largest activation); Rueckauer et al., Frontiers in
Neuroscience 2017 (to a percentile; reset by subtraction). Shapes as in `spiking`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from neurolab import encoding
from neurolab.assistant import Batch
from neurolab.codes import Code
from neurolab.neurons_fast import has_numba
from neurolab.spikes import Seed, numbers, ticks
from neurolab.spiking import FIRST, SIGNED, Fire, Integers, bounds, features, logits
from neurolab.spiking_student import Rest, Rule, Spikes
from neurolab.tokens import END_ID
from neurolab.transformer import Config


def full_range(kind: str, bits: int = 4) -> float:
    """The largest |code| there is: 8 for signed, 15 for unsigned counts of 4 bits."""
    low, high = bounds(kind, bits)
    return float(max(-low, high))


def count_torch(u: Tensor, R: float, T: int, signed: bool) -> tuple[Tensor, Tensor]:
    """T steps of neurons with drives u (T or 1, ...), float32 -> S (T, ...) and all spikes so far (...)."""
    on, off = torch.zeros_like(u[0]), torch.zeros_like(u[0])
    S = u.new_empty(T, *u.shape[1:])
    for t in range(T):
        heard = u[min(t, u.shape[0] - 1)] * ((t + 1) / R)
        on += heard - on >= 0.5
        if signed:
            off += -heard - off >= 0.5
        S[t] = (on - off) * (R / (t + 1))
    return S, on + off


@cache
def _compiled() -> Any:
    from numba import njit

    @njit(cache=True)
    def steps(u: Any, to: Any, back: Any, signed: Any, S: Any, on: Any, off: Any) -> None:
        T, N = S.shape
        half = to.dtype.type(0.5)
        for t in range(T):
            k = min(t, u.shape[0] - 1)
            for i in range(N):
                heard = u[k, i] * to[t]
                on[i] += heard - on[i] >= half
                off[i] += signed & (-heard - off[i] >= half)
                S[t, i] = (on[i] - off[i]) * back[t]

    return steps


def count_numba(u: Tensor, R: float, T: int, signed: bool) -> tuple[Tensor, Tensor]:
    """As `count_torch`, compiled, equal bit for bit."""
    shape, t = u.shape[1:], np.arange(1, T + 1)
    flat = u.float().reshape(u.shape[0], -1).contiguous().numpy()
    S = np.empty((T, flat.shape[1]), np.float32)
    on, off = np.zeros_like(flat[0]), np.zeros_like(flat[0])
    _compiled()(flat, (t / R).astype(np.float32), (R / t).astype(np.float32), signed, S, on, off)
    return torch.from_numpy(S).reshape(T, *shape), torch.from_numpy(on + off).reshape(shape)


class Counted(Rule):
    """The rule of this module: `fire` for a window of T steps. S (T, ...), real numbers.

    ranges: R by population (`balance`), default `full_range`. `tokens` (B, L), if set, says which tokens
    count: `spikes` then adds up what they fire.
    """

    def __init__(self, T: int, ranges: Mapping[str, float] | None = None, bits: int = 4) -> None:
        if not isinstance(T, int) or isinstance(T, bool) or T < 1:
            raise ValueError(f"T = {T!r}: must be a whole number of at least 1")
        self.T, self.ranges, self.bits = T, dict(ranges or {}), bits
        self.tokens: Tensor | None = None
        self.spikes = 0.0

    def __call__(self, name: str, z: Tensor, theta: Tensor, kind: str) -> Tensor:
        u = z / theta
        R = self.ranges.get(name, full_range(kind, self.bits))
        if name in FIRST:
            u = u.unsqueeze(0)
        S, n = (count_numba if has_numba() else count_torch)(u, R, self.T, kind == SIGNED)
        if self.tokens is not None:
            fired = n.sum(-1)  # (B, L) or (B, H, L)
            fired = fired if fired.ndim == 2 else fired.sum(1)
            self.spikes += float((fired * self.tokens).sum(dtype=torch.float64))
        return S

    def past(self, S: Tensor) -> Tensor:
        return S[-1:]


class Hybrid(Rule):
    """The lowest `layers` blocks speak in spikes (`Spikes`), those above are plain integers (`Rest`).

    What the spiking blocks have said after T steps is handed on once, as counts. The last norm belongs to the
    top: it spikes only if every block does.
    """

    def __init__(self, layers: int, blocks: int, weights: dict[str, tuple[int, ...]], bits: int = 4) -> None:
        if not 0 <= layers <= blocks:
            raise ValueError(f"layers {layers!r}: must be 0 to {blocks}, the number of blocks")
        self.layers, self.blocks = layers, blocks
        self.low, self.top = Spikes(weights, bits), Rest(bits)

    def spiking(self, name: str) -> bool:
        """Whether this population speaks in spikes."""
        return (self.blocks if name == "norm" else int(name.split(".")[0]) + 1) <= self.layers

    def __call__(self, name: str, z: Tensor, theta: Tensor, kind: str) -> Tensor:
        if self.spiking(name):
            return self.low(name, z, theta, kind)
        if self.layers == 0:
            return self.top(name, z, theta, kind)
        return self.top(name, z[-1:], theta[-1:] if theta.ndim == z.ndim else theta, kind)

    def past(self, S: Tensor) -> Tensor:
        return S if self.layers == 0 else S[-1:]


def time_then_rate(x: Tensor, T: int, seed: Seed = 0) -> Tensor:
    """Hybrid code of x in [0, 1], spikes (T, ...): when the first comes is the coarse part.

    With a = T / 2 (rounded down): c = floor((a + 1) x), at most a, is one spike at tick a - c (none for 0);
    what is left, (a + 1) x - c, is a rate in the other T - a ticks.
    """
    x = numbers(x)
    a = ticks(T, 2) // 2
    c = torch.floor((a + 1) * x).clamp(max=a)
    first = torch.arange(a).view(-1, *[1] * x.dim()) == a - c
    return torch.cat((first.float(), encoding.even(((a + 1) * x - c).clamp(0, 1), T - a)))


def time_then_rate_decode(spikes: Tensor) -> Tensor:
    """The listener's estimate of x: (c + rate) / (a + 1)."""
    a = len(spikes) // 2
    c = (spikes[:a] * torch.arange(a, 0, -1).view(-1, *[1] * (spikes.dim() - 1))).sum(0)
    return (c + spikes[a:].mean(0)) / (a + 1)


TIME_THEN_RATE = Code(
    "hybrid",
    time_then_rate,
    time_then_rate_decode,
    None,
    "one spike for the coarse part, a rate for the rest",
    2,
)


@torch.inference_mode()
def balance(
    p: Integers, config: Config, batches: Sequence[Batch], share: float = 1.0, bits: int = 4
) -> dict[str, float]:
    """R of every population: the |code| that `share` of its codes at rest stay within; 1.0: the largest.

    At least 1 for each. ValueError for a share outside (0, 1] or no batch.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share {share!r}: must be above 0 and at most 1")
    if not batches:
        raise ValueError("batches []: must hold at least one batch")
    top = int(max(full_range(kind, bits) for kind in ("signed", "unsigned")))
    seen: dict[str, Tensor] = {}

    class Count(Rest):
        def __call__(self, name: str, z: Tensor, theta: Tensor, kind: str) -> Tensor:
            S = super().__call__(name, z, theta, kind)
            told = S
            if name.endswith("attention"):  # nothing above the diagonal
                told = S[..., torch.ones(S.shape[-2:], dtype=torch.bool).tril()]
            found = torch.bincount(told.abs().flatten().long(), minlength=top + 1)
            seen[name] = seen.get(name, torch.zeros_like(found)) + found
            return S

    for batch in batches:
        features(p, batch.ids[:, :-1], config, Count(bits))
    return {
        name: max(1.0, float((counts.cumsum(0) >= share * counts.sum()).nonzero()[0]))
        for name, counts in seen.items()
    }


@torch.inference_mode()
def scores(
    p: Integers, config: Config, fire: Fire, rows: Sequence[Batch], answer_bytes: int
) -> dict[str, float]:
    """Exact match token by token, bits per answer byte, questions; with `Counted` also spikes per token.

    Exact match token by token is greedy decoding's: what comes before a token is final when it runs.
    """
    right, nats, questions, tokens = 0, 0.0, 0, 0
    for batch in rows:
        ids, wanted, truth = batch.ids[:, :-1], batch.answer[:, 1:], batch.ids[:, 1:]
        real = (ids != 0) & (truth != 0)  # END is predicted, never read
        tokens += int(real.sum())
        if isinstance(fire, Counted):
            fire.tokens = real
        S = features(p, ids, config, fire)
        guess = logits(p, S[-1] if S.ndim == 4 else S) * p["scale"]
        right += int(((guess.argmax(-1) == truth) | ~wanted).all(1).sum())
        nats += F.cross_entropy(guess[wanted], truth[wanted], reduction="sum").item()
        questions += len(ids)
    found = {
        "exact_match": right / questions,
        "bits_per_answer_byte": nats / math.log(2) / answer_bytes,
        "questions": questions,
        "tokens": tokens,
    }
    if isinstance(fire, Counted):
        found["spikes_per_token"] = fire.spikes / tokens
    return found


@torch.inference_mode()
def answer(p: Integers, config: Config, fire: Fire, ids: Sequence[int], limit: int = 64) -> list[int]:
    """Greedy answer to one question (token ids up to ANSWER), up to END; each token runs all before it."""
    if not 1 <= len(ids) < config.context:
        raise ValueError(f"question of {len(ids)} tokens: must have 1 to {config.context - 1}")
    made: list[int] = []
    while len(made) < min(limit, config.context - len(ids)):
        S = features(p, torch.tensor([[*ids, *made]]), config, fire)
        token = int(logits(p, S[(-1,) * (S.ndim - 3)][:, -1] if S.ndim == 4 else S[:, -1]).argmax())
        made.append(token)
        if token == END_ID:
            break
    return made
