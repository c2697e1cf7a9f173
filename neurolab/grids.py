"""A grid of results, small enough for a web page.

A static explorer carries the result of every setting of its controls.  The numbers of one key are rounded to
a decimal step (1/4,000 of the key's range or finer: less than a pixel), equal arrays are kept once,
neighbouring values are replaced by their differences, and the bytes are compressed (zlib) and written as
base64. ``explorer.mjs`` undoes each step; `unpack` does the same in Python, so that tests can compare the
two.

Whole numbers, strings and single numbers keep their exact values.  Where one key's positive numbers span more
than a factor of 1,000 (think of a logarithmic axis) the rounding is relative instead: 13 significant bits.
"""

from __future__ import annotations

import base64
import json
import math
import zlib
from typing import Any

import numpy as np

LEVELS = 4000  # a picture is at most about 1,000 pixels high: steps stay well below one
RELATIVE_BITS = 13
SPAN = 1000.0
TINY = 1e-30  # what is nearer to zero than this may become zero


class GridError(ValueError):
    """A grid has no results, or results whose keys or kinds differ from point to point."""


def pack(results: list[dict[str, Any]], keys: list[str]) -> dict[str, Any]:
    """Pack ``keys`` of all ``results`` (in grid order, the last control fastest) into JSON data.

    Returns ``{"count", "keys": {key: {...}}, "blob": base64}``.  Raises `GridError` when a key is missing
    somewhere, or is a number in one result and an array in another.
    """
    if not results:
        raise GridError("a grid needs at least one result")
    chunks: list[bytes] = []
    table: dict[str, Any] = {}
    for key in keys:
        for number, result in enumerate(results):
            if key not in result:
                raise GridError(f"result {number} of the grid has no {key!r}")
        values = [result[key] for result in results]
        numeric = [isinstance(one, np.ndarray) and one.dtype.kind in "biuf" for one in values]
        if any(numeric) and not all(numeric):
            raise GridError(f"{key!r} is an array of numbers in some results of the grid and not in others")
        if all(numeric):
            table[key], data = _pack_arrays(values)
            table[key]["bytes"] = [sum(map(len, chunks)), len(data)]
            chunks.append(data)
        else:
            table[key] = _pack_plain(values)
    blob = base64.b64encode(zlib.compress(b"".join(chunks), 9)).decode()
    return {"count": len(results), "keys": table, "blob": blob}


def _pack_plain(values: list[Any]) -> dict[str, Any]:
    """Strings, numbers and lists of strings: each distinct one once, and its number per grid point."""
    index, unique = _unique(
        [one.tolist() if isinstance(one, np.ndarray) else one for one in values], json.dumps
    )
    return {"kind": "plain", "values": unique, "index": index}


def _unique(values: list[Any], name: Any) -> tuple[list[int], list[Any]]:
    seen: dict[Any, int] = {}
    unique: list[Any] = []
    index: list[int] = []
    for value in values:
        mark = name(value)
        if mark not in seen:
            seen[mark] = len(unique)
            unique.append(value)
        index.append(seen[mark])
    return index, unique


def _pack_arrays(arrays: list[np.ndarray]) -> tuple[dict[str, Any], bytes]:
    """Codes of one key's arrays: distinct arrays once, rounded, differenced, bytes of equal weight
    together."""
    index, unique = _unique(arrays, lambda a: (a.shape, a.tobytes(), a.dtype.str))
    shapes = [list(a.shape) for a in unique]
    flat = np.concatenate([np.asarray(a, float).ravel() for a in unique])
    spec: dict[str, Any] = {
        "index": index,
        "shapes": shapes[:1] if shapes.count(shapes[0]) == len(shapes) else shapes,
    }
    codes, how = _codes(flat)
    spec.update(how)
    best: tuple[int, str, bytes] | None = None
    for mode in ("plain", "once", "twice", "before"):
        if mode == "before" and (len(spec["shapes"]) > 1 or len(unique) < 2):
            continue
        data = _shuffled(_difference(codes, mode, shapes))
        size = len(zlib.compress(data, 6))
        if best is None or size < best[0]:
            best = (size, mode, data)
    assert best is not None  # the mode "plain" always runs
    return spec | {"mode": best[1]}, best[2]


def _codes(flat: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
    """Unsigned codes of all numbers of a key, and how to turn them back: ``low + code * step``, or float
    bits."""
    finite = flat[np.isfinite(flat)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    holes = finite.size < flat.size
    whole = bool(np.all(finite == np.round(finite))) and high - low <= 2**32 - 3 and abs(low) < 2**52
    positive = finite[finite > TINY]
    if not whole and low >= 0 and positive.size and high / float(positive.min()) > SPAN:
        bits = flat.astype("<f4").view("<u4").astype(np.uint64)
        drop = 23 - RELATIVE_BITS
        bits = ((bits + (1 << (drop - 1))) >> drop).astype("<u4")
        return bits, {"kind": "float", "drop": drop}
    exponent = 0 if whole else _exponent(low, high)
    scale = float(f"1e{abs(exponent)}")  # not 10**n: that differs between languages in the last bit
    ticks = flat / scale if exponent >= 0 else flat * scale
    base = math.floor(low / scale) if exponent >= 0 else math.floor(low * scale)
    with np.errstate(invalid="ignore"):
        codes = np.round(ticks - base)
    top = int(np.nanmax(codes)) if finite.size else 0
    codes = np.where(np.isnan(codes), top + 1, codes)
    kind = next(k for k, bits in (("<u1", 8), ("<u2", 16), ("<u4", 32)) if top + 2 <= 2**bits)
    how = {"kind": "codes", "base": base, "exponent": exponent, "hole": top + 1 if holes else -1}
    return codes.astype(kind), how


def _exponent(low: float, high: float) -> int:
    """The power of ten that numbers from low to high are rounded to; 15 digits where all are the same."""
    step = (high - low) / LEVELS if high - low > TINY * LEVELS else max(abs(low), TINY) * 1e-14
    return max(math.floor(math.log10(step)), round(math.log10(TINY)))


def _difference(codes: np.ndarray, mode: str, shapes: list[list[int]]) -> np.ndarray:
    """Differences that wrap round in the code's own width: along the numbers once or twice, or to the array
    before."""
    if mode == "plain":
        return codes
    if mode == "before":
        rows = codes.reshape(len(shapes), -1)
        return np.concatenate([rows[:1], rows[1:] - rows[:-1]]).ravel()
    for _ in range(1 if mode == "once" else 2):
        codes = np.concatenate([codes[:1], codes[1:] - codes[:-1]])
    return codes


def _shuffled(codes: np.ndarray) -> bytes:
    """All low bytes first, then the next ones: equal-weight bytes compress better side by side."""
    width = codes.dtype.itemsize
    return bytes([width]) + codes.view("u1").reshape(-1, width).T.tobytes()


def unpack(packed: dict[str, Any]) -> list[dict[str, Any]]:
    """The results that a page's grid stands for: what the browser's decoder must give."""
    blob = zlib.decompress(base64.b64decode(packed["blob"]))
    results: list[dict[str, Any]] = [{} for _ in range(packed["count"])]
    for key, spec in packed["keys"].items():
        if spec["kind"] == "plain":
            arrays = spec["values"]
        else:
            start, length = spec["bytes"]
            arrays = _unpack_arrays(blob[start : start + length], spec)
        for result, number in zip(results, spec["index"], strict=True):
            result[key] = arrays[number]
    return results


def _unpack_arrays(data: bytes, spec: dict[str, Any]) -> list[np.ndarray]:
    width = data[0]
    planes = np.frombuffer(data[1:], "u1").reshape(width, -1).T
    codes = np.ascontiguousarray(planes).view(f"<u{width}").ravel()
    many = max(spec["index"]) + 1
    shapes = spec["shapes"] * many if len(spec["shapes"]) == 1 else spec["shapes"]
    if spec["mode"] == "before":
        codes = np.cumsum(codes.reshape(many, -1), axis=0, dtype=codes.dtype).ravel()
    for _ in range({"once": 1, "twice": 2}.get(spec["mode"], 0)):
        codes = np.cumsum(codes, dtype=codes.dtype)
    if spec["kind"] == "float":
        numbers = (codes.astype("<u4") << spec["drop"]).astype("<u4").view("<f4").astype(float)
    else:
        scale = float(f"1e{abs(spec['exponent'])}")
        ticks = codes.astype(float) + spec["base"]
        numbers = ticks * scale if spec["exponent"] >= 0 else ticks / scale
        numbers[codes == spec["hole"]] = np.nan
    ends = np.cumsum([math.prod(shape) for shape in shapes])
    return [part.reshape(shape) for part, shape in zip(np.split(numbers, ends[:-1]), shapes, strict=True)]
