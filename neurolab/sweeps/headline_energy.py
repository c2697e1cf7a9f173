"""Energy per token by the model of operations and memory (`energy`): rows headline.energy, all simulated.

The same questions and answers for all. The rival is the assistant as W8A8, every weight a byte. Each other
network runs as favourably as the model knows how, spiking or not:

    spiking    chapter 3's network until rest, radix steps, each weight fetched once and held until all digits
               of a count are in: the best spiking run of equal quality (rows spiking.energy show the others)
    skipping   the integer network that it rests at, computed once, inputs that are 0 skipped
    ptq12 ...  chapter 5's files as W8A8, their codes in as many bits as their range needs and unpacked as
               they are used; without that, a byte each: ratio_vs_int8_bytes
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import Any

from neurolab import assistant, compressed, spiking_run
from neurolab.bench.encoding import sample
from neurolab.bench.spiking_energy import held
from neurolab.energy import DEFAULT, Counts, ratio, total
from neurolab.energy_counts import counts_sequences
from neurolab.headline import FILES
from neurolab.paths import DATA
from neurolab.quantized import Coded
from neurolab.spiking_counts import counts_integer, counts_radix
from neurolab.sweep import Job

QUESTIONS = 200
"""Held-out questions, half of them in each language."""
PLACES = {"": DEFAULT, "_1mb": replace(DEFAULT, weights="1 MB"), "_dram": replace(DEFAULT, weights="DRAM")}
SPIKES = ("spiking", "skipping")


@lru_cache(maxsize=2)
def rows(count: int = QUESTIONS) -> tuple[list[list[int]], list[int]]:
    """Token ids of questions with their answers, and the first position of each that answers."""
    return spiking_run.rows_of(assistant.load().tokenizer, sample(count))


@lru_cache(maxsize=4)
def ordinary(dtype: str, count: int = QUESTIONS) -> Counts:
    """The assistant's counts, fp32 or int8."""
    sequences, starts = rows(count)
    return counts_sequences(assistant.load().model.config, [len(ids) for ids in sequences], dtype, starts)


def figures(
    counts: Counts, others: Mapping[str, Counts], more: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What a row says of these counts. others: those of int8 and fp32 over the same tokens."""
    found: dict[str, Any] = {"joules_per_token": 1e-12 * total(counts.per_token())}
    for name, other in others.items():
        found[f"joules_per_token_{name}"] = 1e-12 * total(other.per_token())
        for place, model in PLACES.items():
            found[f"ratio_vs_{name}{place}"] = ratio(other, counts, model)
    return {**found, **(more or {})}


def bits_of(q: Any) -> int:
    """Bits of a fixed width that hold every code of a tensor, at least 1."""
    return max(1, math.ceil(math.log2(int(q.max()) - int(q.min()) + 1)))


def packed(counts: Counts, tensors: Mapping[str, Any], answers: int) -> Counts:
    """W8A8 counts with matrices whose codes are packed. answers: positions whose scores are asked for.

    A block's matrix is fetched for every token, the embedding (which is the output matrix too) for every
    answer. The rows of the embedding that are read as inputs, norms, keys and values stay as they were.
    """
    saved = 0.0
    for name, x in tensors.items():
        if not isinstance(x, Coded) or x.q.ndim != 2 or name.startswith("position"):
            continue
        fetched = answers if name.startswith("embedding") else counts.tokens
        saved += fetched * x.q.numel() * (1 - bits_of(x.q) / 8)
    return replace(counts, weight_bytes=counts.weight_bytes - saved)


def ordinary_file(name: str, count: int = QUESTIONS) -> dict[str, Any]:
    """Figures of headline.energy for one of chapter 5's files."""
    sequences, starts = rows(count)
    lengths = [len(ids) for ids in sequences]
    file = compressed.load(DATA / "compressed" / f"{name}.nlab")
    plain = counts_sequences(file.model().config, lengths, "int8", starts)
    small = packed(plain, file.tensors, sum(lengths) - sum(starts))
    matrices = [x.q for n, x in file.tensors.items() if isinstance(x, Coded) and x.q.ndim == 2]
    weights = sum(q.numel() for q in matrices)
    return figures(
        small,
        opponents(count),
        {
            "ratio_vs_int8_bytes": ratio(ordinary("int8", count), plain),
            "bits_per_weight": sum(q.numel() * bits_of(q) for q in matrices) / weights,
            "questions": count,
        },
    )


def opponents(count: int = QUESTIONS) -> dict[str, Counts]:
    """The rivals' counts by name."""
    return {name: ordinary(name, count) for name in ("int8", "fp32")}


def spikes(name: str, count: int = QUESTIONS) -> dict[str, Any]:
    """Figures of headline.energy for chapter 3's network, as spikes or computed once."""
    sequences, starts = rows(count)
    net = spiking_run.load("quantized")
    skipping = counts_integer(net, sequences, starts)["skipping"]
    if name == "skipping":
        return figures(skipping, opponents(count), {"questions": count})
    radix = counts_radix(net, sequences, starts, sparing=True)
    return figures(
        held(radix, skipping),
        opponents(count),
        {
            "ratio_vs_skipping": ratio(skipping, held(radix, skipping)),
            "ratio_vs_int8_not_held": ratio(ordinary("int8", count), radix),
            "questions": count,
        },
    )


def counted(names: Sequence[str] = (*SPIKES, *FILES)) -> list[Job]:
    """The jobs of these models."""
    made = []
    for name in names:
        make = partial(spikes, name) if name in SPIKES else partial(ordinary_file, name)
        minutes = 0.8 if name == "spiking" else 0.3
        made.append(Job("headline.energy", {"model": name}, make, minutes, 8, "simulated"))
    return made


def jobs() -> list[Job]:
    """Every row of this module."""
    return counted()
