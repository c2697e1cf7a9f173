"""A Hugging Face folder, read tensor by tensor and a few rows at a time: no more in memory than is asked for.

The weights must be safetensors, in one file or in several with an index; pickled ones are not read, because
reading them runs what is in them. Nothing here needs Transformers.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from neurolab.own_families import Family, family

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
BESIDE = (
    "added_tokens.json", "chat_template.jinja", "generation_config.json", "merges.txt",
    "sentencepiece.bpe.model", "special_tokens_map.json", "spiece.model", "tokenizer.json",
    "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt",
)  # fmt: skip
"""Small files that travel along, if they are there: the tokenizer's, and how to generate."""
FLOATS = {"F32": 4, "F16": 2, "BF16": 2}
SLAB = 1 << 20
"""Numbers that are read, and coded, at a time."""


@dataclass(frozen=True)
class Entry:
    """A tensor in a folder. kind: linear (a block's matrix), embedding, head (another matrix), vector."""

    name: str
    shape: tuple[int, ...]
    kind: str
    block: int | None
    file: Path
    dtype: str

    @property
    def numbers(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Folder:
    """A model's folder.

    entries: its tensors by name, in the order of names with block numbers in the order of numbers.
    skipped: names of tensors that Transformers makes itself.
    """

    path: Path
    config: dict[str, Any]
    family: Family
    entries: dict[str, Entry] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()

    @property
    def float_bytes(self) -> int:
        """Bytes of all weights as float32."""
        return 4 * sum(entry.numbers for entry in self.entries.values())

    @property
    def largest(self) -> int:
        """Bytes of the largest tensor as float32."""
        return 4 * max(entry.numbers for entry in self.entries.values())

    def rows(self, name: str, start: int, end: int) -> Tensor:
        """Rows start to end - 1 of a tensor, float32, a copy. ValueError where the file is broken."""
        entry = self.entries[name]
        try:
            with safe_open(entry.file, framework="pt") as file:  # anew each time: its pages are given back
                part = file.get_slice(name)[start:end] if entry.shape else file.get_tensor(name)
                found = part.to(torch.float32, copy=True)
        except (SafetensorError, OSError, RuntimeError) as error:
            raise ValueError(f"{entry.file}: truncated or changed while it was read ({error})") from error
        if not bool(torch.isfinite(found).all()):
            raise ValueError(f"tensor {name!r} holds NaN or infinity: every weight must be finite")
        return found

    def tensor(self, name: str) -> Tensor:
        """The whole tensor, float32."""
        entry = self.entries[name]
        if not entry.shape:
            return self.rows(name, 0, 1)
        found = torch.empty(entry.shape)
        for start, end in slabs(entry.shape):
            found[start:end] = self.rows(name, start, end)
        return found

    def find(self, bare: str) -> str | None:
        """The name in the file of a weight of the bare network; None if the folder does not have it."""
        return self._by_bare.get(bare)

    @property
    def _by_bare(self) -> dict[str, str]:
        return {self.family.bare(name): name for name in self.entries}

    def beside(self) -> dict[str, str]:
        """The texts of the tokenizer's and other small files. Binary ones come as latin-1, marked so."""
        return {name: _text(self.path / name) for name in BESIDE if (self.path / name).is_file()}


def _text(path: Path) -> str:
    data = path.read_bytes()
    try:
        return "u" + data.decode("utf-8")
    except UnicodeDecodeError:
        return "b" + data.decode("latin-1")


def untext(text: str) -> bytes:
    """The bytes of a file, from what `Folder.beside` made of them."""
    if text[:1] not in ("u", "b"):
        raise ValueError(f"a file that begins with {text[:1]!r}, neither 'u' nor 'b'")
    return text[1:].encode("utf-8" if text[0] == "u" else "latin-1")


def slabs(shape: tuple[int, ...], numbers: int = SLAB) -> Iterator[tuple[int, int]]:
    """From which row to which, so that about `numbers` numbers at most are handled at a time."""
    in_row = max(math.prod(shape[1:]), 1)
    step = max(1, numbers // in_row)
    for start in range(0, shape[0], step):
        yield start, min(start + step, shape[0])


def read(path: Path) -> Folder:
    """A folder's config and the list of its tensors; their numbers are read later.

    ValueError that names the folder or file and what is wrong: missing, broken, not safetensors, of a kind
    not known, a tensor whose place is not known.
    """
    config = _json(path / CONFIG)
    known = family(config, str(path))
    entries: dict[str, Entry] = {}
    skipped: list[str] = []
    for file in _files(path):
        for name, shape, dtype in _listed(file):
            if known.made(name):
                skipped.append(name)
                continue
            if dtype not in FLOATS:
                raise ValueError(f"{file}: tensor {name!r} is {dtype}; known are {', '.join(FLOATS)}")
            if name in entries:
                raise ValueError(f"{file}: tensor {name!r} is in {entries[name].file.name}, too")
            entries[name] = Entry(
                name, shape, _kind(known, name, shape, file), known.block(name), file, dtype
            )
    if lost := sorted(_promised(path) - entries.keys() - set(skipped)):
        raise ValueError(f"{path / INDEX}: tensor {lost[0]!r} is in none of the files")
    if not any(entry.kind == "linear" for entry in entries.values()):
        raise ValueError(f"{path}: no matrix of a {known.name} block ({known.blocks}.0.{known.stages[0][0]})")
    ordered = sorted(entries.values(), key=lambda e: (e.block is not None, e.block or 0, e.name))
    return Folder(path, config, known, {entry.name: entry for entry in ordered}, tuple(sorted(skipped)))


def _kind(known: Family, name: str, shape: tuple[int, ...], file: Path) -> str:
    if math.prod(shape) == 0 or len(shape) > 2:
        raise ValueError(f"{file}: tensor {name!r} of shape {list(shape)}: its place is not known here")
    if len(shape) < 2:
        return "vector"
    if known.block(name) is not None:
        if not known.linear(name):
            raise ValueError(f"{file}: tensor {name!r} is no matrix of a {known.name} block known here")
        return "linear"
    if not name.endswith(".weight"):
        raise ValueError(f"{file}: tensor {name!r} of shape {list(shape)}: its place is not known here")
    words = ("embed", "wte", "wpe")
    return "embedding" if any(word in known.bare(name) for word in words) else "head"


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"{path}: missing; a Hugging Face folder has one")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: no JSON ({error})") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path}: no JSON object")
    return found


def _files(path: Path) -> list[Path]:
    if (path / WEIGHTS).is_file():
        return [path / WEIGHTS]
    if not (path / INDEX).is_file():
        pickled = [p.name for p in (*path.glob("*.bin"), *path.glob("*.pt"), *path.glob("*.pth"))]
        more = f"; {pickled[0]} is pickled, save it as safetensors with save_pretrained" if pickled else ""
        raise ValueError(f"{path}: no {WEIGHTS} and no {INDEX}{more}")
    shards = _json(path / INDEX).get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(isinstance(s, str) for s in shards.values()):
        raise ValueError(f"{path / INDEX}: no weight_map from names to files")
    found = [path / name for name in sorted(set(shards.values()))]
    for file in found:
        if file.parent != path or not file.is_file():
            raise ValueError(f"{file}: missing; {INDEX} names it")
    return found


def _promised(path: Path) -> set[str]:
    """The names that the index, if there is one, says are there."""
    return set() if (path / WEIGHTS).is_file() else set(_json(path / INDEX)["weight_map"])


def _listed(file: Path) -> list[tuple[str, tuple[int, ...], str]]:
    """Name, shape and type of each tensor of a file. ValueError if it is broken."""
    try:
        with safe_open(file, framework="pt") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118  # no mapping
            return [(name, tuple(s.get_shape()), s.get_dtype()) for name, s in slices.items()]
    except (SafetensorError, OSError, RuntimeError) as error:
        raise ValueError(f"{file}: truncated or not a safetensors file ({error})") from error
