"""How much memory a network takes while it answers many questions: the peak of a process of its own.

    python -m neurolab.headline_memory SMALL MODEL PROMPTS     prints one JSON object

The process imports NumPy and ONNX Runtime only, opens and runs the graph SMALL, so that the runtime itself is
there, and notes its resident memory (VmRSS). Then the system's record of the peak is reset (Linux: 5 into
/proc/self/clear_refs), MODEL is opened, every prompt of the JSON file PROMPTS is answered greedily with a
growing cache, and the peak is read (VmHWM). Peak minus first note is the model's: weights as they lie in
memory, what the runtime makes of them, the cache, and every number in between. A Python tracer would miss all
but the cache, since the runtime asks the system for memory itself. Unpacking a compressed file, once, before
the first answer, is not part of it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from neurolab.export import peak

LIMIT = 64
"""Tokens of an answer at most."""


def measure(
    model: Path, prompts: Sequence[Sequence[int]], end: int, context: int, repeats: int = 5
) -> dict[str, float]:
    """The peak of `repeats` processes that open a model (.onnx, .ort) and answer prompts (token ids).

    Medians. model_bytes: above the runtime alone.  process_bytes: of the whole process.  tokens: generated.
    end: the token that ends an answer.  context: tokens that fit. RuntimeError on a system that does not
    tell, or if the process fails; ValueError without prompts, for repeats below 1, or no such file.
    """
    if not prompts:
        raise ValueError("prompts is empty: at least 1 is needed")
    asked = {"prompts": [list(p) for p in prompts], "end": end, "context": context}
    return peak.medians("neurolab.headline_memory", model, repeats, json.dumps(asked))


def child(small: str, model: str, prompts: str) -> dict[str, int]:
    """What the process of its own does: bytes before the model was opened, at the peak; tokens generated."""
    given = json.loads(Path(prompts).read_text())
    peak.open_graph(small).run(None, {"x": np.ones((1, 2), np.float32)})
    before = peak.kilobytes("VmRSS")
    peak.REFS.write_text("5")
    opened = peak.open_graph(model)
    shape = {put.name: put.shape for put in opened.get_inputs()}["cache"]
    tokens = 0
    for prompt in given["prompts"]:
        ids = np.array([prompt], np.int64)
        cache = np.zeros((shape[0], 2, 1, shape[3], 0, shape[5]), np.float32)
        for _ in range(min(LIMIT, given["context"] - len(prompt))):
            logits, cache = opened.run(["logits", "new_cache"], {"ids": ids, "cache": cache})
            token, tokens = int(logits[0].argmax()), tokens + 1
            if token == given["end"]:
                break
            ids = np.array([[token]], np.int64)
    return {"before": before, "peak": peak.kilobytes("VmHWM"), "tokens": tokens}


if __name__ == "__main__":
    print(json.dumps(child(*sys.argv[1:])))
