"""Compressing a model in a process of its own, whose peak of memory is then read.

    python -m neurolab.own_peak MODEL OUT PRECISION SMALL      prints the report as one JSON object

The process first compresses the folder SMALL, a tiny model of the same family, so that every library is
loaded and has run, and notes its resident memory. Then the peak is reset (Linux: 5 into
/proc/self/clear_refs), MODEL is compressed, and the peak is read (VmHWM). What is above the first note is the
compressor's: every weight, every number between two blocks, every code, and pages of files that it maps.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from neurolab import own_folder, own_model
from neurolab.export.peak import REFS, here, kilobytes


def measure(model: Path, out: Path, precision: str, *, threads: int = 1) -> dict[str, Any]:
    """Compress the folder `model` to `out` in a process of its own: the report, and its peak of memory.

    Added to `own_model.compress`'s report: peak_bytes above what the process had before, peak_over_model
    (over the bytes of the model as float32) and largest_layer_ratio, how many times the largest layer was
    needed beside the whole model: (peak - model) / largest tensor, below 0 for a peak below the model.
    RuntimeError on a system that does not tell, or if the process fails.
    """
    from neurolab.own_random import make

    if not here():
        raise RuntimeError("peak memory is read from /proc, which this system does not have")
    family = own_folder.read(model).family.name
    with tempfile.TemporaryDirectory() as room:
        small = make(family, Path(room) / "small", seed=1)
        command = [sys.executable, "-m", "neurolab.own_peak", str(model), str(out), precision, str(small)]
        done = subprocess.run([*command, str(threads)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{model}: could not be measured ({done.stderr.strip()[-300:]})")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def ratios(peak: float, model: float, largest: float) -> dict[str, float]:
    """The peak in bytes beside the model's bytes and those of its largest layer."""
    return {
        "peak_bytes": peak,
        "peak_over_model": peak / model,
        "largest_layer_ratio": (peak - model) / largest,
    }


def child(model: str, out: str, precision: str, small: str, threads: str) -> dict[str, Any]:
    """What the process of its own does."""
    import gc

    import torch

    torch.set_num_threads(int(threads))
    with tempfile.TemporaryDirectory() as room:
        own_model.compress(small, Path(room) / "small.nlab", precision=precision)
    gc.collect()
    before = kilobytes("VmRSS")
    REFS.write_text("5")
    found = own_model.compress(model, Path(out), precision=precision)
    peak = kilobytes("VmHWM") - before
    return found | ratios(peak, found["float_bytes"], found["largest_layer_bytes"])


if __name__ == "__main__":
    print(json.dumps(child(*sys.argv[1:])))
