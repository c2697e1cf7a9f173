"""The chapters as files: which there are, as a notebook to download, and executed for the book.

A chapter is a MyST Markdown file ``notebooks/NN_name.md`` read by Jupytext, with no outputs stored.
`executed` runs one in a fresh kernel and keeps the result in ``.cache/notebooks``, so that the book
and the tests run a chapter once between them; the result is thrown away as soon as the chapter's
code, the course's modules, its data or the versions below it change.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from neurolab import claims_cells, paths

CACHE = paths.ROOT / ".cache" / "notebooks"
"""Executed chapters. Safe to delete at any time."""

_NOT_IN_A_RESULT = (
    "bench",
    "book.py",
    "book_sphinx.py",
    "chapters.py",
    "claims_cli.py",
    "cli.py",
    "sweep.py",
    "sweeps",
    "workspace.py",
    "__main__.py",
)


class ChapterError(RuntimeError):
    """A chapter that did not run to its end. The message names chapter, cell, code and error."""


@dataclass(frozen=True)
class Chapter:
    """One chapter's file: ``number`` from its name, ``name`` the file's stem, ``title`` its first heading."""

    number: int
    name: str
    title: str
    path: Path


def chapters(folder: Path | str = paths.NOTEBOOKS) -> list[Chapter]:
    """All chapters in ``folder``, in the order of their numbers.

    Raises:
        ValueError: a ``.md`` file there has no number in front, or no heading.
    """
    found = []
    for path in sorted(Path(folder).glob("*.md")):
        number = re.match(r"(\d+)_", path.name)
        heading = re.search(r"^# +(.+?)\s*$", path.read_text(encoding="utf-8"), re.MULTILINE)
        if number is None:
            raise ValueError(
                f"notebooks: {path.name!r} is no chapter; allowed are names such as '03_attention.md'"
            )
        if heading is None:
            raise ValueError(
                f"notebooks: {path.name!r} has no title; its first heading must read '# The title'"
            )
        found.append(Chapter(int(number[1]), path.stem, heading[1], path))
    return found


def notebook(path: Path | str) -> NotebookNode:
    """The chapter (a Jupytext text file) as a notebook without outputs; same text, same bytes."""
    book = jupytext.read(Path(path))
    for index, cell in enumerate(book.cells):
        cell["id"] = f"cell-{index:03d}"
        if cell.cell_type == "code":
            cell["outputs"], cell["execution_count"] = [], None
    book.metadata.setdefault(
        "kernelspec", {"display_name": "Python 3", "language": "python", "name": "python3"}
    )
    book["nbformat"], book["nbformat_minor"] = 4, 5
    return book


FIRST_CELL = """\
**To run this chapter outside the course's own JupyterLab** (on Google Colab, in VS Code, ...): download
`neurolab-course.zip` from the front page of the book, put it beside this notebook (on Colab: the folder
symbol at the left, then *Upload*), and run the next cell once. It unpacks the course and installs it.
In the course's own JupyterLab the cell finds everything in place and does nothing."""

FIRST_CODE = """\
import importlib.util, subprocess, sys, zipfile

if importlib.util.find_spec("neurolab") is None:
    zipfile.ZipFile("neurolab-course.zip").extractall()
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--editable", "neurolab-course"]
    subprocess.run(install, check=True)
    sys.path.insert(0, "neurolab-course")"""


def download(path: Path | str) -> NotebookNode:
    """The chapter as a notebook to take away: a first cell says what to install, and does it when run."""
    book = notebook(path)
    first = [
        nbformat.v4.new_markdown_cell(FIRST_CELL, id="install-text"),
        nbformat.v4.new_code_cell(FIRST_CODE, id="install"),
    ]
    book.cells = first + book.cells
    return book


def fingerprint() -> str:
    """A short name for everything besides the chapter's own code that can change its outputs."""
    digest = hashlib.sha256()
    for name in ("numpy", "torch", "plotly", "babel", "scikit-learn", "ipykernel"):
        digest.update(f"{name}=={importlib.metadata.version(name)}\n".encode())
    digest.update(repr(sorted(claims_cells.cells().items())).encode())  # the ledger's links
    for path in _files(paths.ROOT / "neurolab", paths.DATA):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _files(*folders: Path) -> Iterable[Path]:
    """Files below ``folders`` that a chapter can depend on, in a fixed order."""
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            inside = path.relative_to(folder).parts
            skip = "__pycache__" in inside or inside[0] in _NOT_IN_A_RESULT
            if path.is_file() and not skip:
                yield path


def executed(
    path: Path | str, *, cache: Path | str = CACHE, timeout: int = 120, state: str | None = None
) -> NotebookNode:
    """The chapter with its outputs, as the static book shows them (``NEUROLAB_STATIC=1``).

    Taken from ``cache`` when nothing that matters has changed, else run in a fresh kernel, in an empty
    folder, with an empty reader's folder (so that nobody's own guesses reach the book).

    Args:
        path: the chapter's file.
        cache: folder of executed chapters; made when missing.
        timeout: longest time for one cell, in seconds.
        state: `fingerprint()`, if it is known already.

    Raises:
        ChapterError: a cell raised an error or ran too long, or the kernel died.
    """
    path = Path(path)
    book = notebook(path)
    kept = _place(book, path, Path(cache), state)
    if kept.exists():
        # A file that is no notebook, or another chapter's, is a broken leftover: run the chapter again.
        with contextlib.suppress(ValueError):
            return _with_outputs(book, nbformat.read(kept, as_version=4))
    start = time.perf_counter()
    _run(book, path.stem, timeout)
    _keep(book, kept, path.stem, time.perf_counter() - start)
    return book


def keep(
    path: Path | str, outputs: list[list[NotebookNode]], seconds: float, *, cache: Path | str = CACHE
) -> None:
    """Put a chapter that was executed elsewhere (the tests run each one anyway) where `executed` finds it.

    Args:
        path: the chapter's file.
        outputs: for each code cell, in order, what it showed as the static book shows it.
        seconds: how long the run took.
        cache: folder of executed chapters; made when missing.

    Raises:
        ValueError: there are more or fewer lists of outputs than code cells.
    """
    path = Path(path)
    book = notebook(path)
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    if len(cells) != len(outputs):
        raise ValueError(f"outputs: {len(outputs)} lists for the {len(cells)} code cells of {path.name}")
    for count, (cell, shown) in enumerate(zip(cells, outputs, strict=True), 1):
        cell["outputs"], cell["execution_count"] = shown, count
    _keep(book, _place(book, path, Path(cache)), path.stem, seconds)


def _place(book: NotebookNode, path: Path, cache: Path, state: str | None = None) -> Path:
    """Where the executed chapter is kept: the name changes with everything that can change its outputs."""
    code = "\0".join(cell.source for cell in book.cells if cell.cell_type == "code")
    key = hashlib.sha256(f"{state or fingerprint()}\0{code}".encode()).hexdigest()[:16]
    return cache / f"{path.stem}-{key}.ipynb"


def _keep(book: NotebookNode, kept: Path, name: str, seconds: float) -> None:
    """Write the executed chapter, whole or not at all, in place of older ones of the same name."""
    book.metadata["neurolab"] = {"seconds": round(seconds, 1)}
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.parent / f".{kept.name}.{os.getpid()}"
    nbformat.write(book, part)
    for old in kept.parent.glob(f"{name}-*.ipynb"):
        old.unlink(missing_ok=True)
    part.replace(kept)


def _with_outputs(book: NotebookNode, kept: NotebookNode) -> NotebookNode:
    """Today's prose with the kept outputs: the key covers the code cells only."""
    outputs = [cell for cell in kept.cells if cell.cell_type == "code"]
    for cell, old in zip((c for c in book.cells if c.cell_type == "code"), outputs, strict=True):
        cell["outputs"], cell["execution_count"] = old.outputs, old.execution_count
    book.metadata["neurolab"] = kept.metadata.get("neurolab", {})
    return book


def _run(book: NotebookNode, name: str, timeout: int) -> None:
    """Execute ``book`` in place; raise `ChapterError` naming the cell that failed."""
    with tempfile.TemporaryDirectory(prefix="neurolab-") as folder:
        environment = os.environ | {
            "NEUROLAB_STATIC": "1",
            "NEUROLAB_FOLDER": str(Path(folder) / "my-course"),
            "PYTHONHASHSEED": "0",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(paths.ROOT), os.environ.get("PYTHONPATH")])),
        }
        client = NotebookClient(
            book, timeout=timeout, kernel_name="python3", resources={"metadata": {"path": folder}}
        )
        try:
            client.execute(env=environment, stderr=subprocess.DEVNULL)
        except CellTimeoutError as error:
            raise ChapterError(f"{_where(book, name)} ran longer than {timeout} seconds") from error
        except CellExecutionError as error:
            raise ChapterError(f"{_where(book, name)} failed: {error.ename}: {error.evalue}") from error
        except DeadKernelError as error:
            raise ChapterError(f"{_where(book, name)} ended its kernel (out of memory?)") from error


def _where(book: NotebookNode, name: str) -> str:
    """``Chapter 01_encoding, code cell 3 of 9`` and its code, for the first cell that has not ended well."""
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    bad = len(code)
    for number, cell in enumerate(code, 1):
        failed = any(output.output_type == "error" for output in cell.outputs)
        if failed or (cell.execution_count is None and cell.source.strip()):
            bad = number
            break
    source = "\n".join("    " + line for line in code[bad - 1].source.splitlines()[:12]) if code else ""
    return f"Chapter {name}, code cell {bad} of {len(code)}:\n{source}\n"
