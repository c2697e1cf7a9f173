"""`neurolab compress` and `decompress` for a model of the reader's own: what the commands do and print."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from neurolab import own_file, own_model
from neurolab.own_folder import CONFIG, INDEX

BITS = {8: "int8", 4: "int4"}


def is_own(model: str | Path | None) -> bool:
    """Whether this is a Hugging Face folder, or looks like a hub name, and is no file here."""
    if model is None:
        return False
    path = Path(model)
    if path.is_dir():
        return (path / CONFIG).is_file() or (path / INDEX).is_file()
    named = re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", str(model)) is not None
    return (
        named and not path.exists() and path.suffix not in (".safetensors", ".nlab", ".json", ".bin", ".pt")
    )


def compress(
    model: str | Path,
    out: Path,
    *,
    bits: int = 4,
    sparsity: float = 0.0,
    coder: str = "ans",
    text: Path | None = None,
    onnx: bool = True,
    force: bool = False,
    progress: bool = True,
) -> dict[str, Any]:
    """Compress, write the int8 graph beside the file (its name with .onnx behind it), and measure it.

    ValueError for bits other than 4 and 8, and as `own_model.compress` does.
    """
    from tqdm.auto import tqdm

    if bits not in BITS:
        raise ValueError(f"bits {bits}: a Hugging Face model is made with 4 or 8 bits")
    graph = out.with_name(f"{out.stem}.onnx")
    if onnx and not force and (graph.exists() or graph.with_name(f"{graph.name}.data").exists()):
        raise ValueError(f"{graph}: is there already; --force overwrites it")
    folder = own_model.folder_of(model)
    numbers = sum(entry.numbers for entry in folder.entries.values())
    with tqdm(total=numbers, unit="w", unit_scale=True, disable=not progress, desc="weights") as bar:

        def tick(done: int, name: str) -> None:
            bar.set_postfix_str(name[-40:], refresh=False)
            bar.update(done)

        found = own_model.compress(
            folder.path,
            out,
            precision=BITS[bits],
            sparsity=sparsity,
            coder=coder,
            text=text,
            force=force,
            tick=tick,
        )
    if onnx:
        from neurolab.own_timing import compare

        length = own_model.token_ids(folder, None)[0].shape[1]
        found |= {"onnx": str(graph), **compare(folder, own_file.Reader(out), graph, length)}
    return {**found, "model": str(model)}


def table(found: Mapping[str, Any]) -> Table:
    """The report for the terminal: the whole, then each kind of layer."""
    drawn = Table("what", "figure", title=f"{found['model']} in {found['file']}")
    drawn.add_row("the file, bytes", f"{found['bytes']:,}")
    drawn.add_row("as float32, bytes", f"{found['float_bytes']:,}")
    drawn.add_row("smaller", f"{found['ratio_vs_fp32']:.2f} x")
    if "cosine" in found:
        drawn.add_row("outputs: cosine similarity, mean", f"{found['cosine']:.5f}")
        drawn.add_row("outputs: cosine similarity, least token", f"{found['cosine_least']:.5f}")
        drawn.add_row("compared on", str(found["calibration"]))
    if "onnx" in found:
        drawn.add_row(f"{Path(found['onnx']).name} and its data (no head), bytes", f"{found['onnx_bytes']:,}")
        if found["onnx_floating"]:
            drawn.add_row("of it still float32", ", ".join(found["onnx_floating"]))
        drawn.add_row("its outputs: cosine similarity, mean", f"{found['onnx_cosine']:.5f}")
        low, high = found["latency_ratio_low"], found["latency_ratio_high"]
        faster = f"{found['latency_ratio']:.2f} x ({low:.2f} to {high:.2f})"
        drawn.add_row("faster than float32 in ONNX Runtime, one thread", faster)
    drawn.add_row("seconds", f"{found['seconds']:.0f}")
    drawn.add_section()
    for layer in worst(found["layers"]):
        error = f"{100 * layer['error']:.2f} % of |W|"
        if layer["output_error"] is not None:
            error += f", {100 * layer['output_error']:.2f} % of its outputs"
        drawn.add_row(f"{layer['name']}: {layer['bits']} bits, {layer['bits_coded']:.2f} coded", error)
    return drawn


def worst(layers: list[dict[str, Any]], most: int = 8) -> list[dict[str, Any]]:
    """The matrices with the largest relative errors, the largest first (the JSON report has all)."""
    matrices = [layer for layer in layers if layer["kind"] != "vector"]
    return sorted(matrices, key=lambda layer: (-layer["error"], layer["name"]))[:most]


def decompress(file: Path, folder: Path, *, force: bool = False) -> bool:
    """Unpack `file` if it is one of a reader's own model; whether it is."""
    if not own_file.is_own(file):
        return False
    own_model.decompress(file, folder, force=force)
    return True
