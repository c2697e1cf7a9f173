"""ORT and LiteRT files on a played arm64 processor, beside the same files here: rows export.arm64."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from neurolab.export import arm64, export, litert, open_session
from neurolab.sweep import Job

PRECISIONS = ("fp32", "int8")
EVERY = {"ort": 25, "litert": 800}  # of the held-out questions: a program carries out each instruction

LITERT_CORES = ("cortex-a53", "cortex-a76")  # some 10 seconds a question there: it reads token by token


def played(runtime: str, precision: str, core: str, every: int | None = None) -> dict[str, Any]:
    """Figures of a file of `runtime` on this core, on each `every`-th held-out question."""
    from neurolab import facts

    questions = [q.text for q in facts.split("held_out")[:: every or EVERY[runtime]]]
    with tempfile.TemporaryDirectory() as room:
        made = export(runtime, precision, Path(room) / "export")
        result = arm64.run(made, questions, core)
        return arm64.beside(result, made, open_session(made.folder).run, questions)


def jobs() -> list[Job]:
    """Every row of this module; none where the emulation is not installed."""
    if arm64.missing():
        return []
    runtimes = ["ort", "litert"] if litert.ready() else ["ort"]  # LiteRT's own environment makes its file
    return [
        Job(
            "export.arm64",
            {"runtime": runtime, "precision": precision, "core": core},
            partial(played, runtime, precision, core),
            4.0,
            7,
        )
        for runtime in runtimes
        for precision in PRECISIONS
        for core in (arm64.CORES if runtime == "ort" else LITERT_CORES)
    ]
