"""From float weights to a compressed file and back: magnitude pruning, round-to-nearest, and the file.

The plain recipe, without training and without data, for any model whose weights lie in a safetensors file:
every tensor of two dimensions or more is pruned and rounded, a step a row; the others become float16.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor

from neurolab import assistant, compressed, facts, pruning, streams
from neurolab.compressed import Loaded
from neurolab.quantization import best_scales, check_bits, code_range, codes
from neurolab.quantized import Coded, Tensors, values

CARD = "compressed.json"
"""Beside the unpacked weights: the network's sizes and what else the file noted."""
SPARED = ("embedding", "position")


def is_matrix(x: Tensor) -> bool:
    """Whether a tensor is one that is rounded: floats, two dimensions or more."""
    return x.ndim >= 2 and x.is_floating_point() and x.numel() > 0


def halved(x: Tensor) -> Tensor:
    """x as float16, or as float32 where float16 would overflow, or round a number that is not 0 to 0."""
    x = x.detach().float()
    half = x.half()
    return half if bool(torch.isfinite(half).all() and ((half == 0) == (x == 0)).all()) else x


def round_to_nearest(w: Tensor, bits: int) -> Coded:
    """w (R, ...) as codes of `bits` bits and a step a row, the best of 100 (`best_scales`).

    The steps are rounded to float16 before the codes are chosen; beyond its normal range they stay float32.
    """
    check_bits(bits)
    flat = w.detach().float().flatten(1)
    s = best_scales(flat, bits)
    if bool((s >= 2.0**-14).all()):
        s = halved(s).float()
    return Coded(codes(flat, s, None, *code_range(bits)).reshape(w.shape), s)


def compress(weights: Mapping[str, Tensor], bits: int, sparsity: float = 0.0) -> Tensors:
    """The weights by name, coded: in every matrix the smallest |w| are set to 0 first.

    bits: 2 to 8.  sparsity: share of zeros in each matrix, in [0, 1); embeddings (whose names have one of
    SPARED in them) are rounded, but stay dense. ValueError for other bits or sparsities, for a tensor of
    other numbers than floats, or of some that are not finite, and where there is nothing to code.
    """
    check_bits(bits)
    pruning.check_sparsity(sparsity)
    for name, x in weights.items():
        if not x.is_floating_point():
            raise ValueError(f"tensor {name!r} is {x.dtype}: only floats can be rounded")
        if not bool(torch.isfinite(x).all()):
            raise ValueError(f"tensor {name!r} holds NaN or infinity: every weight must be finite")
    matrices = {name: x for name, x in weights.items() if is_matrix(x)}
    if not matrices:
        raise ValueError(f"none of the {len(weights)} tensors is a matrix: there is nothing to compress")
    pruned = {name: x for name, x in matrices.items() if not any(word in name for word in SPARED)}
    kept = pruning.masks(pruning.magnitude(pruned), sparsity, "layer")
    return {
        name: round_to_nearest(x * kept[name] if name in kept else x, bits) if name in matrices else halved(x)
        for name, x in weights.items()
    }


@dataclass(frozen=True)
class Source:
    """A model to compress. float_bytes: of its file.  config: {} where the sizes are not known."""

    weights: dict[str, Tensor]
    config: dict[str, Any]
    tokenizer: str | None
    float_bytes: int


def read(place: Path | None = None) -> Source:
    """The assistant (None), an assistant's folder, or the tensors of any safetensors file.

    Raises ValueError that names the file if it is missing or broken.
    """
    place = place or assistant.FOLDER
    if place.is_dir():
        helper = assistant.load(place)
        weights = {name: x.detach() for name, x in helper.model.state_dict().items()}
        size = (place / assistant.WEIGHTS).stat().st_size
        text = (place / assistant.TOKENIZER).read_text(encoding="utf-8")
        return Source(weights, asdict(helper.model.config), text, size)
    if not place.is_file():
        raise ValueError(f"{place}: missing; give a safetensors file, or a folder with an assistant")
    try:
        return Source(load_file(place), {}, None, place.stat().st_size)
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f"{place}: truncated or not a safetensors file ({error})") from error


def report(loaded: Loaded, float_bytes: int) -> dict[str, Any]:
    """Bytes of a file's parts, the file without its tokenizer against the float file, and the ledger."""
    parts = {name: n for name, n in loaded.sections.items() if n}
    size = sum(parts.values()) - parts.get("tokenizer", 0)
    coded = [x.q.reshape(-1).numpy().astype("int64") for x in loaded.tensors.values() if isinstance(x, Coded)]
    ideal = streams.entropy_bytes(coded)
    return {
        "bytes": size,
        "float_bytes": float_bytes,
        "size_ratio": float_bytes / size,
        "codes": sum(len(q) for q in coded),
        "entropy_bytes": ideal,
        "over_entropy_percent": 100 * (loaded.sections["codes"] / ideal - 1) if ideal else 0.0,
        "parts": parts,
    }


def make(
    model: Path | None,
    out: Path,
    *,
    bits: int = 4,
    sparsity: float = 0.0,
    coder: str = "ans",
    score: bool = False,
    force: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Compress `model` (None: the assistant) to the file `out`, read it back, compare; the `report`.

    score: exact match and bits per answer byte of both assistants, under "scores". Raises ValueError for a
    bad choice, before anything is written.
    """
    streams.check_coder(coder)
    check_bits(bits)
    pruning.check_sparsity(sparsity)
    refuse(out, force)
    if not out.parent.is_dir():
        raise ValueError(f"{out}: there is no folder {out.parent}")
    source = read(model)
    if score and not source.config:
        raise ValueError(f"--score: {model} is not an assistant, so there is nothing to ask it")
    tensors = compress(source.weights, bits, sparsity)
    about = {
        "bits": bits,
        "sparsity": sparsity,
        "recipe": "magnitude pruning, round to nearest, a step a row",
    }
    compressed.save(out, tensors, config=source.config, coder=coder, about=about, tokenizer=source.tokenizer)
    loaded = compressed.load(out)
    if not compressed.same(tensors, loaded.tensors):
        raise RuntimeError(f"{out}: does not give back the weights that were written")
    found = {"file": str(out), "bits": bits, "sparsity": sparsity, "coder": coder}
    found |= report(loaded, source.float_bytes)
    if score:
        say("asking both the held-out questions")
        helper = assistant.load(model)
        asked = facts.split("held_out")
        found["scores"] = {
            name: assistant.quick_scores(net, helper.tokenizer, asked)
            for name, net in (("float", helper.model), ("compressed", loaded.model()))
        }
    return found


def table(found: Mapping[str, Any]) -> Table:
    """The report for the terminal."""
    drawn = Table("what", "figure", title=found["file"])
    for name, size in found["parts"].items():
        drawn.add_row(f"{name}, bytes", f"{size:,}")
    drawn.add_row("in all, without a tokenizer", f"{found['bytes']:,}")
    drawn.add_row("the float file, bytes", f"{found['float_bytes']:,}")
    drawn.add_row("smaller", f"{found['size_ratio']:.2f} x")
    drawn.add_row("bits a coded weight", f"{8 * found['parts'].get('codes', 0) / found['codes']:.3f}")
    drawn.add_row("codes above their entropy", f"{found['over_entropy_percent']:.2f} %")
    for name, scores in found.get("scores", {}).items():
        drawn.add_row(f"exact match, {name}", f"{100 * scores['exact_match']:.2f} %")
        drawn.add_row(f"bits per answer byte, {name}", f"{scores['bits_per_answer_byte']:.4f}")
    return drawn


def unpack(file: Path, folder: Path, *, force: bool = False) -> Loaded:
    """Write what a compressed file holds to `folder`: model.safetensors, compressed.json, tokenizer.json.

    The weights are float32 (float16 where the file keeps floats so). ValueError for a broken file, or one
    that would be overwritten without `force`.
    """
    loaded = compressed.load(file)
    card = {"config": loaded.config, "about": loaded.about, "coder": loaded.coder, "parts": loaded.sections}
    wanted = {
        assistant.WEIGHTS: to_bytes({name: x.contiguous() for name, x in values(loaded.tensors).items()}),
        CARD: (json.dumps(card, ensure_ascii=False, indent=1) + "\n").encode(),
    }
    if loaded.tokenizer is not None:
        wanted[assistant.TOKENIZER] = loaded.tokenizer.encode()
    for name in wanted:
        refuse(folder / name, force)
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in wanted.items():
        compressed.write_whole(folder / name, data)
    return loaded


def refuse(path: Path, force: bool) -> None:
    """Raise ValueError if `path` is there already and may not be overwritten, or is a folder."""
    if path.is_dir():
        raise ValueError(f"{path}: is a folder")
    if path.exists() and not force:
        raise ValueError(f"{path}: is there already; --force overwrites it")
    if path.parent.exists() and not path.parent.is_dir():
        raise ValueError(f"{path}: {path.parent} is no folder")
