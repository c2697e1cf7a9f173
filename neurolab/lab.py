"""Start JupyterLab on the reader's copy of the course, with settings for this server only."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from neurolab.workspace import PRIVATE

CONFIGURATION = Path(__file__).parent / "jupyter"
"""Defaults for the course's JupyterLab (`labconfig/default_setting_overrides.json`): Markdown chapters open
as notebooks, widgets are saved with their notebook, no news is fetched. What readers set themselves wins."""


def command(
    folder: Path, *, browser: bool = True, port: int | None = None, first: str = "00_start"
) -> list[str]:
    """Return the command that starts JupyterLab in `folder` with the chapter `first` open.

    port: 1 to 65535, and then exactly this one; None takes the first free one from 8888 up.
    Raises ValueError on another port.
    """
    parts = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}"]
    parts.append(f"--LabApp.default_url=/lab/tree/{first}.ipynb")
    # The layout of open tabs belongs to the course, not to the reader's other JupyterLab.
    parts.append(f"--LabApp.workspaces_dir={folder / PRIVATE / 'workspaces'}")
    # Figures of explorers, also in a notebook that is opened again without its kernel.
    parts.append(f"--ServerApp.extra_static_paths={Path(__file__).parent / 'static'}")
    parts.append("--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate")
    if not browser:
        parts.append("--no-browser")
    if port is not None:
        if not 1 <= port <= 65535:
            raise ValueError(f"port: {port} is not allowed; give 1 to 65535")
        parts += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        # In a container everybody is root; the server listens on this machine only and asks for its token.
        parts.append("--allow-root")
    return parts


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of the server and its kernels: our defaults first, the reader's folder named."""
    path = os.pathsep.join(filter(None, [str(CONFIGURATION), os.environ.get("JUPYTER_CONFIG_PATH")]))
    return os.environ | {"JUPYTER_CONFIG_PATH": path, "NEUROLAB_FOLDER": str(folder)}


def start(folder: Path, *, browser: bool = True, port: int | None = None) -> int:
    """Run JupyterLab until it is stopped (Ctrl-C); return its exit status."""
    process = subprocess.Popen(command(folder, browser=browser, port=port), env=environment(folder))
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # The terminal sent it to JupyterLab too, which asks whether to stop: wait for the answer.
            continue
