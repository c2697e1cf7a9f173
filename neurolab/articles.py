"""Figures quoted from the articles, and what follows from them by arithmetic: the rows behind claim A26.

``python -m neurolab.articles`` prints the rows; ``--ship`` writes them among the shipped ones.
"""

from __future__ import annotations

import sys

from neurolab.measurements import Measurement, append, read, row, shipped

SOURCE = "A"
FOOTPRINT_BEFORE = 1.2e9  # bytes, "8-bit Transformer"
FOOTPRINT_AFTER = 240e6  # bytes, compressed
BITS = 8  # bits a weight, before and after
PARAMETERS_BELOW = 1e9  # it speaks of tens to hundreds of millions


def implied_parameters(bytes_: float, bits: float) -> float:
    """How many parameters fit into `bytes_` at `bits` each, if nothing else is stored: bytes * 8 / bits."""
    if bytes_ < 0 or bits <= 0:
        raise ValueError(f"bytes_ is {bytes_} and bits {bits}; bytes >= 0 and bits > 0 are needed")
    return bytes_ * 8 / bits


def implied_bits(bytes_: float, parameters: float) -> float:
    """How many bits each of `parameters` has in `bytes_`: bytes * 8 / parameters."""
    if bytes_ < 0 or parameters <= 0:
        raise ValueError(f"bytes_ is {bytes_} and parameters {parameters}; >= 0 and > 0 are needed")
    return bytes_ * 8 / parameters


def rows() -> list[Measurement]:
    """The cited figures as one row, ``articles.figures``."""
    parameters = implied_parameters(FOOTPRINT_BEFORE, BITS)
    figures = {
        "footprint_before_bytes": FOOTPRINT_BEFORE,
        "footprint_after_bytes": FOOTPRINT_AFTER,
        "stated_bits": BITS,
        "stated_parameters_below": PARAMETERS_BELOW,
        "implied_parameters": parameters,
        "implied_bits_after": implied_bits(FOOTPRINT_AFTER, parameters),
    }
    command = "python -m neurolab.articles --ship"
    return [row("articles.figures", 8, {"source": SOURCE}, figures, kind="cited", command=command)]


def main(arguments: list[str]) -> None:
    """Print the rows, or ship them where they have changed."""
    made = rows()
    for item in made:
        print(item.line(), end="")
    if arguments == ["--ship"]:
        known = [item.figures for item in read("articles.figures")]
        append([item for item in made if item.figures not in known], shipped())
    elif arguments:
        raise SystemExit(f"arguments are {arguments}; only --ship is known")


if __name__ == "__main__":
    main(sys.argv[1:])
