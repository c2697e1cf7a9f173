"""The compressed model as one file: written, measured, and read back bit for bit, or refused with a reason.

Layout (little endian): ``nlab``, version (1 byte), bytes of the header (4), bytes of the whole file (4); the
header, deflated JSON; the sections codes, steps, floats, tokenizer; the first 8 bytes of the BLAKE2b of all
that. Codes are entropy-coded (`neurolab.streams`); steps and floats are cut into planes, their first bytes,
their second bytes ..., because the bytes that hold signs and exponents are worth coding, too. A float32 that
float16 holds exactly takes two bytes.

Whatever is read is checked before anything is allocated for it; CompressedError names the file and the fault.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurolab import streams
from neurolab.compressed_header import CHECK, HEAD, MAGIC, SECTIONS, VERSION, checksum, fold, most_weights
from neurolab.compressed_reader import CompressedError, Loaded, decode
from neurolab.quantized import Coded
from neurolab.symbols import Ints

__all__ = ["CompressedError", "Loaded", "encode", "load", "same", "save", "size", "write_whole"]


# --- planes: floats as streams of bytes ---


def _is_half(x: Tensor) -> bool:
    """Whether every float32 of x survives float16."""
    return bool((x.half().float() == x).all())


def _planes(parts: Sequence[Tensor], kind: str) -> list[Ints]:
    """The numbers of all parts behind one another, as streams of their first, second ... bytes."""
    if not parts:
        return []
    dtype = {"h": "<f2", "f": "<f4", "z": "<i2"}[kind]
    flat = np.concatenate([p.numpy().reshape(-1) for p in parts]).astype(dtype)
    if kind == "z":
        return [flat.astype(np.int64)]
    return list(flat.view(np.uint8).reshape(len(flat), -1).T.astype(np.int64))


# --- writing ---


def _check(tensors: Mapping[str, Coded | Tensor]) -> None:
    if not tensors:
        raise ValueError("tensors {}: must hold at least one")
    for name, x in tensors.items():
        body = x.q if isinstance(x, Coded) else x
        if body.numel() == 0 or body.ndim > 8:
            raise ValueError(
                f"{name} of shape {tuple(body.shape)}: must hold a number, in at most 8 dimensions"
            )
        if isinstance(x, Coded):
            continue
        if x.dtype not in (torch.float32, torch.float16):
            raise ValueError(f"{name} is {x.dtype}: must be Coded, float32 or float16")
        if not bool(torch.isfinite(x).all()):
            raise ValueError(f"{name} holds NaN or infinity: every weight must be finite")


def encode(
    tensors: Mapping[str, Coded | Tensor],
    *,
    config: Mapping[str, Any],
    coder: str = "ans",
    about: Mapping[str, Any] | None = None,
    tokenizer: str | None = None,
) -> bytes:
    """The file's bytes. ValueError for a weight that is not finite, an unknown coder, no tensors."""
    streams.check_coder(coder)
    _check(tensors)
    codes: list[Ints] = []
    steps: dict[str, list[Tensor]] = {"h": [], "f": [], "z": []}
    floats: dict[str, list[Tensor]] = {"h": [], "f": []}
    rows: list[list[Any]] = []
    for name, x in tensors.items():
        if isinstance(x, Coded):
            codes.append(x.q.detach().cpu().reshape(-1).numpy().astype(np.int64))
            kind = "h" if _is_half(x.step) else "f"
            step = x.step.detach().cpu()
            steps[kind].append(step.half() if kind == "h" else step)
            if x.zero is not None:
                steps["z"].append(x.zero.detach().cpu())
            letters = "q" + kind + ("z" if x.zero is not None else "")
            rows.append([name, letters, list(x.q.shape), list(x.step.shape)])
        else:
            half = x.dtype == torch.float16 or _is_half(x)
            floats["h" if half else "f"].append(x.detach().cpu().half() if half else x.detach().cpu())
            rows.append([name, "h" if x.dtype == torch.float16 else "g" if half else "f", list(x.shape)])
    plain = coder if coder == "ans" else "packed"  # only ANS spends its effort on floats
    parts = {
        "codes": streams.pack(codes, coder),
        "steps": streams.pack([s for kind, some in steps.items() for s in _planes(some, kind)], plain),
        "floats": streams.pack([s for kind, some in floats.items() for s in _planes(some, kind)], plain),
    }
    data = {name: part[1] for name, part in parts.items()}
    data["tokenizer"] = b"" if tokenizer is None else fold(tokenizer.encode())
    head = {
        "config": dict(config), "about": dict(about or {}), "coder": coder, "tensors": rows,
        "specs": [part[0] for part in parts.values()], "bytes": [len(data[name]) for name in SECTIONS],
    }  # fmt: skip
    header = fold(json.dumps(head, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode())
    total = HEAD.size + len(header) + sum(map(len, data.values())) + CHECK
    weights = sum(x.q.numel() if isinstance(x, Coded) else x.numel() for x in tensors.values())
    if weights > most_weights(total):
        raise ValueError(f"{weights} weights in {total} bytes: a file holds at most {most_weights(total)}")
    body = HEAD.pack(MAGIC, VERSION, len(header), total) + header + b"".join(data[name] for name in SECTIONS)
    return body + checksum(body)


def save(
    path: Path | str,
    tensors: Mapping[str, Coded | Tensor],
    *,
    config: Mapping[str, Any],
    coder: str = "ans",
    about: Mapping[str, Any] | None = None,
    tokenizer: str | None = None,
) -> int:
    """Write the file and give back its size in bytes (os.path.getsize).

    config: the sizes of the network (`dataclasses.asdict` of a Config), or {} for another model.  about: what
    else shall be noted (JSON).  tokenizer: a tokenizer's JSON, a section of its own.
    The file appears whole or not at all. Raises ValueError as `encode` does.
    """
    path = Path(path)
    data = encode(tensors, config=config, coder=coder, about=about, tokenizer=tokenizer)
    write_whole(path, data)
    return os.path.getsize(path)


def write_whole(path: Path, data: bytes) -> None:
    """Write to a temporary file beside `path`, then put it in place in one move."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def load(path: Path | str) -> Loaded:
    """Read a file. CompressedError if it is missing, truncated, changed, too long or no such file."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(HEAD.size)
            length = HEAD.unpack(head)[3] if len(head) == HEAD.size and head[:4] == MAGIC else 0
            data = head + file.read(length)  # of a huge file no more than it says it has
            found = file.seek(0, os.SEEK_END)
    except FileNotFoundError as error:
        raise CompressedError(f"{path}: missing") from error
    except IsADirectoryError as error:
        raise CompressedError(f"{path}: a folder, not a file") from error
    return decode(data, str(path), found)


def size(tensors: Mapping[str, Coded | Tensor], config: Mapping[str, Any], coder: str = "ans") -> int:
    """Bytes of the file: it is written to a temporary folder, and must read back equal (RuntimeError)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.nlab"
        found = save(path, tensors, config=config, coder=coder)
        back = load(path).tensors
    if not same(tensors, back):
        raise RuntimeError("the file does not give back the weights that were written")
    return found


def same(a: Mapping[str, Coded | Tensor], b: Mapping[str, Coded | Tensor]) -> bool:
    """Whether both hold the same tensors, bit for bit: codes, steps, zero points, floats and their types."""

    def parts(x: Coded | Tensor) -> list[Tensor]:
        if not isinstance(x, Coded):
            return [x]
        return [x.q, x.step, *([] if x.zero is None else [x.zero])]

    def bits(x: Tensor) -> tuple[Any, ...]:
        return x.dtype, tuple(x.shape), x.detach().cpu().contiguous().numpy().tobytes()

    return a.keys() == b.keys() and all(
        isinstance(a[name], Coded) == isinstance(b[name], Coded)
        and [bits(p) for p in parts(a[name])] == [bits(p) for p in parts(b[name])]
        for name in a
    )
