"""The dispatcher: right on every kernel and every pattern of zeros, dense in doubt, kept, deterministic."""

from __future__ import annotations

import json
import warnings

import pytest
import torch

from neurolab import crossover, dispatch
from neurolab.benchmark import Ratio
from neurolab.crossover import pruned
from neurolab.dispatch import KERNELS, Choice, Dispatcher


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse (CSR|BSR) tensor support")
        yield


def weights():
    empty = torch.zeros(64, 64)
    one = empty.clone()
    one[5, 9] = 2.0
    return {"empty": empty, "one number": one} | {
        f"{pattern} {density}": pruned(64, density, pattern)
        for pattern in crossover.PATTERNS
        for density in (0.1, 0.5, 1.0)
    }


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("which", weights())
def test_every_kernel_multiplies_every_matrix(name, which):
    weight = weights()[which]
    x = torch.randn(64, 40, generator=torch.Generator().manual_seed(2))
    found = dispatch.ready(name, weight)(x)
    torch.testing.assert_close(found.double(), weight.double() @ x.double(), atol=2e-5, rtol=0)


def timed(monkeypatch, seconds, ratios):
    """Clocks that say what the test wants: `seconds` of the first look, `ratios` of the second."""
    names = iter(dispatch.kernels(torch.zeros(64, 64)))
    monkeypatch.setattr(dispatch, "fastest", lambda call: seconds.get(next(names), 9.0))
    monkeypatch.setattr(dispatch, "best_dense", lambda calls: min(calls, key=lambda n: seconds.get(n, 9.0)))
    asked = iter(sorted(seconds.keys() - set(dispatch.DENSE), key=lambda name: seconds[name]))
    found = {name: Ratio(ratio, low, ratio, 1.0, 1.0) for name, (ratio, low) in ratios.items()}
    monkeypatch.setattr(dispatch, "undisturbed", lambda *a, **k: found[next(asked)])


def test_the_fastest_is_picked_when_it_is_surely_faster(monkeypatch):
    seconds = {"mkl": 1.0, "block": 0.3, "csr": 0.4}
    timed(monkeypatch, seconds, {"block": (3.3, 3.1), "csr": (2.5, 2.4)})
    choice = Dispatcher().choose(pruned(64, 0.25), 32)
    assert (choice.kernel, choice.dense, choice.ratio, choice.low) == ("block", "mkl", 3.3, 3.1)


def test_in_doubt_it_stays_dense(monkeypatch):
    timed(monkeypatch, {"mkl": 1.0, "block": 0.9}, {"block": (1.2, 0.9)})
    assert Dispatcher().choose(pruned(64, 0.75), 32).kernel == "mkl"


def test_one_that_looks_slower_is_not_even_looked_at_twice(monkeypatch):
    timed(monkeypatch, {"mkl": 1.0, "block": 0.995, "csr": 1.5}, {})
    assert Dispatcher().choose(pruned(64, 0.75), 32).kernel == "mkl"


def test_the_fastest_dense_one_is_what_a_sparse_one_must_beat(monkeypatch):
    timed(monkeypatch, {"mkl": 1.0, "onednn": 0.5, "block": 0.6}, {})
    choice = Dispatcher().choose(pruned(64, 0.75), 32)
    assert (choice.kernel, choice.dense, choice.ratio) == ("onednn", "onednn", 1.0)


def test_the_fastest_of_turns_is_found():
    import time

    calls = {"slow": lambda: time.sleep(0.004), "fast": lambda: time.sleep(0.001)}
    assert dispatch.best_dense(calls, 3) == "fast"


def test_a_slow_call_is_not_called_often():
    import time

    made = []
    assert dispatch.fastest(lambda: made.append(time.sleep(0.02)), 7, limit=0.03) >= 0.02
    assert len(made) == 3  # one to warm up, two to pass the limit


def test_it_times_once_and_keeps(monkeypatch, tmp_path):
    looked = []
    monkeypatch.setattr(
        dispatch, "profile", lambda *a: looked.append(a) or Choice("csr", "mkl", 2.0, 1.9, {"mkl": 1.0})
    )
    file = tmp_path / "kept" / "choices.json"
    first = Dispatcher(file)
    weight = pruned(64, 0.25)
    for _ in range(3):
        assert first.choose(weight, 32).kernel == "csr"
    assert len(looked) == 1
    first.choose(weight, 33)
    first.choose(pruned(64, 0.5), 32)
    assert len(looked) == 3
    again = Dispatcher(file, deterministic=True)
    assert again.choices == first.choices
    assert again.choose(weight, 32).kernel == "csr"
    assert [path.name for path in file.parent.iterdir()] == ["choices.json"]


def test_deterministic_times_nothing(monkeypatch):
    monkeypatch.setattr(dispatch, "profile", lambda *a: pytest.fail("it timed"))
    one = Dispatcher(deterministic=True)
    x = torch.randn(64, 8)
    weight = pruned(64, 0.1)
    assert one.choose(weight, 8).kernel == "mkl"
    assert torch.equal(one.ready(weight, 8)(x), weight @ x)
    assert not one.choices


def test_what_another_processor_found_is_not_used(tmp_path, monkeypatch):
    file = tmp_path / "choices.json"
    file.write_text(json.dumps({"processor": "abacus", "choices": {}}))
    kept = {
        Dispatcher.key(pruned(64, 0.25), 8): {
            "kernel": "csr",
            "dense": "mkl",
            "ratio": 9,
            "low": 9,
            "seconds": {},
        }
    }
    file.write_text(json.dumps({"processor": "abacus", "choices": kept}))
    assert not Dispatcher(file).choices
    monkeypatch.setattr(dispatch, "processor", lambda: "abacus")
    assert Dispatcher(file).choose(pruned(64, 0.25), 8).kernel == "csr"


def test_a_kept_kernel_that_does_not_run_here_gives_way_to_the_dense_one():
    one = Dispatcher()
    weight = torch.eye(20)
    one.choices[one.key(weight, 3)] = Choice("block", "mkl", 2.0, 2.0, {})
    x = torch.randn(20, 3)
    assert torch.equal(one.ready(weight, 3)(x), x)


def test_a_matrix_of_any_shape_is_served():
    x = torch.randn(20, 3)
    weight = torch.randn(7, 20)
    one = Dispatcher()
    torch.testing.assert_close(one.ready(weight, 3)(x), weight @ x)
    assert "block" not in next(iter(one.choices.values())).seconds


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"processor": "x", "choices": {"a": {"kernel": 1}}}', '{"choices": [1]}'],
)
def test_a_broken_file_is_refused(tmp_path, content):
    file = tmp_path / "choices.json"
    file.write_text(content)
    with pytest.raises(ValueError, match="must hold what a Dispatcher kept"):
        Dispatcher(file)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: Dispatcher(margin=0.9), r"margin is 0\.9"),
        (lambda: Dispatcher().choose(torch.zeros(3), 2), r"weight is \(3,\)"),
        (lambda: Dispatcher().choose(torch.zeros(3, 3).double(), 2), "float64"),
        (lambda: Dispatcher().choose(torch.zeros(3, 3), 0), "columns 0"),
        (lambda: dispatch.ready("magic", torch.zeros(16, 16)), "kernel is 'magic'"),
        (lambda: dispatch.ready("block", torch.zeros(20, 16)), r"for \(20, 16\) it must be one of"),
    ],
)
def test_bad_input_is_refused(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_the_map_goes_through_every_place_and_tells_how_far_it_is():
    told = []
    cells = list(crossover.crossover((64,), (0.1, 1.0), ("block", "torch_csr"), progress=told.append))
    assert [(cell.density, cell.kernel) for cell in cells] == [
        (0.1, "block"),
        (0.1, "torch_csr"),
        (1.0, "block"),
        (1.0, "torch_csr"),
    ]
    assert told == [0.25, 0.5, 0.75, 1.0]
    assert all(cell.dense in dispatch.DENSE and cell.ratio.median > 0 for cell in cells)


@pytest.mark.parametrize("pattern", crossover.PATTERNS)
def test_pruned_keeps_just_the_share_asked_for(pattern):
    weight = pruned(128, 0.25, pattern, seed=7)
    numbers, blocks = dispatch.nonzero(weight)
    assert numbers == 0.25
    assert blocks == (0.25 if pattern == "blocks" else 1.0)
    assert torch.equal(weight, pruned(128, 0.25, pattern, seed=7))
    assert not torch.equal(weight, pruned(128, 0.25, pattern, seed=8))
