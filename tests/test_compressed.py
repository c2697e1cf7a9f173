"""The compressed file: bit for bit there and back, small, and every damage a clear error; fuzzed."""

from __future__ import annotations

import copy
import json
import os
import tracemalloc
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurolab import assistant, compressed, compressing, streams, symbols
from neurolab.compressed import CompressedError
from neurolab.compressed_header import CHECK, HEAD, HEADER_LIMIT, checksum, fold, most_weights, unfold
from neurolab.quantized import Coded, Tensors, float_bytes, put
from neurolab.transformer import Config, Transformer


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small tensors gain nothing from a second thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


SMALL = Config(vocabulary=40, context=8, width=8, layers=2, heads=2, hidden=16)


def small(seed: int = 0) -> Tensors:
    """A network's tensors: matrices coded in several ways, vectors as float32 and float16."""
    torch.manual_seed(seed)
    model = Transformer(SMALL)
    made: Tensors = {}
    for i, (name, w) in enumerate(model.state_dict().items()):
        if w.ndim != 2:
            made[name] = torch.randn(w.shape).half() if i % 3 else torch.randn(w.shape)
            continue
        rows, columns = w.shape
        shape = [(rows, 1), (1, columns), (rows, columns // 4), ()][i % 4]
        step = torch.rand(shape) + 0.01
        q = torch.randint(-8, 8, w.shape, dtype=torch.int16)
        zero = torch.randint(-8, 8, shape, dtype=torch.int16) if i % 2 else None
        made[name] = Coded(q, step.half().float() if i % 3 else step, zero)
    return made


TENSORS = small()
WHOLE = compressed.encode(TENSORS, config=asdict(SMALL), about={"bits": 4}, tokenizer='{"ก": 1}')


@cache
def shipped(bits: int, sparsity: float = 0.0) -> tuple[Tensors, dict[str, Any]]:
    """The assistant, coded."""
    source = compressing.read()
    return compressing.compress(source.weights, bits, sparsity), source.config


def reseal(body: bytes) -> bytes:
    """The bytes with the length and the checksum that they ought to have, so that the parser is reached."""
    body = body[: HEAD.size - 4] + (len(body) + CHECK).to_bytes(4, "little") + body[HEAD.size :]
    return body + checksum(body)


def taken_apart(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The header as a dictionary, and the sections."""
    length = HEAD.unpack_from(data)[2]
    return json.loads(unfold(data[HEAD.size : HEAD.size + length], HEADER_LIMIT, "header")), data[
        HEAD.size + length : -CHECK
    ]


def put_together(head: Any, sections: bytes) -> bytes:
    text = fold(json.dumps(head).encode() if not isinstance(head, bytes) else head)
    return reseal(HEAD.pack(b"nlab", 1, len(text), 0) + text + sections)


# --- there and back ---


@pytest.mark.parametrize("coder", streams.CODERS)
def test_what_is_saved_is_what_is_loaded(tmp_path: Path, coder: str) -> None:
    path = tmp_path / "one.nlab"
    size = compressed.save(
        path, TENSORS, config=asdict(SMALL), coder=coder, about={"why": "ทดสอบ"}, tokenizer="{}"
    )
    assert size == os.path.getsize(path) == sum(compressed.load(path).sections.values())
    back = compressed.load(path)
    assert compressed.same(TENSORS, back.tensors)
    assert list(back.tensors) == list(TENSORS)
    assert (back.config, back.about, back.tokenizer) == (asdict(SMALL), {"why": "ทดสอบ"}, "{}")
    assert back.coder == coder
    wanted = put(Transformer(SMALL), TENSORS).state_dict()
    assert all(torch.equal(x, wanted[name]) for name, x in back.model().state_dict().items())
    assert [p.name for p in tmp_path.iterdir()] == ["one.nlab"]
    assert path.read_bytes() == compressed.encode(
        back.tensors, config=back.config, coder=coder, about=back.about, tokenizer="{}"
    )


def test_same_sees_every_bit() -> None:
    name = next(n for n, x in TENSORS.items() if isinstance(x, Coded) and x.zero is not None)
    plain = next(n for n, x in TENSORS.items() if not isinstance(x, Coded) and x.dtype == torch.float32)
    one = TENSORS[name]
    assert isinstance(one, Coded)
    assert compressed.same(TENSORS, small())
    for key, other in (
        (name, Coded(one.q + 1, one.step, one.zero)),
        (name, Coded(one.q, one.step * 2, one.zero)),
        (name, Coded(one.q, one.step)),
        (name, one.value()),
        (plain, -TENSORS[plain]),  # type: ignore[operator]
        (plain, TENSORS[plain].double()),  # type: ignore[union-attr]
    ):
        assert not compressed.same(TENSORS, {**TENSORS, key: other})
    assert not compressed.same({"x": torch.tensor([0.0])}, {"x": torch.tensor([-0.0])})
    assert not compressed.same(TENSORS, {k: x for k, x in TENSORS.items() if k != name})


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_tensors_come_back(data: st.DataObject) -> None:
    floats = st.floats(allow_nan=False, allow_infinity=False, width=32)
    made: Tensors = {}
    for i in range(data.draw(st.integers(1, 4))):
        rows, columns, groups = (data.draw(st.integers(1, 5)) for _ in range(3))
        shape = (rows, columns * groups)
        if data.draw(st.booleans()):
            values = data.draw(st.lists(floats, min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]))
            made[f"t{i}"] = torch.tensor(values, dtype=torch.float32).reshape(shape)
            continue
        low = data.draw(st.integers(-32768, 32767))
        q = torch.randint(low, data.draw(st.integers(low, 32767)) + 1, shape).to(torch.int16)
        step = torch.tensor(data.draw(st.floats(2.0**-126, 2.0**100, width=32))).expand(rows, groups).clone()
        zero = torch.full_like(step, data.draw(st.integers(-32768, 32767))).to(torch.int16)
        made[f"t{i}"] = Coded(q, step, zero if data.draw(st.booleans()) else None)
    for coder in streams.CODERS:
        assert compressed.same(
            made, compressed.decode(compressed.encode(made, config={}, coder=coder)).tensors
        )


def test_saving_fails_without_a_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "one.nlab"
    path.write_bytes(b"before")

    def refuse(*_: Any) -> None:
        raise OSError("no room")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="no room"):
        compressed.save(path, TENSORS, config={})
    assert [p.name for p in tmp_path.iterdir()] == ["one.nlab"]
    assert path.read_bytes() == b"before"


def test_what_cannot_be_saved() -> None:
    for tensors, said in (
        ({}, "at least one"),
        ({"a": torch.tensor([1.0, torch.nan])}, "a holds NaN"),
        ({"a": torch.tensor([1, 2])}, r"a is torch\.int64"),
        ({"a": torch.zeros(3, 0)}, r"shape \(3, 0\)"),
        ({"a": Coded(torch.zeros(3000, 1000, dtype=torch.int16), torch.tensor(1.0))}, "3000000 weights"),
    ):
        with pytest.raises(ValueError, match=said):
            compressed.encode(tensors, config={})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="coder 'lzma'"):
        compressed.encode(TENSORS, config={}, coder="lzma")


# --- the assistant ---


@pytest.mark.parametrize(("bits", "sparsity"), [(8, 0.0), (3, 0.8)])
def test_the_assistant_is_within_one_per_cent_of_the_entropy(bits: int, sparsity: float) -> None:
    tensors, config = shipped(bits, sparsity)
    data = compressed.encode(tensors, config=config)
    back = compressed.decode(data)
    assert compressed.same(tensors, back.tensors)
    found = compressing.report(back, float_bytes())
    assert found["codes"] == 1_408_000
    payload = len(data) - back.sections["steps"] - back.sections["floats"]  # codes, tables, header, checksum
    assert payload <= 1.01 * found["entropy_bytes"]
    assert found["over_entropy_percent"] <= 1
    assert found["bytes"] == len(data)
    assert back.sections["header"] < 400


def test_size_is_that_of_the_file(tmp_path: Path) -> None:
    tensors, config = shipped(3, 0.8)
    sizes = {coder: compressed.size(tensors, config, coder) for coder in streams.CODERS}
    assert sizes["ans"] == compressed.save(tmp_path / "a", tensors, config=config)
    assert sizes["ans"] < sizes["huffman"] < sizes["packed"]
    assert sizes["ans"] < sizes["zstd"] < sizes["packed"] < float_bytes() / 10


def test_the_assistant_answers_from_the_file() -> None:
    tensors, config = shipped(8)
    helper = assistant.load()
    model = compressed.decode(compressed.encode(tensors, config=config)).model()
    small_one = assistant.Assistant(model, helper.tokenizer, {})
    assert small_one.ask("What is the capital of Thailand") == helper.ask("What is the capital of Thailand")
    wanted = put(helper.model, tensors).state_dict()
    assert all(torch.equal(x, wanted[name]) for name, x in model.state_dict().items())


# --- damage ---


def refused(data: bytes, path: Path, said: str) -> None:
    path.write_bytes(data)
    with pytest.raises(CompressedError, match=said) as error:
        compressed.load(path)
    assert str(error.value).startswith(str(path))


def test_missing_truncated_long_changed(tmp_path: Path) -> None:
    path = tmp_path / "one.nlab"
    with pytest.raises(CompressedError, match=r"one\.nlab: missing"):
        compressed.load(path)
    with pytest.raises(CompressedError, match="a folder"):
        compressed.load(tmp_path)
    refused(b"", path, "not a compressed model")
    refused(b"PK\x03\x04" + WHOLE[4:], path, "not a compressed model")
    refused(WHOLE[:4] + b"\x02" + WHOLE[5:], path, "version 2")
    for length in (1, 4, 12, 20, 21, len(WHOLE) // 2, len(WHOLE) - 1):
        refused(WHOLE[:length], path, "truncated")
    refused(WHOLE + b"\0", path, f"too long: {len(WHOLE) + 1} bytes")
    refused(WHOLE + WHOLE, path, f"too long: {2 * len(WHOLE)} bytes")


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    for at in range(len(WHOLE)):
        bad = bytearray(WHOLE)
        bad[at] ^= 1 << (at % 8)
        with pytest.raises(CompressedError):
            compressed.decode(bytes(bad), "it")


@pytest.mark.parametrize("coder", streams.CODERS)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(edits=st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=3), st.integers(0, 3)), max_size=6))
def test_damage_behind_the_checksum(coder: str, edits: list[tuple[int, bytes, int]]) -> None:
    """Bytes replaced, put in, taken out; length and checksum made right: a model or CompressedError."""
    data = bytearray(compressed.encode(TENSORS, config=asdict(SMALL), coder=coder, tokenizer="{}")[:-CHECK])
    for where, new, out in edits:
        at = HEAD.size + where % (len(data) - HEAD.size)
        data[at : at + out] = new
    read(reseal(bytes(data)))


def read(data: bytes) -> None:
    """A model, or CompressedError that names the file: anything else fails the test."""
    try:
        compressed.decode(data, "it").model()
    except CompressedError as error:
        if not str(error).startswith("it: "):
            raise AssertionError("the file is not named") from error


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.sampled_from([-1, 0, 1, 2, 3, 160, 65535, 65536, 2**31, 2**63])
    | st.floats(allow_nan=False)
    | st.text(max_size=4)
    | st.sampled_from(["q", "qh", "qfz", "g", "ans", "packed", "zstd", "huffman"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path into a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(p for key, x in inner for p in places(x, (*path, key)))]


HEADS = {
    coder: taken_apart(compressed.encode(TENSORS, config=asdict(SMALL), coder=coder))
    for coder in streams.CODERS
}


@pytest.mark.parametrize("coder", streams.CODERS)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_headers_that_lie(coder: str, data: st.DataObject) -> None:
    head, sections = copy.deepcopy(HEADS[coder][0]), HEADS[coder][1]
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(places(head)))
        new = data.draw(JSON)
        if not path:
            head = new
            break
        inner = head
        for key in path[:-1]:
            inner = inner[key]
        if data.draw(st.booleans()):
            inner[path[-1]] = new
        else:
            del inner[path[-1]]
    read(put_together(head, sections))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    read(data)
    read(reseal(HEAD.pack(b"nlab", 1, len(data), 0) + data))
    read(put_together(data, b""))


def changed(what: str, value: Any) -> bytes:
    head, sections = copy.deepcopy(HEADS["ans"][0]), HEADS["ans"][1]
    exec_path = what.split(".")
    inner: Any = head
    for key in exec_path[:-1]:
        inner = inner[int(key) if key.isdigit() else key]
    last = exec_path[-1]
    inner[int(last) if last.isdigit() else last] = value
    return put_together(head, sections)


@pytest.mark.parametrize(
    ("what", "value", "said"),
    [
        ("tensors.0.2", [10**12], "shape of 'embedding.weight'"),
        ("tensors.0.2", [2**20, 2**20], "more than the"),
        ("tensors.0.2", [0], "whole number from 1"),
        ("tensors.0.2", [1] * 9, "at most 8"),
        ("tensors.0.3", [2**40], "steps"),
        ("tensors.1.0", "embedding.weight", "twice"),
        ("tensors", [], "no tensors"),
        ("tensors", [["t", "f", [1 << 20]]] * 3, "shape of 't'"),
        ("tensors", [[str(i), "f", [1 << 19]] for i in range(3)], "shape of '2'"),
        ("tensors.0.1", "x", "kind 'x'"),
        ("bytes.0", 10**15, "bytes of codes"),
        ("bytes.0", 0, "sections of"),
        ("bytes", 7, "sections 7"),
        ("specs.0.tables.0", [0, 65535, 8, 99], "law 99"),
        ("specs.0.tables.0", [0, 10**9, 1, 0], "span"),
        ("specs.0.tables.0", [-(10**9), 3, 1, 0], "low"),
        ("specs.0.tables.0", [0, 5, 3, 0], "fineness 3"),
        ("specs.0.tables.0", [0, 5, 2.0, 0], "fineness 2.0"),
        ("specs.0.tables.0", [0, 5, True, 0], "fineness True"),
        ("specs.0.tables", [[-32768, 65535, 0, 0]] * 1000, "tables of"),
        ("specs.0.use", [0], "another number of streams"),
        ("specs.0.use.0", 10**6, "table number"),
        ("coder", "rar", "coder 'rar'"),
        ("config", [], "config is no JSON object"),
        ("about", None, "about is no JSON object"),
    ],
)
def test_absurd_headers_cost_nothing(what: str, value: Any, said: str) -> None:
    data = changed(what, value)
    tracemalloc.start()
    try:
        with pytest.raises(CompressedError, match=said):
            compressed.decode(data, "it")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_a_level_without_a_weight() -> None:
    """A table may hold the level 288: 2^36 at the finest setting, beyond all weights at others."""
    for fineness, said in ((1, "level 288: no weight"), (8, None)):
        table = symbols.Table(0, 1, fineness, np.array([288, 1]))
        stack = streams.AnsCoder()
        (law,) = streams._push_tables(stack, [table])
        spec = {"tables": [[0, 1, fineness, law]], "use": [0]}
        with nullcontext() if said is None else pytest.raises(ValueError, match=said):
            streams.unpack(spec, streams._words(stack), [1], "ans")


def test_a_header_that_unfolds_to_a_gigabyte() -> None:
    bomb = fold(b"[" * (64 << 20))
    data = reseal(HEAD.pack(b"nlab", 1, len(bomb), 0) + bomb)
    tracemalloc.start()
    try:
        with pytest.raises(CompressedError, match="unfolds to more than"):
            compressed.decode(data, "it")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    with pytest.raises(CompressedError, match="no JSON"):
        compressed.decode(put_together(b"[" * 500_000, b""), "it")
    with pytest.raises(CompressedError, match="a header of 4294967295 bytes"):
        compressed.decode(reseal(HEAD.pack(b"nlab", 1, 2**32 - 1, 0)), "it")


@pytest.mark.parametrize("coder", streams.CODERS)
def test_equal_symbols_have_a_limit(coder: str) -> None:
    """10^12 zeros need no bits: only the limit stands between them and the memory."""
    head, sections = taken_apart(
        compressed.encode({"z": Coded(torch.zeros(9, 9, dtype=torch.int16), torch.tensor(1.0))}, config={})
    )
    head["coder"] = coder
    head["tensors"][0][2] = [10**6, 10**6]
    with pytest.raises(CompressedError, match="more than the"):
        compressed.decode(put_together(head, sections), "it")
    assert most_weights(300) < 1.1 * 2**20
    assert most_weights(10**12) == 2**28


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"layers": 10**9}, "layers of"),
        ({"width": 10**9, "heads": 1}, "shape"),
        ({"width": 10**30, "heads": 1}, "2\\^60"),
        ({"context": 2**62}, "2\\^60"),
        ({"vocabulary": 41}, "'embedding.weight' has shape"),
        ({"hidden": -1}, "hidden -1"),
        ({"heads": 3}, "multiple of heads"),
        ({"depth": 1}, "size 'depth'"),
        ({"width": "8"}, "width '8'"),
        ({"layers": 1}, "'blocks.1"),
    ],
)
def test_sizes_that_do_not_fit_the_tensors(config: dict[str, Any], said: str) -> None:
    loaded = compressed.decode(compressed.encode(TENSORS, config={**asdict(SMALL), **config}), "it")
    with pytest.raises(CompressedError, match=said):
        loaded.model()


def test_a_bad_checksum_is_what_is_said_first() -> None:
    bad = bytearray(WHOLE)
    bad[len(bad) // 2] ^= 16
    with pytest.raises(CompressedError, match="changed or corrupted: the checksum"):
        compressed.decode(bytes(bad))


def test_floats_that_are_none_are_refused() -> None:
    """A float made of bytes with an exponent of ones, in a file with a right checksum."""
    data = compressed.encode({"a": torch.tensor([1.5, 2.0]).half()}, config={}, coder="packed")
    head, sections = taken_apart(data)
    assert np.frombuffer(sections, np.uint8).tolist()
    head["specs"][2]["tables"] = [[0, 255, 0, 0], [0, 255, 0, 0]]
    nan = np.array([np.nan, 1.0], "<f2").view(np.uint8).reshape(2, 2).T.tobytes()
    head["bytes"] = [0, 0, len(nan), 0]
    with pytest.raises(CompressedError, match="NaN or infinity"):
        compressed.decode(put_together(head, nan), "it")
