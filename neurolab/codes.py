"""One table of the codes that treat each number on its own, so that they can be compared alike.

``CODES["latency"].encode(x, T, seed)`` gives spikes, ``.decode(spikes)`` what the listener hears, and
``.theory(x, T)`` the RMS error that a formula promises for each number (None where there is no formula).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from neurolab import encoding
from neurolab.spikes import Seed, numbers

FLOOR = 1e-6  # of linear latency: at snnTorch's 0.01 a 0 never reaches the last tick of a window above 51
LOG_THRESHOLD = 0.05  # where the log code's capacitor fires: below every digit's least ink, 1/16


@dataclass(frozen=True)
class Code:
    """``encode(x (...), T, seed) -> (T, ...)``, ``decode(spikes) -> (...)``, ``theory(x, T) -> (...)``."""

    name: str
    encode: Callable[[Tensor, int, Seed], Tensor]
    decode: Callable[[Tensor], Tensor]
    theory: Callable[[Tensor, int], Tensor] | None
    about: str
    least_ticks: int = 1


def _grid(step: Callable[[int], float]) -> Callable[[Tensor, int], Tensor]:
    """Rounding to a grid of width step(T): step / sqrt(12) for every number."""

    def theory(x: Tensor, T: int) -> Tensor:
        return torch.full_like(numbers(x), encoding.step_error(step(T)))

    return theory


def _even(x: Tensor, T: int, seed: Seed = 0) -> Tensor:
    return encoding.even(x, T)


def _latency(x: Tensor, T: int, seed: Seed = 0) -> Tensor:
    return encoding.latency(x, T, threshold=FLOOR)


def log_tau(T: int, threshold: float = LOG_THRESHOLD) -> float:
    """Return the ``tau`` in ticks with which the least number told apart, 1/16, fires at the last tick."""
    least = 1 / 16
    return (T - 1) / float(torch.log(torch.tensor(least / (least - threshold))))


def _log_latency(x: Tensor, T: int, seed: Seed = 0) -> Tensor:
    return encoding.latency(x, T, log=True, tau=log_tau(T), threshold=LOG_THRESHOLD)


def _log_latency_decode(spikes: Tensor) -> Tensor:
    return encoding.latency_decode(spikes, log=True, tau=log_tau(spikes.shape[0]), threshold=LOG_THRESHOLD)


def _phase(x: Tensor, T: int, seed: Seed = 0) -> Tensor:
    return encoding.phase(x, T)


def _population(x: Tensor, T: int, seed: Seed = 0) -> Tensor:
    return encoding.rate(encoding.population(x), T, seed)


CODES: dict[str, Code] = {
    code.name: code
    for code in (
        Code("rate", encoding.rate, encoding.rate_decode, encoding.rate_error, "a coin at every tick"),
        Code("poisson", encoding.poisson, encoding.rate_decode, encoding.poisson_error, "a Geiger counter"),
        Code("even", _even, encoding.rate_decode, _grid(lambda T: 1 / T), "a count without dice"),
        Code(
            "latency", _latency, encoding.latency_decode, _grid(lambda T: 1 / (T - 1)), "one spike: when?", 2
        ),
        Code("log latency", _log_latency, _log_latency_decode, None, "one spike from a leaky capacitor", 2),
        Code("phase", _phase, encoding.phase_decode, _grid(lambda T: 1 / (2**T - 1)), "a binary number"),
        Code("population", _population, encoding.population_decode, None, "eight neurons with coins"),
    )
}


def rms(heard: Tensor, x: Tensor) -> float:
    """Root of the mean squared error between what was heard and what was meant (same shape)."""
    if heard.shape != x.shape:
        raise ValueError(f"heard has shape {tuple(heard.shape)}, x {tuple(x.shape)}: they must be the same")
    return float((heard.double() - x.double()).square().mean().sqrt())
