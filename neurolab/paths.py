"""Where things are: the checkout, the shipped data, the chapters, and the reader's own folder."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The course's checkout."""

DATA = Path(os.environ["NEUROLAB_DATA"]).resolve() if os.environ.get("NEUROLAB_DATA") else ROOT / "data"
"""Shipped weights and measured rows. The environment variable ``NEUROLAB_DATA`` puts another folder here."""

NOTEBOOKS = ROOT / "notebooks"
"""The chapters, as MyST Markdown."""


def reader_folder() -> Path:
    """The reader's own folder: their chapters, guesses and measurements. It need not exist yet.

    ``NEUROLAB_FOLDER`` moves it; otherwise it is ``my-course`` in the checkout, which git ignores.
    Read on every call, so that a test (or a second course on one machine) can point elsewhere.
    """
    chosen = os.environ.get("NEUROLAB_FOLDER")
    return Path(chosen).expanduser().resolve() if chosen else ROOT / "my-course"


def static() -> bool:
    """True while the static book is built (``NEUROLAB_STATIC=1``): nothing may then need a kernel."""
    return os.environ.get("NEUROLAB_STATIC", "") not in ("", "0")
