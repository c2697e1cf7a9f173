"""What a result rests on: package versions, the processor, the checkout's commit."""

from __future__ import annotations

import contextlib
import platform
import subprocess
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from neurolab.paths import ROOT

_PACKAGES = ("neurolab", "numpy", "torch", "snntorch", "babel", "numba")


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Python's version and those of the installed packages that results depend on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


@lru_cache(maxsize=1)
def processor() -> str:
    """The processor's name, as the operating system gives it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine() or "unknown"


@lru_cache(maxsize=1)
def commit() -> str:
    """The checkout's git commit (12 hex digits), or 'unknown' where there is no git."""
    try:
        asked = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return asked.stdout.strip()
