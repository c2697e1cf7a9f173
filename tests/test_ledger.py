"""The entropy ledger, the growing tree, and the sweep's rows on real codes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurolab import coding, compressing, growing, ledger, streams
from neurolab.quantized import Coded
from neurolab.sweeps import compression_coding
from neurolab.symbols import HEADER_BITS
from tests.test_coding import COUNTS, drawn


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small tensors gain nothing from a second thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def matrix(seed: int = 0) -> torch.Tensor:
    return torch.randn(160, 160, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", ["wide", "narrow", "ternary", "pruned"])
def test_bills_add_up_to_the_bytes(kind: str) -> None:
    some = [drawn(kind, 20_000, seed) for seed in range(3)]
    found = ledger.bills(some)
    assert list(found) == list(ledger.NAMES)
    for coder, bill in found.items():
        spec, data = streams.pack(some, coder)
        assert bill["all"] * 60_000 == pytest.approx(
            8 * len(data) + HEADER_BITS * len(spec["tables"]), abs=1e-3
        )
        assert bill["entropy"] + bill["tables"] + bill["waste"] == pytest.approx(bill["all"], abs=1e-9)
        assert bill["entropy"] == pytest.approx(float(np.mean([coding.entropy(s) for s in some])), abs=1e-12)
        assert bill["tables"] >= 0
    assert found["ans"]["all"] == min(bill["all"] for bill in found.values())
    assert found["ans"]["all"] <= 1.01 * found["ans"]["entropy"]
    counts = [np.unique(s, return_counts=True)[1] for s in some]
    excess = np.mean([coding.mean_length(c) - coding.entropy_of(c) for c in counts])
    assert found["huffman"]["waste"] == pytest.approx(float(excess), abs=24 / 60_000)  # whole bytes a stream


def test_bars() -> None:
    some = [drawn("narrow", 9_000, 0)]
    found = ledger.bars(some, 4)
    assert found["coders"][0] == "fixed width"
    assert found["symbols"] == 9_000
    assert found["saved"][0] <= 0  # the codes fill their width, and a table's row comes on top
    assert found["saved"][-1] == max(found["saved"])
    for parts in zip(found["entropy"], found["tables"], found["waste"], found["all"], strict=True):
        assert sum(parts[:3]) == pytest.approx(parts[3], abs=1e-9)
    with pytest.raises(ValueError, match="no streams"):
        ledger.bills([])


def test_huffman_falls_behind_as_zeros_grow() -> None:
    found = ledger.sparsity_curve(matrix(), 3, [0.0, 0.5, 0.8, 0.9, 0.95])
    pairs = list(zip(found["huffman"], found["floor"], found["entropy"], strict=True))
    assert all(h >= max(e, 1) and h >= z for h, z, e in pairs)
    assert found["waste_percent"][-1] > 100
    assert found["waste_percent"][0] < 5
    assert all(a < b for a, b in itertools.pairwise(found["waste_percent"][1:]))
    with pytest.raises(ValueError, match="sparsity"):
        ledger.sparsity_curve(matrix(), 3, [1.0])


def test_pruned_codes_have_their_zeros() -> None:
    w = matrix(1)
    q = ledger.pruned_codes(w, 8, 0.6)
    order = w.abs().flatten().argsort()
    assert (q[order[: round(0.6 * w.numel())].numpy()] == 0).all()
    kept = q[order[round(0.6 * w.numel()) :].numpy()]
    assert (kept != 0).all()
    assert np.abs(q).max() == 127 or q.min() == -128


# --- the tree ---


@settings(max_examples=60, deadline=None)
@given(COUNTS.filter(lambda c: len(c) <= 40), st.integers(0, 40))
def test_the_forest_is_one(counts: list[int], done: int) -> None:
    joins = growing.steps(counts)
    done = min(done, len(joins))
    drawn_now = growing.forest(counts, done)
    present = sum(c > 0 for c in counts)
    merged = done if present > 1 else 0
    assert len(drawn_now["x"]) == present + merged
    assert sum(drawn_now["root"]) == present - merged
    roots = [w for w, r in zip(drawn_now["weight"], drawn_now["root"], strict=True) if r]
    assert sum(roots) == sum(counts)
    assert len(drawn_now["edge_x"]) == 3 * 2 * merged
    assert sum(drawn_now["joined"]) == (merged > 0)
    assert len(set(zip(drawn_now["x"], drawn_now["y"], strict=True))) == len(drawn_now["x"])


@given(COUNTS.filter(lambda c: len(c) <= 40))
def test_no_branches_cross(counts: list[int]) -> None:
    """Each tree's leaves stand side by side."""
    joins = growing.steps(counts)
    place = {symbol: i for i, symbol in enumerate(growing.leaf_order(joins))}
    assert sorted(place) == [i for i, c in enumerate(counts) if c]
    for step in joins:
        places = sorted(place[i] for i in step.left + step.right)
        assert places == list(range(places[0], places[0] + len(places)))


def test_the_table_grows_into_the_code() -> None:
    stream = drawn("narrow", 5_000, 3)
    symbols, counts = np.unique(stream, return_counts=True)
    names = [str(s) for s in symbols]
    last = len(growing.steps(counts))
    before, after = growing.table(counts, 0, names), growing.table(counts, last, names)
    assert before["mean"] == 0
    assert set(before["word"]) == {""}
    assert after["kraft"] == 1
    assert after["mean"] == pytest.approx(coding.mean_length(counts), abs=1e-12)
    assert after["count"] == sorted(counts.tolist(), reverse=True)
    code = coding.Code.of(stream)
    words = dict(zip(code.symbols.tolist(), code.text(), strict=True))
    assert dict(zip(after["symbol"], after["word"], strict=True)) == {str(s): w for s, w in words.items()}
    assert after["ideal"][0] == pytest.approx(math.log2(5_000 / counts.max()), abs=1e-12)
    with pytest.raises(ValueError, match="done 99"):
        growing.table(counts, 99)
    with pytest.raises(ValueError, match="done -1"):
        growing.forest(counts, -1)


def test_a_lone_symbol() -> None:
    assert growing.forest([0, 7], 1)["edge_x"] == []
    assert growing.table([0, 7], 1)["word"] == ["0"]
    assert growing.table([0, 7], 1)["kraft"] == 0.5


# --- the sweep ---


def test_the_jobs_are_the_grid_that_the_claims_read() -> None:
    made = compression_coding.jobs()
    keys = [(job.name, tuple(sorted(job.setting.items()))) for job in made]
    assert len(set(keys)) == len(keys)
    grid = {(j.setting["bits"], j.setting["sparsity"]) for j in made if j.name == "compression.huffman"}
    assert grid == set(itertools.product((8, 6, 5, 4, 3), (0.0, 0.3, 0.6, 0.8)))
    assert all(
        job.setting["tuned"] == (job.setting["sparsity"] > 0) for job in made if "tuned" in job.setting
    )


def test_a_row_of_the_coders() -> None:
    ans = compression_coding.coder(3, 0.8, "ans", repeats=1)
    assert ans["changed_weights"] == 0
    assert 0 < ans["over_entropy_percent"] <= 1
    assert ans["codes_bytes"] < ans["payload_bytes"] < ans["bytes"]


def test_changed_counts_what_changed() -> None:
    weights = {k: x.detach() for k, x in compression_coding._model().state_dict().items()}
    tensors = compressing.compress(weights, 4)
    name = next(k for k, x in tensors.items() if isinstance(x, Coded))
    other: Any = tensors[name]
    q = other.q.clone()
    q[0, :3] += 1
    assert compression_coding.changed(tensors, tensors) == 0
    assert compression_coding.changed(tensors, {**tensors, name: Coded(q, other.step)}) == 3
