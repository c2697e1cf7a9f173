"""Three ways to run the same neuron over a whole sequence, each exact to float32, bit for bit.

    run_torch   any device, any float type: four in-place operations a step
    run_python  one neuron in plain Python floats: no array overhead, no compiler
    run_numba   many neurons, compiled (the optional package numba)

The neuron is `neurons.lif_step`: v is the membrane before its reset, s = v > theta. Nothing is checked here;
`neurons.lif` does that. Rounding is the point: float32 must round after *every* product and sum, so a fused
multiply-add (`torch.add(x, v, alpha=beta)`, numba's fastmath) is not used: it rounds once where snnTorch
rounds twice.
"""

from __future__ import annotations

import importlib.util
import math
from functools import cache, lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

SUBTRACT, SUBTRACT_FIRST, ZERO, NONE = 0, 1, 2, 3
_SPLIT = 2.0**29 + 1  # 53 - 24 = 29: splits a double into its leading 24 bits and the rest
_TILE = 131_072  # neurons at a time: their membranes (512 KiB) stay in the second-level cache
_STATIC_TILE = 2_048  # with a constant current: current and membranes (16 KiB) stay in the first-level cache


@lru_cache(maxsize=1)
def has_numba() -> bool:
    """True where the optional compiler is installed."""
    return importlib.util.find_spec("numba") is not None


@torch.no_grad()
def run_torch(x: Tensor, v: Tensor, beta: Any, theta: Any, reset: int, s: Tensor, V: Tensor | None) -> None:
    """x (T or 1, N), v (N) is updated in place, s (T, N) is filled, V (T, N) too if given."""
    T = s.shape[0]
    many = isinstance(theta, Tensor)
    r = (v > theta).to(v.dtype)
    work = torch.empty_like(v)
    steps = x.unbind(0) if x.shape[0] == T else x.unbind(0) * T

    def lower(r: Tensor) -> None:
        # r is 0 or 1, so theta * r is exact and it does not matter whether the difference is fused
        if many:
            v.sub_(torch.mul(r, theta, out=work))
        else:
            v.sub_(r, alpha=theta)

    for t, (x_t, s_t) in enumerate(zip(steps, s.unbind(0), strict=True)):
        if reset == SUBTRACT:
            v.mul_(beta).add_(x_t)
            lower(r)
        elif reset == SUBTRACT_FIRST:
            lower(r)
            v.mul_(beta).add_(x_t)
        elif reset == ZERO:
            v.mul_(torch.le(v, theta, out=work)).mul_(beta).add_(x_t)
        else:
            v.mul_(beta).add_(x_t)
        r = torch.gt(v, theta, out=s_t)
        if V is not None:
            V[t] = v


def run_python(x: list[float], v: float, beta: float, theta: float, reset: int) -> list[float]:
    """The membrane V (T) of one neuron, in plain floats that round as float32 does.

    A Python float is a double with 53 bits; float32 has 24. The product or sum of two float32 numbers,
    rounded to 53 bits and then to 24, equals the one rounded to 24 bits at once, because 53 >= 2 * 24 + 2
    (Figueroa 1995). For the second rounding, Veltkamp's splitting (Dekker 1971): c = a (2^29 + 1); c - (c -
    a) is a to 24 bits. Ties go to even as in hardware: at a tie a's low 28 bits are zero, so both c and c - a
    round towards even. It has no float32 underflow or overflow: `python_is_exact` tells whether a run stayed
    clear of both.
    """
    V: list[float] = []
    add, K = V.append, _SPLIT
    for x_t in x:
        if v > theta and reset != NONE:
            if reset == SUBTRACT:
                a = beta * v
                c = a * K
                a = c - (c - a) + x_t
                c = a * K
                a = c - (c - a) - theta
            elif reset == SUBTRACT_FIRST:
                a = v - theta
                c = a * K
                a = beta * (c - (c - a))
                c = a * K
                a = c - (c - a) + x_t
            else:
                a = x_t
        else:
            a = beta * v
            c = a * K
            a = c - (c - a) + x_t
        c = a * K
        v = c - (c - a)
        add(v)
    return V


def python_is_exact(V: np.ndarray, v0: float, beta: float, theta: float) -> bool:
    """True if nothing in the run V (T, float64) came near float32's smallest or largest normal number."""
    size = np.abs(np.append(V, v0))
    smallest = size[size > 0].min(initial=1.0)
    inside = 2.0**-100 < min(beta or 1.0, 1.0) * smallest and size.max() < 2.0**100
    return bool(inside and 2.0**-60 < theta < 2.0**100)


@cache
def _forward(reset: int, many: bool, trace: bool) -> Any:
    """Compiled forward pass; `many`: beta and theta differ by neuron; `trace`: the membrane is kept."""
    import numba

    one, zero = np.float32(1), np.float32(0)

    @numba.njit(error_model="numpy")
    def row(x, v, s, V, beta, theta):  # type: ignore[no-untyped-def]
        beta_0, theta_0 = beta[0], theta[0]
        for j in range(v.size):
            b = beta[j] if many else beta_0
            th = theta[j] if many else theta_0
            a = v[j]
            if reset == SUBTRACT:
                r = th if a > th else zero
                a = b * a
                a = a + x[j]
                a = a - r
            elif reset == SUBTRACT_FIRST:
                r = th if a > th else zero
                a = a - r
                a = b * a
                a = a + x[j]
            elif reset == ZERO:
                a = zero if a > th else a
                a = b * a
                a = a + x[j]
            else:
                a = b * a
                a = a + x[j]
            v[j] = a
            s[j] = one if a > th else zero
            if trace:
                V[j] = a

    @numba.njit
    def run(x, v, s, V, beta, theta):  # type: ignore[no-untyped-def]
        T, N = s.shape
        moving = x.shape[0] == T
        tile = min(N, _TILE if moving else _STATIC_TILE)
        for lo in range(0, N, tile):
            hi = min(lo + tile, N)
            b = beta[lo:hi] if many else beta
            th = theta[lo:hi] if many else theta
            for t in range(T):
                V_t = V[t, lo:hi] if trace else V[0, 0:0]
                row(x[t if moving else 0, lo:hi], v[lo:hi], s[t, lo:hi], V_t, b, th)

    return run


def run_numba(x: Tensor, v: Tensor, beta: Any, theta: Any, reset: int, s: Tensor, V: Tensor | None) -> None:
    """As `run_torch`, compiled; all tensors float32, on the CPU, with rows contiguous."""
    many = isinstance(beta, Tensor) or isinstance(theta, Tensor)
    beta_n, theta_n = _vector(beta, v), _vector(theta, v)
    V_n = V.numpy() if V is not None else np.empty((1, 0), np.float32)
    _forward(reset, many, V is not None)(x.numpy(), v.numpy(), s.numpy(), V_n, beta_n, theta_n)


def _vector(value: Any, v: Tensor) -> np.ndarray:
    return value.detach().numpy() if isinstance(value, Tensor) else np.array([value], np.float32)


@cache
def _backward(reset: int, kind: str, with_s: bool, with_v: bool, static: bool, many: bool) -> Any:
    """Compiled backward pass through time; `many`: beta and theta differ by neuron."""
    import numba

    one, zero, half, pi = np.float32(1), np.float32(0), np.float32(0.5), np.float32(math.pi)

    @numba.njit(error_model="numpy")
    def slope(u, k):  # type: ignore[no-untyped-def]
        if kind == "sigmoid":
            e = np.exp(-k * abs(u))
            return k * e / ((one + e) * (one + e))
        if kind == "fast sigmoid":
            d = one + k * abs(u)
            return one / (d * d)
        if kind == "piecewise linear":
            return max(zero, one - k * abs(u))
        a = half * pi * k * u
        return half * k / (one + a * a)

    @numba.njit(error_model="numpy")
    def row(g, g_s, g_v, V, g_x, beta, theta, k):  # type: ignore[no-untyped-def]
        beta_0, theta_0 = beta[0], theta[0]
        for j in range(g.size):
            th = theta[j] if many else theta_0
            a = V[j]
            back = (beta[j] if many else beta_0) * g[j]
            if reset == ZERO:
                back = zero if a > th else back
            if with_s:
                back += g_s[j] * slope(a - th, k)
            if with_v:
                back += g_v[j]
            g[j] = back
            if static:
                g_x[j] += back
            else:
                g_x[j] = back

    @numba.njit
    def run(g, g_s, g_v, V, g_x, beta, theta, k):  # type: ignore[no-untyped-def]
        for t in range(V.shape[0] - 1, -1, -1):
            gs_t = g_s[t] if with_s else g_s[0]
            gv_t = g_v[t] if with_v else g_v[0]
            row(g, gs_t, gv_t, V[t], g_x[0 if static else t], beta, theta, k)

    return run


def back_numba(
    g_s: Tensor | None,
    g_v: Tensor | None,
    V: Tensor,
    beta: Any,
    theta: Any,
    reset: int,
    surrogate: Any,
    static: bool,
) -> tuple[Tensor, Tensor]:
    """Gradients from those for spikes and membranes, (T, N) each.

    Returns that for x, (1, N) if static else (T, N), and that for the first membrane v(0), (N).
    """
    T, N = V.shape
    many = isinstance(beta, Tensor)
    g_x, g = torch.zeros(1, N) if static else torch.empty(T, N), torch.zeros(N)
    none = np.empty((1, 0), np.float32)
    gs_n = none if g_s is None else g_s.contiguous().numpy()
    gv_n = none if g_v is None else g_v.contiguous().numpy()
    run = _backward(reset, surrogate.kind, g_s is not None, g_v is not None, static, many)
    beta_n, theta_n = _vector(beta, V), _vector(theta, V)
    run(g.numpy(), gs_n, gv_n, V.numpy(), g_x.numpy(), beta_n, theta_n, np.float32(surrogate.k))
    return g_x, g


def back_torch(
    g_s: Tensor | None,
    g_v: Tensor | None,
    V: Tensor,
    beta: Any,
    theta: Any,
    reset: int,
    surrogate: Any,
    static: bool,
) -> tuple[Tensor, Tensor]:
    """As `back_numba`, in torch."""
    g_x = torch.zeros_like(V) if g_s is None else g_s * surrogate.slope(V - theta)
    if g_v is not None:
        g_x += g_v
    steps = g_x.unbind(0)
    keep = (V <= theta).to(V.dtype).mul_(beta).unbind(0) if reset == ZERO else None
    for t in range(V.shape[0] - 2, -1, -1):
        if keep is not None:
            steps[t].addcmul_(steps[t + 1], keep[t])
        elif isinstance(beta, Tensor):
            steps[t].addcmul_(steps[t + 1], beta)
        else:
            steps[t].add_(steps[t + 1], alpha=beta)
    return g_x.sum(0, keepdim=True) if static else g_x, steps[0]
