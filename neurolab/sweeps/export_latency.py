"""How long ONNX Runtime takes in each precision, and from which size on fewer bits pay: rows export.latency
and export.width."""

from __future__ import annotations

import tempfile
from functools import lru_cache, partial
from pathlib import Path

import torch

from neurolab import assistant
from neurolab.assistant import Assistant
from neurolab.export import RUNTIMES, export, open_session, speed
from neurolab.export.decoder import Decoder, Step, torch_step
from neurolab.export.onnx_file import model, session, step_of
from neurolab.sweep import Job
from neurolab.transformer import Config, Transformer

OURS = ("onnx", "ort")
WIDTHS = (96, 160, 256, 384, 512)
"""Widths of networks with 4 layers and heads of 32, as the assistant (160) has them; random weights."""


@lru_cache(maxsize=1)
def network() -> Assistant:
    """The assistant."""
    return assistant.load()


@lru_cache(maxsize=16)
def opened(runtime: str, precision: str) -> Step:
    """The assistant's step in a runtime and precision."""
    with tempfile.TemporaryDirectory() as room:
        folder = Path(room) / "export"
        export(runtime, precision, folder, assistant=network())
        return open_session(folder).run


def timed(runtime: str, precision: str, what: str, pairs: int = 21, rounds: int = 400) -> dict[str, float]:
    """Figures of export.latency: beside the runtime's fp32 and int8, ONNX Runtime's fp32, and torch."""
    config = network().model.config
    others = {
        "fp32": opened(runtime, "fp32"),
        "int8": opened(runtime, "int8"),
        "onnx": opened("onnx", "fp32"),
        "torch": torch_step(Decoder(network().model)),
    }
    if precision in ("fp32", "int8"):
        others.pop(precision)  # beside itself
    if runtime == "onnx":
        others.pop("onnx")
    return speed.figures(opened(runtime, precision), config, what, others, pairs, rounds)


@lru_cache(maxsize=2)
def stranger(width: int) -> Decoder:
    """A network of this width with random weights."""
    torch.manual_seed(0)
    return Decoder(Transformer(Config(width=width, heads=width // 32, hidden=4 * width)).eval())


def sized(width: int, precision: str, what: str, pairs: int = 21, rounds: int = 200) -> dict[str, float]:
    """Figures of export.width: a network of this width beside itself in fp32."""
    steps = {p: step_of(session(model(stranger(width), p).SerializeToString())) for p in ("fp32", precision)}
    config = stranger(width).config
    found = speed.figures(steps[precision], config, what, {"fp32": steps["fp32"]}, pairs, rounds)
    return found | {"parameters": sum(p.numel() for p in stranger(width).parameters())}


def jobs() -> list[Job]:
    """Every row of this module."""
    made = []
    for runtime in OURS:
        for precision in RUNTIMES[runtime].precisions:
            for what in speed.CALLS:
                setting = {"runtime": runtime, "format": precision, "what": what}
                make = partial(timed, runtime, precision, what)
                made.append(Job("export.latency", setting, make, 0.5, 7))
    for width in WIDTHS:
        for precision in ("int8", "int4"):
            for what in speed.CALLS:
                wide = {"runtime": "onnx", "format": precision, "what": what, "width": width}
                made.append(Job("export.width", wide, partial(sized, width, precision, what), 0.5, 7))
    return made
