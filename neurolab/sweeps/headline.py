"""The assistant against the 8-bit Transformer, as the articles take it: the rows of chapter 8.

Models: `int8` (the assistant in ONNX Runtime, dynamic 8 bits: the rival), `float`, chapter 5's files `ptq12`,
`ptq14`, `qat18`, `qat28`, and chapter 3's `spiking` (until rest). A file is small on the disk only: what
answers is a graph, here one of 8 bits like the rival's.

headline.assistant {model, language: en | th | both, against: int8, seed}
    exact_match, questions, and but for `int8` exact_match_drop_points (against `int8`, the same questions)
    with _low, _high (95 %, bootstrap), answers_lost, answers_gained. For language = both: bytes and, but for
    `int8` and `float`, file_ratio_vs_int8 (against its ONNX file), file_ratio_vs_int8_coded (against the
    assistant in 8 bits, entropy-coded: the harder rival), file_ratio_vs_fp32; for seeds 0 and 1 peak_bytes
    while answering (`headline_memory`), peak_tokens, and but for `int8` and `float`
    peak_memory_ratio_vs_int8, peak_memory_ratio_vs_fp32.
    seed: 1, 2, 3 for chapter 5's files, of which seed 1 is shipped and the others are made again here; 0 for
    the others, of which there is one.
headline.latency {model: as it runs, such as qat28_int8, runtime: onnx | ort | torch, tokens, runs}
    ratio_vs_fp32, ratio_vs_int8 (time per generated token, the assistant's over this one's, whole runs in
    turns; _low, _high), p50_ratio, p95_ratio (of single tokens, against fp32), milliseconds_per_token
headline.spread {what: latency | accuracy, model, runs: 10 | 20 | 30, tokens, threads}
    latency_sd_percent, p95_over_median, first_run_ratio, milliseconds (a list, one a run); or
    accuracy_sd_percent, binomial_sd_percent, repeated_sd_percent, questions_a_run, exact_match (a list)
headline.energy {model}: `headline_energy`
headline.batch {what: throughput | kv_cache | prefix_cache, model: float | int8, batch, entries}
    tokens_per_second_ratio, latency_ratio, memory_bytes, against one sequence, or against no such cache.
    entries (of a prefix cache): how many prompts it keeps.
headline.counter {model}   only on a machine with energy counters that can be read (`energy_counters`):
    joules_per_token, ratio_vs_fp32, idle_watts, counters
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from neurolab import (
    assistant,
    compressed,
    energy_counters,
    facts,
    headline,
    headline_batch,
    headline_memory,
    headline_speed,
    priced,
    ptq,
    qat,
    quantized,
)
from neurolab.assistant import Assistant
from neurolab.export import export, source
from neurolab.headline import FILES, FLOAT, RIVAL, SPIKING, Opened
from neurolab.paths import DATA, reader_folder
from neurolab.sweep import Job
from neurolab.sweeps import compression_headline
from neurolab.tokens import END_ID, encode_question
from neurolab.transformer import Transformer

SEEDS = (1, 2, 3)
TOKENS, RUNS = 512, 20
PEAK_TOKENS = 256
LANGUAGES = ("both", *facts.LANGUAGES)
FAST = {
    "onnx": ("int8", "int8_static", "int4", *(f"qat{n}_{p}" for n in (18, 28) for p in ("fp32", "int8"))),
    "ort": ("int8", "int8_static", "int4", *(f"qat{n}_{p}" for n in (18, 28) for p in ("fp32", "int8"))),
    "torch": ("qat18_fp32", "qat28_fp32"),
}
"""Which variants are timed, by runtime. The ptq files are the assistant's size, so they run as it does."""
MEASURED = (FLOAT, RIVAL, "qat28_int8")
BATCHES, KV_BATCHES, ENTRIES = (2, 4, 8, 16, 32, 64), (1, 8, 32), (4, 64, 1024)


# --- quality, files, memory ---


@lru_cache(maxsize=2)
def made(name: str, seed: int) -> tuple[Transformer, quantized.Tensors, int]:
    """A file of chapter 5 made again for a seed: network, tensors, bytes of its file.

    ptq: about two minutes. qat: trained (5 to 8 minutes), or what a finished training has left.
    """
    helper = assistant.load()
    steps = 0
    if name.startswith("ptq"):
        grids, hessians = compression_headline.grids(seed)
        size = int(quantized.float_bytes() / compression_headline.RATIOS[name])
        tensors = compression_headline.entropy_grid.to_size(helper.model, grids, hessians, size)
        model = quantized.put(helper.model, tensors)
    else:
        plan = next(plan for plan in priced.PLANS if plan.name == name)
        steps = plan.floats + plan.steps
        folder = reader_folder() / "training" / "compression"
        asked = compression_headline.questions(seed)
        trained = priced.train(helper.model, helper.tokenizer, asked, plan, seed, folder)
        tensors = priced.tensors_of(trained)
        small = qat.plain(trained)
        model = quantized.put(small, tensors)
    with tempfile.TemporaryDirectory() as room:
        about = priced.about(name, seed, steps)
        config = asdict(model.config)
        size = compressed.save(Path(room) / "model.nlab", tensors, config=config, about=about)
    return model.eval(), tensors, size


def network(name: str, seed: int) -> Assistant:
    """The network of a model; for the files of chapter 5 and another seed than the shipped 1 made again."""
    if name in (FLOAT, RIVAL):
        return assistant.load()
    if name in FILES and seed != SEEDS[0]:
        return replace(assistant.load(), model=made(name, seed)[0])
    return source(name)


def opened(name: str, seed: int = 0) -> Opened:
    """The model as it answers: files of chapter 5 in a graph of 8 bits."""
    run = f"{name}_int8" if name in FILES else name
    return headline.open_variant(run, network=network(name, seed))


@lru_cache(maxsize=64)
def right(name: str, seed: int, language: str, every: int) -> tuple[bool, ...]:
    """Which held-out questions of a language the model answers, each `every`-th."""
    asked = facts.split("held_out", language)[::every]  # type: ignore[arg-type]
    if name == SPIKING:
        return tuple(headline.spiking_right(asked))
    return tuple(headline.right(opened(name, seed), asked))


def of_both(name: str, seed: int, language: str, every: int) -> list[bool]:
    """The same for a language, or one behind the other."""
    some = facts.LANGUAGES if language == "both" else (language,)
    return [hit for one in some for hit in right(name, seed, one, every)]


@lru_cache(maxsize=1)
def rival_bytes() -> dict[str, int]:
    """Bytes of the assistant's files: int8 and fp32 (ONNX), int8_coded (as chapter 5 codes it)."""
    helper = assistant.load()
    coded = quantized.sizes(helper.model, ptq.rtn(helper.model, 8, "tensor"))
    return {
        "int8": headline.open_variant(RIVAL).bytes,
        "fp32": headline.open_variant(FLOAT).bytes,
        "int8_coded": int(coded["bytes"]),
    }


def file_bytes(name: str, seed: int) -> int:
    """Bytes on disk: the ONNX file, chapter 5's file, or chapter 3's weights with their card."""
    if name in (RIVAL, FLOAT):
        return rival_bytes()["int8" if name == RIVAL else "fp32"]
    if name == SPIKING:
        folder = DATA / "spiking"
        return sum((folder / f"quantized.{end}").stat().st_size for end in ("safetensors", "json"))
    if seed == SEEDS[0]:
        return (DATA / "compressed" / f"{name}.nlab").stat().st_size
    return made(name, seed)[2]


@lru_cache(maxsize=16)
def peak(name: str, tokens: int = PEAK_TOKENS, repeats: int = 11) -> dict[str, float]:
    """Peak memory while a model answers, in a process of its own (the shipped one; ONNX Runtime)."""
    helper = assistant.load()
    asked = [encode_question(helper.tokenizer, q.text) for q in headline.prompts(helper.tokenizer, tokens)]
    chosen = headline.variant(f"{name}_int8" if name in FILES else name)
    with tempfile.TemporaryDirectory() as room:
        folder = Path(room) / "export"
        export("onnx", chosen.precision, folder, name=chosen.source)
        return headline_memory.measure(
            folder / "model.onnx", asked, END_ID, helper.model.config.context, repeats
        )


def answered(name: str, seed: int, language: str, every: int = 1) -> dict[str, Any]:
    """Figures of headline.assistant."""
    mine = of_both(name, seed, language, every)
    found: dict[str, Any] = {"exact_match": sum(mine) / len(mine), "questions": len(mine)}
    if name != RIVAL:
        found |= headline.paired_drop(mine, of_both(RIVAL, 0, language, every))
    if language != "both":
        return found
    found["bytes"] = file_bytes(name, seed)
    compared = name not in (RIVAL, FLOAT)
    if compared:
        found |= {f"file_ratio_vs_{rival}": size / found["bytes"] for rival, size in rival_bytes().items()}
    if seed in (0, SEEDS[0]):
        memory = peak(name)
        found |= {"peak_bytes": memory["model_bytes"], "peak_tokens": memory["tokens"]}
        if compared:
            found["peak_memory_ratio_vs_int8"] = peak(RIVAL)["model_bytes"] / memory["model_bytes"]
            found["peak_memory_ratio_vs_fp32"] = peak(FLOAT)["model_bytes"] / memory["model_bytes"]
    return found


# --- time ---


@lru_cache(maxsize=6)
def running(name: str, runtime: str = "onnx", threads: int = 1) -> Opened:
    """A variant, opened."""
    return headline.open_variant(name, runtime, threads=threads)


def timed(name: str, runtime: str, tokens: int = TOKENS, runs: int = RUNS) -> dict[str, Any]:
    """Figures of headline.latency."""
    others = {"fp32": running(FLOAT, runtime)}
    if runtime != "torch" and name != RIVAL:
        others["int8"] = running(RIVAL, runtime)
    return headline_speed.ratios(running(name, runtime), others, tokens, runs)


def spread(what: str, name: str, runs: int, tokens: int, threads: int) -> dict[str, Any]:
    """Figures of headline.spread."""
    measure = headline_speed.latency_spread if what == "latency" else headline_speed.accuracy_spread
    return measure(running(name, threads=threads), tokens, runs)


def batched(what: str, name: str, batch: int, entries: int = 0) -> dict[str, Any]:
    """Figures of headline.batch."""
    if what == "throughput":
        return headline_batch.throughput(running(name), batch)
    if what == "kv_cache":
        return headline_batch.kv_cache(running(name), batch)
    return headline_batch.prefix_cache(running(name), entries)


def counter(name: str, tokens: int = TOKENS) -> dict[str, Any]:
    """Figures of headline.counter: by this machine's counters, idle subtracted."""
    helper = running(FLOAT).network
    asked = headline.encoded(helper.tokenizer, headline.prompts(helper.tokenizer, tokens))

    def run(there: Opened) -> int:
        return headline_speed.timed(there, asked)[1]

    found = {one: energy_counters.per_token(partial(run, running(one))) for one in (name, FLOAT)}
    mine = found[name]
    if name != FLOAT:
        mine["ratio_vs_fp32"] = found[FLOAT]["joules_per_token"] / mine["joules_per_token"]
    return mine


def jobs() -> list[Job]:
    """Every row of this module."""
    chosen: list[Job] = []
    plain = [(name, 0) for name in (RIVAL, FLOAT, SPIKING)]
    for name, seed in [*plain, *((name, seed) for seed in SEEDS for name in FILES)]:
        again = 0.0 if seed in (0, 1) else 2.0 if name.startswith("ptq") else 8.0
        minutes = 1.5 if name == SPIKING else 0.5
        for language in LANGUAGES:
            setting: dict[str, Any] = {"model": name, "language": language, "against": RIVAL, "seed": seed}
            make = partial(answered, name, seed, language)
            took = minutes + again if language == "both" else minutes / 3
            chosen.append(Job("headline.assistant", setting, make, took, 8))
    for runtime, names in FAST.items():
        for name in (*names, *((SPIKING,) if runtime == "onnx" else ())):
            runs, tokens = (10, 256) if name == SPIKING else (RUNS, TOKENS)
            setting = {"model": name, "runtime": runtime, "tokens": tokens, "runs": runs}
            make = partial(timed, name, runtime, tokens, runs)
            chosen.append(Job("headline.latency", setting, make, 0.3, 8))
    for name in MEASURED:
        for runs in (10, 20, 30):
            for tokens in (256, 1024):
                plans = [("latency", 1), ("accuracy", 1), *([("latency", 2)] if name == RIVAL else [])]
                for what, threads in plans:
                    setting = {"what": what, "model": name, "runs": runs}
                    setting |= {"tokens": tokens, "threads": threads}
                    make = partial(spread, what, name, runs, tokens, threads)
                    chosen.append(Job("headline.spread", setting, make, 0.1, 8))
    for name in (FLOAT, RIVAL):
        wanted: list[tuple[str, int, dict[str, int]]] = [("throughput", batch, {}) for batch in BATCHES]
        wanted += [("kv_cache", batch, {}) for batch in KV_BATCHES]
        wanted += [("prefix_cache", 1, {"entries": entries}) for entries in ENTRIES]
        for what, batch, more in wanted:
            setting = {"what": what, "model": name, "batch": batch, **more}
            make = partial(batched, what, name, batch, more.get("entries", 0))
            chosen.append(Job("headline.batch", setting, make, 0.1, 8))
    if energy_counters.found():
        for name in MEASURED:
            chosen.append(Job("headline.counter", {"model": name}, partial(counter, name), 1.0, 8))
    return chosen
