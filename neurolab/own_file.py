"""The one file of a model of the reader's own: written and read a piece at a time, each piece checked.

Layout (little endian): ``nlhf``, version (1 byte), three bytes of 0; the pieces, each a compressed model of
its own (`neurolab.compressed`: some rows of a matrix, or all vectors), so that no more than one is ever in
memory; the index, deflated JSON (config.json, the tokenizer's files, and for each tensor its shape and its
pieces); the tail: where the index begins (8), the bytes of the file (8), a BLAKE2b of all before it (8).
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, TypeGuard

import torch
from torch import Tensor

from neurolab import compressed
from neurolab.compressed import CompressedError
from neurolab.own_folder import slabs
from neurolab.quantized import Coded, Tensors

MAGIC, VERSION = b"nlhf", 1
HEAD = struct.Struct("<4sB3x")
TAIL = struct.Struct("<QQ8s")
INDEX_LIMIT = 1 << 28
"""The most bytes that the index may unfold to."""
READ = 1 << 20
"""Bytes that are read at a time to check the sum."""
VECTORS = "vectors"


def is_own(path: Path) -> bool:
    """Whether a file begins as the ones written here do."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


class Writer:
    """Writes the file beside `path`, and puts it in place in one move when it is closed without an error."""

    def __init__(self, path: Path, coder: str = "ans") -> None:
        self.path, self.coder = path, coder
        self.tensors: dict[str, dict[str, Any]] = {}
        self._vectors: Tensors = {}
        self._sum = hashlib.blake2b(digest_size=8)
        self.at = 0

    def __enter__(self) -> Writer:
        handle, self._name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        self._file: BinaryIO = os.fdopen(handle, "wb")
        self._write(HEAD.pack(MAGIC, VERSION))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        Path(self._name).unlink(missing_ok=True)

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._sum.update(data)
        self.at += len(data)

    def _piece(self, tensors: Mapping[str, Coded | Tensor]) -> int:
        data = compressed.encode(tensors, config={}, coder=self.coder)
        self._write(data)
        return len(data)

    def matrix(self, name: str, coded: Coded, *, flipped: bool = False) -> int:
        """Write a matrix (R, C) some rows at a time; the bytes that it took.

        flipped: the model's own matrix is (C, R). Steps: one a row, or a row and group of columns.
        """
        start, lengths = self.at, []
        for a, b in slabs(tuple(coded.q.shape)):
            lengths.append(self._piece({"w": Coded(coded.q[a:b].contiguous(), coded.step[a:b].contiguous())}))
        self.tensors[name] = {"shape": list(coded.q.shape), "at": start, "pieces": lengths}
        if flipped:
            self.tensors[name]["flipped"] = 1
        return self.at - start

    def vector(self, name: str, x: Tensor) -> None:
        """Keep a tensor of one dimension, or none, to be written with all others of its kind."""
        self.tensors[name] = {"shape": list(x.shape)}
        self._vectors[name] = x.reshape(-1)

    def close(self, about: Mapping[str, Any]) -> int:
        """Write what is left, and put the file in place: its bytes. about: goes into the index (JSON)."""
        index: dict[str, Any] = {"about": dict(about), "tensors": self.tensors}
        if self._vectors:
            index[VECTORS] = [self.at, self._piece(self._vectors)]
        begin = self.at
        self._write(zlib.compress(json.dumps(index, separators=(",", ":"), allow_nan=False).encode(), 9))
        total = self.at + TAIL.size
        self._file.write(TAIL.pack(begin, total, self._sum.digest()))
        self._file.flush()
        os.fsync(self._file.fileno())
        os.chmod(self._name, 0o644)
        os.replace(self._name, self.path)
        return total


class Reader:
    """Reads a file: its index at once, the tensors when they are asked for, one piece at a time.

    CompressedError, a ValueError, if the file is missing, truncated, changed, or not what it says it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._vectors: Tensors | None = None
        try:
            self.index = self._open()
        except OSError as error:
            raise CompressedError(f"{path}: cannot be read ({error.strerror})") from error
        except ValueError as error:
            raise (
                error if isinstance(error, CompressedError) else CompressedError(f"{path}: {error}")
            ) from error
        self.about: dict[str, Any] = self.index["about"]
        self.tensors: dict[str, dict[str, Any]] = self.index["tensors"]

    def _open(self) -> dict[str, Any]:
        size = self.path.stat().st_size
        if size < HEAD.size + TAIL.size:
            raise ValueError(
                f"truncated: {size} bytes, fewer than the {HEAD.size + TAIL.size} of an empty file"
            )
        with self.path.open("rb") as file:
            magic, version = HEAD.unpack(file.read(HEAD.size))
            if magic != MAGIC:
                raise ValueError(
                    f"not a compressed model of one's own (it begins with {magic!r}, not {MAGIC!r})"
                )
            if version != VERSION:
                raise ValueError(f"version {version}: this course reads version {VERSION}")
            file.seek(size - TAIL.size)
            begin, total, told = TAIL.unpack(file.read(TAIL.size))
            if total != size or not HEAD.size <= begin <= size - TAIL.size:
                raise ValueError(f"truncated or too long: {size} bytes, its tail says {total}")
            file.seek(0)
            found, left = hashlib.blake2b(digest_size=8), size - TAIL.size
            while left and (data := file.read(min(READ, left))):
                found.update(data)
                left -= len(data)
            if found.digest() != told:
                raise ValueError("changed or corrupted: the checksum does not fit")
            file.seek(begin)
            data = file.read(size - TAIL.size - begin)
        return _index(data, begin)

    def pieces(self, name: str) -> Iterator[Coded]:
        """A matrix's pieces, some rows each. CompressedError where one is broken or of another shape."""
        entry = self.tensors[name]
        rows, columns = entry["shape"]
        at, seen = entry["at"], 0
        with self.path.open("rb") as file:
            for length in entry["pieces"]:
                file.seek(at)
                got = compressed.decode(file.read(length), f"{self.path}: {name}").tensors.get("w")
                if not isinstance(got, Coded) or got.q.ndim != 2 or got.q.shape[1] != columns:
                    raise CompressedError(f"{self.path}: {name}: a piece of another shape")
                seen, at = seen + len(got.q), at + length
                yield got
        if seen != rows:
            raise CompressedError(f"{self.path}: {name}: {seen} rows where there should be {rows}")

    def matrix(self, name: str) -> Coded:
        """A matrix's codes (R, C) and steps, as they were given to `Writer.matrix`."""
        pieces = list(self.pieces(name))
        return Coded(torch.cat([p.q for p in pieces]), torch.cat([p.step for p in pieces]))

    def value(self, name: str) -> Tensor:
        """A tensor, float32, of the shape that it has in the model."""
        entry = self.tensors[name]
        if "pieces" not in entry:
            return self._vector(name).reshape(entry["shape"]).float()
        found, at = torch.empty(entry["shape"]), 0
        for piece in self.pieces(name):
            if at + len(piece.q) > len(found):
                raise CompressedError(f"{self.path}: {name}: more rows than there should be")
            found[at : at + len(piece.q)] = piece.value()
            at += len(piece.q)
        return found.T.contiguous() if entry.get("flipped") else found

    def _vector(self, name: str) -> Tensor:
        if self._vectors is None:
            at, length = self.index[VECTORS]
            with self.path.open("rb") as file:
                file.seek(at)
                self._vectors = compressed.decode(file.read(length), f"{self.path}: {VECTORS}").tensors
        found = self._vectors.get(name)
        if isinstance(found, Tensor) and found.numel() == math.prod(self.tensors[name]["shape"]):
            return found
        raise CompressedError(f"{self.path}: {name}: missing, or of another shape")

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape in the model."""
        shape = self.tensors[name]["shape"]
        return tuple(reversed(shape) if self.tensors[name].get("flipped") else shape)


def _index(data: bytes, end: int) -> dict[str, Any]:
    """The index, every length in it within the `end` bytes before it. ValueError if it is not one."""
    unfolding = zlib.decompressobj()
    try:
        text = unfolding.decompress(data, INDEX_LIMIT)
        index = json.loads(text)
    except (zlib.error, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"the index is no deflated JSON ({type(error).__name__})") from error
    if not isinstance(index, dict) or not all(isinstance(index.get(k), dict) for k in ("about", "tensors")):
        raise ValueError("the index is no JSON object with 'about' and 'tensors'")
    for name, entry in index["tensors"].items():
        shape = entry.get("shape") if isinstance(entry, dict) else None
        if not _whole(shape) or ("pieces" in entry and (len(shape) != 2 or not _whole(entry["pieces"]))):
            raise ValueError(f"the index is wrong about tensor {name[:60]!r}")
        if "pieces" in entry and not (
            _whole([entry.get("at")]) and entry["at"] + sum(entry["pieces"]) <= end and _room(entry)
        ):
            raise ValueError(f"the index is wrong about tensor {name[:60]!r}")
    if any("pieces" not in entry for entry in index["tensors"].values()):
        place = index.get(VECTORS)
        if not _whole(place) or len(place) != 2 or sum(place) > end:
            raise ValueError("the index does not say where the vectors are")
    return index


def _whole(values: Any) -> TypeGuard[list[int]]:
    """Whether this is a list of whole numbers from 0 to 2^48."""
    return isinstance(values, list) and all(type(v) is int and 0 <= v <= 1 << 48 for v in values)


def _room(entry: Mapping[str, Any]) -> bool:
    """Whether so many pieces, of so many bytes, can hold a matrix of this shape."""
    numbers = math.prod(entry["shape"])
    return numbers <= sum((1 << 20) + 128 * length for length in entry["pieces"])


def write_safetensors(reader: Reader, path: Path) -> None:
    """All tensors as a safetensors file of float32, one after the other: memory holds one.

    The format: 8 bytes, the length of a JSON header with each tensor's type, shape and place; the numbers.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name in reader.tensors:
        size = 4 * math.prod(reader.shape(name))
        header[name] = {"dtype": "F32", "shape": list(reader.shape(name)), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for name in reader.tensors:
                file.write(reader.value(name).numpy().astype("<f4", copy=False).tobytes())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
