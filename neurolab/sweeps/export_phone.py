"""The phone page in this machine's Chromium: rows phone.page, one a model, on all held-out questions."""

from __future__ import annotations

import tempfile
from functools import partial
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


def jobs() -> list[Job]:
    """Every row of this module."""
    return [
        Job("phone.page", {"model": offer.name}, partial(figures, offer.name), 10.0, 7) for offer in OFFERS
    ]
