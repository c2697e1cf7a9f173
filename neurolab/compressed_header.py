"""The frame of the compressed file: magic, lengths, the folded header, limits and the checksum."""

from __future__ import annotations

import hashlib
import struct
import zlib

MAGIC, VERSION = b"nlab", 1
HEAD = struct.Struct("<4sBII")
CHECK = 8
"""Bytes of the checksum."""
SECTIONS = ("codes", "steps", "floats", "tokenizer")
HEADER_LIMIT = 1 << 20
"""The most bytes that the header may unfold to."""
TOKENIZER_LIMIT = 1 << 24


def _usual() -> bytes:
    """What a header usually says, for deflate to point back to: never to be changed, as the format is."""
    parts = ("norm1", "attention.query", "attention.key", "attention.value", "attention.out", "norm2")
    names = [
        f"blocks.{i}.{part}"
        for i in range(7, -1, -1)
        for part in (*parts, "feed_forward.up", "feed_forward.down")
    ]
    rows = []
    for name in ("norm", *names, "position", "embedding"):
        wide = {"up": "[640,160],[640,1]", "down": "[160,640],[160,1]"}.get(
            name.rpartition(".")[2], "[160,160],[160,1]"
        )
        if "norm" in name:
            rows.append(f'["{name}.weight","h",[160]],["{name}.bias","h",[160]]')
        else:
            rows.append(f'["{name}.weight","qh",{wide}]')
    config = (
        '{"config":{"vocabulary":1024,"context":96,"width":160,"layers":4,"heads":5,"hidden":640,"head":0}'
    )
    ends = '],"specs":[{"tables":[[-7,14,8,4],[-1,2,4,5]],"use":[0,0,0,1,1,1]},{"head":0}],"bytes":['
    return (",".join(rows) + ends + config + ',"about":{},"coder":"ans","tensors":[["embedding').encode()


USUAL = _usual()


def fold(text: bytes) -> bytes:
    """The header deflated, with `USUAL` known beforehand."""
    folding = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, USUAL)
    return folding.compress(text) + folding.flush()


def unfold(data: bytes, limit: int, what: str) -> bytes:
    """What `fold` made `data` from, at most `limit` bytes of it."""
    unfolding = zlib.decompressobj(-15, USUAL)
    try:
        found = unfolding.decompress(data, limit)
    except zlib.error as error:
        raise ValueError(f"the {what} is no deflated text ({error})") from error
    if not unfolding.eof or unfolding.unused_data:
        raise ValueError(f"the {what} is cut off, unfolds to more than {limit} bytes, or has more behind it")
    return found


def most_weights(size: int) -> int:
    """The most numbers that a file of `size` bytes may hold: a million, and 128 a byte.

    Without a limit 100 bytes could hold 10^12 zeros: equal symbols cost nothing.
    """
    return min((1 << 20) + 128 * size, 1 << 28)


def checksum(body: bytes) -> bytes:
    """The 8 bytes that close a file whose other bytes are `body`."""
    return hashlib.blake2b(body, digest_size=CHECK).digest()
