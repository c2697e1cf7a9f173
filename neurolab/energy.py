"""Energy of a network by a stated model: what it did (`Counts`) times what each thing costs (`Model`).

Nothing here is measured on a chip: a result is a simulation, as good as its constants. Every constant is a
field with its source, and `dataclasses.replace(Model(), dram=325.0)` gives another model.

How things are counted, in every network alike (or the comparison is empty):

- **A synapse used** is one operation (`mac_fp32`, `mac_int8`; `add_int32` if the input was a spike) and the
  bytes of one weight, or of one cached key or value. A network that skips zeros does neither for an input
  that is 0; a dense one does both for every input. So a neuron that spikes once costs as many weight bytes
  as one number that is not 0, and every further spike costs them again.
- **Sums** run in a register, output by output, in every network. What must outlive a time step (membrane or
  drive, tracer) is read and written once for each neuron and step that visits it, not once for each event.
  `Model.accumulators` puts the running sums elsewhere, for every network alike: then each operation reads and
  writes four bytes there, as hardware does that spreads every spike to its targets at once.
- **Activations** are the bytes written by the layer that makes them and read by each that uses them: a
  number its width, a spike `SPIKE_BYTES` for its address and sign.
- Left out everywhere: control, clock, leakage, the network on the chip. Yan et al. find that routing decides
  (`energy_published`), and leaving it out favours spikes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

SPIKE_BYTES = 2  # an address of up to 32,768 neurons, and a sign
SUM_BYTES = 4  # an accumulator of 32 bits
PLACES = ("register", "8 KB", "32 KB", "1 MB", "DRAM")


@dataclass(frozen=True)
class Counts:
    """What a network did while it made `tokens` tokens: totals, not means, all at least 0.

    mac_fp32, mac_int8: multiply-accumulates (int8 x int8 into an int32 accumulator).  add_int32: additions
    into a membrane or accumulator, one per synaptic event.  mul_int32: products for growing thresholds, and
    for scaling an integer output.  compare_int32: comparisons, one per neuron and step visited.
    special_fp32: exponentials, divisions, roots.  weight_bytes: weights and cached keys and values fetched.
    membrane_read_bytes and membrane_write_bytes: membranes, tracers and thresholds read, membranes and
    tracers written.  activation_bytes: numbers or spikes handed from one layer to the next.  spikes: how many
    fired.  synapses: connections that a dense pass over the same tokens would use, each once.
    ValueError where a field is not a finite number of at least 0.
    """

    tokens: float = 0.0
    mac_fp32: float = 0.0
    mac_int8: float = 0.0
    add_int32: float = 0.0
    mul_int32: float = 0.0
    compare_int32: float = 0.0
    special_fp32: float = 0.0
    weight_bytes: float = 0.0
    membrane_read_bytes: float = 0.0
    membrane_write_bytes: float = 0.0
    activation_bytes: float = 0.0
    spikes: float = 0.0
    synapses: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise ValueError(f"{field.name} {value!r}: must be a finite number of at least 0")

    def __add__(self, other: Counts) -> Counts:
        if not isinstance(other, Counts):
            return NotImplemented
        return Counts(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)})

    def per_token(self) -> Counts:
        """The same for one token. ValueError where no token was counted."""
        if self.tokens == 0:
            raise ValueError("tokens is 0: there is nothing to divide by")
        return Counts(**{f.name: getattr(self, f.name) / self.tokens for f in fields(self)})


@dataclass(frozen=True)
class Model:
    """What things cost, and where things live. Operations in pJ each, memories in pJ per byte.

    Operations: Horowitz, ISSCC 2014 (45 nm, 0.9 V), but two. `compare_int32` is a subtraction, so an
    addition. `special_fp32` is 7.1 fp32 multiplications, the factor that a division took on a Cortex-M4F
    (PMC8934428, table 3); exponentials and roots are put at the same, a low guess that favours the ordinary
    networks. `accumulate_int8`: with 0.03 a multiply-accumulate of int8 costs the 0.23 pJ of the literature,
    which adds at 8 bits; `accumulate_int8=0.1` adds at 32 bits, as spikes must.
    Memories: Horowitz gives 10, 20 and 100 pJ for 64 bits out of a cache of 8 KB, 32 KB and 1 MB, and
    1.3 to 2.6 nJ for 64 bits of DRAM (here its lower end). Reading and writing cost the same. A register
    costs nothing of its own: Horowitz counts it with the instruction, alike for all.
    weights, membranes, activations, accumulators: one of `PLACES` each. Everything in SRAM of 8 KB is the
    default because papers take it; the assistant's weights need more than a megabyte, so try weights="1 MB".
    ValueError for a place that is none, or a cost that is no finite number of at least 0.
    """

    add_fp32: float = 0.9
    multiply_fp32: float = 3.7
    multiply_int8: float = 0.2
    accumulate_int8: float = 0.03
    add_int32: float = 0.1
    multiply_int32: float = 3.1
    compare_int32: float = 0.1
    special_fp32: float = 7.1 * 3.7
    register: float = 0.0
    sram_8k: float = 10 / 8
    sram_32k: float = 20 / 8
    sram_1m: float = 100 / 8
    dram: float = 1300 / 8
    weights: str = "8 KB"
    membranes: str = "8 KB"
    activations: str = "8 KB"
    accumulators: str = "register"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("weights", "membranes", "activations", "accumulators"):
                if value not in PLACES:
                    raise ValueError(f"{field.name} {value!r}: must be one of {', '.join(PLACES)}")
            elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise ValueError(f"{field.name} {value!r}: must be a finite number of at least 0")

    def byte(self, place: str) -> float:
        """What a byte costs at one of `PLACES`, in pJ. ValueError for another place."""
        costs = (self.register, self.sram_8k, self.sram_32k, self.sram_1m, self.dram)
        if place not in PLACES:
            raise ValueError(f"place {place!r}: must be one of {', '.join(PLACES)}")
        return costs[PLACES.index(place)]

    @property
    def mac_fp32(self) -> float:
        """A multiply-accumulate of fp32, in pJ."""
        return self.multiply_fp32 + self.add_fp32

    @property
    def mac_int8(self) -> float:
        """A multiply-accumulate of int8, in pJ."""
        return self.multiply_int8 + self.accumulate_int8


DEFAULT = Model()


def energy(counts: Counts, model: Model = DEFAULT) -> dict[str, float]:
    """The energy of `counts` in pJ, by part; the parts sum to the total.

    compute: multiply-accumulates, additions.  thresholds: their products and comparisons.  specials:
    exponentials, divisions, roots.  weights, membrane_reads, membrane_writes, activations: bytes moved.
    accumulators: running sums, 0 while they live in registers that cost 0.
    """
    sums = counts.mac_fp32 + counts.mac_int8 + counts.add_int32
    membrane = model.byte(model.membranes)
    return {
        "compute": counts.mac_fp32 * model.mac_fp32
        + counts.mac_int8 * model.mac_int8
        + counts.add_int32 * model.add_int32,
        "thresholds": counts.mul_int32 * model.multiply_int32 + counts.compare_int32 * model.compare_int32,
        "specials": counts.special_fp32 * model.special_fp32,
        "weights": counts.weight_bytes * model.byte(model.weights),
        "membrane_reads": counts.membrane_read_bytes * membrane,
        "membrane_writes": counts.membrane_write_bytes * membrane,
        "activations": counts.activation_bytes * model.byte(model.activations),
        "accumulators": sums * 2 * SUM_BYTES * model.byte(model.accumulators),
    }


def total(counts: Counts, model: Model = DEFAULT) -> float:
    """The energy of `counts` in pJ."""
    return sum(energy(counts, model).values())


def ratio(opponent: Counts, spiking: Counts, model: Model = DEFAULT) -> float:
    """The opponent's energy per token over the spiking network's: 1 or more where spiking wins."""
    return total(opponent.per_token(), model) / total(spiking.per_token(), model)


def synapse(kind: str, model: Model = DEFAULT) -> float:
    """What one use of one synapse costs, in pJ. kind: "fp32", "int8" or "spike". ValueError for another."""
    kinds = {
        "fp32": Counts(mac_fp32=1, weight_bytes=4),
        "int8": Counts(mac_int8=1, weight_bytes=1),
        "spike": Counts(add_int32=1, weight_bytes=1),
    }
    if kind not in kinds:
        raise ValueError(f"kind {kind!r}: must be one of {', '.join(kinds)}")
    return total(kinds[kind], model)


def break_even(
    T: int, density: float = 1.0, fan_in: float = 160, model: Model = DEFAULT, *, against: str = "int8"
) -> float:
    """Spikes per synapse at which a spiking network costs what the other does (0 if it can't be so cheap).

    T: time steps, in each of which every membrane and its tracer are read and written and compared once.
    density: share of inputs, 0 to 1, that are not 0 in a zero-skipping network (1: a dense one). fan_in:
    synapses of a neuron, which share its membrane, at least 1. against: "int8" or "fp32".
    """
    if not isinstance(T, int) or isinstance(T, bool) or T < 1:
        raise ValueError(f"T {T!r}: must be a whole number of at least 1")
    if not 0 <= density <= 1:
        raise ValueError(f"density {density!r}: must be from 0 to 1")
    if not 1 <= fan_in < math.inf:
        raise ValueError(f"fan_in {fan_in!r}: must be at least 1")
    standing = T * total(neuron_step(), model) / fan_in
    return max(0.0, (density * synapse(against, model) - standing) / synapse("spike", model))


def neuron_step() -> Counts:
    """One step of one neuron without any event: drive (4 bytes) and tracer (1) read and written, and two
    comparisons (up and down)."""
    return Counts(membrane_read_bytes=5, membrane_write_bytes=5, compare_int32=2)
