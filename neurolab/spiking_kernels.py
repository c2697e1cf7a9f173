"""One step of many neurons in integers, in place: by torch, or compiled where the optional numba is there.

Counts are int8, drives int32, thresholds that grow int64. Rows R are tokens at work, each with its own step
weight w. Every function exists twice, as NAME_torch and NAME_numba; both are the neuron of
`spiking_rules.neuron` and agree in every count. `times` multiplies int8 matrices into int32.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import torch
from torch import Tensor

from neurolab.neurons_fast import has_numba
from neurolab.spiking import MIX_SHIFT, NORM_SHIFT


@lru_cache(maxsize=1)
def has_int8() -> bool:
    """Whether this machine multiplies int8 matrices into int32 exactly (some saturate halfway).

    Tried once with the largest numbers of either sign.
    """
    generator = torch.Generator().manual_seed(0)
    S = torch.randint(-128, 128, (64, 640), generator=generator).to(torch.int8)
    W = torch.randint(-127, 128, (96, 640), generator=generator).to(torch.int8)
    S[:8], W[:8], S[8:16], W[8:16] = -128, -127, 127, 127
    try:
        found = torch._int_mm(S, W.T)
    except (RuntimeError, NotImplementedError, AttributeError):
        return False
    return torch.equal(found.double(), S.double() @ W.double().T)


def times(S: Tensor, W: Tensor) -> Tensor:
    """S (R, C) int8 times W (N, C) int8, transposed: (R, N) int32. Sums below 2^24 (`prove`) are exact."""
    if has_int8():
        return torch._int_mm(S, W.T)
    return (S.float() @ W.float().T).int()


def _move(z: Tensor, theta: Tensor, S: Tensor, w: Tensor, low: int, high: int) -> Tensor:
    """S (R, ...) int8 is moved in place by membranes of the type of z; returns the spikes (R)."""
    count = S.to(z.dtype)
    step = w.to(z.dtype).view(-1, *[1] * (z.dim() - 1))
    u = 2 * (z - theta * count)
    reach = step * theta
    moved = count + step * ((u >= reach).to(z.dtype) - (u < -reach).to(z.dtype))
    moved = torch.where((moved >= low) & (moved <= high), moved, count).to(torch.int8)
    spikes = (moved != S).flatten(1).sum(1)
    S.copy_(moved)
    return spikes


def fire_torch(
    z: Tensor, b: Tensor, theta: Tensor, S: Tensor, w: Tensor, low: int, high: int, spikes: Tensor
) -> None:
    """Neurons with drive z (R, N) + b (N) and threshold theta (N), all int32; fills spikes (R), int64."""
    spikes.copy_(_move(z + b, theta, S, w, low, high))


def norm_torch(
    x: Tensor,
    K: Tensor,
    S: Tensor,
    w: Tensor,
    low: int,
    high: int,
    sums: Tensor,
    spikes: Tensor,
    made: Tensor,
) -> None:
    """Neurons with drive 2^14 x (R, D) and threshold K (sum |x| + 1).

    sums (R), int64: the sums that the thresholds were made from; where one has changed, D products are added
    to made (R).
    """
    total = x.abs().sum(1) + 1
    made += (total != sums) * x.shape[1]
    sums.copy_(total)
    spikes.copy_(_move(x.long() << NORM_SHIFT, K.long() * total[:, None], S, w, low, high))


def attend_torch(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    keys: Tensor,
    values: Tensor,
    position: Tensor,
    offset: Tensor,
    theta: Tensor,
    A: Tensor,
    K: Tensor,
    S: Tensor,
    w: Tensor,
    w_attention: Tensor,
    limits: tuple[int, int, int],
    sums: Tensor,
    spikes: Tensor,
    spikes_mix: Tensor,
    made: Tensor,
) -> None:
    """Attention and mix of one block. q, k, v, S (R, D); keys, values (R, L, D), this token at `position`.

    A (R, H, L): counts; limits: S_min, S_max, A_max; sums (R, H) as in `norm_torch`, E products a head.
    """
    (R, L, D), H = keys.shape, A.shape[1]
    at, (low, high, top) = torch.arange(R), limits
    keys[at, position], values[at, position] = k, v
    mask = torch.arange(L) <= position[:, None]  # (R, L)
    z = torch.einsum("rlhe,rhe->rhl", keys.view(R, L, H, -1).float(), q.view(R, H, -1).float()).int()
    z = (z - offset[:, None]) * mask[:, None]
    spikes.copy_(_move(z, theta[:, None], A, w_attention, 0, top))
    total = A.sum(2) + 1  # (R, H), int64
    made += (total != sums).sum(1) * (D // H)
    sums.copy_(total)
    z = torch.einsum("rhl,rlhe->rhe", A.float(), values.view(R, L, H, -1).float()).int() << MIX_SHIFT
    growing = (K.view(H, -1) * total[:, :, None]).int()
    spikes_mix.copy_(_move(z.view(R, D), growing.view(R, D), S, w, low, high))


@cache
def _compiled() -> Any:
    from numba import njit

    @njit(inline="always")
    def move(z: Any, theta: Any, s: Any, w: Any, low: Any, high: Any) -> Any:
        u = 2 * (z - theta * s)
        moved = s + w * (u >= w * theta) - w * (u < -w * theta)
        return moved if (moved >= low) & (moved <= high) else s

    @njit(cache=True)
    def fire(z: Any, b: Any, theta: Any, S: Any, w: Any, low: Any, high: Any, spikes: Any) -> None:
        for r in range(z.shape[0]):
            found, weight = 0, w[r]
            for n in range(z.shape[1]):
                s = S[r, n]
                new = move(z[r, n] + b[n], theta[n], s, weight, low, high)
                found += new != s
                S[r, n] = new
            spikes[r] = found

    @njit(cache=True)
    def norm(
        x: Any, K: Any, S: Any, w: Any, low: Any, high: Any, sums: Any, spikes: Any, made: Any, shift: Any
    ) -> None:
        for r in range(x.shape[0]):
            total = 1
            for n in range(x.shape[1]):
                total += abs(x[r, n])
            if total != sums[r]:
                sums[r] = total
                made[r] += x.shape[1]
            found, weight = 0, w[r]
            for n in range(x.shape[1]):
                s = S[r, n]
                new = move(x[r, n] * shift, K[n] * total, s, weight, low, high)
                found += new != s
                S[r, n] = new
            spikes[r] = found

    @njit(cache=True)
    def attend(
        q: Any,
        k: Any,
        v: Any,
        keys: Any,
        values: Any,
        position: Any,
        offset: Any,
        theta: Any,
        A: Any,
        K: Any,
        S: Any,
        w: Any,
        w_attention: Any,
        low: Any,
        high: Any,
        top: Any,
        shift: Any,
        sums: Any,
        spikes: Any,
        spikes_mix: Any,
        made: Any,
        mixed: Any,
    ) -> None:
        R, H, _ = A.shape
        D = q.shape[1]
        E = D // H
        for r in range(R):
            here = position[r]
            keys[r, here], values[r, here] = k[r], v[r]
            found, found_mix = 0, 0
            for h in range(H):
                total = 1
                mixed[:] = 0
                for j in range(here + 1):
                    z = -offset[h]
                    for e in range(h * E, h * E + E):
                        z += keys[r, j, e] * q[r, e]
                    a = A[r, h, j]
                    new = move(z, theta[h], a, w_attention[r], 0, top)
                    found += new != a
                    A[r, h, j] = new
                    if new:
                        total += new
                        for e in range(E):
                            mixed[e] += new * values[r, j, h * E + e]
                if total != sums[r, h]:
                    sums[r, h] = total
                    made[r] += E
                for e in range(E):
                    s = S[r, h * E + e]
                    new = move(mixed[e] * shift, K[h * E + e] * total, s, w[r], low, high)
                    found_mix += new != s
                    S[r, h * E + e] = new
            spikes[r], spikes_mix[r] = found, found_mix

    return fire, norm, attend


def _arrays(*tensors: Tensor) -> list[Any]:
    return [x.numpy() for x in tensors]


def fire_numba(
    z: Tensor, b: Tensor, theta: Tensor, S: Tensor, w: Tensor, low: int, high: int, spikes: Tensor
) -> None:
    """As `fire_torch`, compiled."""
    _compiled()[0](*_arrays(z, b, theta, S, w), low, high, spikes.numpy())


def norm_numba(
    x: Tensor,
    K: Tensor,
    S: Tensor,
    w: Tensor,
    low: int,
    high: int,
    sums: Tensor,
    spikes: Tensor,
    made: Tensor,
) -> None:
    """As `norm_torch`, compiled."""
    _compiled()[1](*_arrays(x, K, S, w), low, high, *_arrays(sums, spikes, made), 2**NORM_SHIFT)


def attend_numba(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    keys: Tensor,
    values: Tensor,
    position: Tensor,
    offset: Tensor,
    theta: Tensor,
    A: Tensor,
    K: Tensor,
    S: Tensor,
    w: Tensor,
    w_attention: Tensor,
    limits: tuple[int, int, int],
    sums: Tensor,
    spikes: Tensor,
    spikes_mix: Tensor,
    made: Tensor,
) -> None:
    """As `attend_torch`, compiled; tokens still to come and counts of 0 cost nothing."""
    mixed = torch.zeros(q.shape[1] // A.shape[1], dtype=torch.int64)
    _compiled()[2](
        *_arrays(q, k, v, keys, values, position, offset, theta, A, K, S, w, w_attention),
        *limits,
        2**MIX_SHIFT,
        *_arrays(sums, spikes, spikes_mix, made, mixed),
    )


def kernels(compiled: bool | None = None) -> tuple[Any, Any, Any]:
    """(fire, norm, attend): compiled (True), torch's (False), or the faster that is there (None)."""
    if has_numba() if compiled is None else compiled:
        return fire_numba, norm_numba, attend_numba
    return fire_torch, norm_torch, attend_torch
