"""The int8 graph of a model of the reader's own beside the float32 one: in turns, in a process of its own.

    python -m neurolab.own_timing FLOAT INT8 VOCABULARY LENGTH      prints one JSON object

Both run in ONNX Runtime on one thread, a sequence of random tokens at a time (`neurolab.benchmark.paired`).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from neurolab import benchmark
from neurolab.own_file import Reader
from neurolab.own_folder import Folder


def compare(folder: Folder, reader: Reader, onnx: Path, length: int, *, pairs: int = 7) -> dict[str, Any]:
    """Write the int8 graph to `onnx`, and measure it against the float32 graph, which is not kept.

    Figures: latency_ratio (the float32 graph's time over the int8 one's: above 1 is faster), its interval,
    onnx_cosine (of the outputs, the mean over tokens), onnx_bytes, onnx_whole, onnx_floating. RuntimeError
    if the other process fails.
    """
    from neurolab.own_graph import trace, write
    from neurolab.own_stream import Stack

    traced = trace(Stack(folder))
    made = write(folder, onnx, reader, traced=traced)
    with tempfile.TemporaryDirectory() as room:
        exact = Path(room) / "float.onnx"
        write(folder, exact, traced=traced)
        command = [sys.executable, "-m", "neurolab.own_timing", str(exact), str(onnx)]
        command += [str(folder.config["vocab_size"]), str(length), str(pairs)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{onnx}: could not be measured ({done.stderr.strip()[-300:]})")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {f"onnx_{name}": value for name, value in made.items()} | found


def child(exact: str, rounded: str, vocabulary: str, length: str, pairs: str) -> dict[str, float]:
    """What the process of its own does."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    opened = [
        onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        for path in (exact, rounded)
    ]
    generator = np.random.default_rng(0)
    ids = generator.integers(min(8, int(vocabulary) - 1), int(vocabulary), (4, int(length)))
    outputs = [
        np.concatenate([s.run(["hidden"], {"input_ids": row[None]})[0] for row in ids]).astype(np.float64)
        for s in opened
    ]
    sizes = [np.linalg.norm(out, axis=-1) for out in outputs]
    cosine = (outputs[0] * outputs[1]).sum(-1) / np.maximum(sizes[0] * sizes[1], 1e-30)
    one = {"input_ids": ids[:1]}
    ratio = benchmark.paired(
        lambda: opened[1].run(["hidden"], one), lambda: opened[0].run(["hidden"], one), pairs=int(pairs)
    )
    return {
        "latency_ratio": ratio.median,
        "latency_ratio_low": ratio.low,
        "latency_ratio_high": ratio.high,
        "onnx_cosine": float(cosine.mean()),
        "onnx_cosine_least": float(cosine.min()),
        "length": int(length),
    }


if __name__ == "__main__":
    print(json.dumps(child(*sys.argv[1:])))
