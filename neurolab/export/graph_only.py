"""The decoder's ONNX graph without its weights: they are put in by whoever opens it, from memory.

The phone page downloads a compressed file (chapter 5) that is several times smaller than the weights, and
decodes it. What it lacks is the graph, a few kilobytes. In that graph every weight is ONNX's "external data",
which names a location instead of holding bytes. Ours are no files; a location says which of the network's own
tensors the weight is made of:

    norm.weight       the tensor as it is
    A+B+C.T           tensors of one width, one below the other, then transposed, as MatMul takes them

`fill` follows those recipes in Python, book/phone/nlab_graph.mjs in the page. `graph` checks them: the
weights that they give must be, bit for bit, those that `onnx_graph` puts there itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from neurolab.export import onnx_graph
from neurolab.export.decoder import Decoder
from neurolab.transformer import Config, Transformer

if TYPE_CHECKING:
    import onnx

_PARTS = {
    "qkv": ("attention.query", "attention.key", "attention.value"),
    "out": ("attention.out",),
    "up": ("feed_forward.up",),
    "down": ("feed_forward.down",),
}


def recipe(name: str) -> str:
    """What a graph's weight is made of, by its name there. ValueError for a name that has no recipe."""
    if re.fullmatch(r"embedding\.weight|position\.weight|norm\.(weight|bias)", name):
        return name
    found = re.fullmatch(r"layers\.(\d+)\.(?:(norm[12]\.(?:weight|bias))|(qkv|out|up|down)\.weight)", name)
    if not found:
        raise ValueError(f"weight {name!r}: no tensors of the network are known to make it")
    layer, norm, matrix = found.groups()
    if norm:
        return f"blocks.{layer}.{norm}"
    return "+".join(f"blocks.{layer}.{part}.weight" for part in _PARTS[matrix]) + ".T"


def follow(made_of: str, weights: Mapping[str, Tensor]) -> np.ndarray:
    """The float32 numbers that a recipe asks for. ValueError for a tensor that `weights` lacks."""
    names = made_of.removesuffix(".T").split("+")
    if missing := [name for name in names if name not in weights]:
        raise ValueError(f"weights lacks {missing[0]!r}, which the graph asks for")
    found = torch.cat([weights[name] for name in names]) if len(names) > 1 else weights[names[0]]
    found = found.detach().float().cpu()
    return np.ascontiguousarray((found.T if made_of.endswith(".T") else found).numpy())


def graph(config: Config | Transformer) -> bytes:
    """The .onnx of a network of these sizes (or of a network's), its weights external. Deterministic.

    Inputs and outputs as in `onnx_file`; to be opened with `fill`, or in the page.
    """
    config = config.config if isinstance(config, Transformer) else config
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Transformer(config).eval()
        with torch.no_grad():
            for weight in model.parameters():
                weight.normal_()  # no two alike, so that none can stand for another unnoticed
        return without_weights(onnx_graph.build(Decoder(model)), model.state_dict())


def without_weights(full: onnx.ModelProto, weights: Mapping[str, Tensor]) -> bytes:
    """The same model with its float weights external.

    weights: those of the network that `full` was exported from. RuntimeError if the recipes do not give back
    what `full` holds, or do not use every weight: the graph is then another one than this module knows.
    """
    import onnx
    from onnx import numpy_helper

    made = onnx.ModelProto()
    made.CopyFrom(full)
    used: set[str] = set()
    for weight in made.graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT or not weight.dims:
            continue
        made_of = recipe(weight.name)
        held, asked = numpy_helper.to_array(weight), follow(made_of, weights)
        if held.shape != asked.shape or held.tobytes() != asked.tobytes():
            raise RuntimeError(f"{weight.name}: its numbers are not those of {made_of}")
        used.update(made_of.removesuffix(".T").split("+"))
        weight.ClearField("raw_data")
        weight.ClearField("float_data")
        weight.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", made_of), ("offset", "0"), ("length", str(asked.nbytes))):
            weight.external_data.add(key=key, value=value)
    if unused := sorted(set(weights) - used):
        raise RuntimeError(f"the graph has no place for {unused[0]}")
    return made.SerializeToString(deterministic=True)


def locations(made: bytes) -> dict[str, str]:
    """The recipe of each external weight of a graph, by the weight's name. ValueError if it is no ONNX."""
    return {weight.name: where for weight, where in _external(_parse(made))}


def _parse(made: bytes) -> onnx.ModelProto:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return onnx.ModelProto.FromString(made)
    except DecodeError as error:
        raise ValueError(f"graph of {len(made)} bytes: no ONNX ({error})") from error


def _external(model: onnx.ModelProto) -> list[tuple[onnx.TensorProto, str]]:
    """The external weights, and their locations."""
    return [
        (weight, next(entry.value for entry in weight.external_data if entry.key == "location"))
        for weight in model.graph.initializer
        if weight.data_location
    ]


def fill(made: bytes, weights: Mapping[str, Tensor]) -> bytes:
    """The .onnx with the weights in it, as any ONNX runtime opens it.

    weights: a network's tensors by name (`Transformer.state_dict`, `quantized.values`). ValueError for one
    that is missing or of another shape than the graph asks for.
    """
    model = _parse(made)
    for weight, where in _external(model):
        found = follow(where, weights)
        if tuple(weight.dims) != found.shape:
            raise ValueError(f"{where} has shape {found.shape}: the graph asks for {tuple(weight.dims)}")
        weight.ClearField("external_data")
        weight.ClearField("data_location")
        weight.raw_data = found.astype("<f4").tobytes()
    return model.SerializeToString(deterministic=True)
