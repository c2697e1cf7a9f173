"""Other networks than the assistant as exports, a spiking layer in every runtime, and memory and energy of
8 bits: rows export.runtime, export.source_latency, export.spiking, export.quantized."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from neurolab import assistant, energy, energy_counts, facts, spiking_run, structure, tuning
from neurolab.assistant import Assistant
from neurolab.export import compare, export, open_session, peak, source, speed, spiking_layer
from neurolab.export import spiking_runtimes as through
from neurolab.export.decoder import Step, largest_difference, torch_step
from neurolab.export.sources import SPIKING
from neurolab.export.spiking_decoder import SpikingDecoder
from neurolab.sweep import Job
from neurolab.tokens import encode_question, exact_match

COMPRESSED = ("ptq12", "ptq14", "qat18", "qat28")
KEPT = (2, 4, 576)  # layers, heads, channels of the pruned assistant: half the multiply-adds
TUNED = 600  # steps of its fine-tuning
RATE = 0.006
LAYER_STEPS = (4, 8, 16)
SAMPLES = 64  # of a layer's inputs
ENERGY = {"8 KB": "energy_ratio", "1 MB": "energy_ratio_1mb", "DRAM": "energy_ratio_dram"}


@lru_cache(maxsize=1)
def pruned() -> Assistant:
    """The assistant with half its multiply-adds gone, fine-tuned: chapter 5's recipe."""
    ours = assistant.load()
    rows = tuning.training_rows(128, 0)
    plan = structure.importance(ours.model, [rows.at(i) for i in range(8)]).plan(*KEPT)
    small = structure.smaller(ours.model, plan)
    tuning.tune(small, steps=TUNED, seed=0, teacher=ours.model, rate_matrices=RATE, rate_rest=RATE / 2)
    return replace(ours, model=small.eval())


@lru_cache(maxsize=4)
def network(name: str) -> Assistant:
    """The network of this name; "pruned" is made here."""
    return pruned() if name == "pruned" else source(name)


@lru_cache(maxsize=2)
def float_bytes(runtime: str) -> int:
    """Bytes of the assistant's float32 file."""
    with tempfile.TemporaryDirectory() as room:
        return export(runtime, "fp32", Path(room) / "export").bytes


def compared(runtime: str, precision: str, name: str, every: int = 1) -> dict[str, Any]:
    """Figures of export.runtime on each `every`-th held-out question.

    file_ratio: the assistant's float32 file over this one. A spiking network's original is chapter 3's own
    run (`spiking_run`), step by step in integers.
    """
    asked = facts.split("held_out")[::every]
    chosen = network(name)
    with tempfile.TemporaryDirectory() as room:
        folder = Path(room) / "export"
        export(runtime, precision, folder, assistant=chosen, name=name)
        if name not in SPIKING:
            found = compare(folder, chosen, asked)
            found["equal_answers_percent"] = 100 * found.pop("equal_answers")
        else:
            found = _spiking(folder, name, chosen, asked)
    return found | {
        "exact_match_drop_points": 100 * (found["exact_match_torch"] - found["exact_match"]),
        "file_ratio": float_bytes(runtime) / found["bytes"],
        "questions": len(asked),
    }


def _spiking(folder: Path, name: str, chosen: Assistant, asked: list[facts.Question]) -> dict[str, Any]:
    """The figures of `compare` for a spiking network, against chapter 3's answers and its logits."""
    opened = open_session(folder)
    twin: SpikingDecoder = chosen.model  # type: ignore[assignment]
    texts = [q.text for q in asked]
    kind = "halving" if twin.T is None else twin.kind
    ours = spiking_run.answers(twin.net, chosen.tokenizer, texts, twin.T, kind)
    theirs = opened.answers(texts)
    right = [[exact_match(a, q.answer) for a, q in zip(some, asked, strict=True)] for some in (theirs, ours)]
    return {
        "exact_match": sum(right[0]) / len(asked),
        "exact_match_torch": sum(right[1]) / len(asked),
        "equal_answers_percent": 100 * sum(a == b for a, b in zip(theirs, ours, strict=True)) / len(asked),
        "largest_difference": largest_difference(
            opened.run, torch_step(twin), twin.config, chosen.tokenizer, texts
        ),
        "bytes": opened.exported.bytes,
    }


@lru_cache(maxsize=8)
def opened(runtime: str, precision: str, name: str) -> Step:
    """The step of a network in a runtime."""
    with tempfile.TemporaryDirectory() as room:
        folder = Path(room) / "export"
        export(runtime, precision, folder, assistant=network(name), name=name)
        return open_session(folder).run


def timed(name: str, precision: str, what: str, pairs: int = 21, rounds: int = 400) -> dict[str, float]:
    """How many times faster a network is than the assistant in float32, both in ONNX Runtime."""
    this, ours = opened("onnx", precision, name), opened("onnx", "fp32", "assistant")
    others = {"fp32": ours, "int8": opened("onnx", "int8", "assistant")}
    return speed.figures(this, network(name).model.config, what, others, pairs, rounds)


def layer(model: str, T: int) -> spiking_layer.Lif | spiking_layer.Signed:
    """The layer of a row: "signed" of chapter 3's network, or "lif" of chapter 2's neurons."""
    if model == "signed":
        return spiking_layer.shipped(spiking_run.load("quantized"), T)
    return spiking_layer.random_lif(T)


def layers(model: str, T: int, samples: int = SAMPLES) -> dict[str, Any]:
    """Figures of export.spiking for a layer: runtimes, and their operators."""
    one = layer(model, T)
    found = through.through(one, spiking_layer.example(one, samples))
    listed = through.spike_operators()
    return found | {
        "runtimes_with_spike_operator": sum(bool(some["spiking"]) for some in listed.values()),
        "runtimes_asked_for_operators": len(listed),
        "operators_known": {name: some["operators"] for name, some in listed.items()},
    }


def memory_and_time(runtime: str, repeats: int = 11, pairs: int = 21) -> dict[str, float]:
    """Figures of export.quantized that are measured: peak memory and time per token, float32 over int8."""
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as room:
        for precision in ("fp32", "int8"):
            made = export(runtime, precision, Path(room) / precision)
            file = next(name for name in made.files if Path(name).suffix in (".onnx", ".ort"))
            found[precision] = peak.measure(Path(room) / precision / file, repeats)
    full, small = found["fp32"], found["int8"]
    config = assistant.load().model.config
    steps = {p: opened(runtime, p, "assistant") for p in ("fp32", "int8")}
    return {
        "peak_memory_saved_percent": 100 * (1 - small["model_bytes"] / full["model_bytes"]),
        "process_memory_saved_percent": 100 * (1 - small["process_bytes"] / full["process_bytes"]),
        "file_saved_percent": 100 * (1 - small["file_bytes"] / full["file_bytes"]),
        **{f"{key}_{p}": found[p][key] for p in found for key in ("model_bytes", "process_bytes")},
        "latency_ratio": speed.ratio(steps["int8"], steps["fp32"], config, "step", pairs),
        "latency_ratio_prompt": speed.ratio(steps["int8"], steps["fp32"], config, "prompt", pairs),
    }


def simulated(every: int = 1) -> dict[str, float]:
    """Energy per answer by the model of `energy`, float32 over int8, wherever the weights lie.

    every: each `every`-th held-out question counts.
    """
    helper = assistant.load()
    asked = facts.split("held_out")[::every]
    lengths = [len(encode_question(helper.tokenizer, q.text)) for q in asked]
    writes = math.ceil(np.mean([len(helper.tokenizer.encode(q.answer).ids) for q in asked]))
    config = helper.model.config
    whole = [min(n + writes, config.context) for n in lengths]
    starts = [n - 1 for n in lengths]
    both = [energy_counts.counts_sequences(config, whole, dtype, starts) for dtype in ("fp32", "int8")]
    found = {}
    for place, figure in ENERGY.items():
        model = replace(energy.DEFAULT, weights=place)
        full, small = (energy.total(counts, model) / len(asked) for counts in both)
        found[figure] = full / small
        if place == "8 KB":
            found |= {"energy_nj_fp32": full / 1e3, "energy_nj_int8": small / 1e3}
    return found


def jobs() -> list[Job]:
    """Every row of this module."""
    made = []
    wanted = [("ort", p, "ptq12") for p in ("fp32", "int8")]
    wanted += [("onnx", p, name) for name in ("ptq14", "qat28", "pruned") for p in ("fp32", "int8")]
    wanted += [(runtime, "fp32", name) for name in SPIKING for runtime in ("onnx", "ort")]
    for runtime, precision, name in wanted:
        setting: dict[str, Any] = {"runtime": runtime, "precision": precision, "model": name}
        make = partial(compared, runtime, precision, name)
        made.append(Job("export.runtime", setting, make, 12.0 if name in ("pruned", *SPIKING) else 3.0, 7))
    for name, precision in [(name, "fp32") for name in SPIKING] + [("pruned", p) for p in ("fp32", "int8")]:
        for what in speed.CALLS:
            setting = {"model": name, "precision": precision, "what": what}
            make = partial(timed, name, precision, what)
            made.append(Job("export.source_latency", setting, make, 6.0 if name == "pruned" else 0.5, 7))
    for model in ("signed", "lif"):
        for T in LAYER_STEPS:
            made.append(Job("export.spiking", {"model": model, "T": T}, partial(layers, model, T), 1.0, 7))
    for runtime in ("onnx", "ort"):
        setting = {"runtime": runtime}
        made.append(Job("export.quantized", setting, partial(memory_and_time, runtime), 0.5, 7))
    made.append(
        Job("export.quantized", {"runtime": "onnx", "energy": "model"}, simulated, 0.2, 7, "simulated")
    )
    return made
