"""A real Chromium and a real JupyterLab on this machine, for the tests and for ``neurolab bench slider``.

Nothing here reaches the network: JupyterLab listens on the loopback address with a token, keeps its files in
a folder of its own, and Chromium is told to fetch nothing by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--disable-background-timer-throttling",
]  # fmt: skip


class BrowserError(RuntimeError):
    """There is no Chromium, or JupyterLab did not start."""


def chromium() -> str:
    """Path of the browser: the environment's NEUROLAB_CHROMIUM, else the first of the usual names.

    Raises `BrowserError` that says which package to install.
    """
    chosen = os.environ.get("NEUROLAB_CHROMIUM")
    for name in (chosen,) if chosen else NAMES:
        found = shutil.which(name)
        if found:
            return found
    missing = (
        f"NEUROLAB_CHROMIUM={chosen} is no program" if chosen else f"none of {', '.join(NAMES)} is there"
    )
    raise BrowserError(
        f"No Chromium found ({missing}). Install the package 'chromium' (Debian, Ubuntu: "
        "apt-get install chromium; macOS: brew install --cask chromium), or set NEUROLAB_CHROMIUM to a path."
    )


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """Playwright's Browser, running headless.  Raises `BrowserError` without Chromium."""
    from playwright.sync_api import sync_playwright  # from the extra "test"

    path = chromium()
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=QUIET)
        try:
            yield running
        finally:
            running.close()


class Lab:
    """JupyterLab serving ``folder``; use it as a context manager.  ``address`` is its URL without the
    token."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.token = secrets.token_hex(16)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Lab:
        state = self.folder / ".jupyter-state"
        state.mkdir(parents=True, exist_ok=True)
        news = state / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
        news.parent.mkdir(parents=True, exist_ok=True)
        news.write_text('{"fetchNews": "false"}', encoding="utf-8")
        here = Path(__file__).resolve().parent.parent
        places = {
            name: str(state / name.lower())
            for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
        }
        path = os.pathsep.join(filter(None, [str(here), os.environ.get("PYTHONPATH")]))
        command = [
            sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--expose-app-in-browser",
            f"--ServerApp.port={self.port}", "--ServerApp.port_retries=0", "--ServerApp.ip=127.0.0.1",
            f"--IdentityProvider.token={self.token}", f"--ServerApp.root_dir={self.folder}",
            f"--LabApp.workspaces_dir={state / 'workspaces'}",
            f"--LabApp.user_settings_dir={state / 'settings'}",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        ]  # fmt: skip
        self.log = (state / "server.log").open("wb")
        self.process = subprocess.Popen(
            command, stdout=self.log, stderr=subprocess.STDOUT, env=os.environ | places | {"PYTHONPATH": path}
        )
        self._wait(240)
        return self

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            request = urllib.request.Request(f"{self.address}/api/status?token={self.token}")
            with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
                urllib.request.urlopen(request, timeout=5).close()
                return
            time.sleep(0.2)
        log = (self.folder / ".jupyter-state" / "server.log").read_text(errors="replace")
        self.__exit__()
        raise BrowserError(f"JupyterLab did not start:\n{log[-2000:]}")

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def write(self, name: str, cells: list[str]) -> None:
        """Write a notebook of code cells into the folder."""
        notebook = {
            "cells": [
                {"cell_type": "code", "id": f"cell-{i}", "metadata": {}, "source": source, "outputs": [],
                 "execution_count": None}
                for i, source in enumerate(cells)
            ],
            "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
            "nbformat": 4, "nbformat_minor": 5,
        }  # fmt: skip
        (self.folder / name).write_text(json.dumps(notebook), encoding="utf-8")

    def open(self, page: Any, name: str) -> None:
        """Open a notebook in ``page`` and wait until its kernel answers."""
        page.goto(f"{self.address}/doc/tree/{name}?token={self.token}&reset")
        page.wait_for_function(_KERNEL_READY, timeout=240_000)

    def run(self, page: Any, selector: str, timeout: float = 240_000) -> None:
        """Run all cells and wait for ``selector``."""
        page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
        page.wait_for_selector(selector, timeout=timeout)

    def save(self, page: Any) -> None:
        """Save the notebook, outputs included."""
        page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")


_KERNEL_READY = """() => {
  const panel = window.jupyterapp?.shell?.currentWidget;
  const status = panel?.sessionContext?.session?.kernel?.status;
  return status === 'idle' && document.querySelector('.jp-Notebook .jp-Cell');
}"""
