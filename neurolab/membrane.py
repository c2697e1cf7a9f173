"""From the cell to the code: the membrane's equation in ms and mV, and what is left of it in a step.

    tau dV/dt = -(V - V_rest) + R I(t)        V in mV, tau in ms, R in MOhm, I in nA (so R I is in mV)

With I constant over a step dt the solution is exact (exponential Euler):

    V(t + dt) = V_rest + beta (V(t) - V_rest) + (1 - beta) R I        beta = exp(-dt / tau)

Measured from rest in units of the way to threshold, v = (V - V_rest) / (V_threshold - V_rest), this is the
LIF neuron of `neurons` with theta = 1 and x = (1 - beta) R I / (V_threshold - V_rest). Source: Gerstner,
Kistler, Naud and Paninski, Neuronal Dynamics, 2014, section 1.3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


def leak(tau: float, dt: float) -> float:
    """beta = exp(-dt / tau), what a step keeps of the membrane. tau > 0 (inf: no leak), dt > 0, in ms."""
    if not tau > 0:
        raise ValueError(f"tau = {tau!r} ms; it must be > 0")
    if not (dt > 0 and math.isfinite(dt)):
        raise ValueError(f"dt = {dt!r} ms; it must be > 0 and finite")
    return math.exp(-dt / tau)


def time_constant(beta: float, dt: float) -> float:
    """tau = -dt / ln beta in ms, the way back. beta in (0, 1)."""
    if not 0 < beta < 1:
        raise ValueError(f"beta = {beta!r}; a time constant needs 0 < beta < 1")
    return -dt / math.log(beta)


@dataclass(frozen=True)
class Membrane:
    """A cell: tau, dt (ms), rest, threshold (mV), resistance (MOhm). ValueError if threshold <= rest."""

    tau: float = 20.0
    dt: float = 1.0
    rest: float = -65.0
    threshold: float = -50.0
    resistance: float = 10.0

    def __post_init__(self) -> None:
        leak(self.tau, self.dt)
        if not self.threshold > self.rest:
            raise ValueError(f"threshold = {self.threshold} mV; it must lie above rest = {self.rest} mV")
        if not self.resistance > 0:
            raise ValueError(f"resistance = {self.resistance} MOhm; it must be > 0")

    @property
    def beta(self) -> float:
        """exp(-dt / tau)."""
        return leak(self.tau, self.dt)

    def input(self, current: np.ndarray | float) -> np.ndarray | float:
        """x of one step for a current in nA: (1 - beta) R I / (threshold - rest)."""
        return (1 - self.beta) * self.resistance * current / (self.threshold - self.rest)

    def volts(self, v: np.ndarray | float) -> np.ndarray | float:
        """The normalised membrane v back in mV: rest + v (threshold - rest)."""
        return self.rest + v * (self.threshold - self.rest)

    def rate(self, current: np.ndarray | float) -> np.ndarray:
        """Spikes a second for a constant current (nA) in continuous time, with reset to rest: the f-I curve.

        f = 1000 / (tau ln(R I / (R I - (threshold - rest)))), 0 where R I does not reach the threshold.
        Independent of dt.
        """
        drive = self.resistance * np.asarray(current, float)
        way = self.threshold - self.rest
        fires = drive > way
        safe = np.where(fires, drive, 2 * way)
        return np.where(fires, 1000 / (self.tau * np.log(safe / (safe - way))), 0.0)


def rate(x: np.ndarray | float, beta: float, theta: float = 1.0, reset: str = "zero") -> np.ndarray:
    """Spikes a step, 0..1, for a constant input x in the long run: the f-I curve of the discrete neuron.

    reset "zero", any beta: after a spike the membrane climbs as x (1 - beta^n) / (1 - beta), so the wait is
    the first n that lifts it above theta, n = floor(ln(1 - theta (1 - beta) / x) / ln beta) + 1, and the rate
    is 1 / n. beta = 1 with "subtract" or "subtract first": theta goes out for every theta that comes in, the
    rate is x / theta, at most 1. ValueError where no closed form is known (a leak with reset by subtraction):
    simulate.
    """
    x = np.asarray(x, float)
    if not 0 <= beta <= 1:
        raise ValueError(f"beta = {beta!r}; it must be in [0, 1]")
    if not (theta > 0 and math.isfinite(theta)):
        raise ValueError(f"theta = {theta!r}; it must be > 0 and finite")
    if not np.isfinite(x).all():
        raise ValueError("x holds NaN or infinity; every input must be finite")
    if reset in ("subtract", "subtract first") and beta == 1:
        return np.clip(x / theta, 0, 1)
    if reset != "zero":
        raise ValueError(
            f"reset = {reset!r} with beta = {beta} has no closed form here; reset = 'zero' has, or beta = 1"
        )
    fires = x > theta * (1 - beta)
    safe = np.where(fires, x, 1.0)
    if beta == 1:
        wait = np.floor(theta / safe) + 1
    elif beta == 0:
        wait = np.ones_like(safe)
    else:
        wait = np.floor(np.log(np.where(fires, 1 - theta * (1 - beta) / safe, 0.5)) / math.log(beta)) + 1
    return np.where(fires, 1 / wait, 0.0)
