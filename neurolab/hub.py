"""Hugging Face Transformers, imported once and in one place: only by what needs it, and quietly."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

UNUSED = ("torchvision", "torchao")
"""Packages that Transformers would import if it found them, for models that are not about language."""
HOW = "needs Hugging Face Transformers: install the extra [hub], `pip install -c constraints.txt -e .[hub]`"


@contextmanager
def _hidden(names: tuple[str, ...]) -> Iterator[None]:
    """While open, packages of these names cannot be found, unless they are imported already."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: as if not installed
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def transformers(what: str = "this") -> Any:
    """The package `transformers`. ValueError, beginning with `what`, that names the extra if it is missing.

    A torchvision made for another build of PyTorch than the one that is installed breaks the import of every
    model; no language model needs it, so it is kept out of sight.
    """
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    with _hidden(UNUSED):
        try:
            found = importlib.import_module("transformers")
        except ImportError as error:
            raise ValueError(f"{what} {HOW}") from error
        found.utils.is_torchvision_available()  # both remember what they found
        found.utils.is_torchao_available()
    return found
