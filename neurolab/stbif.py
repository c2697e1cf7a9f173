"""The signed integrate-and-fire neuron with a tracer (ST-BIF): its count is a quantizer's code.

It keeps two numbers: z, all input so far, and S, all spikes so far (the tracer), each spike +1 or -1. What it
still owes:

    V = z - theta S + theta / 2
    s = +1  if V >= theta and S < S_max        it owes at least one more: fire
    s = -1  if V <  0     and S > S_min        it has said too much: take one back
    s =  0  otherwise

It rests where neither holds: 0 <= V < theta, that is S = floor(z / theta + 1/2), unless a bound is in the
way:

    S = clip(floor(z / theta + 1/2), S_min, S_max)

which is round-to-nearest quantization of z with step theta. Plain integrate-and-fire can't take a spike back,
so a wrong early spike stays. Source: You et al., SpikeZIP-TF, ICML 2024 (ST-BIF+), who started the membrane
at theta / 2.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Signed(NamedTuple):
    """A sequence: spikes s (T, ...) in {-1, 0, 1}, tracer S (T, ...) after each step, all input z (...)."""

    s: Tensor
    S: Tensor
    z: Tensor


def st_bif_step(
    z: Tensor, S: Tensor, x: Tensor, theta: float, S_min: int, S_max: int
) -> tuple[Tensor, Tensor, Tensor]:
    """One step. z, S, x (...), floats; theta > 0; S_min <= S <= S_max. Returns s (...), z (...), S (...)."""
    z = z + x
    V = z - theta * S + theta / 2
    s = ((V >= theta) & (S < S_max)).to(z.dtype) - ((V < 0) & (S > S_min)).to(z.dtype)
    return s, z, S + s


def st_bif(x: Tensor, theta: float, S_min: int, S_max: int, T: int | None = None) -> Signed:
    """A whole sequence. x (t, ...): input; T >= t: steps to run, the last T - t without input (default t).

    A neuron rests after at most S_max - S_min further steps without input. ValueError for NaN, infinity, T <
    t, no steps, theta <= 0, or bounds that do not hold 0 or are out of order.
    """
    _check(theta, S_min, S_max)
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.dim() == 0:
        raise ValueError("x must be a tensor of floats, (t, ...)")
    if not bool(torch.isfinite(x).all()):
        raise ValueError("x holds NaN or infinity; every input must be finite")
    t, T = x.shape[0], x.shape[0] if T is None else T
    if T < 1 or T < t:
        raise ValueError(f"T = {T}; it must be at least 1 and at least the {t} steps of input")
    z = x.new_zeros(x.shape[1:])
    S, silence = torch.zeros_like(z), torch.zeros_like(z)
    spikes, tracer = x.new_empty(T, *x.shape[1:]), x.new_empty(T, *x.shape[1:])
    for i in range(T):
        spikes[i], z, S = st_bif_step(z, S, x[i] if i < t else silence, theta, S_min, S_max)
        tracer[i] = S
    return Signed(spikes, tracer, z)


def code(z: Tensor, theta: float, S_min: int, S_max: int) -> Tensor:
    """Where the neuron comes to rest, a quantizer's code for z: clip(floor(z / theta + 1/2))."""
    _check(theta, S_min, S_max)
    return torch.floor(z / theta + 0.5).clamp(S_min, S_max)


def _check(theta: float, S_min: int, S_max: int) -> None:
    if not (math.isfinite(theta) and theta > 0):
        raise ValueError(f"theta = {theta!r}; it must be > 0 and finite")
    if not S_min <= 0 <= S_max or S_min == S_max:
        raise ValueError(
            f"S_min = {S_min}, S_max = {S_max}; S_min <= 0 <= S_max is needed, and room between them"
        )
