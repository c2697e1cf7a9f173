"""What `neurolab export` does: list the runtimes, or write one folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neurolab.export import RUNTIMES, export, runtime, source_names
from neurolab.export.folder import Exported
from neurolab.paths import reader_folder


def rows() -> list[dict[str, Any]]:
    """What there is: a row a runtime, with name, title, precisions, installed (bool) and extra."""
    return [
        {
            "name": found.name,
            "title": found.title,
            "precisions": list(found.precisions),
            "installed": not found.missing(),
            "extra": found.extra,
            "runs_here": found.runs_here,
        }
        for found in RUNTIMES.values()
    ]


def table() -> Any:
    """The rows as a rich Table for the terminal."""
    from rich.table import Table

    drawn = Table("runtime", "what it is", "precisions", "ready")
    for row in rows():
        ready = "yes" if row["installed"] else f"needs the extra {row['extra']}"
        if row["installed"] and not row["runs_here"]:
            ready = "writes files; they run elsewhere"
        drawn.add_row(row["name"], row["title"], ", ".join(row["precisions"]), ready)
    return drawn


def place(runtime_name: str, precision: str, model: str) -> Path:
    """Where an export goes unless the reader says so: my-course/exports/MODEL-RUNTIME-PRECISION."""
    return reader_folder() / "exports" / f"{model}-{runtime_name}-{precision}"


def make(
    runtime_name: str, precision: str | None = None, model: str = "assistant", out: Path | None = None
) -> Exported:
    """Write one export; the precision is the runtime's first unless told. ValueError for unknown names."""
    chosen = runtime(runtime_name, precision)
    precision = precision or chosen.precisions[0]
    if model not in source_names():
        raise ValueError(f"model {model!r}: must be one of {', '.join(source_names())}")
    return export(runtime_name, precision, out or place(runtime_name, precision, model), name=model)
