"""Reading the compressed file: every length, shape and table is checked before anything is built from it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurolab import streams
from neurolab.compressed_header import (
    CHECK,
    HEAD,
    HEADER_LIMIT,
    MAGIC,
    SECTIONS,
    TOKENIZER_LIMIT,
    VERSION,
    checksum,
    most_weights,
    unfold,
)
from neurolab.quantized import Coded, Tensors, values
from neurolab.symbols import Ints
from neurolab.transformer import Config, Transformer


class CompressedError(ValueError):
    """The file is no compressed model, or a damaged one; the message names it and says what is wrong."""


@dataclass(frozen=True)
class Loaded:
    """What a file holds: the tensors, the sizes of the network, what else was noted, and a tokenizer's JSON.

    sections: bytes of header, codes, steps, floats, tokenizer and checksum: their sum is the file's size.
    """

    tensors: Tensors
    config: dict[str, Any]
    about: dict[str, Any] = field(default_factory=dict)
    tokenizer: str | None = None
    sections: dict[str, int] = field(default_factory=dict)
    coder: str = "ans"
    where: str = "the file"

    def model(self) -> Transformer:
        """The Transformer with these weights. CompressedError if config and tensors do not fit together."""
        return build(self.tensors, self.config, self.where)


# --- from bytes to tensors ---


def _counts(kinds: Mapping[str, int]) -> list[int]:
    """How many numbers each stream of a section holds, from how many numbers there are of each kind."""
    return [n for kind, n in kinds.items() if n for _ in range({"h": 2, "f": 4, "z": 1}[kind])]


def _joined(planes: list[Ints], kinds: Mapping[str, int]) -> dict[str, Tensor]:
    """The numbers of each kind, from the streams; float16 as float16. ValueError on NaN, infinity."""
    found: dict[str, Tensor] = {}
    for kind, n in kinds.items():
        if not n:
            continue
        taken, planes = planes[: len(_counts({kind: n}))], planes[len(_counts({kind: n})) :]
        if kind == "z":
            if taken[0].min() < -(1 << 15) or taken[0].max() >= 1 << 15:
                raise ValueError("a zero point that is no int16")
            found[kind] = torch.from_numpy(taken[0].astype(np.int16))
            continue
        if max(int(p.max()) for p in taken) > 255 or min(int(p.min()) for p in taken) < 0:
            raise ValueError("a byte of a float that is no byte")
        whole = np.ascontiguousarray(np.stack(taken, 1).astype(np.uint8)).view(
            "<f2" if kind == "h" else "<f4"
        )
        native = whole.reshape(-1).astype(np.float16 if kind == "h" else np.float32)
        if not np.isfinite(native).all():
            raise ValueError("NaN or infinity")
        found[kind] = torch.from_numpy(native)
    return found


def decode(data: bytes, where: str = "the file", size: int | None = None) -> Loaded:
    """The content of a file's bytes. CompressedError, which begins with `where`, if anything is wrong.

    size: the file's length, where `data` may be no more than its beginning.
    """
    try:
        return _decode(data, where, len(data) if size is None else size)
    except ValueError as error:
        raise CompressedError(f"{where}: {error}") from error


def _decode(data: bytes, where: str, size: int) -> Loaded:
    if data[:4] != MAGIC[: len(data)] or not data:
        raise ValueError(f"not a compressed model (it begins with {data[:4]!r}, not {MAGIC!r})")
    if len(data) < HEAD.size + CHECK:
        raise ValueError(f"truncated: {len(data)} bytes, fewer than the {HEAD.size + CHECK} of an empty file")
    _, version, header, total = HEAD.unpack_from(data)
    if version != VERSION:
        raise ValueError(f"version {version}: this course reads version {VERSION}")
    if size != total:
        what = "truncated" if size < total else "too long"
        raise ValueError(f"{what}: {size} bytes, its head says {total}")
    if checksum(data[:-CHECK]) != data[-CHECK:]:
        raise ValueError("changed or corrupted: the checksum does not fit")
    if HEAD.size + header + CHECK > total:
        raise ValueError(f"a header of {header} bytes in a file of {total}")
    head = _header(data[HEAD.size : HEAD.size + header])
    sections = _sections(head, total - HEAD.size - header - CHECK)
    at, part = HEAD.size + header, {}
    for name, length in sections.items():
        part[name], at = data[at : at + length], at + length
    rows = _rows(head.get("tensors"), total)
    coder, specs = head.get("coder"), head.get("specs")
    if coder not in streams.CODERS or not isinstance(specs, list) or len(specs) != 3:
        raise ValueError(f"coder {str(coder)[:40]!r} with {str(specs)[:40]}: unknown")
    tensors = _tensors(rows, part, coder, specs)
    text = _tokenizer(part["tokenizer"])
    sizes = {"header": HEAD.size + header, **sections, "checksum": CHECK}
    return Loaded(tensors, head["config"], head["about"], text, sizes, coder, where)


def _header(data: bytes) -> dict[str, Any]:
    try:
        head = json.loads(unfold(data, HEADER_LIMIT, "header"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"the header is no JSON ({type(error).__name__})") from error
    if not isinstance(head, dict):
        raise ValueError("the header is no JSON object")
    for name in ("config", "about"):
        if not isinstance(head.get(name), dict):
            raise ValueError(f"the header's {name} is no JSON object")
    return head


def _sections(head: Mapping[str, Any], room: int) -> dict[str, int]:
    lengths = head.get("bytes")
    if not isinstance(lengths, list) or len(lengths) != len(SECTIONS):
        raise ValueError(f"sections {str(lengths)[:40]}: must be {len(SECTIONS)} lengths")
    found = {
        name: streams.whole(n, 0, room, f"bytes of {name}") for name, n in zip(SECTIONS, lengths, strict=True)
    }
    if sum(found.values()) != room:
        raise ValueError(f"sections of {sum(found.values())} bytes where there are {room}")
    return found


@dataclass(frozen=True)
class _Row:
    """A tensor as the header lists it. kind: q (coded), h (float16), g (float32 kept as float16), f."""

    name: str
    kind: str
    shape: tuple[int, ...]
    step: tuple[int, ...] = ()
    step_kind: str = ""
    zero: bool = False


def _shape(value: Any, most: int, what: str) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > 8:
        raise ValueError(f"{what} {str(value)[:60]}: must be a list of at most 8 sizes")
    shape = tuple(streams.whole(n, 1, most, what) for n in value)
    if math.prod(shape) > most:
        raise ValueError(
            f"{what} {list(shape)}: more than the {most} numbers that a file of this size may hold"
        )
    return shape


def _rows(value: Any, total: int) -> list[_Row]:
    """The list of tensors, names once each, with no more numbers in all than the file's size allows."""
    if not isinstance(value, list) or not value:
        raise ValueError("the header lists no tensors")
    rows, room = [], most_weights(total)
    for item in value:
        if (
            not isinstance(item, list)
            or len(item) not in (3, 4)
            or not all(isinstance(x, str) for x in item[:2])
        ):
            raise ValueError(f"tensor {str(item)[:60]}: must be name, kind, shape and the steps' shape")
        name, kind = item[:2]
        if kind not in (("h", "g", "f") if len(item) == 3 else ("qh", "qf", "qhz", "qfz")):
            raise ValueError(f"tensor {name[:60]!r} of kind {kind[:10]!r}: unknown")
        shape = _shape(item[2], room, f"shape of {name[:60]!r}")
        room -= math.prod(shape)
        if len(item) == 4:
            step = _shape(item[3], math.prod(shape), f"shape of the steps of {name[:60]!r}")
            rows.append(_Row(name, "q", shape, step, kind[1], kind.endswith("z")))
        else:
            rows.append(_Row(name, kind, shape))
        if room < 0:
            raise ValueError(f"more weights than a file of {total} bytes may hold, {most_weights(total)}")
    if len({row.name for row in rows}) < len(rows):
        raise ValueError("the header lists a tensor twice")
    return rows


def _tensors(rows: list[_Row], part: Mapping[str, bytes], coder: str, specs: list[Any]) -> Tensors:
    coded = [row for row in rows if row.kind == "q"]
    plain = coder if coder == "ans" else "packed"
    step_counts = {k: sum(math.prod(r.step) for r in coded if r.step_kind == k) for k in "hf"}
    step_counts["z"] = sum(math.prod(r.step) for r in coded if r.zero)
    float_counts = {
        k: sum(math.prod(r.shape) for r in rows if r.kind in kinds) for k, kinds in (("h", "hg"), ("f", "f"))
    }
    wanted = {
        "codes": [math.prod(row.shape) for row in coded],
        "steps": _counts(step_counts),
        "floats": _counts(float_counts),
    }
    got: dict[str, list[Ints]] = {}
    for (name, counts), spec in zip(wanted.items(), specs, strict=True):
        try:
            got[name] = streams.unpack(spec, part[name], counts, coder if name == "codes" else plain)
        except ValueError as error:
            raise ValueError(f"section {name}: {error}") from error
    steps, floats = _joined(got["steps"], step_counts), _joined(got["floats"], float_counts)
    codes = iter(got["codes"])
    tensors: Tensors = {}

    def take(pool: dict[str, Tensor], kind: str, shape: tuple[int, ...]) -> Tensor:
        n = math.prod(shape)
        found, pool[kind] = pool[kind][:n], pool[kind][n:]
        return found.reshape(shape).clone()

    for row in rows:
        if row.kind != "q":
            x = take(floats, "f" if row.kind == "f" else "h", row.shape)
            tensors[row.name] = x.float() if row.kind == "g" else x
            continue
        q = next(codes)
        if q.min() < -(1 << 15) or q.max() >= 1 << 15:
            raise ValueError(f"{row.name} holds a code that is no int16")
        step = take(steps, row.step_kind, row.step).float()
        zero = take(steps, "z", row.step) if row.zero else None
        tensors[row.name] = Coded(torch.from_numpy(q.astype(np.int16)).reshape(row.shape), step, zero)
    return tensors


def _tokenizer(data: bytes) -> str | None:
    if not data:
        return None
    try:
        return unfold(data, TOKENIZER_LIMIT, "tokenizer").decode()
    except UnicodeDecodeError as error:
        raise ValueError("the tokenizer is no text") from error


def build(tensors: Tensors, config: Mapping[str, Any], where: str = "the file") -> Transformer:
    """The Transformer of these sizes with these weights. CompressedError, before it is built, on a misfit."""
    known = {f.name for f in fields(Config)}
    if unknown := sorted(set(config) - known):
        raise CompressedError(
            f"{where}: size {unknown[0]!r} is none of a network's ({', '.join(sorted(known))})"
        )
    try:
        sizes = Config(**config)
    except (TypeError, ValueError) as error:
        raise CompressedError(f"{where}: no sizes of a network ({error})") from error
    if sizes.layers > len(tensors):
        raise CompressedError(f"{where}: {sizes.layers} layers of {len(tensors)} tensors")
    wide = max(sizes.vocabulary, sizes.context, sizes.heads * sizes.head_size, sizes.hidden)
    if wide * sizes.width > 1 << 60:  # where PyTorch's own sizes end
        raise CompressedError(f"{where}: no sizes of a network (a matrix of more than 2^60 numbers)")
    weights = values(tensors)
    with torch.device("meta"):  # shapes without memory
        wanted = {name: tuple(t.shape) for name, t in Transformer(sizes).state_dict().items()}
    found = {name: tuple(t.shape) for name, t in weights.items()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise CompressedError(
                f"{where}: tensor {name!r} has shape {found.get(name)}, the sizes say {wanted.get(name)}"
            )
    model = Transformer(sizes)
    model.load_state_dict(weights)
    return model.eval()
