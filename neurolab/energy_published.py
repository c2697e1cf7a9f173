"""Two published break-evens between spiking and quantized networks, as tests of our way of counting.

**Yan, Bai, Tang and Wong (arXiv 2409.08290).** A spiking network of T steps against its twin, a network with
activations of b = ceil(log2(T + 1)) bits. Cited from them: the twin; E_ACC = E_CMP = E_SUB = 0.05448 pJ
(22 nm); 3.0 pJ a bit and hop for sparse events, 0.25 for dense numbers; the range of spike rates
(1 - gamma)/T <= s_r <= 1 - gamma, of which the middle is used; and the results that the tests hold this
against (break-even 5.7 % at T = 5 with 4-bit weights and 4,096 inputs, and others). Derived here: the balance

    spikes   T s_r (W + E_sparse + E_ACC) + (T E_CMP + T s_r E_SUB) / N
    numbers  W + b E_dense + b E_ACC (1 - gamma) + (E_CMP + E_SUB) / N

for each synapse, W for its weight. Their text was read in part and at second hand, without the energy of
reading a weight: `weight_bit` = 0.038 pJ is fitted to the one figure 5.7 %; a multiply-accumulate is put at b
accumulations. With that fit five other figures follow to within one of the last printed digit. Two do not:
T = 1, where they find 0.297 and this balance 0.168 (a spiking network of one step is its twin, and theirs may
fall back to dense movement), and the parities by number of hops.

**Dampfhoffer, Mesquida, Valentian and Anghel (IEEE TETCI 7(3), 2023).** Cited from their abstract:
integrate-and-fire networks compete between 0.15 and 1.38 spikes per synapse, depending on the ordinary
network's implementation. Their equations were not to be had: `range_of_break_evens` is the same question
asked of our own model, between an ordinary network that reuses everything and one that reuses nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neurolab.energy import DEFAULT, Model, synapse

DAMPFHOFFER = (0.15, 1.38)  # spikes per synapse and inference, from the abstract


@dataclass(frozen=True)
class Twin:
    """The constants of Yan et al., in pJ (see the module's text for which are theirs)."""

    accumulate: float = 0.05448
    compare: float = 0.05448
    subtract: float = 0.05448
    sparse_bit: float = 3.0
    dense_bit: float = 0.25
    weight_bit: float = 0.038
    hops: float = 1.0


def bits_of(T: int) -> int:
    """Bits of the twin's activations: ceil(log2(T + 1)). ValueError unless T is a whole number from 1."""
    if not isinstance(T, int) or isinstance(T, bool) or T < 1:
        raise ValueError(f"T {T!r}: must be a whole number of at least 1")
    return math.ceil(math.log2(T + 1))


def energies(
    T: int, rate: float, weight_bits: int = 4, fan_in: int = 4096, constants: Twin = Twin()
) -> tuple[float, float]:
    """(spiking, twin) energy in pJ a synapse. rate: spikes per neuron and step, 0 to 1. ValueError else."""
    if not 0 <= rate <= 1:
        raise ValueError(f"rate {rate!r}: must be from 0 to 1")
    c, b = constants, bits_of(T)
    weight = weight_bits * c.weight_bit
    active = min(
        1.0, 2 * T * rate / (T + 1)
    )  # the middle of (1 - gamma)/T .. 1 - gamma, solved for 1 - gamma
    spiking = T * rate * (weight + c.sparse_bit * c.hops + c.accumulate)
    spiking += T * (c.compare + rate * c.subtract) / fan_in
    twin = weight + b * c.dense_bit * c.hops + b * c.accumulate * active
    return spiking, twin + (c.compare + c.subtract) / fan_in


def break_even_rate(T: int, weight_bits: int = 4, fan_in: int = 4096, constants: Twin = Twin()) -> float:
    """The spike rate at which both cost the same, 0 to 1: spikes win below it. By bisection to 1e-12."""
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        spiking, twin = energies(T, middle, weight_bits, fan_in, constants)
        low, high = (middle, high) if spiking < twin else (low, middle)
    return low


def dense_rate(weight_bits: int = 4, constants: Twin = Twin()) -> float:
    """The spike rate from which a spiking layer would do better to send its zeros too, 0 to 1."""
    c = constants
    weight = weight_bits * c.weight_bit
    return (weight + c.dense_bit * c.hops) / (weight + c.sparse_bit * c.hops)


def curve(steps: range = range(1, 17), weight_bits: int = 4, constants: Twin = Twin()) -> NDArray[np.float64]:
    """Break-even spike rates (len(steps),), for the picture."""
    return np.array([break_even_rate(T, weight_bits, constants=constants) for T in steps])


def range_of_break_evens(model: Model = DEFAULT, density: float = 0.5) -> tuple[float, float]:
    """Spikes per synapse at which an event-driven network costs what an ordinary int8 one does: least, most.

    The spiking network reads and writes its membrane at each event (in `model.membranes`) and fetches each
    weight anew. Least: the ordinary network skips its zeros (density: share that is not 0, 0 to 1), sums in a
    register and has fetched each weight once for many uses, so that only operations are left of it. Most: it
    computes everything, fetches every weight and keeps its sums where the spiking network keeps membranes.
    """
    if not 0 <= density <= 1:
        raise ValueError(f"density {density!r}: must be from 0 to 1")
    unhurried = replace(model, accumulators=model.membranes)
    event = synapse("spike", unhurried)
    return density * model.mac_int8 / event, synapse("int8", unhurried) / event
