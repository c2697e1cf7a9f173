"""ONNX Runtime's precisions beside torch, on every held-out question: rows export.runtime."""

from __future__ import annotations

import tempfile
from functools import lru_cache, partial
from pathlib import Path

from neurolab import assistant, facts
from neurolab.assistant import Assistant
from neurolab.export import RUNTIMES, compare, export, source
from neurolab.facts import Question
from neurolab.sweep import Job

OURS = ("onnx", "ort")
MODELS = ("ptq12", "qat18")  # chapter 5's files, exported too


@lru_cache(maxsize=1)
def asked() -> list[Question]:
    """The held-out questions."""
    return facts.split("held_out")


@lru_cache(maxsize=2)
def network(name: str) -> Assistant:
    """The network of this name."""
    return assistant.load() if name == "assistant" else source(name)


@lru_cache(maxsize=8)
def float_bytes(runtime: str, name: str) -> int:
    """Bytes of a runtime's float32 file of this network."""
    with tempfile.TemporaryDirectory() as room:
        return export(runtime, "fp32", Path(room) / "export", assistant=network(name), name=name).bytes


def compared(runtime: str, precision: str, name: str, every: int = 1) -> dict[str, float]:
    """Figures of an export on each `every`-th held-out question."""
    chosen = network(name)
    with tempfile.TemporaryDirectory() as room:
        folder = Path(room) / "export"
        export(runtime, precision, folder, assistant=chosen, name=name)
        found = compare(folder, chosen, asked()[::every])
    share = found.pop("equal_answers")
    return found | {
        "equal_answers_percent": 100 * share,
        "exact_match_drop_points": 100 * (found["exact_match_torch"] - found["exact_match"]),
        "file_ratio": float_bytes(runtime, name) / found["bytes"],
        "questions": len(asked()[::every]),
    }


def job(runtime: str, precision: str, name: str, minutes: float = 3.0) -> Job:
    """The job of one row."""
    setting = {"runtime": runtime, "precision": precision, "model": name}
    return Job("export.runtime", setting, partial(compared, runtime, precision, name), minutes, 7)


def jobs() -> list[Job]:
    """Every row of this module."""
    made = [job(r, p, "assistant") for r in OURS for p in RUNTIMES[r].precisions]
    return made + [job("onnx", p, name) for name in MODELS for p in ("fp32", "int8")]
