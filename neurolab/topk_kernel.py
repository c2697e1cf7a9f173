"""The two loops of exact top-k attention that torch has no quick operation for, compiled by numba (optional).

`choose` finds each row's k largest scores, `mix` adds up the values that they point to. R rows, M keys,
E numbers in a head.
"""

from __future__ import annotations

from functools import cache
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

GENEROUS = 1.25  # the first guess keeps this many times k, were the scores normally distributed
LOWER = 0.05  # and lies this many standard deviations lower still


class Kernels(NamedTuple):
    """choose(scores (R, M), z, values (R, k), places (R, k) int32) and mix(weights (R, k), places (R, k),
    v (M, E), out (R, E)), all float32 but the places; both fill their last arguments."""

    choose: Any
    mix: Any


def first_guess(keep: int, keys: int) -> float:
    """How many standard deviations above a row's mean the first threshold lies, for k of M keys."""
    share = min(GENEROUS * keep / keys, 1 - 1e-6)
    return NormalDist().inv_cdf(1 - share) - LOWER


@cache
def kernels() -> Kernels:
    """The compiled loops; about five seconds at the first call of each, ever (numba keeps them on disk).

    Exactly k keys a row, those with the largest scores; of equal scores at the border the first ones.

    1. A threshold is guessed from the row's mean and spread, and what is above goes to a short list. Too few:
       the threshold is lowered and the row read again.
    2. On the list the interval that holds the k-th score is halved until k are above its lower end, or no
       number lies inside (equal scores).
    """
    from numba import njit

    f32 = np.float32
    loose = {"reassoc", "contract", "nsz"}  # sums in any order, so that they are made in vectors

    @njit(fastmath=loose, error_model="numpy")
    def moments(row: Any) -> Any:
        total, squares = f32(0), f32(0)
        for j in range(row.size):
            total += row[j]
            squares += row[j] * row[j]
        mean = total / f32(row.size)
        return mean, np.sqrt(max(squares / f32(row.size) - mean * mean, f32(0)))

    @njit(fastmath=loose, error_model="numpy")
    def count(values: Any, least: Any) -> Any:
        found = f32(0)
        for j in range(values.size):
            found += f32(1) if values[j] >= least else f32(0)
        return int(found)

    @njit(error_model="numpy")
    def above(row: Any, least: Any, values: Any, places: Any) -> Any:
        found = 0
        for j in range(row.size):  # written always, kept where the count moves on: no branch to mispredict
            values[found] = row[j]
            places[found] = j
            found += row[j] >= least
        return found

    @njit(error_model="numpy")
    def narrow(values: Any, places: Any, low: Any, keep: Any) -> Any:
        high, enough = values.max(), values.size
        while enough != keep:
            middle = f32(low + f32(0.5) * (high - low))
            if middle <= low or middle >= high:
                break
            found = count(values, middle)
            if found >= keep:
                low, enough = middle, found
            else:
                high = middle
        if enough != keep and count(values, high) >= keep:
            low = high
        strictly = 0
        for j in range(values.size):
            strictly += values[j] > low
        ties, found = keep - strictly if enough != keep else values.size, 0
        for j in range(values.size):
            value = values[j]
            at = places[j]
            tied = value == low and ties > 0
            ties -= tied
            values[found] = value
            places[found] = at
            found += value > low or tied

    @njit(error_model="numpy", cache=True)
    def choose(scores: Any, z: Any, W: Any, J: Any) -> None:
        R, M = scores.shape
        keep = W.shape[1]
        values, places = np.empty(M + 1, f32), np.empty(M + 1, np.int32)
        for r in range(R):
            row = scores[r]
            mean, spread = moments(row)
            up, step = f32(z), f32(0.25)
            least = f32(mean + up * spread)
            found = above(row, least, values, places)
            while found < keep and least != -np.inf:
                up, step = up - step, step * 2
                least = f32(mean + up * spread) if step < 100 else f32(-np.inf)
                found = above(row, least, values, places)
            if found < keep:  # numbers that are none: said on, as torch does
                W[r, :] = np.nan
                J[r, :] = 0
                continue
            if found > keep:
                if least == -np.inf:
                    least = row.min()
                narrow(values[:found], places[:found], least, keep)
            for i in range(keep):
                W[r, i] = values[i]
                J[r, i] = places[i]

    @njit(fastmath=loose, error_model="numpy", cache=True)
    def mix(W: Any, J: Any, v: Any, out: Any) -> None:
        R, keep = W.shape
        four = keep - keep % 4
        for r in range(R):
            to = out[r]
            to[:] = 0
            for i in range(0, four, 4):
                a, b, c, d = v[J[r, i]], v[J[r, i + 1]], v[J[r, i + 2]], v[J[r, i + 3]]
                wa, wb, wc, wd = W[r, i], W[r, i + 1], W[r, i + 2], W[r, i + 3]
                for e in range(to.size):
                    to[e] += (wa * a[e] + wb * b[e]) + (wc * c[e] + wd * d[e])
            for i in range(four, keep):
                a, wa = v[J[r, i]], W[r, i]
                for e in range(to.size):
                    to[e] += wa * a[e]

    return Kernels(choose, mix)
