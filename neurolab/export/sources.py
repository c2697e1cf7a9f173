"""Which networks can be exported beside the assistant: the compressed, the pruned and the spiking ones.

    ptq12, qat18, ...   data/compressed: floats again once read, so any runtime and precision
    spiking             data/spiking/quantized, every population until it rests: the integer network's answers
    spiking2, spiking4  networks trained for 2 and 4 steps, run for as many, in a loop

A structurally pruned assistant is an ordinary, smaller `Transformer`: give it to `export` as `assistant`.
"""

from __future__ import annotations

from torch import nn

from neurolab.export.decoder import Decoder
from neurolab.export.spiking_decoder import SpikingDecoder
from neurolab.transformer import Transformer

SPIKING: dict[str, tuple[str, int | None]] = {
    "spiking": ("quantized", None),
    "spiking2": ("two", 2),
    "spiking4": ("four", 4),
}
"""The name of an export: the network's name in data/spiking, and its steps a token (None: until rest)."""

EXACT_RUNTIMES = ("onnx", "ort")
"""Where a whole spiking network runs exactly; a single layer does everywhere (`spiking_runtimes`)."""


def spiking(name: str = "spiking", looped: bool = True) -> SpikingDecoder:
    """The spiking network of this name as a decoder. ValueError for another name."""
    from neurolab import spiking_files

    if name not in SPIKING:
        raise ValueError(f"name {name!r}: must be one of {', '.join(SPIKING)}")
    network, T = SPIKING[name]
    return SpikingDecoder(spiking_files.load(network), T, looped=looped)


def step_of(model: nn.Module) -> nn.Module:
    """The step of a network: a `Transformer`'s decoder, or the network itself if it is a decoder already."""
    return Decoder(model) if isinstance(model, Transformer) else model


def check_choice(name: str, runtime: str, precision: str) -> None:
    """ValueError where a spiking network should be rounded, or go where it would not stay exact.

    It holds whole numbers already, and its norms need 64 bits of them: OpenVINO's processor plugin computes
    int64 in 32 bits without a word, and its answers are wrong.
    """
    if name not in SPIKING:
        return
    if runtime not in EXACT_RUNTIMES:
        raise ValueError(
            f"runtime {runtime!r}: {name} needs whole numbers of 64 bits; export it to "
            f"{' or '.join(EXACT_RUNTIMES)}"
        )
    if precision != "fp32":
        raise ValueError(
            f"precision {precision!r}: {name} holds bytes and whole numbers already; export it as it is, fp32"
        )
