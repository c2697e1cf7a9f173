"""Run by an arm64 Python with NumPy and ONNX Runtime and nothing else: greedy answers of an export's file.

    python arm64_worker.py MODEL TASK RESULT

TASK (JSON): prompts [[ids]], cache [layers, 2, heads, head width], context, end, limit.  RESULT (JSON):
tokens [[ids]], logits [[scores behind each prompt]], machine, runtime. It imports nothing of the course.
"""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime


def answer(session: Any, task: dict[str, Any], prompt: list[int]) -> tuple[list[int], list[float]]:
    """The tokens of one answer, its end included, and the logits behind the prompt."""
    layers, two, heads, size = task["cache"]
    cache = np.zeros((layers, two, 1, heads, 0, size), np.float32)
    ids, made, first = np.array([prompt], np.int64), [], None
    for _ in range(min(task["limit"], task["context"] - len(prompt))):
        logits, cache = session.run(["logits", "new_cache"], {"ids": ids, "cache": cache})
        first = logits[0] if first is None else first
        made.append(int(logits[0].argmax()))
        if made[-1] == task["end"]:
            break
        ids = np.array([[made[-1]]], np.int64)
    return made, [] if first is None else [float(x) for x in first]


def main(model: str, task_file: str, result_file: str) -> None:
    """Answer every prompt of the task and write the result."""
    task = json.loads(Path(task_file).read_text(encoding="utf-8"))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    found = [answer(session, task, prompt) for prompt in task["prompts"]]
    told = {
        "tokens": [tokens for tokens, _ in found],
        "logits": [logits for _, logits in found],
        "machine": platform.machine(),
        "runtime": onnxruntime.__version__,
    }
    Path(result_file).write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
