"""What a spike train is, how its input is checked, and what can go wrong with it on the way.

A spike train is a float32 tensor of shape ``(T, ...)``, time first; an entry says how many spikes a neuron
sends in that tick (0 or 1 in most codes; 2 and more only where a code or a collision allows it).

The three accidents, each pure and repeatable by ``seed``: spikes get lost (``drop``), come from nowhere
(``insert``), come early or late (``jitter``).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

Seed = int | torch.Generator
Values = Tensor | np.ndarray | float | list


def generator(seed: Seed) -> torch.Generator:
    """Return ``seed`` itself if it is a generator, else a new one started at the integer ``seed``."""
    if isinstance(seed, torch.Generator):
        return seed
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise ValueError(f"seed must be an int or a torch.Generator, got {seed!r}")
    return torch.Generator().manual_seed(int(seed))


def ticks(T: int, least: int = 1, name: str = "T") -> int:
    """Return ``T`` as an int, or raise ``ValueError`` when it is no whole number of at least ``least``."""
    whole = isinstance(T, int | np.integer) and not isinstance(T, bool)
    if not whole or int(T) < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {T!r}")
    return int(T)


def numbers(x: Values, low: float | None = 0.0, high: float | None = 1.0, name: str = "x") -> Tensor:
    """Return ``x`` as float32 after checking that it is not empty, that all is finite and in [low, high]."""
    x = torch.as_tensor(x, dtype=torch.float32)
    if x.numel() == 0:
        raise ValueError(f"{name} is empty (shape {tuple(x.shape)}): give at least one number")
    if not torch.isfinite(x).all():
        raise ValueError(f"{name} holds NaN or infinity: every entry must be a finite number")
    least, most = float(x.detach().min()), float(x.detach().max())
    if (low is not None and least < low) or (high is not None and most > high):
        raise ValueError(
            f"{name} must lie in [{low}, {high}], but spans [{least:g}, {most:g}]: scale it first"
        )
    return x


def spike_train(spikes: Tensor, least_ticks: int = 1) -> Tensor:
    """Return ``spikes`` as float32 after checking the time axis and that no entry is NaN."""
    spikes = torch.as_tensor(spikes, dtype=torch.float32)
    if spikes.dim() == 0 or spikes.shape[0] < least_ticks or spikes.numel() == 0:
        raise ValueError(f"spikes need shape (T >= {least_ticks}, ...), got {tuple(spikes.shape)}")
    if torch.isnan(spikes).any():
        raise ValueError("spikes hold NaN: every entry must be a number")
    return spikes


def _chance(p: float) -> float:
    if not 0 <= p <= 1:
        raise ValueError(f"p is a probability and must lie in [0, 1], got {p!r}")
    return float(p)


def _counts(spikes: Tensor) -> Tensor:
    spikes = spike_train(spikes)
    if (spikes < 0).any() or (spikes != spikes.round()).any():
        raise ValueError(
            "spikes must be whole counts of 0 and up; signed spikes have no single train to damage"
        )
    return spikes


def drop(spikes: Tensor, p: float, seed: Seed = 0) -> Tensor:
    """Lose each spike of (T, ...) with probability ``p``, independently of the others."""
    spikes, p = _counts(spikes), _chance(p)
    return torch.binomial(spikes, torch.full_like(spikes, 1 - p), generator=generator(seed))


def insert(spikes: Tensor, p: float, seed: Seed = 0) -> Tensor:
    """Put a spike into each *empty* tick of (T, ...) with probability ``p``."""
    spikes, p = _counts(spikes), _chance(p)
    extra = torch.bernoulli(torch.full_like(spikes, p), generator=generator(seed))
    return torch.where(spikes > 0, spikes, extra)


def jitter(spikes: Tensor, sd: float, seed: Seed = 0, *, edges: str = "hold", merge: bool = False) -> Tensor:
    """Move every spike of (T, ...) by its own Normal(0, ``sd``) ticks, rounded to the nearest tick.

    Spikes that would leave the window are held at its first or last tick (``edges="hold"``) or lost
    (``edges="lose"``). Two spikes of one neuron that meet in a tick both count, unless ``merge``: then they
    melt into one, as on a wire that can only be high or low.
    """
    spikes = _counts(spikes)
    if not (np.isfinite(sd) and sd >= 0):
        raise ValueError(f"sd is in ticks and must be 0 or more, got {sd!r}")
    if edges not in ("hold", "lose"):
        raise ValueError(f'edges must be "hold" or "lose", got {edges!r}')
    T, rng = spikes.shape[0], generator(seed)
    source = spikes.reshape(T, -1)  # (T, neurons)
    moved = torch.zeros_like(source)
    for layer in range(int(source.max())):  # the first spike of each tick, then the second, ...
        t, neuron = (source > layer).nonzero(as_tuple=True)
        late = t + (torch.randn(len(t), generator=rng) * sd).round().long()
        stays = torch.ones_like(late, dtype=torch.bool) if edges == "hold" else (late >= 0) & (late < T)
        place = (late.clamp(0, T - 1)[stays], neuron[stays])
        moved.index_put_(place, torch.ones(int(stays.sum())), accumulate=True)
    moved = moved.reshape(spikes.shape)
    return moved.clamp(max=1.0) if merge else moved
