"""The spiking assistant: one network, read in three ways (as numbers, as codes, as spikes).

Every value that one part hands to the next is a *count* S, a whole number of few bits. Between two counts
lies a drive z, a sum of integers, and a threshold theta, an integer:

    norm         z = 2^14 x                 theta = K (sum |x| + 1)       x: residual stream
    query ...    z = W S + b                theta
    attention    z = S_q . S_k - offset     theta                         A: the count, never negative
    mix          z = 2^8 sum_j A_j S_v,j    theta = K (sum_j A_j + 1)
    hidden       z = W S + b                theta                         never negative
    residual     x <- x + 2^k W S

and a rule makes the count from both. `run` is that list and nothing else; what a rule does is up to `fire`:

    Smooth     S = z / theta                          a float network: the parts without any rounding
    Rest       S = clip(floor(z / theta + 1/2))       the integer network
    Spikes     S(t) = S(t - 1) + w(t) s(t), t = 1..T  the spiking network, neurons of `stbif` (all T at once)

So the three can differ in nothing but the rule. No exponential, root or division is left: the norm and the
attention divide by making their thresholds grow. Shapes: T time steps, B sequences, L tokens, D width, H
heads of size E, F hidden, V vocabulary; in Spikes everything that changes with time has T in front.

Sources: You et al., SpikeZIP-TF, ICML 2024 (neurons that rest at a quantizer's code); Esser et al., Learned
step size quantization, ICLR 2020 (the gradients of thresholds); Wortsman et al., arXiv 2309.08586 (attention
without softmax).
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from neurolab.transformer import Config

NORM_SHIFT, MIX_SHIFT = 14, 8
SIGNED, UNSIGNED = "signed", "unsigned"
SCHEDULES = ("unary", "rescaled", "halving", "ramp")
FIRST = ("0.norm1",)  # its drive is the token itself: constant, so no T in front


def bounds(kind: str, bits: int) -> tuple[int, int]:
    """S_min and S_max of a count of `bits` bits (2 to 8).

    signed: -2^(b-1) .. 2^(b-1) - 1; unsigned: 0 .. 2^b - 1. ValueError for other bits.
    """
    if not isinstance(bits, int) or isinstance(bits, bool) or not 2 <= bits <= 8:
        raise ValueError(f"bits {bits!r}: must be a whole number from 2 to 8")
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if kind == SIGNED else (0, 2**bits - 1)


class Fire(Protocol):
    """How a population turns drive z and threshold theta (broadcast together) into counts S."""

    def __call__(self, name: str, z: Tensor, theta: Tensor, kind: str) -> Tensor: ...

    def grow(self, K: Tensor, total: Tensor) -> Tensor:
        """The threshold K x total of a population that divides."""
        ...

    def past(self, S: Tensor) -> Tensor:
        """What a later token meets of the counts S of an earlier one."""
        ...


Integers = dict[str, Tensor]  # the network's whole content by name: weights, biases, thresholds, shifts


def split(S: Tensor, heads: int) -> Tensor:
    """(..., L, D) -> (..., H, L, E)."""
    return S.unflatten(-1, (heads, -1)).transpose(-3, -2)


def norm(x: Tensor, K: Tensor, name: str, fire: Fire) -> Tensor:
    """Counts (..., L, D) of the residual stream x (..., L, D), each token measured by its own sum of |x|."""
    return fire(name, x * 2**NORM_SHIFT, fire.grow(K, x.abs().sum(-1, keepdim=True) + 1), SIGNED)


def attend(p: Integers, i: int, S: Tensor, heads: int, fire: Fire) -> Tensor:
    """Attention of block i: counts S (..., L, D) of the norm -> counts (..., L, D) of the mix.

    A token meets its own key and value as they are now, those of the tokens before it as `fire.past` says.
    """

    def population(part: str) -> Tensor:
        z = S @ p[f"{i}.{part}.W"].T + p[f"{i}.{part}.b"]
        return split(fire(f"{i}.{part}", z, p[f"{i}.{part}.theta"], SIGNED), heads)

    q, k, v = population("query"), population("key"), population("value")  # (..., H, L, E)
    k_past, v_past = fire.past(k), fire.past(v)
    L = S.shape[-2]
    causal = torch.ones(L, L, dtype=q.dtype, device=q.device).tril()
    own = (q * (k - k_past)).sum(-1)  # (..., H, L): what the token's own key still lacks
    z = q @ k_past.transpose(-1, -2) + torch.diag_embed(own)  # (..., H, L, L)
    A = fire(
        f"{i}.attention",
        (z - p[f"{i}.attention.offset"][:, None, None]) * causal,
        p[f"{i}.attention.theta"][:, None, None],
        UNSIGNED,
    )
    A = A * causal
    own = torch.diagonal(A, dim1=-2, dim2=-1).unsqueeze(-1)  # (..., H, L, 1)
    z = A @ v_past + own * (v - v_past)  # (..., H, L, E)
    theta = fire.grow(split(p[f"{i}.mix.K"].expand(L, -1), heads), A.sum(-1, keepdim=True) + 1)
    return fire(f"{i}.mix", z * 2**MIX_SHIFT, theta, SIGNED).transpose(-3, -2).flatten(-2)


def features(
    p: Integers, ids: Tensor, config: Config, fire: Fire, hidden: list[Tensor] | None = None
) -> Tensor:
    """ids (B, L) -> counts (..., L, D) of the last norm; `hidden`, if given, receives x after every block."""
    L = ids.shape[1]
    x = p["embedding.W"][ids] * p["embedding.unit"] + p["position.W"][:L] * p["position.unit"]  # (B, L, D)
    for i in range(config.layers):
        S = norm(x, p[f"{i}.norm1.K"], f"{i}.norm1", fire)
        S = attend(p, i, S, config.heads, fire)
        x = x + (S @ p[f"{i}.out.W"].T) * p[f"{i}.out.unit"]
        S = norm(x, p[f"{i}.norm2.K"], f"{i}.norm2", fire)
        S = fire(f"{i}.hidden", S @ p[f"{i}.up.W"].T + p[f"{i}.up.b"], p[f"{i}.up.theta"], UNSIGNED)
        x = x + (S @ p[f"{i}.down.W"].T) * p[f"{i}.down.unit"]
        if hidden is not None:
            hidden.append(x)
    return norm(x, p["norm.K"], "norm", fire)


def logits(p: Integers, S: Tensor) -> Tensor:
    """Integer logits (..., V) of the last counts S (..., D). Times p["scale"] they are natural logits."""
    return S @ p["embedding.W"].T + p["logits.b"]


def schedule(T: int, kind: str = "unary", bits: int = 4) -> dict[str, tuple[int, ...]]:
    """The step weights w(1..T) of signed and unsigned populations.

    "unary": every spike counts 1. "rescaled": every spike counts S_max / T, rounded up, so that T spikes span
    the range (thresholds rescaled to T). "halving": spikes count 2^(b-1), ..., 2, 1, 1, 1, ... (signed ones
    begin at 2^(b-2)): a wide aim first. "ramp": from the same first weight down to 1 in equal parts, over T
    steps but at most 2^(b-1), then 1, 1, ...: the aim narrows no faster than the drives come to rest. T: at
    least 1. ValueError for another kind or T.
    """
    if not isinstance(T, int) or isinstance(T, bool) or T < 1:
        raise ValueError(f"T = {T!r}: must be a whole number of at least 1")
    if kind not in SCHEDULES:
        raise ValueError(f"schedule {kind!r}: must be one of {', '.join(SCHEDULES)}")

    def weights(population: str) -> tuple[int, ...]:
        most = bounds(population, bits)[1]
        if kind == "rescaled":
            return (-(-most // T),) * T
        if kind == "unary":
            return (1,) * T
        first = 2 ** (most.bit_length() - 1)
        if kind == "halving":
            return tuple(max(first >> t, 1) for t in range(T))
        span = min(T, 2 ** (bits - 1))
        return tuple(max(-(-first * (span - t) // span), 1) for t in range(T))

    return {SIGNED: weights(SIGNED), UNSIGNED: weights(UNSIGNED)}
