"""`make test-extras`: install each big extra that installs on this machine, and test those that did.

An extra without a package for this kind of machine is named and left out; if none installs, it fails.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = ("openvino", "executorch", "coreml", "sets", "counters", "cluster")


def installs(extra: str, tries: int = 2) -> bool:
    """Install an extra with the course's pins, once more if it fails; whether it is there now."""
    pip = [sys.executable, "-m", "pip", "install", "-q", "-c", "constraints.txt", "-e", f".[{extra}]"]
    return any(subprocess.run(pip, cwd=ROOT).returncode == 0 for _ in range(tries))


def main(extras: Sequence[str] = EXTRAS) -> int:
    """Install, test, and give back the exit status of the tests."""
    there = []
    for extra in extras:
        print(f"Installing the extra {extra} ...", flush=True)
        if installs(extra):
            there.append(extra)
        else:
            print(f"The extra {extra} does not install on this machine: its tests are left out.", flush=True)
    if not there:
        print("No extra installs on this machine: nothing was tested.", file=sys.stderr)
        return 1
    files = [f"tests/extras/test_{extra}.py" for extra in (*there, "spiking_layers")]
    return subprocess.run([sys.executable, "-m", "pytest", *files], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
