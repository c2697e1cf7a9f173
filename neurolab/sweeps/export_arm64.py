"""ORT files on a played arm64 processor, beside the same files here: rows export.arm64."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from neurolab.export import arm64, export, open_session
from neurolab.sweep import Job

PRECISIONS = ("fp32", "int8")
EVERY = 25  # of the held-out questions: each instruction is carried out by a program


def played(precision: str, core: str, every: int = EVERY) -> dict[str, Any]:
    """Figures of an ORT file on this core, on each `every`-th held-out question."""
    from neurolab import facts

    questions = [q.text for q in facts.split("held_out")[::every]]
    with tempfile.TemporaryDirectory() as room:
        made = export("ort", precision, Path(room) / "export")
        result = arm64.run(made, questions, core)
        return arm64.beside(result, made, open_session(made.folder).run, questions)


def jobs() -> list[Job]:
    """Every row of this module; none where the emulation is not installed."""
    if arm64.missing():
        return []
    return [
        Job(
            "export.arm64",
            {"runtime": "ort", "precision": precision, "core": core},
            partial(played, precision, core),
            4.0,
            7,
        )
        for precision in PRECISIONS
        for core in arm64.CORES
    ]
