"""Energy of a network by a stated model: what it did (`Counts`) times what each thing costs."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Counts:
    """What a network did while it made `tokens` tokens: totals, not means, all at least 0.

    mac_fp32, mac_int8: multiply-accumulates (int8 x int8 into an int32 accumulator).  add_int32: additions
    into a membrane or accumulator, one per synaptic event.  mul_int32: products for growing thresholds.
    compare_int32: comparisons, one per neuron and step visited.  special_fp32: exponentials, divisions,
    roots.  weight_bytes: weights and cached keys and values fetched.  membrane_read_bytes and
    membrane_write_bytes: membranes, tracers and thresholds read, membranes and tracers written.
    activation_bytes: numbers or spikes handed from one layer to the next.  spikes: how many fired.
    synapses: connections that a dense pass over the same tokens would use, each once.
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
