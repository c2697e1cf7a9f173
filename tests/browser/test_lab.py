"""`neurolab lab` in a real browser: chapter 0 opens as a notebook, runs, is saved as a pair, comes back."""

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from neurolab import lab, workspace

CHAPTER = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# Would you bet on it?

```{code-cell} ipython3
:tags: [hide-input]

import os

import numpy as np
import plotly.graph_objects as go
from IPython.display import HTML

from neurolab.explore import Explorer, Steps

print("the reader's folder is", os.path.basename(os.environ["NEUROLAB_FOLDER"]))
```

```{code-cell} ipython3
HTML("<b id='bold'>shown</b>")
```

```{code-cell} ipython3
def compute(T):
    return {"y": np.arange(4.0) * T}


def figure(result):
    return go.Figure(go.Scatter(y=result["y"], name="line"))


Explorer(compute, figure, controls={"T": Steps(1, 4)}, changes={"line": {"y": "y"}},
         describe=lambda result: "a line", caption="Drag T.", alt="a line that gets steeper", title="A line")
```
"""
PATIENCE = 240_000
"""Milliseconds: a busy machine may be slow, and nothing is measured here."""


class Server:
    """What `neurolab lab --no-browser` starts, with Jupyter's own files in a folder of the test's."""

    def __init__(self, place: Path) -> None:
        source = place / "notebooks"
        source.mkdir()
        (source / "00_start.md").write_text(CHAPTER, encoding="utf-8")
        self.folder = place / "my-course"
        workspace.prepare(self.folder, source)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        own = {
            name: str(place / name)
            for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
        }
        self.log = (place / "log").open("w+", encoding="utf-8")
        self.process = subprocess.Popen(
            lab.command(self.folder, browser=False, port=self.port),
            env=lab.environment(self.folder) | own | {"JUPYTER_TOKEN": "token"},
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        end = time.monotonic() + PATIENCE / 1000
        while self.process.poll() is None and time.monotonic() < end:
            try:
                self.ask("api/status")
                return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.2)
        self.stop()
        pytest.fail((place / "log").read_text(encoding="utf-8")[-3000:])

    def ask(self, path: str, method: str = "GET") -> bytes:
        """Call the server's own interface."""
        address = f"http://127.0.0.1:{self.port}/{path}?token=token"
        with urllib.request.urlopen(urllib.request.Request(address, method=method), timeout=10) as answer:
            return answer.read()

    def end_kernels(self) -> None:
        """As after a night: the server has no kernel any more."""
        for session in json.loads(self.ask("api/sessions")):
            self.ask(f"api/sessions/{session['id']}", "DELETE")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("lab"))
    yield running
    running.stop()


@pytest.fixture(scope="module")
def chrome(chromium: Any) -> Any:
    """One window's worth of cookies, so that the token is given once."""
    context = chromium.new_context(viewport={"width": 1280, "height": 1200})
    context.set_default_timeout(PATIENCE)
    return context


def test_the_course_opens_runs_is_saved_and_comes_back(server, chrome):
    # The bare address: JupyterLab itself leads to chapter 0, as a notebook.
    page = chrome.new_page()
    page.goto(f"http://127.0.0.1:{server.port}/?token=token")
    page.wait_for_selector(".jp-Notebook .jp-Cell h1")
    assert page.url.endswith("/lab/tree/00_start.ipynb")
    assert "Would you bet on it?" in page.inner_text(".jp-Notebook h1")
    assert page.locator(".jp-MarkdownViewer, .jp-FileEditor").count() == 0
    # Set-up cells are folded, the others are open.
    assert page.locator(".jp-CodeCell .jp-Placeholder.jp-InputPlaceholder").count() == 1

    page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
    page.click('.lm-MenuBar-itemLabel:text-is("Run")')
    page.click('.lm-Menu-item[data-command="runmenu:run-all"]')
    page.wait_for_selector("#bold")
    page.wait_for_selector(".jp-OutputArea .main-svg", state="attached")
    assert "the reader's folder is my-course" in page.inner_text(".jp-Notebook")

    saved = server.folder / "00_start.ipynb"
    page.keyboard.press("Control+s")
    end = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < end:
        book = nbformat.read(saved, as_version=4)
        if "widgets" in book.metadata and any(cell.get("outputs") for cell in book.cells):
            break
        time.sleep(0.3)
    assert [len(cell.outputs) for cell in book.cells if cell.cell_type == "code"] == [1, 1, 1]
    text = (server.folder / "00_start.md").read_text(encoding="utf-8")
    assert "controls={" in text
    assert "the reader's folder is my-course" not in text
    page.close()

    # Opened again while the kernel runs, and once more when it has gone: everything is there.
    for kernel in ("running", "gone"):
        if kernel == "gone":
            server.end_kernels()
        page = chrome.new_page()
        page.goto(f"http://127.0.0.1:{server.port}/lab/tree/00_start.ipynb")
        page.wait_for_selector("#bold")
        page.wait_for_selector(".jp-OutputArea .main-svg", state="attached")
        page.close()

    # The text, too, opens as a notebook.
    page = chrome.new_page()
    page.goto(f"http://127.0.0.1:{server.port}/lab/tree/00_start.md")
    page.wait_for_selector(".jp-NotebookPanel .jp-Cell h1")
    page.close()


def test_the_readers_own_jupyter_settings_are_not_touched(server):
    own = Path(server.log.name).parent
    written = [path for path in (own / "JUPYTER_CONFIG_DIR").rglob("*") if path.is_file()]
    assert [path for path in written if "docmanager" in path.name or "jupyterlab-manager" in path.name] == []
    assert not os.environ.get("JUPYTER_CONFIG_PATH", "").startswith(str(lab.CONFIGURATION))
