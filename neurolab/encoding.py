"""Numbers to spikes and back: the codes of chapter 1.

Every encoder takes numbers ``x`` in [0, 1] of any shape ``(...)`` and a window of ``T`` ticks, and returns
spikes of shape ``(T, ...)``: time first, float32, 1 where a neuron fires and 0 where it does not. A tick has
no length in seconds; say what it stands for when you build hardware. Every decoder takes such spikes and
returns the listener's estimate of ``x``, shape ``(...)``. All functions are pure: chance comes from ``seed``,
an ``int`` or a ``torch.Generator``, and the same seed gives the same spikes.

Bad input raises ``ValueError`` naming the argument: an empty ``x``, NaN, values outside [0, 1], ``T`` below
the least number of ticks that the code needs.

Sources stand at each function; the keys are those of ``book/references.bib``. Damage (lost, invented and
late spikes) lives in ``neurolab.spikes``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from neurolab.spikes import Seed, Values, generator, numbers, spike_train, ticks

# --- counting: how many spikes ---


def rate(x: Values, T: int, seed: Seed = 0) -> Tensor:
    """Toss one coin per number and tick: P(spike) = x. Returns (T, ...) of 0 and 1.

    Draws from ``torch.bernoulli`` as ``snntorch.spikegen.rate`` does, so one seed gives equal spikes in both.
    """
    x = numbers(x)
    return torch.bernoulli(x.repeat(ticks(T), *[1] * x.dim()), generator=generator(seed))


def poisson(x: Values, T: int, seed: Seed = 0) -> Tensor:
    """Count the events of a Poisson process that runs at x events a tick. Returns (T, ...) of 0, 1, 2, ...

    The model of a neuron with no memory (dayan2001theoretical); unlike a coin it may fire twice in a tick.
    """
    x = numbers(x)
    return torch.poisson(x.repeat(ticks(T), *[1] * x.dim()), generator=generator(seed))


def even(x: Values, T: int) -> Tensor:
    """Count without dice: round(x T) spikes, spread evenly, as a neuron that adds up its input fires them.

    Tick t fires when the running total x (t + 1) has passed one more half: a Bresenham line. Halves round up.
    """
    x, T = numbers(x).double(), ticks(T)
    due = torch.floor(x * torch.arange(T + 1, dtype=torch.float64).view(-1, *[1] * x.dim()) + 0.5)
    return due.diff(dim=0).float()


def rate_decode(spikes: Tensor) -> Tensor:
    """Listen by counting: spikes heard / ticks. For ``rate``, ``poisson`` and ``even``."""
    return spike_train(spikes).mean(0)


def rate_error(x: Values, T: int) -> Tensor:
    """Standard error of a coin count, sqrt(x (1 - x) / T): the binomial's standard deviation over T."""
    x = numbers(x)
    return (x * (1 - x) / ticks(T)).sqrt()


def poisson_error(x: Values, T: int) -> Tensor:
    """Standard error of a Poisson count over the window, sqrt(x / T)."""
    return (numbers(x) / ticks(T)).sqrt()


# --- timing: when is the spike ---


def latency(
    x: Values,
    T: int,
    *,
    log: bool = False,
    threshold: float = 0.01,
    tau: float | None = None,
    clip: bool = False,
) -> Tensor:
    """Time to first spike: each number fires once, big numbers early. Returns (T, ...) with T >= 2.

    linear: t = (T - 1)(1 - x), never later than (T - 1)(1 - threshold).
    ``log``: t = tau ln(x / (x - threshold)), the moment at which a leaky capacitor fed with x crosses
    ``threshold`` (thorpe2001spike). With ``tau=None`` the time axis is stretched until x <= threshold
    lands on the last tick; with a ``tau`` in ticks, whatever would fire after the window stays silent.
    ``clip`` silences numbers below ``threshold``. Times are rounded to the nearest tick.

    Equal to ``snntorch.spikegen.latency(normalize=True, linear=not log)``, with one difference on purpose:
    snnTorch stretches the log code by the slowest spike *of this tensor*, so the same number fires at another
    time in another picture. Here the stretch is the same for every input (and equal to snnTorch's wherever
    the input holds a number at or below the threshold).
    """
    x, T = numbers(x), ticks(T, least=2)
    times = latency_times(x, T, log=log, threshold=threshold, tau=tau).round().long()
    spikes = torch.zeros(T, *x.shape).scatter_(0, times.clamp(max=T - 1).unsqueeze(0), 1.0)
    heard = times <= T - 1
    if clip:
        heard &= x >= threshold
    return spikes * heard


EPSILON = 1e-7  # snnTorch's: keeps the logarithm finite at the threshold


def latency_times(
    x: Values, T: int, *, log: bool = False, threshold: float = 0.01, tau: float | None = None
) -> Tensor:
    """Return the firing time of each number in ticks, shape (...), not yet rounded (see ``latency``)."""
    x, T = numbers(x), ticks(T, least=2)
    if not 0 < threshold < 1:
        raise ValueError(f"threshold must lie strictly between 0 and 1, got {threshold!r}")
    if tau is not None and (not log or not tau > 0):
        raise ValueError(f"tau is for the log code and must be above 0, got tau={tau!r}, log={log!r}")
    if not log:
        return torch.clamp_max(-(T - 1) * (x - 1), -(T - 1) * (threshold - 1))
    x = torch.clamp(x, threshold + EPSILON)
    charge = torch.log(x / (x - threshold))
    return charge * (T - 1) / _slowest(threshold) if tau is None else tau * charge


def _slowest(threshold: float) -> Tensor:
    """Charging time of a number at the threshold, in units of tau, rounded as the encoder rounds it."""
    x = torch.clamp(torch.zeros(()), threshold + EPSILON)
    return torch.log(x / (x - threshold))


def latency_decode(
    spikes: Tensor, *, log: bool = False, threshold: float = 0.01, tau: float | None = None
) -> Tensor:
    """Read the clock at the first spike. A neuron that stays silent is heard as 0.

    linear: x = 1 - t / (T - 1). ``log``: x = threshold / (1 - exp(-t / tau)), at most 1. Use the encoder's
    ``threshold`` and ``tau``.
    """
    spikes = spike_train(spikes, least_ticks=2)
    T = spikes.shape[0]
    fired = spikes > 0
    t = fired.float().argmax(0).float()  # the first tick with a spike; 0 also for silence, mended below
    if log:
        scale = (T - 1) / float(_slowest(threshold)) if tau is None else tau
        x = (threshold / -torch.expm1(-t / scale)).clamp(max=1.0)
    else:
        x = 1 - t / (T - 1)
    return torch.where(fired.any(0), x, torch.zeros_like(x))


def rank_order(x: Values, T: int | None = None) -> Tensor:
    """Only the order counts: of N numbers (last axis) the largest fires at tick 0, the next at tick 1, ...

    x (..., N) -> (T, ..., N) with ``T`` = N unless given; ranks from T on never fire, nor do zeros. Equal
    numbers fire in the order of their index (thorpe1998rank).
    """
    x = numbers(x)
    if x.dim() == 0:
        raise ValueError("rank order needs a group of numbers to order: x must have at least one axis")
    T = x.shape[-1] if T is None else ticks(T)
    rank = x.argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)  # (..., N), 0 = largest
    ticks_axis = torch.arange(T).view(-1, *[1] * x.dim())
    return ((rank == ticks_axis) & (x > 0)).float()


def rank_profile(x: Values) -> Tensor:
    """Return what the number at each rank is on average: x (M, N) -> (N,), falling. The listener's table."""
    x = numbers(x)
    if x.dim() != 2:
        raise ValueError(f"the profile is the mean over examples: x must be (M, N), got {tuple(x.shape)}")
    return x.sort(dim=-1, descending=True).values.mean(0)


def rank_order_decode(spikes: Tensor, profile: Values) -> Tensor:
    """Look each arrival up in the table: the k-th neuron to fire is heard as ``profile[k]``, silence as 0."""
    spikes, profile = spike_train(spikes), numbers(profile, name="profile")
    if profile.dim() != 1 or len(profile) < spikes.shape[0]:
        raise ValueError(
            f"profile must hold one number per tick ({spikes.shape[0]}), got {tuple(profile.shape)}"
        )
    return torch.tensordot(profile[: spikes.shape[0]], spikes, dims=([0], [0]))


def phase(x: Values, T: int) -> Tensor:
    """Write round(x (2^T - 1)) in binary, largest bit first: tick t weighs 2^(T-1-t). -> (T, ...), T <= 24.

    Weighted spikes (kim2018deep): the clock says what a spike is worth, so T ticks tell 2^T numbers apart.
    """
    x, T = numbers(x), ticks(T)
    if T > 24:
        raise ValueError(f"T must be at most 24 (float32 holds no more bits), got {T}")
    code = (x.double() * (2**T - 1)).round().long()
    places = torch.arange(T - 1, -1, -1).view(-1, *[1] * x.dim())
    return ((code >> places) & 1).float()


def phase_decode(spikes: Tensor) -> Tensor:
    """Add up the weights of the ticks that fired, over 2^T - 1."""
    spikes = spike_train(spikes)
    T = spikes.shape[0]
    worth = 2.0 ** torch.arange(T - 1, -1, -1, dtype=torch.float64) / (2**T - 1)
    return torch.tensordot(worth, spikes.double(), dims=([0], [0])).float()


def step_error(step: float) -> float:
    """RMS error of rounding to a grid of width ``step``: step / sqrt(12), if all remainders are as likely."""
    return step / math.sqrt(12)


# --- many neurons for one number ---


def tuning_centres(K: int) -> Tensor:
    """Centres of K >= 3 tuning curves, evenly spaced, half a space past [0, 1] (bohte2002error)."""
    K = ticks(K, least=3, name="K")
    return (torch.arange(K) - 0.5) / (K - 2)


def population(x: Values, K: int = 8, width: float = 1.0) -> Tensor:
    """Share a number among K neurons: neuron k answers exp(-(x - c_k)^2 / 2 s^2). (...) -> (..., K).

    s = ``width`` / (K - 2) is measured in spaces between centres. The answers lie in [0, 1]: feed them to
    ``rate`` or ``latency`` to get spikes.
    """
    if not width > 0:
        raise ValueError(f"width must be above 0, got {width!r}")
    centres = tuning_centres(K)
    return torch.exp(-((numbers(x).unsqueeze(-1) - centres) ** 2) * (K - 2) ** 2 / (2 * width**2))


def population_decode(spikes: Tensor, width: float = 1.0, points: int = 257) -> Tensor:
    """Ask which x makes the counts likeliest. Spikes (T, ..., K) of ``rate(population(x, K), T)`` -> (...).

    Maximum likelihood on a grid of ``points`` over [0, 1]: sum_k n_k ln a_k + (T - n_k) ln(1 - a_k).
    """
    spikes = spike_train(spikes)
    grid = torch.linspace(0, 1, ticks(points, least=2, name="points"))
    a = population(grid, spikes.shape[-1], width).double().clamp(1e-9, 1 - 1e-9)  # (points, K)
    n = spikes.double().sum(0)  # (..., K)
    likelihood = n @ a.log().T + (spikes.shape[0] - n) @ (1 - a).log().T
    return grid[likelihood.argmax(-1)]


# --- signals: only changes are told ---


def _level(threshold: float) -> float:
    if not (math.isfinite(threshold) and threshold > 0):
        raise ValueError(f"threshold must be above 0, got {threshold!r}")
    return float(threshold)


def delta(x: Values, threshold: float = 0.1, off: bool = True) -> Tensor:
    """Fire when the signal moved by ``threshold`` or more *since the last tick*: +1 up, -1 down (if ``off``).

    x (T, ...) is a signal over time, in any range, taken to be 0 before it starts; the result is (T, ...).
    Equal to ``snntorch.spikegen.delta(off_spike=off)``. It has no memory: a slow slope never fires.
    """
    x = numbers(x, None, None)
    level = _level(threshold)
    if x.dim() == 0:
        raise ValueError("delta needs a signal over time: x must have shape (T, ...)")
    step = x.diff(dim=0, prepend=torch.zeros_like(x[:1]))
    up, down = (step >= level).float(), (step <= -level).float()
    return up - down if off else up


def delta_tracking(x: Values, threshold: float = 0.1) -> Tensor:
    """Fire when the signal is ``threshold`` or more away from *what the listener believes*: +1 or -1 a tick.

    x (T, ...) -> (T, ...). The sender keeps the listener's sum beside it, so errors do not pile up: where the
    signal moves by less than ``threshold`` a tick, the listener stays within ``threshold`` of it once it has
    caught up (send-on-delta: miskowicz2006send).
    """
    x = numbers(x, None, None)
    level = _level(threshold)
    if x.dim() == 0:
        raise ValueError("delta_tracking needs a signal over time: x must have shape (T, ...)")
    spikes, total = torch.zeros_like(x), torch.zeros_like(x[0], dtype=torch.float64)
    for t, now in enumerate(x.double()):
        gap = now - total * level
        spikes[t] = (gap >= level).float() - (gap <= -level).float()
        total += spikes[t]
    return spikes


def delta_decode(spikes: Tensor, threshold: float = 0.1) -> Tensor:
    """Add up the steps: the listener's signal (T, ...), ``threshold`` times the running sum of the spikes."""
    return spike_train(spikes).cumsum(0) * _level(threshold)
