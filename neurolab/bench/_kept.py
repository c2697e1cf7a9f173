"""Rows that take minutes each are made once: kept in the reader's own store, found by name and setting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from neurolab import measurements
from neurolab.benchmark import Finding

COMMAND = "neurolab bench spiking --ship"
CHAPTER = 3


def kept(
    name: str,
    setting: Mapping[str, Any],
    of: str,
    make: Callable[[], Mapping[str, Any]],
    *,
    keep: bool = True,
    store: Path | None = None,
) -> Finding:
    """The row of this name and setting, measured on the weights `of` (a hash): the kept one, or made now.

    `make()` gives the figures. keep=False neither looks for a row nor writes one.
    """
    setting = dict(setting)
    if keep:
        for row in measurements.read(name, store=store or measurements.own()):
            if row.setting == setting and row.figures.get("of") == of:
                return Finding(None, name=name, setting=setting, figures=row.figures)
    figures = {**make(), "of": of}
    if keep:
        measurements.append(
            measurements.row(name, CHAPTER, setting, figures, command=COMMAND), store or measurements.own()
        )
    return Finding(None, name=name, setting=setting, figures=figures)
