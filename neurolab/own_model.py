"""`neurolab compress MODEL` for a model of the reader's own: a Hugging Face folder or hub name, made small.

    found = own_model.compress("bert-base-uncased", Path("small.nlab"), precision="int4")   # a report
    own_model.decompress(Path("small.nlab"), Path("folder"))                    # a folder for Transformers
    own_model.measured("bert", "int4")     # both on a small model with random weights, in seconds: figures

precision: "int8" (rounded to nearest, a step a row) or "int4" (GPTQ on calibration text, 128 columns a step;
embeddings and heads have 6 bits). Both are entropy-coded into one file, tensor by tensor, and the network is
run block by block, so that memory never holds the model. Without Transformers "int8" works all the same, but
nothing is run: the report then has no cosine.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neurolab import own_file, own_folder, pruning, streams
from neurolab.compressed import CompressedError, write_whole
from neurolab.own_families import FAMILIES
from neurolab.own_file import Reader, Writer
from neurolab.own_folder import Folder
from neurolab.own_recipe import RECIPES, Maker, recipe

PRECISIONS = tuple(RECIPES)
SEQUENCES, TESTED, LENGTH = 16, 4, 128
"""Sequences that calibrate, sequences that are compared, and tokens of one."""
Tick = Callable[[int, str], None]
"""Called with the numbers that were just settled, and what they were."""


def folder_of(model: str | Path) -> Folder:
    """The folder of a path, or of a hub name, which is fetched. ValueError where there is no such thing."""
    path = Path(model)
    if path.is_dir():
        return own_folder.read(path)
    if path.exists():
        raise ValueError(f"{path}: a file; give a Hugging Face folder or a hub name")
    return own_folder.read(fetch(str(model)))


def fetch(name: str) -> Path:
    """The folder of a model of the hub, in its own cache. ValueError, with the reason, if it can't be had."""
    from huggingface_hub import snapshot_download

    wanted = [own_folder.CONFIG, "model*.safetensors", own_folder.INDEX, *own_folder.BESIDE]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted))
    except Exception as error:  # whatever the library, or the network below it, raises
        why = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise ValueError(f"{name}: no folder here, and the hub did not give it ({why})") from error


def compress(
    model: str | Path,
    out: Path,
    *,
    precision: str = "int8",
    sparsity: float = 0.0,
    coder: str = "ans",
    text: Path | None = None,
    run: bool = True,
    seed: int = 0,
    force: bool = False,
    tick: Tick | None = None,
) -> dict[str, Any]:
    """Compress a Transformer to the file `out`; the report (see `measured` for its figures).

    sparsity: share of each block matrix's weights, the smallest, that become 0.  text: a text file to
    calibrate and compare on (None: random tokens).  run: False writes the file without running the network.
    Raises ValueError, before anything is written, for a bad choice, a folder that is not known, and where
    Transformers is needed but missing.
    """
    how = recipe(precision)
    streams.check_coder(coder)
    pruning.check_sparsity(sparsity)
    folder = folder_of(model)
    _refuse(out, folder, force)
    if how.learned and not run:
        raise ValueError(
            f"run False: precision {precision!r} is fitted to what the network computes, so it must run"
        )
    tick = tick or (lambda numbers, name: None)
    began = time.perf_counter()
    about: dict[str, Any] = {
        "precision": precision, "sparsity": sparsity, "calibration": text.name if text else "random tokens",
        "config": folder.config, "files": folder.beside(),
    }  # fmt: skip
    with Writer(out, coder) as writer:
        maker = Maker(writer, how, sparsity, folder.family.flipped)
        found: dict[str, Any] = {}
        if run:
            found = _through(folder, maker, token_ids(folder, text, seed), tick)
        else:
            _alone(folder, maker, tick)
        size = writer.close(about)
    return {
        "file": str(out),
        "model": folder.path.name,
        "precision": precision,
        "coder": coder,
        "sparsity": sparsity,
        "bytes": size,
        "float_bytes": folder.float_bytes,
        "ratio_vs_fp32": folder.float_bytes / size,
        **found,
        "largest_layer_bytes": folder.largest,
        "calibration": about["calibration"],
        "seconds": time.perf_counter() - began,
        "skipped": list(folder.skipped),
        "layers": maker.report(),
    }


def _refuse(out: Path, folder: Folder, force: bool) -> None:
    """ValueError if `out` may not be written: it is there, is a folder, or lies in the model's own folder."""
    if out.is_dir():
        raise ValueError(f"{out}: is a folder")
    if not out.parent.is_dir():
        raise ValueError(f"{out}: there is no folder {out.parent}")
    if out.resolve().parent == folder.path.resolve():
        raise ValueError(f"{out}: lies in the model's own folder, which is never written to")
    if out.exists() and not force:
        raise ValueError(f"{out}: is there already; --force overwrites it")


def token_ids(folder: Folder, text: Path | None, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Token ids to calibrate (n, L) and others to compare on (m, L): from a text, or random ones."""
    most = folder.config.get("max_position_embeddings") or folder.config.get("n_positions") or LENGTH
    vocabulary, count = int(folder.config["vocab_size"]), SEQUENCES + TESTED
    length = min(LENGTH, int(most) - 2)
    if length < 1:
        raise ValueError(f"{folder.path}: {most} positions are too few to run the network")
    if text is None:
        least = min(8, vocabulary - 1)  # below are padding and the like
        ids = torch.randint(least, vocabulary, (count, length), generator=torch.Generator().manual_seed(seed))
        return ids[:SEQUENCES], ids[SEQUENCES:]
    file = folder.path / "tokenizer.json"
    if not file.is_file():
        raise ValueError(f"{file}: missing, so {text} cannot be read; leave it out to use random tokens")
    from tokenizers import Tokenizer

    if not text.is_file():
        raise ValueError(f"{text}: no such text file")
    read = (
        Tokenizer.from_file(str(file)).encode(text.read_text(encoding="utf-8"), add_special_tokens=False).ids
    )
    if len(read) < 2 * length:
        raise ValueError(
            f"{text}: {len(read)} tokens are too few; {2 * length} are needed, {count * length} used"
        )
    rows = torch.tensor(read[: len(read) // length * length]).reshape(-1, length)[:count]
    tested = max(1, len(rows) * TESTED // count)
    return rows[:-tested], rows[-tested:]


def _alone(folder: Folder, maker: Maker, tick: Tick) -> None:
    """Every tensor for itself."""
    for name, entry in folder.entries.items():
        maker.settle(entry, folder.tensor(name))
        tick(entry.numbers, name)


def _through(folder: Folder, maker: Maker, ids: tuple[Tensor, Tensor], tick: Tick) -> dict[str, Any]:
    """Every tensor in the order of the network, which runs beside: float, and as it is in the file."""
    from neurolab.own_stream import Stack, alike

    stack, family = Stack(folder), folder.family
    calibrate, test = ids

    def settle(name: str, H: Tensor | None = None) -> None:
        entry, bare = folder.entries[name], family.bare(name)
        w = stack.get(bare) if bare in stack.names else folder.tensor(name)
        stack.put(bare, maker.settle(entry, w, H))
        tick(entry.numbers, name)

    outside = [name for name, entry in folder.entries.items() if entry.block is None]
    for name in outside:
        if family.bare(name) in stack.names:
            stack.put(family.bare(name), folder.tensor(name))
    exact = stack.begin(test)
    late = [name for name in outside if family.final and family.bare(name).startswith(f"{family.final}.")]
    for name in outside:
        if name not in late:
            settle(name)
    coded, fitted = stack.begin(test), stack.begin(calibrate) if maker.how.learned else []
    for name in outside:
        if name not in late:
            stack.put(family.bare(name), None)  # it has done its work
    agreement = []
    for i in range(len(stack.blocks)):
        inside = {family.bare(n): n for n, entry in folder.entries.items() if entry.block == i}
        for bare, name in inside.items():
            stack.put(bare, folder.tensor(name))
        exact = stack.run(i, exact)
        for name in inside.values():
            if folder.entries[name].kind == "vector":
                settle(name)
        for stage in family.stages:
            H = stack.gather(i, stage[0], fitted) if fitted else None
            for matrix in stage:
                settle(inside[f"{family.blocks}.{i}.{matrix}.weight"], H)
        coded, fitted = stack.run(i, coded), stack.run(i, fitted)
        for bare in inside:
            stack.put(bare, None)
        agreement.append(alike(exact, coded))
    before = stack.finish(exact)
    for name in late:
        settle(name)
    each = torch.nn.functional.cosine_similarity(before, stack.finish(coded), -1).double()
    return {"cosine": float(each.mean()), "cosine_least": float(each.min()), "cosine_by_block": agreement}


def decompress(file: Path, folder: Path, *, force: bool = False) -> None:
    """The folder that Transformers loads: config.json, model.safetensors (float32), the tokenizer's files.

    Tensors are decoded one after the other. ValueError for a broken file, or one that would be overwritten
    without `force`; CompressedError before model.safetensors is there if a tensor is broken.
    """
    reader = Reader(file)
    config, files = reader.about.get("config"), reader.about.get("files", {})
    if not isinstance(config, dict) or not isinstance(files, dict):
        raise CompressedError(f"{file}: the index holds no config")
    if unknown := sorted(set(files) - set(own_folder.BESIDE)):
        raise CompressedError(f"{file}: holds a file {unknown[0][:60]!r}, which none of ours would")
    wanted = {**{name: own_folder.untext(text) for name, text in files.items()}}
    plain = {**{k: v for k, v in config.items() if k != "torch_dtype"}, "dtype": "float32"}
    wanted[own_folder.CONFIG] = (json.dumps(plain, ensure_ascii=False, indent=2) + "\n").encode()
    for name in (*wanted, own_folder.WEIGHTS):
        if (folder / name).is_dir():
            raise ValueError(f"{folder / name}: is a folder")
        if (folder / name).exists() and not force:
            raise ValueError(f"{folder / name}: is there already; --force overwrites it")
    folder.mkdir(parents=True, exist_ok=True)
    own_file.write_safetensors(reader, folder / own_folder.WEIGHTS)
    for name, data in wanted.items():
        write_whole(folder / name, data)


def measured(
    family: str = "bert", precision: str = "int8", *, size: str = "small", seed: int = 0
) -> dict[str, Any]:
    """Compress a small random model of a family and compare it; nothing stays on disk. Takes seconds.

    Figures: bytes, float_bytes, ratio_vs_fp32, cosine (of the last hidden states, the mean over tokens),
    cosine_least, cosine_by_block, seconds, coder, weights ("random"), layers: [{name, kind, block, numbers,
    bits, bytes, bits_coded, error, output_error, zeros}] with error the relative one, |W - Q| / |W|.
    """
    from neurolab.own_random import make

    with tempfile.TemporaryDirectory() as room:
        source = make(family, Path(room) / family, size=size, seed=seed)
        found = compress(source, Path(room) / "model.nlab", precision=precision, seed=seed)
    with suppress(KeyError):
        del found["file"]
    return {**found, "weights": "random"}


__all__ = ["FAMILIES", "PRECISIONS", "compress", "decompress", "fetch", "folder_of", "measured", "token_ids"]
