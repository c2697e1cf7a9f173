"""The phone page in this machine's Chromium: rows phone.page, one a model, on all held-out questions; and
what chapter 5's files weigh as downloads: rows export.download."""

from __future__ import annotations

import tempfile
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from neurolab import facts
from neurolab.export import phone_files, phone_measure
from neurolab.export.phone_offers import OFFERS
from neurolab.sweep import Job


def figures(model: str, every: int = 1) -> dict[str, Any]:
    """What the page transfers and answers with this model. every: each n-th question only."""
    torch.set_num_threads(1)
    questions = [q.text for q in facts.split("held_out")][::every]
    with tempfile.TemporaryDirectory() as room:
        folder = Path(room) / "page"
        phone_files.assemble(folder)
        pythons = phone_measure.pythons_answers(folder, model, questions)
        return phone_measure.measure(folder, model, questions, pythons)


@cache
def loads() -> dict[str, int]:
    """Bytes that the page fetches for each model, packed as shipped (an .nlab file and its graph)."""
    with tempfile.TemporaryDirectory() as room:
        listed = phone_files.assemble(Path(room) / "page")
    return {one["name"]: sum(f["bytes"] for f in one["files"].values()) for one in listed["models"]}


def download(name: str) -> dict[str, Any]:
    """Bytes of a model as a download, and how often they fit into the float model's, packed as well."""
    sizes = loads()
    return {"bytes": sizes[name], "bytes_fp32": sizes["fp32"], "ratio_vs_fp32": sizes["fp32"] / sizes[name]}


def jobs() -> list[Job]:
    """Every row of this module."""
    files = [
        Job("export.download", {"file": offer.name}, partial(download, offer.name), 0.5, 7)
        for offer in OFFERS
        if offer.kind == "nlab"
    ]
    return files + [
        Job("phone.page", {"model": offer.name}, partial(figures, offer.name), 10.0, 7) for offer in OFFERS
    ]
