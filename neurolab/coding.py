"""Huffman codes by hand, canonical and optimal, and the entropy that no code of single symbols can beat.

A Huffman code gives a symbol of probability p a whole number of bits l, with the least sum of p l (Huffman,
1952). It is canonical when codes of one length count upwards in the symbols' order, and shorter ones come
first: the lengths alone then say everything (Schwartz and Kallick, 1964).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurolab.symbols import Ints, Table

LONGEST = 48
"""The longest code word in bits; one this long needs more than 10^9 symbols."""
PEEK = 12
"""Bits that one table look-up decodes; longer code words are found by comparing."""


def entropy(symbols: Ints) -> float:
    """H0 in bits a symbol: -sum p log2 p over how often each of `symbols` (n,) occurs."""
    return entropy_of(np.unique(symbols, return_counts=True)[1])


def entropy_of(counts: Ints | Sequence[int]) -> float:
    """H0 in bits a symbol, of counts >= 0. Raises ValueError if none is above 0."""
    n = np.asarray(counts, float)
    if n.size == 0 or (n < 0).any() or n.sum() <= 0:
        raise ValueError("counts: must be at least 0, and one above 0")
    p = n[n > 0] / n.sum()
    return float(-(p * np.log2(p)).sum()) + 0.0


def _counts(counts: Ints | Sequence[int]) -> list[int]:
    n = [int(c) for c in counts]
    if not n or min(n) < 0 or max(n) <= 0:
        raise ValueError("counts: must be at least 0, and one above 0")
    return n


def lengths_of(counts: Ints | Sequence[int]) -> Ints:
    """Huffman's code lengths (K,) in bits for counts (K,): 0 where the count is 0, and 1 for a lone symbol.

    Again and again the two lightest trees are made one; a symbol's length is how often it was in one of them.
    Of equally heavy trees the older goes first, so that the result is the same everywhere (and the longest
    code as short as it can be: Schwartz, 1964).
    """
    n = _counts(counts)
    heap = [(c, i) for i, c in enumerate(n) if c > 0]
    if len(heap) == 1:
        return np.array([int(c > 0) for c in n])
    heapq.heapify(heap)
    parent: dict[int, int] = {}
    node = len(n)
    while len(heap) > 1:
        (a, left), (b, right) = heapq.heappop(heap), heapq.heappop(heap)
        parent[left] = parent[right] = node
        heapq.heappush(heap, (a + b, node))
        node += 1
    depth = [0] * node
    for i in range(node - 2, -1, -1):  # a parent's number is above its children's
        if i in parent:
            depth[i] = depth[parent[i]] + 1
    return np.array(depth[: len(n)], np.int64)


def mean_length(counts: Ints | Sequence[int]) -> float:
    """Huffman's bits a symbol, the sum of p l: from the entropy to less than one bit above it."""
    n = np.asarray(counts, np.int64)
    return float((lengths_of(n) * n).sum() / n.sum())


@dataclass(frozen=True)
class Step:
    """One step of the tree's growth: which two trees were joined, and what stands now.

    left, right: the symbols (indices) of the two joined trees.  weight: their counts together.
    lengths: (K,) of every symbol so far.  trees: how many are left.  cost: sum of count x length so far.
    """

    left: tuple[int, ...]
    right: tuple[int, ...]
    weight: int
    lengths: Ints
    trees: int
    cost: int


def grow(counts: Ints | Sequence[int]) -> Iterator[Step]:
    """The tree as it grows, one join a step. A lone symbol takes one step: it gets the length 1.

    Raises ValueError if no count is above 0, or one is below.
    """
    n = _counts(counts)
    lengths, cost = np.zeros(len(n), np.int64), 0
    heap: list[tuple[int, int, tuple[int, ...]]] = [(c, i, (i,)) for i, c in enumerate(n) if c > 0]
    if len(heap) == 1:
        lengths[heap[0][1]] = 1
        yield Step(heap[0][2], (), heap[0][0], lengths, 1, heap[0][0])
        return
    heapq.heapify(heap)
    age = len(n)
    while len(heap) > 1:
        a, _, left = heapq.heappop(heap)
        b, _, right = heapq.heappop(heap)
        lengths = lengths.copy()
        lengths[list(left + right)] += 1
        cost += a + b
        heapq.heappush(heap, (a + b, age, left + right))
        age += 1
        yield Step(left, right, a + b, lengths, len(heap), cost)


@dataclass(frozen=True)
class Code:
    """A canonical prefix code: `symbols` (K,) ascending, and the bits of each one's code word (K,)."""

    symbols: Ints
    lengths: Ints

    def __post_init__(self) -> None:
        if len(self.symbols) == 0 or len(self.symbols) != len(self.lengths):
            raise ValueError(
                f"{len(self.symbols)} symbols and {len(self.lengths)} lengths: must be equally many"
            )
        if self.lengths.min() < 1 or self.lengths.max() > LONGEST:
            raise ValueError(
                f"lengths {self.lengths.min()} to {self.lengths.max()}: must be 1 to {LONGEST} bits"
            )
        if (np.diff(self.symbols) <= 0).any():
            raise ValueError("symbols: must ascend")
        if kraft(self.lengths) > 1:
            raise ValueError(f"lengths {self.lengths[:8].tolist()} ...: more code words than fit (Kraft)")

    @classmethod
    def of(cls, symbols: Ints) -> Code:
        """The optimal code of a sequence of whole numbers (n,)."""
        found, counts = np.unique(symbols, return_counts=True)
        return cls(found.astype(np.int64), lengths_of(counts))

    @classmethod
    def of_table(cls, table: Table) -> Code:
        """The code whose lengths are a table's levels."""
        used = np.flatnonzero(table.levels)
        return cls(used + table.low, table.levels[used])

    def words(self) -> Ints:
        """The code words (K,) as whole numbers of `lengths` bits each, in the order of `symbols`."""
        order, words = np.lexsort((self.symbols, self.lengths)), np.zeros(len(self.symbols), np.int64)
        word, before = 0, int(self.lengths[order[0]])
        for i in order:
            length = int(self.lengths[i])
            word <<= length - before
            words[i], before = word, length
            word += 1
        return words

    def text(self) -> list[str]:
        """The code words as text of 0 and 1."""
        return [format(int(w), f"0{length}b") for w, length in zip(self.words(), self.lengths, strict=True)]

    def encode(self, symbols: Ints) -> bytes:
        """The code words of `symbols` (n,) behind one another, filled up with zeros to a whole byte."""
        at = np.searchsorted(self.symbols, symbols)
        known = at < len(self.symbols)
        if not known.all() or not (self.symbols[at] == symbols).all():
            missing = set(np.unique(symbols).tolist()) - set(self.symbols.tolist())
            raise ValueError(f"symbol {min(missing)}: has no code word")
        lengths, words = self.lengths[at], self.words()[at]
        ends = np.cumsum(lengths)
        bits = np.zeros(int(ends[-1]) if len(ends) else 0, np.uint8)
        for back in range(int(lengths.max(initial=0))):  # the last bit of every word, the one before it, ...
            has = lengths > back
            bits[ends[has] - 1 - back] = (words[has] >> back) & 1
        return np.packbits(bits).tobytes()

    def decode(self, data: bytes, count: int) -> tuple[Ints, int]:
        """The first `count` symbols in `data`, and the bytes that they took.

        Every bit position is decoded, as if a code word began there: a table look-up over the whole array.
        Then the true positions are found by hopping from word to word, 64 words at a time (`_hop`).
        Raises ValueError if `data` ends too early or holds bits that are no code word.
        """
        if count == 0:
            return np.empty(0, np.int64), 0
        if count > 8 * len(data):
            raise ValueError(f"{count} symbols in {len(data)} bytes: a code word has at least one bit")
        return _decode(self, data, count)


def kraft(lengths: Ints | Sequence[int]) -> float:
    """Sum of 2^-l: 1 for a complete code, below 1 where code words are to spare (Kraft, 1949)."""
    return float(np.exp2(-np.asarray(lengths, float)).sum())


def length_table(counts: Ints, low: int) -> Table:
    """Huffman's lengths for counts (K,) of low, low + 1, ... as a table's levels."""
    if len(counts) == 1:
        return Table(low, 0, 0, np.empty(0, np.int64))
    return Table(low, len(counts) - 1, 1, lengths_of(counts))


CHUNK = 1 << 17
"""Bit positions that are decoded at a time: few enough to stay in the processor's cache."""
HOPS = 6
"""The longest hop kept is of 2^HOPS code words."""


def _decode(code: Code, data: bytes, count: int) -> tuple[Ints, int]:
    order = np.lexsort((code.symbols, code.lengths))
    lengths, symbols = code.lengths[order].astype(np.int32), code.symbols[order]
    first = code.words()[order] << (LONGEST - lengths.astype(np.int64))  # ascending: a word with zeros behind

    def look(window: Ints) -> tuple[Ints, NDArray[np.int32]]:
        """Of windows of LONGEST bits: which code word each begins with, and its length (0: none)."""
        which = np.searchsorted(first, window, "right") - 1
        fits = window - first[which] < 1 << (LONGEST - lengths[which].astype(np.int64))
        return which, np.where(fits, lengths[which], 0).astype(np.int32)

    known, size = look(np.arange(1 << PEEK) << (LONGEST - PEEK))
    longer = lengths[known] > PEEK
    padded = np.frombuffer(data + bytes(CHUNK // 8 + 8), np.uint8).astype(np.uint64)
    found, have, start, chunk = [], 0, 0, 0
    while have < count:
        window = _windows(padded[chunk // 8 : chunk // 8 + CHUNK // 8 + 7])
        peek = window >> (LONGEST - PEEK)
        which, step = known[peek], size[peek]
        slow = np.flatnonzero(longer[peek])
        which[slow], step[slow] = look(window[slow])
        at = _hop(step, start - chunk)
        if not len(at):
            raise ValueError(f"after {have} of {count} symbols: bits that are no code word")
        found.append(symbols[which[at]])
        have += len(at)
        chunk += CHUNK
        last = at[-1] if have <= count else at[count - have - 1]
        start = chunk - CHUNK + int(last) + int(step[last])
        if have < count and (start < chunk or chunk >= 8 * len(data)):
            what = "bits that are no code word" if start < 8 * len(data) else "no more code words"
            raise ValueError(f"after {have} of {count} symbols: {what}")
    if start > 8 * len(data):
        raise ValueError(f"the last of {count} symbols is cut off")
    return np.concatenate(found)[:count], -(-start // 8)


def _windows(some: NDArray[np.uint64]) -> Ints:
    """The LONGEST bits from each bit position on, of all bytes but the last seven."""
    count = len(some) - 7
    eight = np.zeros(count, np.uint64)  # the eight bytes from each byte on, as one number
    for i in range(8):
        eight = (eight << np.uint64(8)) | some[i : i + count]
    shifted = eight[:, None] << np.arange(8, dtype=np.uint64)
    return (shifted >> np.uint64(64 - LONGEST)).astype(np.int64).reshape(-1)


def _hop(step: NDArray[np.int32], start: int) -> Ints:
    """Positions of the code words from `start` on, `step` (n,) being the length of the word at each position.

    Hops of 1, 2, 4 ... words are made of two of half the length; the longest are walked one by one, the
    others fill the gaps. A step of 0 (no code word there) ends the walk: that position is given out no more.
    """
    n = len(step)
    out = n + LONGEST  # positions from n on stay where they are
    ahead = np.arange(out + 1, dtype=np.int32)
    ahead[:n] += step
    ahead[:n][step == 0] = out
    hops = [ahead]
    for _ in range(HOPS):
        hops.append(hops[-1][hops[-1]])
    far, walk = hops[-1].data, []
    while start < n:
        walk.append(start)
        start = far[start]
    at: Ints = np.asarray(walk, np.int64)
    for half in reversed(hops[:-1]):
        at = np.asarray(np.stack((at, half[at]), 1).reshape(-1), np.int64)
    at = at[at < n]
    return at[step[at] > 0]
