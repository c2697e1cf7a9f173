"""Core ML: the step as an .mlpackage for Apple's devices (the extra `coreml`).

coremltools converts anywhere, but the framework that runs the result is part of macOS and iOS. So elsewhere
a file can be saved and read back, and not executed: `inspect` reads its specification and its weights, and
`open` says where it would run.

Core ML has at most five dimensions and no length of 0, so the file holds `fixed.FixedDecoder`: inputs ids
(1, n) int32 with n flexible, cache (2 layers, H, context, E), past (1,) int32. Weights and sums are float16.

    fp16      weights as they are, in float16
    int8      linear, symmetric, a scale for each output
    palette4  each matrix's weights replaced by 16 values of its own (k-means), 4 bits each
    pruned    the SPARSITY smallest weights of each matrix left out: a bit a place, float16 for the rest

Sources: coremltools 9.0, documentation and sources; the Core ML model format's specification.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import uuid
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from neurolab.export.decoder import Decoder, Step
from neurolab.export.fixed import FixedDecoder, example

FILE = "model.mlpackage"
PRECISIONS = ("fp16", "int8", "palette4", "pruned")
SPARSITY = 0.3
SMALLEST = 2048
"""Weights of fewer numbers stay as they are: norms."""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without progress bars, and warnings that this is no Mac."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def export(decoder: Decoder, folder: Path, precision: str) -> dict[str, Any]:
    """Write model.mlpackage into `folder`. ValueError for a precision that is none of PRECISIONS."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision {precision!r}: Core ML is exported as {', '.join(PRECISIONS)}")
    with _quiet():
        import coremltools as ct

        step = FixedDecoder(decoder)
        config = step.config
        given = example(config, n=3, past=2)
        with torch.inference_mode():
            traced = torch.jit.trace(step, given, check_trace=False)
        model = ct.convert(
            traced,
            inputs=[
                ct.TensorType("ids", (1, ct.RangeDim(1, config.context - 1, 1)), dtype=np.int32),
                ct.TensorType("cache", given[1].shape, dtype=np.float32),
                ct.TensorType("past", (1,), dtype=np.int32),
            ],
            outputs=[
                ct.TensorType("logits", dtype=np.float32),
                ct.TensorType("new_cache", dtype=np.float32),
            ],
            minimum_deployment_target=ct.target.iOS17,
            convert_to="mlprogram",
            skip_model_load=True,
        )
        model = _compressed(model, precision)
        model.short_description = "The neurolab assistant: one step of a small language model"
        model.license = "MIT"
        model.user_defined_metadata.pop("com.github.apple.coremltools.conversion_date", None)
        model.save(str(folder / FILE))
    _fixed_names(folder / FILE)
    return {
        "cache": "fixed",
        "executed": False,
        "about": "Saved and inspected on a machine that can't run Core ML: *not executed here*. Its own "
        "inputs are ids (1, n) int32, cache (2 x layers, heads, context, head width) and past (1,) int32.",
    }


def _compressed(model: Any, precision: str) -> Any:
    """The model with its weights made smaller by coremltools."""
    import coremltools.optimize.coreml as optimise

    if precision == "fp16":
        return model
    how, apply = {
        "int8": (
            optimise.OpLinearQuantizerConfig(mode="linear_symmetric", weight_threshold=SMALLEST),
            optimise.linear_quantize_weights,
        ),
        "palette4": (
            optimise.OpPalettizerConfig(mode="kmeans", nbits=4, weight_threshold=SMALLEST),
            optimise.palettize_weights,
        ),
        "pruned": (
            optimise.OpMagnitudePrunerConfig(target_sparsity=SPARSITY, weight_threshold=SMALLEST),
            optimise.prune_weights,
        ),
    }[precision]
    return apply(model, optimise.OptimizationConfig(global_config=how))


def _fixed_names(package: Path) -> None:
    """Name the package's parts by what they are, not by chance, so that an export is the same each time."""
    path = package / "Manifest.json"
    told = json.loads(path.read_text(encoding="utf-8"))
    text = json.dumps(told, indent=4, sort_keys=True)
    for old, item in told["itemInfoEntries"].items():
        text = text.replace(old, str(uuid.uuid5(uuid.NAMESPACE_URL, item["path"])).upper())
    path.write_text(json.dumps(json.loads(text), indent=4, sort_keys=True) + "\n", encoding="utf-8")


def inspect(folder: Path, decoder: Decoder | None = None) -> dict[str, Any]:
    """What the saved file says of itself: inputs and outputs (name: shape, -1 where flexible), version,
    operators with their counts.

    With the decoder that was exported: "matrices", how many of its weights were found in the file, and
    "weights_difference", the largest difference of one of them, over the largest entry of its matrix.
    """
    with _quiet():
        import coremltools as ct

        saved = ct.models.MLModel(str(folder / FILE), skip_model_load=True)
        spec = saved.get_spec()
        main = spec.mlProgram.functions["main"].block_specializations
        operators = Counter(o.type for block in main.values() for o in block.operations)
        found: dict[str, Any] = {
            "specification": spec.specificationVersion,
            "inputs": {i.name: _shape(i.type.multiArrayType) for i in spec.description.input},
            "outputs": {o.name: list(o.type.multiArrayType.shape) for o in spec.description.output},
            "operators": dict(sorted(operators.items())),
        }
        if decoder is not None:
            found |= _differences(_weights(saved), decoder)
    return found


def with_weights(folder: Path, decoder: Decoder) -> Decoder:
    """A copy of the decoder with the saved file's weights, for torch to run: what the rounding of the file
    does to answers can be measured anywhere, what Core ML makes of its operators can't."""
    import copy

    with _quiet():
        import coremltools as ct

        weights = _weights(ct.models.MLModel(str(folder / FILE), skip_model_load=True))
    made = copy.deepcopy(decoder)
    with torch.no_grad():
        for name, p in made.named_parameters():
            if (value := weights.get(_name(name))) is not None:
                p.copy_(torch.from_numpy(value.astype(np.float32)))
    return made


def _weights(saved: Any) -> dict[str, np.ndarray]:
    """The file's weights, unpacked to float16, by the decoder's names with _ for dots."""
    import coremltools.optimize.coreml as optimise

    plain = optimise.decompress_weights(saved)
    found = optimise.get_weights_metadata(plain, weight_threshold=0)
    return {re.sub(r"_to_fp16.*", "", name): data.val for name, data in found.items()}


def _name(parameter: str) -> str:
    """What a parameter of the decoder is called in the file."""
    return f"decoder.{parameter}".replace(".", "_")


def _shape(array: Any) -> list[int]:
    """The shape of an input, -1 for a size that is a range."""
    ranges = array.shapeRange.sizeRanges
    if not ranges:
        return list(array.shape)
    return [r.lowerBound if r.lowerBound == r.upperBound else -1 for r in ranges]


def _differences(weights: dict[str, np.ndarray], decoder: Decoder) -> dict[str, Any]:
    """The file's weights beside the decoder's."""
    gaps = []
    for name, p in decoder.named_parameters():
        if (value := weights.get(_name(name))) is not None and p.ndim == 2:
            wanted = p.detach().numpy()
            gaps.append(float(np.abs(value.astype(np.float32) - wanted).max() / np.abs(wanted).max()))
    return {"matrices": len(gaps), "weights_difference": max(gaps, default=0.0)}


def open(folder: Path) -> Step:
    """RuntimeError: the framework that runs the file is part of macOS and iOS."""
    raise RuntimeError(
        f"{folder / FILE}: Core ML runs on macOS and iOS only; this file can be inspected here, not executed"
    )
