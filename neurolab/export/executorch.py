"""ExecuTorch: PyTorch's own runtime for phones, with the XNNPACK delegate (the extra `executorch`).

`torch.export` takes the step as a graph with dynamic n and past. A partitioner then gives every part that
XNNPACK knows (matrices, softmax, GELU, sums) to that library's kernels, written for the processors of phones;
what is left (layer norms, tables, slices, the cache's growing) runs in ExecuTorch's own plain kernels. The
program with its weights is one file, model.pte.

Rounded weights are those of torchao: 8 bits with a scale for each output, or 4 bits with a scale for each
GROUP inputs; activations are rounded to 8 bits when they come, a scale for each token. Tables are 8 bits with
a scale for each row in both, by `RoundedTable`, since the runtime's own operator for a torchao table has to
be linked in by hand. XNNPACK packs the matrices for itself, so the output matrix, elsewhere the embedding
seen from the other side, is stored a second time.

batch is 1: what a phone does.

Sources: ExecuTorch 1.5 and torchao 0.18, documentation and sources.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurolab.export.decoder import Decoder, Step, example

FILE = "model.pte"
GROUP = 32
"""Inputs of one scale, at 4 bits."""
PRECISIONS = ("fp32", "int8", "int4")


class WithOutput(nn.Module):
    """A decoder whose output matrix is a layer of its own, so that it can be rounded as the others are."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.config = decoder.config
        self.decoder = copy.deepcopy(decoder)
        self.output = nn.Linear(decoder.config.width, decoder.config.vocabulary, bias=False)
        with torch.no_grad():
            self.output.weight.copy_(decoder.embedding.weight)
        self.eval()

    def forward(self, ids: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        """ids (B, n), cache (layers, 2, B, H, past, E) -> logits (B, V), new cache."""
        last, new = self.decoder.hidden(ids, cache)
        return self.output(last), new


class RoundedTable(nn.Module):
    """An embedding whose rows are 8-bit numbers with a scale each: row = number * scale."""

    numbers: Tensor
    scales: Tensor

    def __init__(self, table: nn.Embedding) -> None:
        super().__init__()
        rows = table.weight.detach()
        scales = rows.abs().amax(1, keepdim=True).clamp_min(1e-12) / 127  # (V, 1)
        self.register_buffer("numbers", (rows / scales).round().to(torch.int8))  # (V, D)
        self.register_buffer("scales", scales)

    def forward(self, ids: Tensor) -> Tensor:
        """ids (...) -> (..., D) float32."""
        return F.embedding(ids, self.numbers).float() * F.embedding(ids, self.scales)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the libraries say of their own insides: deprecations, and kernels for other machines."""
    names = ("torchao", "torch.utils._pytree", "root")
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def rounded(decoder: nn.Module, precision: str) -> nn.Module:
    """A copy of the step with its matrices and tables rounded; at fp32, only the output matrix apart."""
    from torchao.quantization import Int8DynamicActivationIntxWeightConfig, PerAxis, PerGroup, quantize_

    step = WithOutput(decoder) if isinstance(decoder, Decoder) else copy.deepcopy(decoder)
    if precision == "fp32":
        return step
    bits, scale = (torch.int8, PerAxis(0)) if precision == "int8" else (torch.int4, PerGroup(GROUP))  # type: ignore[attr-defined]
    quantize_(step, Int8DynamicActivationIntxWeightConfig(weight_dtype=bits, weight_granularity=scale))
    for module in list(step.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Embedding):
                setattr(module, name, RoundedTable(child))
    return step


def export(decoder: nn.Module, folder: Path, precision: str) -> dict[str, Any]:
    """Write model.pte into `folder`; the notes tell how many parts XNNPACK runs, and what it leaves.

    precision: one of PRECISIONS; ValueError for another. At int4 every matrix's inputs must be a multiple of
    GROUP.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision {precision!r}: ExecuTorch is exported as {', '.join(PRECISIONS)}")
    with _quiet():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        step = rounded(decoder, precision)
        config: Any = decoder.config
        dynamic = torch.export.Dim.DYNAMIC
        program = torch.export.export(
            step,
            example(config),
            dynamic_shapes={
                "ids": {1: dynamic(min=1, max=config.context - 1)},
                "cache": {4: dynamic(min=0, max=config.context - 1)},
            },
        )
        lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
        (folder / FILE).write_bytes(bytes(lowered.to_executorch().buffer))
    calls = Counter(
        str(getattr(node.target, "_name", getattr(node.target, "__name__", node.target)))
        for node in lowered.exported_program().graph.nodes
        if node.op == "call_function"
    )
    delegated = calls.pop("executorch_call_delegate", 0)
    left = {name: calls[name] for name in sorted(calls) if "::" in name and "sym_size" not in name}
    return {"delegate": "XNNPACK", "delegated_parts": delegated, "left_to_plain_kernels": left}


def step_of(program: Path | bytes) -> Step:
    """The step that a program runs, one sequence at a time."""
    with _quiet():
        from executorch.extension.pybindings import portable_lib
        from executorch.runtime import Runtime

        if portable_lib._threadpool_get_thread_count() != 1:
            portable_lib._unsafe_reset_threadpool(1)  # its only switch; before any program is loaded
        loaded = Runtime.get().load_program(program if isinstance(program, bytes) else str(program))
        method: Any = loaded.load_method("forward")

    def given(a: np.ndarray) -> Tensor:
        """As a tensor; an array without entries gets the strides that the runtime asks for."""
        return torch.from_numpy(a) if a.size else torch.empty(a.shape)

    def step(ids: np.ndarray, cache: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits, new = method.execute([given(ids), given(cache)])
        return logits.numpy().copy(), new.numpy().copy()  # the runtime writes over its own

    step.program = loaded  # type: ignore[attr-defined]  # lives as long as the step
    return step


def open(folder: Path) -> Step:
    """The step of the folder's model.pte."""
    return step_of(folder / FILE)
