"""Which delegate for which hardware of a phone, and what became of the names in older tutorials.

A delegate (ONNX Runtime: execution provider; ExecuTorch: backend) is the part of a runtime that hands pieces
of the graph to special hardware. Every cell has its source; SOURCES gives each a link, and its key is that of
``book/references.bib``. Nothing here was measured by us.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

_ET, _ORT = "https://docs.pytorch.org/executorch/stable/", "https://onnxruntime.ai/docs/execution-providers/"
_LITERT = "https://ai.google.dev/edge/litert/"
SOURCES = {
    "android2024nnapi": "https://developer.android.com/ndk/guides/neuralnetworks/migration-guide",
    "apple2026computeunits": "https://developer.apple.com/documentation/coreml/mlcomputeunits",
    "executorch2025backends": f"{_ET}backends-overview.html",
    "executorch2025coreml": f"{_ET}ios-coreml.html",
    "executorch2025mps": f"{_ET}ios-mps.html",
    "litert2024coreml": "https://www.tensorflow.org/lite/performance/coreml_delegate",
    "litert2025iosgpu": f"{_LITERT}ios/gpu",
    "litert2025migration": f"{_LITERT}migration",
    "litert2025npu": f"{_LITERT}next/npu",
    "onnxruntime2025coreml": f"{_ORT}CoreML-ExecutionProvider.html",
    "onnxruntime2025qnn": f"{_ORT}QNN-ExecutionProvider.html",
    "onnxruntime2025web": "https://www.npmjs.com/package/onnxruntime-web",
    "onnxruntime2025webgpu": f"{_ORT}WebGPU-ExecutionProvider.html",
    "onnxruntime2025xnnpack": f"{_ORT}Xnnpack-ExecutionProvider.html",
    "pytorch2024mobile": "https://pytorch.org/mobile/home",
    "pytorch2025torchscript": "https://docs.pytorch.org/docs/stable/jit_language_reference.html",
    "qualcomm2026litert": "https://docs.qualcomm.com/doc/80-70018-54/topic/arch.html",
    "qualcomm2026litertgpu": "https://docs.qualcomm.com/bundle/publicresource/80-80022-15B/topics/run-litert-model-on-gpu.md",
}
"""Where each source is to be read, by its key in book/references.bib."""


class Delegate(NamedTuple):
    """One row. hardware: what works. name: the delegate. runtimes: those that have it, each with its source.
    mind: what to know before one relies on it, and who says so.
    """

    hardware: str
    name: str
    runtimes: tuple[tuple[str, str], ...]
    mind: str
    sources: tuple[str, ...]


class Name(NamedTuple):
    """A name of older tutorials. was: what it did. now: what became of it, and who says so."""

    name: str
    was: str
    now: str
    sources: tuple[str, ...]


DELEGATES = (
    Delegate(
        "the processor of any phone",
        "XNNPACK",
        (
            ("ExecuTorch", "executorch2025backends"),
            ("LiteRT", "qualcomm2026litert"),
            ("ONNX Runtime", "onnxruntime2025xnnpack"),
        ),
        "the one that ExecuTorch falls back to; in ONNX Runtime it has to be asked for, and knows floats",
        ("executorch2025backends", "onnxruntime2025xnnpack"),
    ),
    Delegate(
        "Apple's Neural Engine, GPU and processor",
        "Core ML",
        (
            ("Core ML itself", "apple2026computeunits"),
            ("ExecuTorch", "executorch2025coreml"),
            ("ONNX Runtime", "onnxruntime2025coreml"),
            ("LiteRT", "litert2024coreml"),
        ),
        "the system chooses among the three, an app can only forbid one; LiteRT's takes floats only",
        ("apple2026computeunits", "litert2024coreml"),
    ),
    Delegate(
        "Apple's GPU alone",
        "Metal (MPS)",
        (("ExecuTorch", "executorch2025mps"), ("LiteRT", "litert2025iosgpu")),
        "in LiteRT a part of its own, left out of the app unless asked for",
        ("litert2025iosgpu",),
    ),
    Delegate(
        "the GPU of an Android phone",
        "OpenCL, Vulkan",
        (("LiteRT (OpenCL)", "qualcomm2026litertgpu"), ("ExecuTorch (Vulkan)", "executorch2025backends")),
        "Google's advice to those who leave NNAPI",
        ("android2024nnapi",),
    ),
    Delegate(
        "Qualcomm's NPU (Hexagon)",
        "QNN (AI Engine Direct)",
        (
            ("ONNX Runtime", "onnxruntime2025qnn"),
            ("ExecuTorch", "executorch2025backends"),
            ("LiteRT", "litert2025npu"),
        ),
        "Snapdragon only",
        ("onnxruntime2025qnn",),
    ),
    Delegate(
        "MediaTek's NPU",
        "NeuroPilot",
        (("LiteRT", "litert2025npu"), ("ExecuTorch", "executorch2025backends")),
        "compiled ahead for one chip, or on the phone",
        ("litert2025npu",),
    ),
    Delegate(
        "Samsung's NPU (Exynos)",
        "Exynos",
        (("ExecuTorch", "executorch2025backends"),),
        "a file for each backend, as everywhere in ExecuTorch",
        ("executorch2025backends",),
    ),
    Delegate(
        "a browser",
        "WebAssembly; WebGPU where there is one",
        (("ONNX Runtime Web", "onnxruntime2025web"),),
        "WebAssembly has every operator of ONNX; WebGPU reaches graphics processors of any maker",
        ("onnxruntime2025web", "onnxruntime2025webgpu"),
    ),
)
"""The hardware that a phone may have, the most common first."""

HISTORY = (
    Name(
        "TorchScript",
        "PyTorch's first way to leave Python: a program in a language of its own",
        "deprecated; PyTorch says to use `torch.export`",
        ("pytorch2025torchscript",),
    ),
    Name(
        "PyTorch Mobile",
        "ran TorchScript's files on phones",
        "no longer actively supported; PyTorch points to ExecuTorch",
        ("pytorch2024mobile",),
    ),
    Name(
        "TensorFlow Lite",
        "Google's runtime for phones",
        "is called LiteRT; the old packages work, new features come to LiteRT only",
        ("litert2025migration",),
    ),
    Name(
        "NNAPI",
        "Android's common interface to accelerators, from Android 8.1",
        "deprecated in Android 15; Google points to LiteRT in Play services and its GPU delegate",
        ("android2024nnapi",),
    ),
)
"""Names that tutorials still use."""


def link(text: str, key: str) -> str:
    """`text` as a Markdown link to a source. ValueError for a key that is not in SOURCES."""
    if key not in SOURCES:
        raise ValueError(f"source is {key!r}; there are {', '.join(SOURCES)}")
    return f"[{text}]({SOURCES[key]})"


def _noted(text: str, sources: Sequence[str]) -> str:
    """`text`, and its sources as numbered links behind it."""
    return f"{text} ({', '.join(link(str(i), key) for i, key in enumerate(sources, start=1))})"


def table() -> Any:
    """The delegates as a table, for a chapter."""
    from IPython.display import Markdown

    lines = ["| hardware | the delegate | in | to know |", "|---|---|---|---|"]
    for row in DELEGATES:
        runtimes = ", ".join(link(*runtime) for runtime in row.runtimes)
        lines.append(f"| {row.hardware} | {row.name} | {runtimes} | {_noted(row.mind, row.sources)} |")
    return Markdown("\n".join([*lines, "", "*(cited: the documentation behind each link)*"]))


def history() -> Any:
    """What became of older names, as a table."""
    from IPython.display import Markdown

    lines = ["| name | what it was | today |", "|---|---|---|"]
    lines += [f"| {row.name} | {row.was} | {_noted(row.now, row.sources)} |" for row in HISTORY]
    return Markdown("\n".join([*lines, "", "*(cited: the documentation behind each link)*"]))
