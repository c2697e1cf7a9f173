"""How a chapter is run as a test: nbval's notebook, read from text, offline, within time and memory."""

from __future__ import annotations

import ast
import os
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import pytest
from nbval.kernel import CURRENT_ENV_KERNEL_NAME, RunningKernel
from nbval.plugin import IPyNbCell, IPyNbFile, find_comment_markers, find_metadata_tags

from neurolab import chapters
from neurolab.paths import NOTEBOOKS, ROOT

SECONDS = 80.0
"""A chapter's time on two cores that have nothing else to do."""
SLACK = 1.5
"""How much slower than that a machine may be before the test fails."""
MEBIBYTES = 2048.0
"""A chapter's peak memory; a slow machine needs no more of it."""

_PROXY_OF_NOBODY = "http://network-is-off.invalid:9"


def is_notebook(path: Path) -> bool:
    """True for a chapter by its name (`01_encoding.md`) and for any file with a Jupytext header."""
    if re.match(r"\d\d_", path.name):
        return True
    head = path.read_text(encoding="utf-8")[:2000]
    return head.startswith("---") and "jupytext:" in head.split("\n---", 1)[0]


def limits() -> tuple[float, float]:
    """Return the limits in force, seconds (slack included) and MiB; the environment may overrule them."""
    seconds = float(os.environ.get("NEUROLAB_SECONDS", SECONDS * SLACK))
    return seconds, float(os.environ.get("NEUROLAB_MIB", MEBIBYTES))


class MarkdownNotebook(IPyNbFile):
    """A chapter: its code cells as tests, then one test of what they cost."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield one item per code cell and the `Cost` item, in the chapter's order."""
        self.nb = jupytext.read(self.path)
        cells = [cell for cell in self.nb.cells if cell.cell_type == "code"]
        self.items = []
        for number, cell in enumerate(cells):
            options: dict[str, Any] = defaultdict(bool, find_metadata_tags(cell.metadata))
            options.update(find_comment_markers(cell.source))
            options["check"] = False
            item = ChapterCell.from_parent(
                self, name=f"Cell {number}", cell_num=number, cell=cell, options=options
            )
            self.items.append(item)
            yield item
        yield Cost.from_parent(self, name="Cost")

    def setup(self) -> None:
        """Start the kernel: this environment's Python, static figures, no network, a new reader's folder."""
        self.folder = tempfile.TemporaryDirectory(prefix="neurolab-chapter-")
        self.refused = Path(self.folder.name) / "refused"
        offline = str(ROOT / "tests" / "offline")
        changes = {
            "NEUROLAB_STATIC": "1",
            "NEUROLAB_FOLDER": str(Path(self.folder.name) / "my-course"),
            "NEUROLAB_REFUSED": str(self.refused),
            "PYTHONHASHSEED": "0",
            "PYTHONPATH": os.pathsep.join(filter(None, [offline, str(ROOT), os.environ.get("PYTHONPATH")])),
            # For libraries and programs that are not Python: a proxy that no name server knows.
            "http_proxy": _PROXY_OF_NOBODY,
            "https_proxy": _PROXY_OF_NOBODY,
            "all_proxy": _PROXY_OF_NOBODY,
            "no_proxy": "localhost,127.0.0.1,::1",
        }
        self.started = time.monotonic()
        with pytest.MonkeyPatch.context() as patch:
            for name, value in changes.items():
                patch.setenv(name, value)
            self.kernel = RunningKernel(
                CURRENT_ENV_KERNEL_NAME,
                cwd=self.folder.name,
                startup_timeout=self.config.option.nbval_kernel_startup_timeout,
            )
        self.setup_sanitize_files()

    def teardown(self) -> None:
        """Stop the kernel and remove the reader's folder."""
        super().teardown()
        self.folder.cleanup()

    def cost(self) -> tuple[float, float, float]:
        """Return the chapter's seconds by the clock, its processor seconds, and its peak memory in MiB."""
        wall = time.monotonic() - self.started
        question = {"cost": "__import__('sitecustomize').cost()"}
        reply = self.kernel.kc.execute("", silent=True, user_expressions=question, reply=True, timeout=30)
        answer = reply["content"]["user_expressions"]["cost"]
        if answer["status"] != "ok":
            raise RuntimeError(f"the kernel could not say what it used: {answer['evalue']}")
        processor, peak = ast.literal_eval(answer["data"]["text/plain"])
        return wall, processor, peak


class ChapterCell(IPyNbCell):
    """A code cell; its metadata may state what it shows: `:expect: "0.73"` right below the fence."""

    done = False

    def runtest(self) -> None:
        """Run the cell; raise NbCellError on an exception or on another output than the stated one."""
        super().runtest()
        if "expect" in self.cell.metadata:
            wanted, got = str(self.cell.metadata["expect"]).strip(), _text(self.test_outputs).strip()
            if got != wanted:
                self.raise_cell_error(f"The cell states that it shows\n{wanted}\nand it shows\n{got}")
        self.done = True


class Cost(pytest.Item):
    """A chapter stays within its time and memory, and asks nothing of the network."""

    def runtest(self) -> None:
        """Fail past a limit; otherwise keep the outputs for the book when every cell passed."""
        chapter = self.parent
        assert isinstance(chapter, MarkdownNotebook)
        name = chapter.path.name
        if not chapter.items:
            pytest.fail(f"{name} has no code cell: is its Jupytext header there?", pytrace=False)
        if not chapter.kernel.is_alive():
            pytest.fail(f"{name}: the kernel died (out of memory?)", pytrace=False)
        wall, processor, peak = chapter.cost()
        # Other programs lengthen the clock's time, spinning threads the processor's: the smaller of the two
        # is nearer to what a reader with a free machine waits.
        spent = min(wall, processor)
        self.user_properties.append(
            (
                "chapter",
                f"{name}: {wall:.1f} s by the clock, {processor:.1f} s of processor, {peak:.0f} MiB at most",
            )
        )
        seconds, mebibytes = limits()
        if spent > seconds:
            pytest.fail(
                f"{name} took {spent:.1f} s; a chapter has {seconds:g} s, slack included", pytrace=False
            )
        if peak > mebibytes:
            pytest.fail(f"{name} took {peak:.0f} MiB; a chapter has {mebibytes:g} MiB", pytrace=False)
        if chapter.refused.exists():
            hosts = ", ".join(sorted(set(chapter.refused.read_text(encoding="utf-8").split())))
            pytest.fail(f"{name} asked the network for {hosts}; chapters run without one", pytrace=False)
        if all(item.done for item in chapter.items) and chapter.path.parent == NOTEBOOKS:
            chapters.keep(chapter.path, [_shown(item) for item in chapter.items], wall)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Name the item in pytest's report."""
        return self.path, None, f"{self.path.name}: cost"


def _shown(cell: ChapterCell) -> list[nbformat.NotebookNode]:
    """Return a cell's outputs as a notebook stores them."""
    kinds = ("display_data", "execute_result", "stream", "error")
    return [nbformat.from_dict(output) for output in cell.test_outputs or [] if output.output_type in kinds]


def _text(outputs: list[Any] | None) -> str:
    """Return what a cell showed as plain text: its prints and the text form of what it displayed."""
    parts = []
    for output in outputs or []:
        if output.output_type == "stream" and output.name == "stdout":
            parts.append(output.text)
        elif output.output_type in ("display_data", "execute_result"):
            parts.append(output.data.get("text/plain", "") + "\n")
    return "".join(parts)
