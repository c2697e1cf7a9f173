"""The reader's own copy of the chapters: made, brought up to date, and never overwritten where they worked.

Each chapter lies there twice, as text (`00_start.md`) and as a notebook beside it (`00_start.ipynb`), paired
by Jupytext: the text is what is compared and upgraded, the notebook keeps outputs and widgets. A manifest
records what was delivered, so that a chapter that the reader has changed can be told from one as delivered.

| the reader's chapter      | the course's chapter | what happens                                         |
|---------------------------|----------------------|------------------------------------------------------|
| not there                 | any                  | delivered (delete a chapter to get a fresh one)      |
| as delivered              | changed              | updated; outputs of unchanged cells stay             |
| edited                    | as delivered         | left alone                                           |
| edited                    | changed              | the new one arrives beside it, as `00_start.new.md`  |
| edited, manifest lost     | any                  | the same: nobody can tell, so nothing is overwritten |
| notebook edited elsewhere | any                  | the text follows the notebook first                  |
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import yaml
from jupytext.combine import combine_inputs_with_outputs
from nbformat import NotebookNode
from nbformat.sign import NotebookNotary

from neurolab.paths import NOTEBOOKS, ROOT

PRIVATE = ".neurolab"
"""Folder inside the reader's for what they need not see: manifest, kept files, JupyterLab's layout."""

_FORMATS = "ipynb,md:myst"
_UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError, nbformat.ValidationError)
# Jupytext's own margin: a notebook newer than its text by more than this was saved by another program.
_MARGIN = 1.0


@dataclass(frozen=True)
class Delivery:
    """What happened to one chapter: `what` is new, same, updated, kept, beside, followed or mended."""

    chapter: str
    what: str
    message: str


def prepare(folder: Path, source: Path = NOTEBOOKS) -> list[Delivery]:
    """Make the reader's copy in `folder`, or bring it up to date; return what happened, chapter by chapter.

    Raises ValueError when `folder` is a file or a folder of the course itself, or `source` holds no chapter.
    """
    folder = folder.expanduser().resolve()
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"folder: {folder} is a file; give a folder for your copy of the course")
    if folder in (ROOT, source.resolve()):
        raise ValueError(f"folder: {folder} is the course itself; give another folder for your copy")
    chapters = sorted(source.glob("[0-9][0-9]_*.md"))
    if not chapters:
        raise ValueError(f"no chapters in {source}: run neurolab from a checkout of the course")
    folder.mkdir(parents=True, exist_ok=True)
    manifest = _Manifest(folder)
    done = []
    for chapter in chapters:
        done += _Chapter(chapter, folder, manifest).bring_up_to_date()
        # Saved after each chapter: an interruption costs at most a second look at the next one.
        manifest.save()
    return done


def content_hash(notebook: NotebookNode) -> str:
    """Return a hash of what a reader edits (each cell's kind, source and tags), not of header or outputs."""
    cells = [
        [cell.cell_type, cell.source.strip(), sorted(cell.metadata.get("tags", []))]
        for cell in notebook.cells
    ]
    return hashlib.sha256(json.dumps(cells, ensure_ascii=False).encode()).hexdigest()


class _Manifest:
    """`.neurolab/manifest.json`: for each chapter the hash delivered, and hashes of what came beside it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / PRIVATE / "manifest.json"
        self.chapters: dict[str, dict[str, Any]] = {}
        try:
            read = json.loads(self.path.read_text(encoding="utf-8"))["chapters"]
            for name, entry in read.items():
                if isinstance(entry["delivered"], str) and isinstance(entry["beside"], dict):
                    self.chapters[name] = entry
        except FileNotFoundError:
            pass
        except (ValueError, KeyError, TypeError, AttributeError):
            # Without it every edited chapter counts as the reader's, so nothing can be lost.
            self.chapters = {}
            _keep(self.path, folder)

    def save(self) -> None:
        text = json.dumps({"version": 1, "chapters": self.chapters}, indent=1, sort_keys=True)
        write_text(self.path, text + "\n")


class _Chapter:
    """One chapter of the course and the reader's pair of files for it."""

    def __init__(self, course: Path, folder: Path, manifest: _Manifest) -> None:
        self.name = course.stem
        self.folder = folder
        self.text = folder / f"{self.name}.md"
        self.notebook = folder / f"{self.name}.ipynb"
        # Written and read once, as it will come back from the reader's folder: what Jupytext changes on the
        # way (it drops blank first lines, say) is nobody's edit.
        self.new = jupytext.reads(_as_text(jupytext.read(course)), "md:myst")
        self.new_hash = content_hash(self.new)
        known = manifest.chapters.get(self.name)
        self.delivered: str | None = known["delivered"] if known else None
        self.entry = manifest.chapters.setdefault(self.name, {"delivered": self.new_hash, "beside": {}})
        self.done: list[Delivery] = []

    def bring_up_to_date(self) -> list[Delivery]:
        """Do what the table at the top of the module says; return what happened."""
        reader = self._reconcile()
        if reader is None:
            self._deliver()
            again = " again, as it was missing" if self.delivered else ""
            self._say("new", f"{self.name}: delivered{again}")
        elif content_hash(reader) == self.new_hash:
            self._say("same", f"{self.name}: up to date")
        elif content_hash(reader) == self.delivered:
            self._deliver()
            self._say("updated", f"{self.name}: updated to the course's new version")
        elif self.delivered == self.new_hash:
            self._say("kept", f"{self.name}: yours, with your edits")
        else:
            beside = self._deliver_beside()
            self._say(
                "beside",
                f"{self.name}: the course's chapter has changed, and so has yours. Yours is untouched; "
                f"the new one is {beside.name}. To start afresh from it, delete {self.text.name} and "
                f"{self.notebook.name}.",
            )
        self.entry["delivered"] = self.new_hash
        return self.done

    def _say(self, what: str, message: str) -> None:
        self.done.append(Delivery(self.name, what, message))

    def _reconcile(self) -> NotebookNode | None:
        """Bring text and notebook together and return the reader's version; None when there is none.

        Damaged files are moved aside, a missing half is made from the other, and a notebook that another
        program saved after the text (VS Code, say) hands its cells to the text: Jupytext would refuse both.
        """
        text, notebook = self._read(self.text), self._read(self.notebook)
        if notebook is None:
            if text is not None:
                _write_notebook(self.notebook, text)
            return text
        if text is None:
            _write_text(self.text, notebook)
            return notebook
        if content_hash(text) == content_hash(notebook):
            return text
        ours = {self.delivered, self.new_hash}
        if self.notebook.stat().st_mtime > self.text.stat().st_mtime + _MARGIN:
            if content_hash(text) not in ours:
                _keep(self.text, self.folder, copy=True)
            _write_text(self.text, notebook)
            self._say(
                "followed", f"{self.name}: {self.text.name} now follows your edits of {self.notebook.name}"
            )
            return notebook
        if content_hash(notebook) not in ours:
            _keep(self.notebook, self.folder, copy=True)
        return text

    def _read(self, path: Path) -> NotebookNode | None:
        """Return a file's notebook; None when it is missing or damaged (then it is moved aside, and said)."""
        if not path.exists():
            return None
        try:
            notebook = jupytext.read(path)
            content_hash(notebook)
        except _UNREADABLE:
            kept = _keep(path, self.folder)
            self._say("mended", f"{path.name}: could not be read; it was moved to {kept}")
            return None
        return notebook

    def _deliver(self) -> None:
        """Write the course's version into the pair; outputs of cells that stay the same are kept."""
        notebook = self.new
        old = self._read(self.notebook)
        if old is not None:
            notary = NotebookNotary()
            trusted = notary.check_signature(old)
            notebook = combine_inputs_with_outputs(jupytext.reads(_as_text(self.new), "md:myst"), old)
            if trusted:
                # JupyterLab shows outputs of notebooks only that it saved itself, or that are signed.
                notary.sign(notebook)
        # The text last: Jupytext wants it to be the newer one.
        _write_notebook(self.notebook, notebook)
        _write_text(self.text, self.new)

    def _deliver_beside(self) -> Path:
        """Write the course's version to `NAME.new.md`, or a numbered name when the reader has edited that."""
        beside: dict[str, str] = self.entry["beside"]
        number = 1
        while True:
            path = self.folder / f"{self.name}.new{number if number > 1 else ''}.md"
            pair = [self._read(half) for half in (path, path.with_suffix(".ipynb"))]
            hashes = {content_hash(half) for half in pair if half is not None}
            if hashes <= {self.new_hash, beside.get(path.name)}:
                break
            number += 1
        if pair[1] is not None:
            _write_notebook(path.with_suffix(".ipynb"), self.new)
        _write_text(path, self.new)
        beside[path.name] = self.new_hash
        return path


def _paired(notebook: NotebookNode) -> NotebookNode:
    """Return the notebook with the metadata that pairs it, a kernel, and set-up cells folded."""
    notebook.metadata.setdefault("jupytext", {})["formats"] = _FORMATS
    notebook.metadata.setdefault(
        "kernelspec", {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    )
    for cell in notebook.cells:
        if "hide-input" in cell.metadata.get("tags", []):
            # The tag folds a cell in the book; JupyterLab has a word of its own for it.
            cell.metadata.setdefault("jupyter", {}).setdefault("source_hidden", True)
    return notebook


def _as_text(notebook: NotebookNode) -> str:
    return jupytext.writes(_paired(notebook), "md:myst")


def _write_text(path: Path, notebook: NotebookNode) -> None:
    write_text(path, _as_text(notebook))


def _write_notebook(path: Path, notebook: NotebookNode) -> None:
    write_text(path, jupytext.writes(_paired(notebook), "ipynb"))


def _keep(path: Path, folder: Path, copy: bool = False) -> Path:
    """Move (or copy) a file to `.neurolab/kept/`, under a name made from its content; return the path."""
    mark = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    kept = folder / PRIVATE / "kept" / f"{path.stem}-{mark}{path.suffix}"
    kept.parent.mkdir(parents=True, exist_ok=True)
    if copy:
        shutil.copy2(path, kept)
    else:
        os.replace(path, kept)
    return kept


def write_text(path: Path, text: str) -> None:
    """Write a whole file or nothing: a crash leaves the old content, never half of the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
