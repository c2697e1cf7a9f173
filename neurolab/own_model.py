"""`neurolab compress MODEL` for a model of the reader's own: a Hugging Face folder or hub name, made small.

    found = own_model.compress("bert-base-uncased", Path("small.nlab"), precision="int4")   # a report
    own_model.decompress(Path("small.nlab"), Path("folder"))                    # a folder for Transformers
    own_model.measured("bert", "int4")     # both on a small model with random weights, in seconds: figures

precision: "int8" (rounded to nearest, a step a row) or "int4" (GPTQ on calibration text, embeddings in
EMBEDDING_BITS). Both are entropy-coded into one file, layer by layer, so that memory holds one layer.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

FAMILIES = ("bert", "gpt2", "llama")
PRECISIONS = ("int8", "int4")


def compress(
    model: str | Path, out: Path, *, precision: str = "int8", sparsity: float = 0.0, force: bool = False
) -> dict[str, Any]:
    """Compress a Transformer to the file `out`; the report (see `measured` for its figures)."""
    raise NotImplementedError


def decompress(file: Path, folder: Path, *, force: bool = False) -> None:
    """The folder that Transformers loads: config.json, model.safetensors, the tokenizer's files."""
    raise NotImplementedError


def measured(family: str = "bert", precision: str = "int8", *, seed: int = 0) -> dict[str, Any]:
    """Compress a small random model of a family (about two seconds) and compare it; nothing stays on disk.

    Figures: bytes, float_bytes, ratio_vs_fp32, cosine (mean over tokens), cosine_least, latency_ratio (the
    float model's time over the int8 ONNX one's; int8 only), seconds, coder, weights ("random"),
    layers: [{name, kind, bits, bits_coded, error}] with error the relative one, |W - Q| / |W|.
    """
    raise NotImplementedError
