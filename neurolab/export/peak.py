"""How much memory a model takes while it is opened and asked: the peak of a process of its own.

    python -m neurolab.export.peak SMALL MODEL      prints one JSON object

The process first opens and runs the graph SMALL, so that the runtime itself is there, and notes its resident
memory; then the peak is reset (Linux: 5 into /proc/self/clear_refs), MODEL is opened, reads a prompt of 18
tokens and writes 20 more, and the peak is read (VmHWM). What is above the first note is the model's:
weights, what the runtime makes of them, the cache, and every number in between.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

PROMPT, TOKENS = 18, 20
STATUS, REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def here() -> bool:
    """Whether this system tells the peak."""
    return STATUS.is_file() and REFS.is_file()


def measure(model: Path, repeats: int = 5) -> dict[str, float]:
    """The peak of `repeats` processes that open and ask a model (.onnx or .ort), medians, in bytes.

    model_bytes: above the runtime alone. process_bytes: of the whole process. file_bytes. RuntimeError on a
    system that does not tell, or if the process fails; ValueError for repeats below 1 or no such file.
    """
    return medians("neurolab.export.peak", model, repeats) | {"file_bytes": model.stat().st_size}


def medians(module: str, model: Path, repeats: int, asked: str | None = None) -> dict[str, float]:
    """Run `python -m module SMALL MODEL [ASKED]` `repeats` times; medians of what the processes print.

    Each prints a JSON object with before and peak, in bytes. asked: the text of the file ASKED. Gives
    model_bytes and process_bytes, and what else was printed. Raises as `measure` does.
    """
    if repeats < 1:
        raise ValueError(f"repeats {repeats}: must be at least 1")
    if not model.is_file():
        raise ValueError(f"model {model}: no such file")
    if not here():
        raise RuntimeError("peak memory is read from /proc, which this system does not have")
    found = []
    with tempfile.TemporaryDirectory() as room:
        small, questions = Path(room) / "small.onnx", Path(room) / "asked.json"
        small.write_bytes(small_graph())
        command = [sys.executable, "-m", module, str(small), str(model)]
        if asked is not None:
            questions.write_text(asked, encoding="utf-8")
            command.append(str(questions))
        for _ in range(repeats):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"{model}: could not be measured ({done.stderr.strip()[-300:]})")
            found.append(json.loads(done.stdout))
    return {
        "model_bytes": statistics.median(one["peak"] - one["before"] for one in found),
        "process_bytes": statistics.median(one["peak"] for one in found),
        **{key: found[0][key] for key in found[0] if key not in ("before", "peak")},
    }


def small_graph() -> bytes:
    """A graph of one matrix product, as small as it gets."""
    from onnx import TensorProto

    from neurolab.export.graph_builder import Graph

    g = Graph()
    g.op("MatMul", "x", np.ones((2, 2), np.float32))
    g.nodes[-1].output[0] = "y"
    made = g.model("small", [("x", TensorProto.FLOAT, [1, 2])], [("y", TensorProto.FLOAT, [1, 2])])
    return bytes(made.SerializeToString())


def kilobytes(field: str) -> int:
    """A field of /proc/self/status, in bytes."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(f"{field}:"))
    return 1024 * int(line.split()[1])


def open_graph(path: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def child(small: str, model: str) -> dict[str, int]:
    """What the process of its own does: bytes before the model was opened, and at the peak."""
    open_graph(small).run(None, {"x": np.ones((1, 2), np.float32)})
    before = kilobytes("VmRSS")
    REFS.write_text("5")
    opened = open_graph(model)
    shape = {put.name: put.shape for put in opened.get_inputs()}["cache"]
    cache = np.zeros((shape[0], 2, 1, shape[3], 0, shape[5]), np.float32)
    ids = np.arange(3, 3 + PROMPT, dtype=np.int64)[None]
    for _ in range(TOKENS + 1):
        logits, cache = opened.run(["logits", "new_cache"], {"ids": ids, "cache": cache})
        ids = logits.argmax(-1)[:, None].astype(np.int64)
    return {"before": before, "peak": kilobytes("VmHWM")}


if __name__ == "__main__":
    print(json.dumps(child(*sys.argv[1:])))
