"""Rows of what the assistant knows, in bits, by bit-width and language; and why few bits forget."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch

from neurolab import assistant, capacity, compressed, mixed, quantized
from neurolab.capacity import Answered, Probe
from neurolab.paths import DATA
from neurolab.relations import LANGUAGES
from neurolab.sweep import Job
from neurolab.transformer import Transformer

FLOAT = 32
BITS = (FLOAT, 8, 6, 5, 4, 3, 2)
NOISY = (4, 3, 2)
SEEDS = (0, 1, 2)
EVERY = 4
"""The rows of noise use every 4th held-out question."""


@lru_cache(maxsize=1)
def _helper() -> assistant.Assistant:
    return assistant.load()


def _probes() -> tuple[Probe, ...]:
    return capacity.probes(_helper().tokenizer)


@lru_cache(maxsize=len(BITS))
def _tensors(bits: int) -> quantized.Tensors:
    model = _helper().model
    return mixed.rounded(model, {} if bits == FLOAT else dict.fromkeys(mixed.matrices(model), bits))


@lru_cache(maxsize=len(BITS))
def _bytes(bits: int) -> int:
    if bits == FLOAT:
        return quantized.float_bytes()
    return int(quantized.sizes(_helper().model, _tensors(bits), "packed")["bytes"])


@lru_cache(maxsize=len(BITS))
def _answered(bits: int) -> Answered:
    helper = _helper()
    model: Transformer = quantized.put(helper.model, _tensors(bits))
    return capacity.answered(model, helper.tokenizer, [p.question for p in _probes()])


def known(bits: int, language: str) -> dict[str, Any]:
    """Figures of one row `compression.capacity`: rounded to nearest, a scale a row, packed file."""
    outcome = _answered(bits)
    chosen = [i for i, p in enumerate(_probes()) if language in ("both", p.language)]
    part = Answered(outcome.bits[chosen], outcome.right[chosen], outcome.margin[chosen])
    return capacity.figures(
        [_probes()[i] for i in chosen],
        part,
        parameters=_helper().model.parameters_count(),
        stored_bytes=_bytes(bits),
    )


def kept_in(path: Path, language: str) -> dict[str, Any]:
    """Figures of one row `compression.capacity_file`: a compressed file that the course ships."""
    helper = _helper()
    chosen = [p for p in _probes() if language in ("both", p.language)]
    model = compressed.load(path).model()
    return capacity.figures(
        chosen,
        capacity.answered(model, helper.tokenizer, [p.question for p in chosen]),
        parameters=helper.model.parameters_count(),
        stored_bytes=path.stat().st_size,
    )


def fallen() -> dict[str, Any]:
    """Figures of the row `compression.falling`: which facts are left at each bit-width."""
    return capacity.falling({bits: _answered(bits) for bits in BITS}, _probes())


def noise(bits: int, seed: int) -> dict[str, Any]:
    """Figures of one row `compression.noise`: rounding beside noise of the same size in every row."""
    model = _helper().model
    w = mixed.matrices(model)
    rounded = {name: mixed.code(x, bits).value() for name, x in w.items()}
    noisy = {name: capacity.shuffled_error(x, rounded[name], seed) for name, x in w.items()}
    by_rounding = quantized.scores(quantized.put(model, rounded), EVERY)
    by_noise = quantized.scores(quantized.put(model, noisy), EVERY)
    error = sum(float((rounded[name] - x).square().sum()) for name, x in w.items())
    return {
        "error_share": error / sum(float(x.square().sum()) for x in w.values()),
        "exact_match_rounded": by_rounding["exact_match"],
        "exact_match_noise": by_noise["exact_match"],
        "bits_per_answer_byte_rounded": by_rounding["bits_per_answer_byte"],
        "bits_per_answer_byte_noise": by_noise["bits_per_answer_byte"],
        "levels_rounded": max(len(x[0].unique()) for x in rounded.values()),
        "levels_noise": int(torch.tensor([len(x[0].unique()) for x in noisy.values()]).median()),
        "questions": by_noise["questions"],
    }


def jobs() -> list[Job]:
    """One row a bit-width and language, and a shipped file and language; one of the facts that fall; one a
    bit-width and seed of noise."""
    made = [
        Job(
            "compression.capacity",
            {"bits": bits, "method": "float" if bits == FLOAT else "rtn", "language": language},
            partial(known, bits, language),
            0.2,
        )
        for bits in BITS
        for language in (*LANGUAGES, "both")
    ]
    made += [
        Job(
            "compression.capacity_file",
            {"target": path.stem, "language": language},
            partial(kept_in, path, language),
            0.3,
        )
        for path in sorted((DATA / "compressed").glob("*.nlab"))
        for language in (*LANGUAGES, "both")
    ]
    made.append(Job("compression.falling", {"method": "rtn"}, fallen, 1.0))
    made += [
        Job("compression.noise", {"bits": bits, "seed": seed}, partial(noise, bits, seed), 0.3)
        for bits in NOISY
        for seed in SEEDS
    ]
    return made
