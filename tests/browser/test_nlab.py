"""The page's reader of compressed files against Python's: the same numbers, the same words for faults.

Every case goes through both readers. Chromium gives back a SHA-256 of what it read, or its message.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import random
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
import torch

from neurolab import compressed, streams, symbols
from neurolab.compressed import CompressedError
from neurolab.compressed_header import CHECK, HEAD, HEADER_LIMIT, checksum, fold, unfold
from neurolab.paths import DATA, ROOT
from neurolab.quantized import Coded, Tensors, values
from neurolab.transformer import Config, Transformer

PHONE = ROOT / "book" / "phone"
SHIPPED = sorted((DATA / "compressed").glob("*.nlab"))
CODERS = ("ans", "huffman", "packed")
MANY = {"ans": 300, "huffman": 100, "packed": 200}
"""Damaged files by coder; Python's Huffman decoder looks at 131,072 bits, also where there are fifty."""
SMALL = Config(vocabulary=40, context=8, width=8, layers=2, heads=2, hidden=16)

READ = """async ([cases, fit]) => {
  const { NlabError, read, unpack } = await import("/nlab.mjs");
  const hex = async (parts) => {
    const hash = await crypto.subtle.digest("SHA-256", await new Blob(parts).arrayBuffer());
    return Array.from(new Uint8Array(hash), (b) => b.toString(16).padStart(2, "0")).join("");
  };
  const found = [];
  for (const text of cases) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    try {
      const { tensors, tokenizer } = fit ? await unpack(bytes, "it") : read(bytes, "it");
      const parts = [];
      for (const [name, { shape, data }] of tensors) {
        if (!(data instanceof Float32Array)) throw new Error(`${name} is no Float32Array`);
        parts.push(name, JSON.stringify(shape), data);
      }
      found.push([await hex(parts), tokenizer]);
    } catch (error) {
      if (!(error instanceof NlabError)) throw error;
      found.push(error.message);
    }
  }
  return found;
}"""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Nothing: the tests' output is not for it."""


@pytest.fixture(scope="module")
def page(chromium: Any) -> Iterator[Any]:
    """An empty page of a server that serves book/phone on the loopback address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=PHONE)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        context = chromium.new_context()
        opened = context.new_page()
        opened.goto(f"http://127.0.0.1:{server.server_port}/nlab.mjs")
        yield opened
        context.close()
        server.shutdown()


def in_page(page: Any, cases: Sequence[bytes], fit: bool = False) -> list[Any]:
    """What the page reads: (hash, tokenizer), or its message."""
    return page.evaluate(READ, [[base64.b64encode(data).decode() for data in cases], fit])


def in_python(data: bytes, fit: bool = False) -> Any:
    """The same from the course's own reader."""
    try:
        loaded = compressed.decode(data, "it")
        if fit:
            loaded.model()
    except CompressedError as error:
        return str(error)
    found = hashlib.sha256()
    for name, x in values(loaded.tensors).items():
        found.update(name.encode() + json.dumps(list(x.shape), separators=(",", ":")).encode())
        found.update(x.contiguous().numpy().tobytes())
    return [found.hexdigest(), loaded.tokenizer]


def alike(page: Any, cases: Sequence[bytes], fit: bool = False) -> list[Any]:
    """Both readers on every case; fails at the first on which they differ. Gives what they found."""
    found = in_page(page, cases, fit)
    for i, (data, got) in enumerate(zip(cases, found, strict=True)):
        assert got == in_python(data, fit), f"case {i}: {data[:200]!r}"
    return found


def small(seed: int = 0) -> Tensors:
    """A network's tensors, in all ways in which the file can hold one."""
    torch.manual_seed(seed)
    made: Tensors = {}
    for i, (name, w) in enumerate(Transformer(SMALL).state_dict().items()):
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


def whole(coder: str = "ans", **more: Any) -> bytes:
    return compressed.encode(TENSORS, config=asdict(SMALL), coder=coder, **more)


def reseal(body: bytes) -> bytes:
    """The bytes with the length and the checksum that they ought to have, so that the parser is reached."""
    body = body[: HEAD.size - 4] + (len(body) + CHECK).to_bytes(4, "little") + body[HEAD.size :]
    return body + checksum(body)


def taken_apart(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The header as a dictionary, and the sections."""
    length = HEAD.unpack_from(data)[2]
    text = unfold(data[HEAD.size : HEAD.size + length], HEADER_LIMIT, "header")
    return json.loads(text), data[HEAD.size + length : -CHECK]


def put_together(head: Any, sections: bytes) -> bytes:
    text = fold(head if isinstance(head, bytes) else json.dumps(head).encode())
    return reseal(HEAD.pack(b"nlab", 1, len(text), 0) + text + sections)


def changed(what: str, value: Any, coder: str = "ans") -> bytes:
    """A file whose header says `value` at the place `what`, and is otherwise right."""
    head, sections = taken_apart(whole(coder))
    *path, last = (int(key) if key.isdigit() else key for key in what.split("."))
    inner: Any = head
    for key in path:
        inner = inner[key]
    inner[last] = value
    return put_together(head, sections)


# --- there and back ---


def test_the_shipped_files_bit_by_bit(page: Any) -> None:
    found = alike(page, [path.read_bytes() for path in SHIPPED], fit=True)
    assert len(found) >= 4
    assert all(isinstance(one, list) for one in found)


@pytest.mark.parametrize("coder", CODERS)
def test_every_way_to_hold_a_tensor(page: Any, coder: str) -> None:
    cases = [whole(coder), whole(coder, tokenizer='{"ก": "\ufeff"}' * 900, about={"why": "ทดสอบ"})]
    found = alike(page, cases, fit=True)
    assert all(isinstance(one, list) for one in found)
    assert found[1][1].startswith('{"ก": "\ufeff"}')


def random_tensors(seed: int) -> Tensors:
    """Tensors at the ends of what the file can hold: wide codes, lone symbols, subnormal floats, zeros."""
    rng = np.random.default_rng(seed)
    made: Tensors = {}
    for i in range(rng.integers(1, 5)):
        rows, columns, groups = rng.integers(1, 6, 3)
        shape = (int(rows), int(columns * groups))
        if rng.random() < 0.4:
            bits = rng.integers(0, 2**32, shape, np.uint32).view(np.float32)
            bits = np.where(np.isfinite(bits), bits, np.float32(-0.0))
            if rng.random() < 0.5:
                halves = rng.integers(0, 2**16, shape, np.uint16).view(np.float16)
                bits = np.where(np.isfinite(halves), halves, np.float16(6e-8)).astype(np.float32)
            x = torch.from_numpy(bits)
            made[f"t{i}"] = x.half() if rng.random() < 0.5 and bool((x.half().float() == x).all()) else x
            continue
        low, high = sorted(int(x) for x in rng.integers(-32768, 32768, 2))
        if rng.random() < 0.7:
            high = min(high, low + int(rng.integers(0, 300)))
        q = torch.from_numpy(rng.integers(low, high + 1, shape).astype(np.int16))
        step = torch.from_numpy((2.0 ** rng.uniform(-120, 100, (rows, groups))).astype(np.float32))
        zero = torch.from_numpy(rng.integers(-32768, 32768, (rows, groups)).astype(np.int16))
        made[f"t{i}"] = Coded(q, step, zero if rng.random() < 0.5 else None)
    return made


def test_any_tensors_come_back(page: Any) -> None:
    cases = [
        compressed.encode(random_tensors(seed), config={}, coder=coder)
        for seed in range(40)
        for coder in CODERS
    ]
    assert all(isinstance(one, list) for one in alike(page, cases))


def test_long_streams_and_long_words(page: Any) -> None:
    """Streams longer than a chunk, code words longer than the first table, tables of thousands of symbols."""
    rng = np.random.default_rng(0)
    skewed = np.minimum(rng.geometric(0.4, 60_000), 40)
    skewed[:40] = np.arange(40)
    wide = rng.normal(0, 3000, 40_000).round().clip(-32768, 32767)
    made: Tensors = {
        name: Coded(torch.from_numpy(x.astype(np.int16)), torch.tensor(0.5))
        for name, x in (("skewed", skewed), ("wide", wide), ("zeros", np.zeros(200_000)))
    }
    found = alike(page, [compressed.encode(made, config={}, coder=coder) for coder in CODERS])
    assert len({one[0] for one in found}) == 1


# --- faults: the same words ---


def test_missing_truncated_long_changed(page: Any) -> None:
    data = whole(tokenizer="{}")
    cases = [
        b"",
        b"PK\x03\x04" + data[4:],
        b"\r'\"\\",
        data[:4] + b"\x02" + data[5:],
        data[:4] + b"\x00" + data[5:],
    ]
    cases += [data[:n] for n in (1, 4, 12, 20, 21, len(data) // 2, len(data) - 1)]
    cases += [data + b"\0", data + data, reseal(HEAD.pack(b"nlab", 1, 2**32 - 1, 0))]
    found = alike(page, cases)
    for said in ("not a compressed model", "version 2", "truncated", "too long", "a header of 4294967295"):
        assert any(said in one for one in found), said
    codes = page.evaluate(
        """async (cases) => {
          const { read } = await import("/nlab.mjs");
          return cases.map((text) => {
            try { return read(Uint8Array.from(atob(text), (c) => c.charCodeAt(0))); }
            catch (error) { return [error.code, error.message]; }
          });
        }""",
        [base64.b64encode(x).decode() for x in cases[2:5]],
    )
    assert [code for code, _ in codes] == ["damaged", "too_new", "damaged"]
    assert codes[1][1] == "the file: version 2: this course reads version 1"


def test_every_flipped_bit_is_noticed(page: Any) -> None:
    data = whole()
    cases = []
    for at in range(len(data)):
        bad = bytearray(data)
        bad[at] ^= 1 << (at % 8)
        cases.append(bytes(bad))
    assert all(isinstance(one, str) for one in alike(page, cases))


@pytest.mark.parametrize("coder", CODERS)
def test_damage_behind_the_checksum(page: Any, coder: str) -> None:
    """Bytes replaced, put in, taken out; length and checksum made right: the same model or the same words."""
    dice = random.Random(f"damage {coder}")
    plain = whole(coder, tokenizer='{"a": 1}' * 30)
    head = HEAD.size + HEAD.unpack_from(plain)[2]
    cases = []
    for i in range(MANY[coder]):
        data = bytearray(plain[:-CHECK])
        for _ in range(dice.randint(1, 5)):
            at = dice.randrange(HEAD.size if i % 2 else head, len(data))
            data[at : at + dice.randint(0, 3)] = dice.randbytes(dice.randint(0, 3))
        cases.append(reseal(bytes(data)))
    found = alike(page, cases)
    assert len({one for one in found if isinstance(one, str)}) > 15


SAID = [
    None,
    True,
    False,
    -1,
    0,
    1,
    2,
    3,
    1.0,
    2.5,
    -0.0,
    1e-7,
    1e16,
    1.5e300,
    160,
    65535,
    65536,
    2**31,
    2**53,
]
SAID += [
    2**63,
    -(10**30),
    "",
    "ก'",
    'it"s',
    "\n\x00\u2028",
    "q",
    "qh",
    "qfz",
    "g",
    "f",
    "ans",
    "packed",
    "zstd",
]
SAID += ["huffman", [], {}, [1], [1, [2, "a"]], {"a": None}, [0, 5, 1, 3], [8, 8], [[]]]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path into a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(p for key, x in inner for p in places(x, (*path, key)))]


@pytest.mark.parametrize("coder", CODERS)
def test_headers_that_lie(page: Any, coder: str) -> None:
    dice = random.Random(f"lies {coder}")
    true, sections = taken_apart(whole(coder))
    true["config"]["head"] = 4
    cases = []
    for _ in range(MANY[coder]):
        head: Any = copy.deepcopy(true)
        for _ in range(dice.randint(1, 2)):
            path, new = dice.choice(places(head)), copy.deepcopy(dice.choice(SAID))
            if not path:
                head = new
                break
            inner = head
            for key in path[:-1]:
                inner = inner[key]
            if dice.random() < 0.8:
                inner[path[-1]] = new
            else:
                del inner[path[-1]]
        cases.append(put_together(head, sections))
    found = alike(page, cases, fit=True)
    assert len({one for one in found if isinstance(one, str)}) > 40


@pytest.mark.parametrize(
    ("what", "value", "said"),
    [
        ("tensors.0.2", [10**12], "shape of 'embedding.weight'"),
        ("tensors.0.2", [2**20, 2**20], "more than the"),
        ("tensors.0.2", [1] * 9, "at most 8"),
        ("tensors.0.3", [2**40], "steps"),
        ("tensors.1.0", "embedding.weight", "twice"),
        ("tensors", [], "no tensors"),
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
def test_absurd_headers(page: Any, what: str, value: Any, said: str) -> None:
    (found,) = alike(page, [changed(what, value)])
    assert said in found


def test_a_level_without_a_weight(page: Any) -> None:
    """The level 288 is a weight of 2^36 at the finest setting, and beyond all weights at the others."""
    head, sections = taken_apart(
        compressed.encode({"a": Coded(torch.arange(4).short(), torch.tensor(1.0))}, config={})
    )
    rest = sections[head["bytes"][0] :]
    cases = []
    for fineness in (1, 2, 4, 8):
        stack = streams.AnsCoder()
        (law,) = streams._push_tables(stack, [symbols.Table(0, 1, fineness, np.array([288, 1]))])
        codes = streams._words(stack)
        head["specs"][0] = {"tables": [[0, 1, fineness, law]], "use": [0]}
        head["bytes"][0] = len(codes)
        cases.append(put_together(head, codes + rest))
    found = alike(page, cases)
    assert ["level 288: no weight" in str(one) for one in found] == [True, True, True, False]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"layers": 10**9}, "layers of"),
        ({"vocabulary": 41}, "'embedding.weight' has shape (40, 8), the sizes say (41, 8)"),
        ({"width": 10**30, "heads": 1}, "2^60"),
        ({"context": 2**62}, "2^60"),
        ({"hidden": -(10**30)}, f"hidden -{10**30}"),
        ({"hidden": -1}, "hidden -1"),
        ({"heads": 3}, "multiple of heads"),
        ({"depth": 1}, "size 'depth'"),
        ({"width": "8"}, "width '8'"),
        ({"width": 8.0}, "width 8.0"),
        ({"layers": 1}, "'blocks.1"),
        ({"layers": 3}, "'blocks.2.attention.key.weight' has shape None"),
    ],
)
def test_sizes_that_do_not_fit_the_tensors(page: Any, config: dict[str, Any], said: str) -> None:
    data = compressed.encode(TENSORS, config={**asdict(SMALL), **config})
    (found,) = alike(page, [data], fit=True)
    assert said in found


def test_bombs(page: Any) -> None:
    head, sections = taken_apart(whole())
    bomb = fold(b"[" * (64 << 20))
    zeros = copy.deepcopy(head)
    zeros["tensors"] = [["z", "qf", [10**6, 10**6], []]]
    cases = [
        reseal(HEAD.pack(b"nlab", 1, len(bomb), 0) + bomb),
        put_together(b"[" * 500_000, b""),
        put_together(b'{"config": "\xff"}', b""),
        put_together(b'{"config": {}', b""),
        put_together(zeros, sections),
    ]
    found = alike(page, cases)
    for said, one in zip(
        ("more than", "RecursionError", "UnicodeDecodeError", "JSONDecodeError"), found, strict=False
    ):
        assert said in one


def test_floats_that_are_none_are_refused(page: Any) -> None:
    data = compressed.encode({"a": torch.tensor([1.5, 2.0]).half()}, config={}, coder="packed")
    head, _ = taken_apart(data)
    cases = []
    for kind, dtype in (("h", "<f2"), ("f", "<f4")):
        width = np.dtype(dtype).itemsize
        head["tensors"] = [["a", kind, [2]]]
        head["specs"][2] = {"tables": [[0, 255, 0, 0]] * width, "use": list(range(width)), "head": 0}
        for bad in (np.nan, np.inf, -np.inf, 1.0):
            planes = np.array([bad, 1.0], dtype).view(np.uint8).reshape(2, width).T.tobytes()
            head["bytes"] = [0, 0, len(planes), 0]
            cases.append(put_together(head, planes))
    found = alike(page, cases)
    assert [one == "it: NaN or infinity" for one in found] == [True, True, True, False] * 2


def test_what_the_page_does_not_read(page: Any) -> None:
    """The fourth coder, zstd, would cost the page a library for files that nobody ships."""
    (found,) = in_page(page, [whole("zstd")])
    assert found == (
        "it: section codes: the coder refused it: this page reads no zstd; write the file with coder='ans'"
    )
    assert set(CODERS) == {*streams.CODERS} - {"zstd"}
