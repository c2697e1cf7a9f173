"""The extra runtimes beside torch and ONNX Runtime: rows export.runtime and export.latency.

Core ML's rows hold what can be known without running it: bytes, the weights in the file beside the network's,
and how torch answers with the file's weights. LiteRT's have no times: between it and us is a pipe.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from neurolab.export import RUNTIMES, export, litert, speed
from neurolab.export.decoder import Decoder, answers, torch_step
from neurolab.sweep import Job
from neurolab.sweeps import export_latency, export_runtimes
from neurolab.tokens import exact_match

RUN = ("openvino", "executorch")


def saved(precision: str, every: int = 1) -> dict[str, Any]:
    """Figures of a Core ML file, on each `every`-th held-out question: the file is not executed."""
    from neurolab.export import coreml

    chosen = export_runtimes.network("assistant")
    questions = export_runtimes.asked()[::every]
    decoder = Decoder(chosen.model)
    with tempfile.TemporaryDirectory() as room:
        made = export("coreml", precision, Path(room) / "export", assistant=chosen)
        told = coreml.inspect(made.folder, decoder)
        step = torch_step(coreml.with_weights(made.folder, decoder))
    texts = [q.text for q in questions]
    got = answers(step, chosen.model.config, chosen.tokenizer, texts)
    right = sum(exact_match(a, q.answer) for a, q in zip(got, questions, strict=True))
    return {
        "bytes": made.bytes,
        "file_ratio": export_runtimes.float_bytes("onnx", "assistant") / made.bytes,
        "weights_difference": told["weights_difference"],
        "matrices": told["matrices"],
        "exact_match_of_its_weights_in_torch": right / len(texts),
        "executed": "not here: Core ML runs on macOS and iOS",
        "questions": len(texts),
    }


def jobs() -> list[Job]:
    """Every row of this module: of the extras that are installed, of LiteRT if its environment is there."""
    made = []
    for runtime in RUN:
        if RUNTIMES[runtime].missing():
            continue
        for precision in RUNTIMES[runtime].precisions:
            made.append(export_runtimes.job(runtime, precision, "assistant", 6.0))
            for what in speed.CALLS:
                setting = {"runtime": runtime, "format": precision, "what": what}
                make = partial(export_latency.timed, runtime, precision, what)
                made.append(Job("export.latency", setting, make, 1.0, 7))
    if litert.ready():
        made += [export_runtimes.job("litert", p, "assistant", 15.0) for p in RUNTIMES["litert"].precisions]
    if not RUNTIMES["coreml"].missing():
        for precision in RUNTIMES["coreml"].precisions:
            setting = {"runtime": "coreml", "precision": precision, "model": "assistant"}
            made.append(Job("export.runtime", setting, partial(saved, precision), 2.0, 7))
    return made
