"""One step of one token, event by event: what `spiking_events` drives, as one function for numba or numpy."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from neurolab.spiking import MIX_SHIFT, NORM_SHIFT


class Network(NamedTuple):
    """Weights by reading neuron (columns), blocks in front: everything an event needs, in one piece each."""

    read: Any  # (layers, D, 3 D): query, key, value, by norm1 neuron
    read_b: Any  # (layers, 3 D)
    read_theta: Any
    attention_theta: Any  # (layers, H, L)
    offset: Any  # (layers, H)
    out: Any  # (layers, D, D), times its unit
    up: Any  # (layers, D, F)
    up_b: Any
    up_theta: Any
    down: Any  # (layers, F, D), times its unit
    norm_K: Any  # (2 layers + 1, D): norm1, norm2, norm1, ..., norm
    mix_K: Any  # (layers, D)


class State(NamedTuple):
    """One token's drives z and counts S; keys and values of all tokens; what is awake."""

    x: Any  # (2 layers + 1, D): the residual stream as each norm sees it
    S_norm: Any
    z_read: Any  # (layers, 3 D)
    S_read: Any
    z_attention: Any  # (layers, H, L)
    A: Any
    total: Any  # (layers, H): sum of A + 1
    z_mix: Any  # (layers, D)
    S_mix: Any
    z_up: Any  # (layers, F)
    S_hidden: Any
    keys: Any  # (layers, L, D)
    values: Any
    awake: Any  # (layers, 6) and the last norm in row `layers`: fired at the step before
    where: Any  # scratch: which neurons fired
    sign: Any  # scratch: by how much


@cache
def step_of(compiled: bool) -> Any:
    """The function that makes one step; see `Events.step`."""
    shift_norm, shift_mix = 2**NORM_SHIFT, 2**MIX_SHIFT

    def plainly(f: Any) -> Any:
        return f

    jit: Any = plainly
    if compiled:
        from numba import njit

        jit = njit(cache=True)

    def add_numpy(z: Any, row: Any, s: Any) -> None:
        z += s * row.astype(z.dtype)

    def add_loop(z: Any, row: Any, s: Any) -> None:
        for n in range(z.shape[0]):
            z[n] += s * row[n]

    def visit_numpy(
        z: Any, theta: Any, S: Any, w: Any, low: Any, high: Any, where: Any, sign: Any, at: Any
    ) -> Any:
        u = 2 * (z.astype(np.int64) - theta * S)
        s = w * ((u >= w * theta).astype(np.int64) - (u < -w * theta))
        s[(S + s < low) | (S + s > high)] = 0
        found = np.nonzero(s)[0]
        S += s
        where[at : at + len(found)], sign[at : at + len(found)] = found, s[found]
        return at + len(found)

    def visit_loop(
        z: Any, theta: Any, S: Any, w: Any, low: Any, high: Any, where: Any, sign: Any, at: Any
    ) -> Any:
        for n in range(z.shape[0]):
            u = 2 * (np.int64(z[n]) - theta[n] * S[n])
            s = w * (u >= w * theta[n]) - w * (u < -w * theta[n])
            if s != 0 and low <= S[n] + s <= high:
                S[n] += s
                where[at], sign[at] = n, s
                at += 1
        return at

    add, visit = (jit(add_loop), jit(visit_loop)) if compiled else (add_numpy, visit_numpy)

    @jit
    def step(p: Any, c: Any, here: int, w: int, wide: int, new: bool, low: int, high: int, top: int) -> Any:
        layers, D = c.z_mix.shape
        H = c.total.shape[1]
        E = D // H
        where, sign = c.where, c.sign
        dx = np.zeros(D, dtype=np.int32)
        moved, spikes, additions, visits = False, 0, 0, 0
        for i in range(layers + 1):
            # norm1 (and, above all blocks, the last norm)
            found = 0
            if moved or new or c.awake[i, 0]:
                c.x[2 * i] += dx
                grown = p.norm_K[2 * i] * (np.abs(c.x[2 * i]).sum() + 1)
                found = visit(c.x[2 * i] * shift_norm, grown, c.S_norm[2 * i], w, low, high, where, sign, 0)
                visits += D
            c.awake[i, 0] = found > 0
            spikes += found
            if i == layers:
                break
            # query, key, value
            for f in range(found):
                add(c.z_read[i], p.read[i, where[f]], sign[f])
            additions += found * 3 * D
            if found or new or c.awake[i, 1]:
                found = visit(c.z_read[i], p.read_theta[i], c.S_read[i], w, low, high, where, sign, 0)
                visits += 3 * D
            c.awake[i, 1] = found > 0
            spikes += found
            # scores: query spikes meet keys as they were, then key spikes meet queries as they are
            values_from = found
            for f in range(found):
                n, s = where[f], sign[f]
                if n < D:
                    h = n // E
                    for j in range(here + 1):
                        c.z_attention[i, h, j] += s * c.keys[i, j, n]
                    additions += here + 1
            for f in range(found):
                n, s = where[f], sign[f]
                if D <= n < 2 * D:
                    c.keys[i, here, n - D] += s
                    c.z_attention[i, (n - D) // E, here] += s * c.S_read[i, n - D]
                    additions += 1
            end = values_from
            if found or new or c.awake[i, 2]:
                fired = 0
                for h in range(H):
                    begin = end
                    end = visit(
                        c.z_attention[i, h, : here + 1],
                        p.attention_theta[i, h, : here + 1],
                        c.A[i, h, : here + 1],
                        wide,
                        0,
                        top,
                        where,
                        sign,
                        begin,
                    )
                    for f in range(begin, end):
                        c.total[i, h] += sign[f]
                        add(
                            c.z_mix[i, h * E : h * E + E],
                            c.values[i, where[f], h * E : h * E + E],
                            sign[f],
                        )
                    fired += end - begin
                visits += H * (here + 1)
                additions += fired * (E + 1)
                spikes += fired
                c.awake[i, 2] = fired > 0
            reached = end > values_from
            for f in range(values_from):  # own values: their spikes meet attention as it is
                n, s = where[f] - 2 * D, sign[f]
                if n >= 0:
                    c.values[i, here, n] += s
                    c.z_mix[i, n] += s * c.A[i, n // E, here]
                    additions += 1
                    reached = True
            # mix, into the residual stream
            found = 0
            if reached or new or c.awake[i, 3]:
                for h in range(H):
                    part = slice(h * E, h * E + E)
                    begin = found
                    found = visit(
                        c.z_mix[i, part] * shift_mix,
                        p.mix_K[i, part] * c.total[i, h],
                        c.S_mix[i, part],
                        w,
                        low,
                        high,
                        where,
                        sign,
                        begin,
                    )
                    for f in range(begin, found):
                        where[f] += h * E
                visits += D
            c.awake[i, 3] = found > 0
            spikes += found
            for f in range(found):
                add(dx, p.out[i, where[f]], sign[f])
            additions += found * D
            moved = moved or found > 0
            # norm2
            found = 0
            if moved or new or c.awake[i, 4]:
                c.x[2 * i + 1] += dx
                grown = p.norm_K[2 * i + 1] * (np.abs(c.x[2 * i + 1]).sum() + 1)
                found = visit(
                    c.x[2 * i + 1] * shift_norm, grown, c.S_norm[2 * i + 1], w, low, high, where, sign, 0
                )
                visits += D
            c.awake[i, 4] = found > 0
            spikes += found
            # hidden, into the residual stream
            for f in range(found):
                add(c.z_up[i], p.up[i, where[f]], sign[f])
            additions += found * c.z_up.shape[1]
            if found or new or c.awake[i, 5]:
                found = visit(c.z_up[i], p.up_theta[i], c.S_hidden[i], wide, 0, top, where, sign, 0)
                visits += c.z_up.shape[1]
            c.awake[i, 5] = found > 0
            spikes += found
            for f in range(found):
                add(dx, p.down[i, where[f]], sign[f])
            additions += found * D
            moved = moved or found > 0
        return spikes, additions, visits

    return step
