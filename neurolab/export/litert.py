"""LiteRT, formerly TensorFlow Lite: a .tflite file, made and run in an environment of its own.

Its packages need other versions than the course has (typing_extensions, pydantic, anyio), so they never enter
the course's environment: `environment` makes a second one below .cache the first time (about 2.5 GB, some
minutes, the network), and `litert_worker.py` works there. What passes between the two: a program saved by
torch.export, then arrays through a pipe.

LiteRT plans its memory for fixed sizes, so the file holds `fixed.FixedDecoder` for one token of one sequence;
a prompt is read token by token.

Sources: litert-torch 0.10, ai-edge-quantizer 0.10, ai-edge-litert 2.3: documentation and sources.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import weakref
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from neurolab.export.decoder import Decoder, Step
from neurolab.export.fixed import FixedDecoder, example, growing
from neurolab.export.folder import CONFIG
from neurolab.paths import ROOT
from neurolab.transformer import Config

FILE = "model.tflite"
PRECISIONS = ("fp32", "int8")
HOME = ROOT / ".cache" / "litert"
READY = ".ready"
"""The file that is written last."""
WORKER = Path(__file__).with_name("litert_worker.py")
PACKAGES = ("torch==2.13.0", "litert-torch==0.10.0", "ai-edge-quantizer==0.10.0", "ai-edge-litert==2.3.0")


def python(home: Path = HOME) -> Path:
    """The Python of LiteRT's environment, there or not."""
    return home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def ready(home: Path = HOME) -> bool:
    """Whether LiteRT's environment is there, whole."""
    return (home / READY).is_file()


def environment(home: Path = HOME) -> Path:
    """Make LiteRT's environment, unless it is there: its Python. RuntimeError with what pip said."""
    if not ready(home):
        print(f"Making LiteRT's own environment in {home}: about 2.5 GB, some minutes.", file=sys.stderr)
        _call([sys.executable, "-m", "venv", "--clear", str(home)])
        _call([str(python(home)), "-m", "pip", "install", "-q", *PACKAGES])
        (home / READY).touch()
    return python(home)


def _call(command: list[str]) -> None:
    """Run a command. RuntimeError with the end of what it said, if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise RuntimeError(f"{' '.join(command[1:4])} ended with status {done.returncode}: {said}")


def export(decoder: Decoder, folder: Path, precision: str) -> dict[str, Any]:
    """Write model.tflite into `folder`. ValueError for a precision that is none of PRECISIONS."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision {precision!r}: LiteRT is exported as {', '.join(PRECISIONS)}")
    step = FixedDecoder(decoder)
    chosen = environment()
    with tempfile.TemporaryDirectory() as room:
        program = Path(room) / "program.pt2"
        torch.export.save(torch.export.export(step, example(step.config)), program)
        _call([str(chosen), str(WORKER), "convert", str(program), precision, str(folder / FILE)])
    return {
        "cache": "fixed",
        "about": "Its own inputs are one token, ids (1, 1) int32, cache (2 x layers, heads, context, head "
        "width) and past (1,) int32.",
    }


class Served:
    """A .tflite file, run by a process: a fixed step. python: the command of a Python that has LiteRT."""

    def __init__(self, model: Path, python: list[str], env: dict[str, str] | None = None) -> None:
        command = [*python, str(WORKER), "serve", str(model)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=env
        )
        self._end = weakref.finalize(self, _stop, self.process)

    def __call__(self, ids: np.ndarray, cache: np.ndarray, past: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """ids (1, 1) int32, cache (2 layers, H, context, E), past (1,) int32 -> logits (1, V), new cache."""
        room = io.BytesIO()
        np.savez(room, ids=ids, cache=cache, past=past)
        to, back = self.process.stdin, self.process.stdout
        assert to is not None
        assert back is not None
        data = room.getvalue()
        try:
            to.write(len(data).to_bytes(8, "little") + data)
            to.flush()
        except BrokenPipeError as error:
            raise RuntimeError("LiteRT's process has ended; is its environment whole?") from error
        with np.load(io.BytesIO(_read(back))) as told:
            return told["logits"], told["cache"]


def _read(back: IO[bytes]) -> bytes:
    """One result from the pipe."""
    head = back.read(8)
    if len(head) < 8:
        raise RuntimeError("LiteRT's process has ended; is its environment whole?")
    return back.read(int.from_bytes(head, "little"))


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the process: its input closes, then it stops by itself."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def open(folder: Path) -> Step:
    """The step of the folder's model.tflite, in a process of LiteRT's environment."""
    import json

    config = Config(**json.loads((folder / CONFIG).read_text(encoding="utf-8"))["config"])
    return growing(Served(folder / FILE, [str(environment())]), config, tokens=1)
