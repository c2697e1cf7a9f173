"""Run by LiteRT's own environment: a step that torch.export saved becomes a .tflite file, or is run.

    python litert_worker.py convert PROGRAM.pt2 PRECISION MODEL.tflite
    python litert_worker.py serve MODEL.tflite

`serve` reads calls from standard input and writes results to standard output, each an .npz behind its length
(8 bytes, little-endian): ids (1, 1), cache, past in; logits, cache out. It imports nothing of the course.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np


def convert(program: str, precision: str, target: str) -> None:
    """Write the .tflite file: fp32, or int8 (weights a scale for each output, activations when they come)."""
    import litert_torch
    import torch

    loaded = torch.export.load(program)
    given = loaded.example_inputs[0]
    made = litert_torch.convert(loaded.module(), given)
    made.export(target)
    if precision == "int8":
        from ai_edge_quantizer import quantizer, recipe

        rounding = quantizer.Quantizer(target, recipe.dynamic_wi8_afp32())
        rounded = rounding.quantize().quantized_model
        Path(target).write_bytes(bytes(rounded))


def _read(source: BinaryIO) -> dict[str, Any] | None:
    head = source.read(8)
    if len(head) < 8:
        return None
    with np.load(io.BytesIO(source.read(int.from_bytes(head, "little")))) as arrays:
        return dict(arrays)


def _write(target: BinaryIO, **arrays: np.ndarray) -> None:
    room = io.BytesIO()
    np.savez(room, **arrays)  # type: ignore[arg-type]
    target.write(len(room.getvalue()).to_bytes(8, "little") + room.getvalue())
    target.flush()


def serve(model: str, source: BinaryIO, target: BinaryIO) -> None:
    """Answer calls until standard input ends."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=model, num_threads=1)
    interpreter.allocate_tensors()
    inputs = sorted(interpreter.get_input_details(), key=lambda d: len(d["shape"]))
    past, ids, cache = inputs  # (1,), (1, 1), (2 layers, H, context, E)
    logits, new = sorted(interpreter.get_output_details(), key=lambda d: len(d["shape"]))
    while (call := _read(source)) is not None:
        for place, name in ((ids, "ids"), (cache, "cache"), (past, "past")):
            interpreter.set_tensor(place["index"], call[name])
        interpreter.invoke()
        _write(
            target, logits=interpreter.get_tensor(logits["index"]), cache=interpreter.get_tensor(new["index"])
        )


if __name__ == "__main__":
    if sys.argv[1] == "convert":
        convert(*sys.argv[2:])
    else:
        serve(sys.argv[2], sys.stdin.buffer, sys.stdout.buffer)
