"""Chapter 6's results: rows as tables and explorers. Nothing is measured here, and nothing typed."""

from __future__ import annotations

import statistics
from collections.abc import Iterable

from neurolab.measurements import Measurement, read
from neurolab.quantization_rows import values

NOT_YET = "*(not measured yet: `neurolab sweep sparsity` does it)*"


def median(rows: Iterable[Measurement], figure: str) -> float | None:
    """The median of a figure over rows (over seeds, say); None where no row has it."""
    found = values(rows, figure)
    return statistics.median(found) if found else None


def ratio_of(mechanism: str, tokens: int, side: int = 64, figure: str = "latency_ratio") -> float | None:
    """Dense over sparse of a mechanism at so many tokens, median of the seeds; None before it is measured."""
    return median(read("sparsity.mechanism", mechanism=mechanism, tokens=tokens, side=side), figure)
