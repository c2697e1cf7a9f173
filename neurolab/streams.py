"""Sequences of whole numbers to bytes and back, by four coders: what the compressed file is made of.

A pack holds many streams. Its spec (plain lists, for the file's header) says which table serves which stream;
its bytes hold the tables and the symbols. `unpack` trusts nothing: lengths are bounded before anything is
allocated, and whatever is wrong raises ValueError.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import constriction
import numpy as np
import zstandard

from neurolab import coding, symbols
from neurolab.symbols import Ints, Table

AnsCoder = constriction.stream.stack.AnsCoder
Categorical = constriction.stream.model.Categorical
CODERS = ("ans", "huffman", "packed", "zstd")


def check_coder(coder: str) -> None:
    """Raise ValueError unless `coder` is one of CODERS."""
    if coder not in CODERS:
        raise ValueError(f"coder {coder!r}: must be one of {', '.join(CODERS)}")


@contextmanager
def _guarded() -> Iterator[None]:
    """Turn what the library raises, panics of its Rust core included, into ValueError."""
    try:
        yield
    except BaseException as error:
        library = isinstance(error, (ValueError, KeyError, TypeError, OverflowError, zstandard.ZstdError))
        if library or type(error).__name__ == "PanicException":  # derives from BaseException
            raise ValueError(f"the coder refused it: {error}") from error
        raise


def _words(coder: Any) -> bytes:
    return bytes(coder.get_compressed().astype("<u4").tobytes())


def _coder(data: bytes) -> Any:
    if len(data) % 4:
        raise ValueError(f"{len(data)} bytes of ANS data: must be a multiple of 4")
    return AnsCoder(np.frombuffer(data, "<u4").astype(np.uint32))


def _model(weights: Any) -> Any:
    return Categorical(np.asarray(weights, np.float64), perfect=False)


def _push_tables(coder: Any, tables: Sequence[Table]) -> list[int]:
    """Put the levels of the tables on the stack, last first; the law that each was written by."""
    laws = [symbols.best_law(t.levels)[0] if t.fineness else 0 for t in tables]
    for table, law in reversed(list(zip(tables, laws, strict=True))):
        if table.fineness:
            folded = symbols.differences(table.levels).astype(np.int32)
            coder.encode_reverse(folded, _model(symbols.law(law)))
    return laws


def _pop_tables(coder: Any, rows: Sequence[Sequence[int]]) -> list[Table]:
    tables = []
    for low, span, fineness, law in rows:
        if fineness:
            folded = coder.decode(_model(symbols.law(law)), span + 1).astype(np.int64)
            tables.append(Table(low, span, fineness, symbols.undo_differences(folded)))
            if not (tables[-1].levels > 0).any():
                raise ValueError("a table in which no symbol occurs")
        else:
            tables.append(symbols.flat(low, low + span))
    return tables


def pack(streams: Sequence[Ints], coder: str) -> tuple[dict[str, Any], bytes]:
    """Spec and bytes of streams (n_i,) of whole numbers, each with at least one number, spanning < 2^16."""
    check_coder(coder)
    histograms = [symbols.histogram(s) for s in streams]
    stack = AnsCoder()
    if coder == "ans":
        tables, use = symbols.share(histograms)
        for stream, table in reversed([(s, tables[u]) for s, u in zip(streams, use, strict=True)]):
            if table.span:
                stack.encode_reverse((stream - table.low).astype(np.int32), _model(table.weights()))
        laws = _push_tables(stack, tables)
        spec, data = {}, _words(stack)
    else:
        use = list(range(len(streams)))
        if coder == "huffman":
            tables = [coding.length_table(counts, low) for counts, low in histograms]
        else:
            tables = [symbols.flat(low, low + len(counts) - 1) for counts, low in histograms]
        laws = _push_tables(stack, tables)
        head = _words(stack)
        spec, data = {"head": len(head)}, head + _body(streams, tables, coder)
    rows = [[t.low, t.span, t.fineness, law] for t, law in zip(tables, laws, strict=True)]
    return {"tables": rows, "use": use, **spec}, data


def _body(streams: Sequence[Ints], tables: Sequence[Table], coder: str) -> bytes:
    if coder == "huffman":
        return b"".join(
            coding.Code.of_table(t).encode(s) for s, t in zip(streams, tables, strict=True) if t.span
        )
    if coder == "packed":
        return b"".join(fixed(s - t.low, t.span.bit_length()) for s, t in zip(streams, tables, strict=True))
    plain = b"".join(
        (s - t.low).astype(f"<u{_bytes(t)}").tobytes() for s, t in zip(streams, tables, strict=True) if t.span
    )
    return zstandard.ZstdCompressor(level=19).compress(plain)


def _bytes(table: Table) -> int:
    """Bytes of one symbol as zstd gets it."""
    return 1 if table.span < 256 else 2


def fixed(values: Ints, width: int) -> bytes:
    """Numbers 0 .. 2^width - 1 of `width` bits each, the highest bit first, filled up to a whole byte."""
    if width == 0:
        return b""
    bits = (values[:, None] >> np.arange(width - 1, -1, -1)) & 1
    return np.packbits(bits.astype(np.uint8).reshape(-1)).tobytes()


def unfixed(data: bytes, width: int, count: int) -> Ints:
    """The `count` numbers that `fixed` wrote."""
    if width == 0:
        return np.zeros(count, np.int64)
    bits = np.unpackbits(np.frombuffer(data, np.uint8), count=count * width).reshape(count, width)
    return bits.astype(np.int64) @ (1 << np.arange(width - 1, -1, -1))


def whole(value: Any, low: int, high: int, what: str) -> int:
    """`value`, if it is a whole number from low to high; otherwise ValueError that says `what` it is."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{what} {str(value)[:40]}: must be a whole number from {low} to {high}")
    return value


def _checked(spec: Any, data: bytes, counts: Sequence[int]) -> tuple[list[list[int]], list[int], int]:
    """The spec's rows of tables, which stream uses which, and the bytes of the tables, all within limits."""
    if not isinstance(spec, dict) or not isinstance(spec.get("tables"), list):
        raise ValueError("no list of tables")
    rows, use = spec["tables"], spec.get("use")
    if not isinstance(use, list) or len(use) != len(counts):
        raise ValueError(f"tables are given to another number of streams than {len(counts)}")
    for row in rows:
        if not isinstance(row, list) or len(row) != 4:
            raise ValueError(f"table {str(row)[:60]}: must be low, span, fineness, law")
        low = whole(row[0], -(1 << 15), (1 << 16) - 1, "low")
        whole(row[1], 0, min(symbols.WIDEST - 1, (1 << 16) - 1 - low), "span")
        if type(row[2]) is not int or row[2] not in (0, *symbols.FINENESS):
            raise ValueError(f"fineness {str(row[2])[:40]}: must be 0, 1, 2, 4 or 8")
        whole(row[3], 0, len(symbols.DECAYS) - 1, "law")
    for number in use:
        whole(number, 0, len(rows) - 1, "table number")
    spans = sum(row[1] + 1 for row in rows) + sum(rows[number][1] + 1 for number in use)
    if spans > (1 << 20) + 64 * len(data):
        raise ValueError(f"tables of {spans} symbols for {len(data)} bytes")
    return rows, use, whole(spec.get("head", 0), 0, len(data), "bytes of tables")


def unpack(spec: Any, data: bytes, counts: Sequence[int], coder: str) -> list[Ints]:
    """The streams of a pack, of `counts` numbers each (the caller bounds their sum). ValueError if broken."""
    check_coder(coder)
    rows, use, head = _checked(spec, data, counts)
    with _guarded():
        if coder == "ans":
            return _unpack_ans(rows, use, data, counts)
        stack = _coder(data[:head])
        popped = _pop_tables(stack, rows)
        if not stack.is_empty():
            raise ValueError("bytes are left over after the tables")
        return _unbody([popped[number] for number in use], data[head:], counts, coder)


def _unpack_ans(
    rows: Sequence[Sequence[int]], use: Sequence[int], data: bytes, counts: Sequence[int]
) -> list[Ints]:
    stack, found = _coder(data), []
    tables = _pop_tables(stack, rows)
    for number, count in zip(use, counts, strict=True):
        table = tables[number]
        if table.span:
            found.append(stack.decode(_model(table.weights()), count) + np.int32(table.low))
        else:
            found.append(np.full(count, table.low, np.int32))
    if not stack.is_empty():
        raise ValueError("bytes are left over after the last symbol")
    return found


def _unzstd(data: bytes, size: int) -> bytes:
    """What zstd made `data` from: exactly `size` bytes, unfolded a little at a time."""
    unpacked = zstandard.ZstdDecompressor(max_window_size=1 << 23).decompressobj()
    found = bytearray()
    for at in range(0, len(data), 64):
        found += unpacked.decompress(data[at : at + 64])
        if len(found) > size or (unpacked.eof and (unpacked.unused_data or at + 64 < len(data))):
            raise ValueError("bytes are left over after the zstd data")
    if not unpacked.eof or len(found) != size:
        raise ValueError(f"{len(found)} bytes from zstd, {size} are needed")
    return bytes(found)


def _unbody(tables: Sequence[Table], data: bytes, counts: Sequence[int], coder: str) -> list[Ints]:
    found, at = [], 0
    if coder == "zstd":
        size = sum(n * _bytes(t) for n, t in zip(counts, tables, strict=True) if t.span)
        data = _unzstd(data, size)
    for table, count in zip(tables, counts, strict=True):
        if not table.span:
            found.append(np.full(count, table.low, np.int64))
            continue
        if coder == "huffman":
            got, used = coding.Code.of_table(table).decode(data[at:], count)
        else:
            width = table.span.bit_length()
            used = -(-count * width // 8) if coder == "packed" else count * _bytes(table)
            if at + used > len(data):
                raise ValueError(f"{len(data) - at} bytes for {count} symbols")
            piece = data[at : at + used]
            if coder == "packed":
                got = unfixed(piece, width, count)
            else:
                got = np.frombuffer(piece, f"<u{_bytes(table)}").astype(np.int64)
            if got.max(initial=0) > table.span:
                raise ValueError(f"code {got.max()}: its table ends at {table.span}")
            got = got + table.low
        found.append(got)
        at += used
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes are left over after the last symbol")
    return found


def entropy_bytes(streams: Sequence[Ints]) -> float:
    """Bytes that an ideal coder needs for the streams, each with its own distribution, tables not counted."""
    return sum(coding.entropy(s) * len(s) for s in streams) / 8
