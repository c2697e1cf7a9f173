"""Huffman's code against independent optima, its bits against its own header; the entropy ledger's coders."""

from __future__ import annotations

import heapq
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurolab import coding, streams, symbols
from neurolab.coding import Code

COUNTS = st.lists(st.integers(0, 10**6), min_size=1, max_size=300).filter(any)


def merged_weights(counts: list[int]) -> int:
    """The least sum of count x length without a tree: the sum of all merged weights."""
    heap = [c for c in counts if c > 0]
    if len(heap) == 1:
        return heap[0]
    heapq.heapify(heap)
    total = 0
    while len(heap) > 1:
        both = heapq.heappop(heap) + heapq.heappop(heap)
        total += both
        heapq.heappush(heap, both)
    return total


def kraft(lengths: np.ndarray) -> Fraction:
    return sum((Fraction(1, 2 ** int(n)) for n in lengths), Fraction(0))


@given(COUNTS)
def test_huffman_is_optimal_to_the_bit_and_complete(counts: list[int]) -> None:
    lengths = coding.lengths_of(counts)
    assert int((lengths * counts).sum()) == merged_weights(counts)
    assert [n > 0 for n in lengths] == [c > 0 for c in counts]
    used = lengths[lengths > 0]
    assert kraft(used) == (1 if len(used) > 1 else Fraction(1, 2))
    h0, n = coding.entropy_of(counts), sum(counts)
    mean = float((lengths * np.array(counts)).sum()) / n
    assert mean < h0 + 1 or len(used) == 1
    assert mean >= h0 - 1e-9


@settings(max_examples=40)
@given(st.lists(st.integers(1, 30), min_size=2, max_size=6))
def test_no_set_of_lengths_is_better_by_brute_force(counts: list[int]) -> None:
    """Every prefix code's lengths fulfil Kraft, and every such set has a code: trying all is proof."""
    k = len(counts)
    best = min(
        sum(c * n for c, n in zip(counts, lengths, strict=True))
        for lengths in itertools.product(range(1, k), repeat=k)
        if sum(2.0**-n for n in lengths) <= 1
    ) if k > 2 else sum(counts)  # fmt: skip
    assert int((coding.lengths_of(counts) * counts).sum()) == best


def test_the_deepest_tree_fits() -> None:
    fibonacci = [1, 1]
    while len(fibonacci) < 44:
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    lengths = coding.lengths_of(fibonacci)
    assert lengths.max() == 43
    code = Code(np.arange(44), lengths)
    sent = np.array([0, 43, 1, 42, 0, 20])
    got, used = code.decode(code.encode(sent), 6)
    assert got.tolist() == sent.tolist()
    assert used == math.ceil(int(lengths[sent].sum()) / 8)


@given(COUNTS)
def test_growing_ends_where_the_lengths_are(counts: list[int]) -> None:
    steps = list(coding.grow(counts))
    assert steps[-1].lengths.tolist() == coding.lengths_of(counts).tolist()
    assert steps[-1].cost == merged_weights(counts)
    assert steps[-1].trees == 1
    present = sum(c > 0 for c in counts)
    assert len(steps) == max(present - 1, 1)
    for step in steps:
        assert step.cost == int((step.lengths * counts).sum())
        assert not set(step.left) & set(step.right)


@given(COUNTS)
def test_words_are_canonical_and_no_word_begins_another(counts: list[int]) -> None:
    used = np.flatnonzero(counts)
    code = Code(used, coding.lengths_of(counts)[used])
    words = code.text()
    ordered = sorted(words)
    assert not any(b.startswith(a) for a, b in itertools.pairwise(ordered))
    by_length = sorted(zip(code.lengths.tolist(), code.symbols.tolist(), words, strict=True))
    assert [w for _, _, w in by_length] == ordered  # shorter first, then the symbols' order
    assert set(by_length[0][2]) == {"0"}


def test_canonical_words_of_the_textbook() -> None:
    """RFC 1951, 3.2.2: ABCDEFGH with lengths 3, 3, 3, 3, 3, 2, 4, 4."""
    code = Code(np.arange(8), np.array([3, 3, 3, 3, 3, 2, 4, 4]))
    assert code.text() == ["010", "011", "100", "101", "110", "00", "1110", "1111"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-40, 40), min_size=1, max_size=400),
    st.binary(max_size=5),
    st.sampled_from([1 << 17, 64, 128]),
)
def test_decodes_what_it_wrote(sent: list[int], behind: bytes, chunk: int) -> None:
    stream = np.array(sent)
    code = Code.of(stream)
    data = code.encode(stream)
    bits = "".join(code.text()[i] for i in np.searchsorted(code.symbols, stream))
    assert data == int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    before = coding.CHUNK
    coding.CHUNK = chunk  # so that words lie across the edges of chunks
    try:
        got, used = code.decode(data + behind, len(sent))
    finally:
        coding.CHUNK = before
    assert got.tolist() == sent
    assert used == len(data)


def test_a_million_symbols() -> None:
    rng = np.random.default_rng(0)
    stream = np.rint(rng.laplace(0, 1.2, 1_000_000)).astype(np.int64)
    code = Code.of(stream)
    data = code.encode(stream)
    got, used = code.decode(data, len(stream))
    assert np.array_equal(got, stream)
    assert used == len(data)
    _, counts = np.unique(stream, return_counts=True)
    assert len(data) == math.ceil(merged_weights(counts.tolist()) / 8)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 500), st.lists(st.integers(0, 20), min_size=1, max_size=9))
def test_any_bits_decode_or_are_refused(data: bytes, count: int, lengths: list[int]) -> None:
    """Against a decoder that reads bit by bit."""
    used = [n for n in lengths if n]
    if not used or sum(2.0**-n for n in used) > 1:
        with pytest.raises(ValueError, match=r"symbols|lengths"):
            Code(np.arange(len(used)), np.array(used, dtype=np.int64))
        return
    code = Code(np.arange(len(used)), np.array(used))
    words = dict(zip(code.text(), code.symbols.tolist(), strict=True))
    bits, found, word, end = "".join(f"{b:08b}" for b in data), [], "", 0
    for i, bit in enumerate(bits):
        if len(found) == count:
            break
        word += bit
        if word in words:
            found.append(words[word])
            word, end = "", i + 1
    if len(found) == count:
        got, taken = code.decode(data, count)
        assert got.tolist() == found
        assert taken == math.ceil(end / 8)
    else:
        with pytest.raises(ValueError, match="symbol"):
            code.decode(data, count)


def test_refusals() -> None:
    for counts in ([], [0, 0], [1, -1]):
        with pytest.raises(ValueError, match="counts"):
            coding.lengths_of(counts)
        with pytest.raises(ValueError, match="counts"):
            list(coding.grow(counts))
        with pytest.raises(ValueError, match="counts"):
            coding.entropy_of(counts)
    with pytest.raises(ValueError, match="symbol 7"):
        Code.of(np.array([1, 2, 2])).encode(np.array([1, 7]))
    with pytest.raises(ValueError, match="ascend"):
        Code(np.array([2, 1]), np.array([1, 1]))
    with pytest.raises(ValueError, match="Kraft"):
        Code(np.array([1, 2, 3]), np.array([1, 1, 1]))
    with pytest.raises(ValueError, match="coder 'zip'"):
        streams.pack([np.array([1])], "zip")


def test_entropy() -> None:
    assert coding.entropy(np.array([5, 5, 5])) == 0
    assert coding.entropy_of([1, 1, 1, 1]) == 2
    assert coding.entropy_of([3, 1, 0]) == pytest.approx(2 - 0.75 * math.log2(3), abs=1e-12)


def test_huffman_cannot_spend_less_than_a_bit() -> None:
    """At 90 % zeros the zeros alone cost 0.9 bits a weight: more than the entropy of everything."""
    rng = np.random.default_rng(1)
    stream = np.where(rng.random(50_000) < 0.9, 0, rng.choice([-1, 1], 50_000))
    h0 = coding.entropy(stream)
    huffman = 8 * len(Code.of(stream).encode(stream)) / len(stream)
    assert h0 < 0.6
    assert huffman > 1
    _, ans = streams.pack([stream], "ans")
    assert 8 * len(ans) / len(stream) < h0 * 1.005


# --- tables and streams ---


def drawn(kind: str, n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if kind == "wide":
        return np.clip(np.rint(rng.normal(0, 33, n)), -127, 127).astype(np.int64)
    if kind == "narrow":
        return np.clip(np.rint(rng.normal(0, 2.2, n)), -8, 7).astype(np.int64)
    if kind == "ternary":
        return rng.choice([-1, 0, 1], n, p=[0.2, 0.6, 0.2])
    if kind == "pruned":
        x = np.rint(rng.normal(0, 30, n)).astype(np.int64)
        return np.where(np.abs(x) < 25, 0, x)
    return np.full(n, 3)


@pytest.mark.parametrize("kind", ["wide", "narrow", "ternary", "pruned"])
def test_ans_stays_within_one_per_cent_of_the_entropy_tables_included(kind: str) -> None:
    some = [drawn(kind, 25_600, seed) for seed in range(6)]
    spec, data = streams.pack(some, "ans")
    header = len(str(spec))  # more than what the file's deflated header takes
    assert len(data) + header <= 1.01 * streams.entropy_bytes(some)


@pytest.mark.parametrize("coder", streams.CODERS)
def test_streams_come_back(coder: str) -> None:
    some = [drawn(k, n, 1) for k in ("wide", "narrow", "ternary", "pruned", "one") for n in (1, 2, 900)]
    some += [np.array([-32768, 32767, 0]), np.array([65535, 3])]
    spec, data = streams.pack(some, coder)
    got = streams.unpack(spec, data, [len(s) for s in some], coder)
    assert [g.tolist() for g in got] == [s.tolist() for s in some]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(-300, 300), min_size=1, max_size=60), max_size=6),
    st.sampled_from(streams.CODERS),
)
def test_any_streams_come_back(some: list[list[int]], coder: str) -> None:
    arrays = [np.array(s) for s in some]
    spec, data = streams.pack(arrays, coder)
    got = streams.unpack(spec, data, [len(s) for s in some], coder)
    assert [g.tolist() for g in got] == some
    if data:
        with pytest.raises(ValueError):  # noqa: PT011  what it says depends on the coder
            streams.unpack(spec, data[: len(data) // 2] + bytes(8), [len(s) + 999 for s in some], "packed")


@given(st.lists(st.integers(0, symbols.MOST_LEVEL - 1), min_size=1, max_size=40))
def test_levels_and_their_differences(levels: list[int]) -> None:
    assert symbols.undo_differences(symbols.differences(np.array(levels))).tolist() == levels


def test_levels_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="levels"):
        symbols.undo_differences(np.array([1]))
    with pytest.raises(ValueError, match="levels"):
        symbols.undo_differences(np.array([2 * symbols.MOST_LEVEL]))


def test_weights_are_the_powers_that_they_should_be() -> None:
    for fineness in symbols.FINENESS:
        levels = np.arange(0, 1 + 20 * fineness)
        table = symbols.Table(0, len(levels) - 1, fineness, levels)
        exact = np.where(levels > 0, 256 * 2.0 ** ((levels - 1) / fineness), 0)
        assert np.abs(table.weights() - exact).max() <= 1


def test_sharing_a_table_only_where_it_pays() -> None:
    alike = [symbols.histogram(drawn("wide", 2_000, seed)) for seed in range(3)]
    other = [symbols.histogram(drawn("ternary", 20_000, 9))]
    tables, use = symbols.share(alike + other)
    assert len(tables) == 2
    assert use[0] == use[1] == use[2] != use[3]
