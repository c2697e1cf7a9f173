"""Spiking neurons: one step, a whole sequence, a layer.

The leaky integrate-and-fire neuron (LIF) in its normalised form, v the membrane, x the input, s the spike:

    v(t) = beta v(t-1) + x(t) - theta s(t-1)          s(t) = 1 if v(t) > theta else 0

v is the membrane before its reset, so v alone is the state: s(t-1) can be read off v(t-1). beta = 1 is IF, a
bucket that does not leak. What a spike takes from the membrane is a definition, and simulators differ
(`RESETS`):

    "subtract"        beta v - theta s      leak, then take theta: snnTorch's "subtract"
    "subtract first"  beta (v - theta s)    take theta, then leak: what most others call a soft reset
    "zero"            beta v (1 - s)        empty the bucket: snnTorch's "zero", everybody's hard reset
    "none"            beta v                no reset: a leaky sum, as a readout uses

Sources: Lapicque 1907; Gerstner, Kistler, Naud and Paninski, Neuronal Dynamics, 2014, chapter 1; Eshraghian
et al. 2023 (snnTorch). The signed neuron with a tracer is in `stbif`, units and firing rates in `membrane`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from neurolab import neurons_fast as fast
from neurolab.surrogates import Surrogate, arctan

RESETS = ("subtract", "subtract first", "zero", "none")
PATHS = ("auto", "torch", "python", "numba")


class Run(NamedTuple):
    """A sequence: spikes s (T, ...), last membrane v (...), all membranes V (T, ...) or None."""

    s: Tensor
    v: Tensor
    V: Tensor | None


def heaviside(u: Tensor) -> Tensor:
    """1 where u > 0, else 0; its gradient is zero everywhere."""
    return (u > 0).to(u.dtype)


def lif_step(
    v: Tensor, x: Tensor, beta: Any, theta: Any = 1.0, reset: str = "subtract", spike: Any = heaviside
) -> tuple[Tensor, Tensor]:
    """One step. v, x (...); beta in [0, 1], theta > 0: numbers or tensors. Returns s (...), v (...).

    spike: a function of v - theta, such as a surrogate. The reset is a constant to the gradient, as in
    snnTorch.
    """
    s = (v > theta).to(v.dtype)  # the spike that v has just fired
    if reset == "subtract":
        v = beta * v + x - theta * s
    elif reset == "subtract first":
        v = beta * (v - theta * s) + x
    elif reset == "zero":
        v = beta * (v * (1 - s)) + x
    elif reset == "none":
        v = beta * v + x
    else:
        raise ValueError(f"reset = {reset!r} is not known; choose one of {', '.join(map(repr, RESETS))}")
    return spike(v - theta), v


def if_step(
    v: Tensor, x: Tensor, theta: Any = 1.0, reset: str = "subtract", spike: Any = heaviside
) -> tuple[Tensor, Tensor]:
    """One step of integrate-and-fire, the LIF neuron that does not leak."""
    return lif_step(v, x, 1.0, theta, reset, spike)


def lif(
    x: Tensor,
    beta: Any,
    theta: Any = 1.0,
    reset: str = "subtract",
    *,
    T: int | None = None,
    v0: Tensor | None = None,
    trace: bool = False,
    path: str = "auto",
    surrogate: Surrogate | None = None,
    out: Tensor | None = None,
) -> Run:
    """A whole sequence.

    x: input (T, ...), float; or, with T given, the same current (...) at every step. beta in [0, 1] and theta
    > 0: numbers, or tensors of the neurons' shape (...). v0 (...): first membrane, default 0. trace: also
    give all membranes. path: "auto" picks the fastest that fits; every path gives the same bits. out (T,
    ...): a buffer for the spikes. Where x needs a gradient it flows through `surrogate` (default arctan(2),
    as in snnTorch). Raises ValueError for NaN or infinite input, no steps, and beta, theta, reset, shapes
    outside what is said here.
    """
    steps, shape = _check_input(x, T)
    beta, theta = _check_setting(beta, theta, reset, shape)
    if v0 is not None and (v0.shape != shape or v0.dtype != x.dtype):
        raise ValueError(f"v0 is {tuple(v0.shape)} {v0.dtype}; x needs {tuple(shape)} {x.dtype}")
    if path not in PATHS:
        raise ValueError(f"path = {path!r} is not known; choose one of {', '.join(PATHS)}")
    if torch.is_grad_enabled() and (x.requires_grad or (v0 is not None and v0.requires_grad)):
        if any(isinstance(a, Tensor) and a.requires_grad for a in (beta, theta)):
            raise ValueError(
                "beta or theta asks for a gradient, which a sequence does not give; use lif_step"
            )
        start = x.new_zeros(shape) if v0 is None else v0
        setting = (steps, T is not None, beta, theta, reset, surrogate or arctan(), path)
        s, V = _Sequence.apply(x, start, *setting)
        _check_end(V[-1])
        return Run(s, V[-1].clone(), V if trace else None)  # a copy: a view would keep all of V alive
    if out is not None and (out.shape != (steps, *shape) or out.dtype != x.dtype or not out.is_contiguous()):
        raise ValueError(
            f"out is {tuple(out.shape)} {out.dtype}; it must be contiguous, {(steps, *shape)} {x.dtype}"
        )
    if reset == "zero" and not bool(torch.isfinite(x).all()):  # here a reset could hide an infinite input
        raise ValueError("x holds NaN or infinity; every input must be finite")
    s = out if out is not None else x.new_empty(steps, *shape)
    v = x.new_zeros(shape) if v0 is None else v0.detach().clone(memory_format=torch.contiguous_format)
    V = x.new_empty(steps, *shape) if trace else None
    _fill(x.detach(), v, beta, theta, reset, s, V, path)
    _check_end(v)
    return Run(s, v, V)


def _check_input(x: Tensor, T: int | None) -> tuple[int, torch.Size]:
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"x is {kind}; it must be a tensor of floats, (T, ...)")
    if T is None:
        if x.dim() == 0:
            raise ValueError("x is a single number; give (T, ...), or T = ... for a constant current")
        steps, shape = x.shape[0], x.shape[1:]
    else:
        steps, shape = T, x.shape
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"T = {steps!r}; a sequence needs at least one step")
    if 0 in shape:
        raise ValueError(f"x has shape {tuple(x.shape)}: no neuron in it")
    return steps, shape


def _check_setting(beta: Any, theta: Any, reset: str, shape: torch.Size) -> tuple[Any, Any]:
    if reset not in RESETS:
        raise ValueError(f"reset = {reset!r} is not known; choose one of {', '.join(map(repr, RESETS))}")
    checked: list[Any] = []
    for name, value in (("beta", beta), ("theta", theta)):
        if isinstance(value, float) and 0 < value <= 1:  # the usual case, without the cost of a tensor
            checked.append(value)
            continue
        number = torch.as_tensor(value)
        good = (number >= 0) & (number <= 1) if name == "beta" else (number > 0) & torch.isfinite(number)
        if not bool(good.all()):
            raise ValueError(
                f"{name} = {value!r}; it must be {'in [0, 1]' if name == 'beta' else '> 0 and finite'}"
            )
        if number.dim() and number.numel() > 1 and number.shape != shape:
            raise ValueError(
                f"{name} has shape {tuple(number.shape)}; it must be one number or {tuple(shape)}"
            )
        checked.append(number if number.numel() > 1 else float(number))
    return checked[0], checked[1]


def _check_end(v: Tensor) -> None:
    # NaN never leaves a membrane, nor does infinity (but for "zero", checked before); the sum is a quick look
    v = v.detach()
    if not math.isfinite(float(v.sum())) and not bool(torch.isfinite(v).all()):
        raise ValueError("x holds NaN or infinity (or sums up to it); every input must be finite")


def _pick(x: Tensor, neurons: int, many: bool) -> str:
    if x.device.type != "cpu" or x.dtype != torch.float32:
        return "torch"
    if neurons == 1 and not many:
        return "python"
    return "numba" if fast.has_numba() else "torch"


def _fill(
    x: Tensor, v: Tensor, beta: Any, theta: Any, reset: str, s: Tensor, V: Tensor | None, path: str
) -> None:
    """Fill s and V (T, ...) and move v (...) to its last value, by the chosen path."""
    T, N, code = s.shape[0], v.numel(), RESETS.index(reset)
    many = isinstance(beta, Tensor) or isinstance(theta, Tensor)
    path = _pick(x, N, many) if path == "auto" else path
    x2, v1, s2 = x.reshape(-1, N), v.view(N), s.view(T, N)
    V2 = None if V is None else V.view(T, N)
    if path != "torch" and (x.dtype != torch.float32 or x.device.type != "cpu"):
        raise ValueError(f"path = {path!r} runs float32 on the CPU only; x is {x.dtype} on {x.device}")
    beta, theta = _plain(beta, theta, v)
    if path == "python":
        if N != 1 or many:
            raise ValueError(f"path = 'python' runs one neuron; x has {N}")
        steps = x2[:, 0].tolist() * (T if x2.shape[0] == 1 else 1)
        v_0 = float(v1[0])
        run = np.array(fast.run_python(steps, v_0, beta, theta, code))
        if fast.python_is_exact(run, v_0, beta, theta):
            trace = torch.from_numpy(run.astype(np.float32))
            torch.gt(trace, theta, out=s2[:, 0])
            v1[0] = trace[-1]
            if V2 is not None:
                V2[:, 0] = trace
            return
        path = "torch"
    if path == "numba":
        if not fast.has_numba():
            raise ValueError(
                "path = 'numba' needs the optional package numba; path = 'torch' gives the same bits"
            )
        fast.run_numba(x2, v1, beta, theta, code, s2, V2)
    else:
        fast.run_torch(x2, v1, beta, theta, code, s2, V2)


def _plain(beta: Any, theta: Any, v: Tensor) -> tuple[Any, Any]:
    """Two numbers as v's type holds them; or, if one is a tensor, two tensors (N)."""
    if isinstance(beta, Tensor) or isinstance(theta, Tensor):
        both = (torch.as_tensor(a, dtype=v.dtype).expand(v.shape).reshape(-1) for a in (beta, theta))
        return tuple(both)  # type: ignore[return-value]
    return (float(np.float32(beta)), float(np.float32(theta))) if v.dtype == torch.float32 else (beta, theta)


class _Sequence(torch.autograd.Function):
    """All steps as one node of the graph: the forward pass keeps only the membranes V.

    Backward, from the last step: d(t) = h(v(t) - theta) g_s(t) + g_v(t) + beta d(t+1), where d = dL/dv,
    g_s = dL/ds and g_v is what V itself is asked for; "zero" cuts the last term at a spike; dL/dx(t) = d(t).
    A constant current gets the sum over t, so that the layer before it runs once.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx, x: Tensor, v0: Tensor, T: int, static: bool, beta: Any, theta: Any, reset: str,
        surrogate: Surrogate, path: str,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        v = v0.clone(memory_format=torch.contiguous_format)
        s, V = x.new_empty(T, *v0.shape), x.new_empty(T, *v0.shape)
        _fill(x, v, beta, theta, reset, s, V, path)
        ctx.save_for_backward(V, v0)
        ctx.set_materialize_grads(False)
        ctx.setting = (static, beta, theta, reset, surrogate, path, x.shape)
        return s, V

    @staticmethod
    def backward(  # type: ignore[override]
        ctx, g_s: Tensor | None, g_v: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        V, v0 = ctx.saved_tensors
        static, beta, theta, reset, surrogate, path, shape = ctx.setting
        if g_s is None and g_v is None:
            return (None,) * 9
        T, code = V.shape[0], RESETS.index(reset)
        g_s = None if g_s is None else g_s.reshape(T, -1)
        g_v = None if g_v is None else g_v.reshape(T, -1)
        plain = V.dtype == torch.float32 and V.device.type == "cpu"
        compiled = plain and path != "torch" and fast.has_numba()
        back = fast.back_numba if compiled else fast.back_torch
        beta, theta = _plain(beta, theta, v0)
        g_x, g = back(g_s, g_v, V.view(T, -1), beta, theta, code, surrogate, static)
        g = g * beta
        if reset == "zero":
            g = g * (v0.reshape(-1) <= theta)
        return g_x.view(shape), g.view(v0.shape), *(None,) * 7


class LIF(nn.Module):
    """A layer of LIF neurons with shared beta and theta.

    forward(x (T, ...)) -> spikes (T, ...); forward(x (...), T) feeds the same current T times.
    `membrane=True` gives all membranes V too. learn_beta: beta becomes a parameter (slower: step by step).
    """

    def __init__(
        self,
        beta: float,
        theta: float = 1.0,
        reset: str = "subtract",
        surrogate: Surrogate | None = None,
        learn_beta: bool = False,
    ) -> None:
        super().__init__()
        _check_setting(beta, theta, reset, torch.Size())
        self.theta, self.reset, self.surrogate = theta, reset, surrogate or arctan()
        self.beta: Any = nn.Parameter(torch.tensor(float(beta))) if learn_beta else beta

    def forward(self, x: Tensor, T: int | None = None, membrane: bool = False) -> Any:
        """x (T, ...), or (...) with T. Returns s (T, ...), or (s, V)."""
        if not isinstance(self.beta, Tensor):
            run = lif(x, self.beta, self.theta, self.reset, T=T, trace=membrane, surrogate=self.surrogate)
            return (run.s, run.V) if membrane else run.s
        steps, shape = _check_input(x, T)
        v, S, V = x.new_zeros(shape), [], []
        for t in range(steps):
            x_t = x[t] if T is None else x
            s, v = lif_step(v, x_t, self.beta.clamp(0, 1), self.theta, self.reset, self.surrogate)
            S.append(s)
            V.append(v)
        _check_end(v)
        return (torch.stack(S), torch.stack(V)) if membrane else torch.stack(S)

    def extra_repr(self) -> str:
        beta = f"{float(torch.as_tensor(self.beta).detach()):g}" + (
            " learned" if isinstance(self.beta, Tensor) else ""
        )
        return f"beta={beta}, theta={self.theta:g}, reset={self.reset!r}, {self.surrogate.kind}"
