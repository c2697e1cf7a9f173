"""What the spiking assistant would need of a chip, beside what is published about Loihi and Loihi 2.

Every cell about a chip has its source, a key of book/references.bib; where we found none, the cell says so.
The column about us is counted from a network. Nothing was run on a chip.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from neurolab.spiking import MIX_SHIFT, NORM_SHIFT, SIGNED, UNSIGNED, bounds, schedule
from neurolab.spiking_files import Spiking, accumulators

UNKNOWN = "no source found"


class Need(NamedTuple):
    """One row: what is needed, what ours is, what Loihi (2018) and Loihi 2 (2021) have, and who says so."""

    need: str
    ours: str
    loihi: str
    loihi2: str
    sources: tuple[str, ...]


def wide(most: float) -> int:
    """The bits of a signed integer that holds every whole number from -most to most."""
    return int(most).bit_length() + 1


def needs(spiking: Spiking) -> list[Need]:
    """The rows for a network: bits of its weights and of the largest sums they allow, and its size.

    Neurons a token: with a full context, which its attention rows need.
    """
    p, config, bits = spiking.p, spiking.config, spiking.bits
    D, F, H = config.width, config.hidden, config.heads
    most, blocks = accumulators(p, config, bits), range(config.layers)
    matrices = max(
        most[f"{i}.{part}"] for i in blocks for part in ("query", "key", "value", "attention", "up")
    )
    mix = max(most[f"{i}.mix"] for i in blocks) * 2**MIX_SHIFT
    weights = [x for name, x in p.items() if name.endswith(".W")]
    steps = schedule(1, "halving", bits)
    low, high = bounds(SIGNED, bits)
    per_token = config.layers * (6 * D + F + H * config.context) + D
    return [
        Need(
            "A spike that takes back, or counts for more than one",
            f"+1 and -1; with halving, up to {max(steps[UNSIGNED][0], steps[SIGNED][0])}",
            "one bit",
            "an integer",
            ("davies2018loihi", "shrestha2023efficient"),
        ),
        Need(
            "A neuron with a memory of what it said (a tracer), two limits and bounds",
            f"count from {low} to {high}, subtracting what was said",
            "leaky integrate-and-fire, to 0 after a spike",
            "a short program of its own: branches, fixed-point arithmetic, multiplication",
            ("lava", "intel2021taking", "orchard2021efficient"),
        ),
        Need(
            "Weights",
            f"{wide(max(float(x.abs().max()) for x in weights))} bits",
            "8 bits by default in Lava",
            "8 bits in the language model of Abreu et al.",
            ("lava", "abreu2025neuromorphic"),
        ),
        Need(
            "A state that never overflows",
            f"{wide(matrices)} bits behind matrices, {wide(mix)} in the mix, "
            f"{wide(most['x'] * 2**NORM_SHIFT)} in the norms",
            "24 bits",
            "24-bit activations in the language model of Abreu et al.",
            ("lava", "abreu2025neuromorphic"),
        ),
        Need(
            "A threshold that another population's sum sets",
            "in the norms and the mix",
            "a constant of 17 bits, shifted by 6",
            "a program sees its own state and its summed input: the other sum would have to come in that way",
            ("lava", "intel2021taking"),
        ),
        Need(
            "A product of two counts that both change",
            "q k and A v in attention",
            UNKNOWN,
            "a neuron that multiplies two inputs of 24 bits is in Lava, as a model for the CPU",
            ("lava",),
        ),
        Need(
            "Room",
            f"{per_token:,} neurons a token, {sum(x.numel() for x in weights):,} weights",
            "128 cores",
            "up to 1 million neurons",
            ("davies2018loihi", "intel2021loihi"),
        ),
    ]


def markdown(rows: Sequence[Need]) -> str:
    """The rows as a Markdown table."""
    lines = ["| needed | the assistant | Loihi | Loihi 2 |", "|---|---|---|---|"]
    return "\n".join(lines + [f"| {row.need} | {row.ours} | {row.loihi} | {row.loihi2} |" for row in rows])
