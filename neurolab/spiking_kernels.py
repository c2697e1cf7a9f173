"""One step of many neurons in place: by torch, or compiled where the optional package numba is there.

Both are the neuron of `spiking_rules.neuron` with a step weight for each row, and agree in every count.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from neurolab.neurons_fast import has_numba


def fire_torch(z: Tensor, theta: Tensor, S: Tensor, w: Tensor, low: int, high: int) -> Tensor:
    """S (R, N), float32, is moved in place; returns the spikes (R) of each row.

    z (R, N), theta (1 or R, N): both float32 that hold every membrane exactly, or both int64. w (R): step
    weights, float32.
    """
    count = S if z.is_floating_point() else S.to(z.dtype)
    step = w[:, None].to(z.dtype)
    u = 2 * (z - theta * count)
    reach = step * theta
    moved = count + step * ((u >= reach).to(z.dtype) - (u < -reach).to(z.dtype))
    moved = torch.where((moved >= low) & (moved <= high), moved, count).to(S.dtype)
    spikes = (moved != S).sum(1)
    S.copy_(moved)
    return spikes


@cache
def _compiled() -> Any:
    from numba import njit

    @njit(cache=True)
    def step(z: Any, theta: Any, S: Any, w: Any, low: Any, high: Any, spikes: Any) -> None:
        R, N = z.shape
        many = theta.shape[0] > 1
        for r in range(R):
            k = r if many else 0
            weight, found = w[r], 0
            for n in range(N):
                s = S[r, n]
                u = z[r, n] - theta[k, n] * s
                u = u + u
                reach = weight * theta[k, n]
                moved = s + weight * (u >= reach) - weight * (u < -reach)
                moved = moved if (moved >= low) & (moved <= high) else s
                found += moved != s
                S[r, n] = moved
            spikes[r] = found

    return step


def fire_numba(z: Tensor, theta: Tensor, S: Tensor, w: Tensor, low: int, high: int) -> Tensor:
    """As `fire_torch`, compiled: one pass over the neurons."""
    dtype = z.numpy().dtype.type
    spikes = torch.empty(z.shape[0], dtype=torch.int64)
    count = S if z.is_floating_point() else S.to(z.dtype)
    _compiled()(
        z.numpy(),
        theta.numpy(),
        count.numpy(),
        w.to(z.dtype).numpy(),
        dtype(low),
        dtype(high),
        spikes.numpy(),
    )
    if count is not S:
        S.copy_(count)
    return spikes


def fire(z: Tensor, theta: Tensor, S: Tensor, w: Tensor, low: int, high: int) -> Tensor:
    """The faster of the two that is there."""
    return (fire_numba if has_numba() else fire_torch)(z, theta, S, w, low, high)
