"""The bench of compression: what it reads from rows, and what it measures on a file."""

from dataclasses import asdict

import pytest
import torch

from neurolab import benchmark, compressed, entropy_grid, measurements
from neurolab.bench import compression as bench
from neurolab.transformer import Config, Transformer

SMALL = Config(vocabulary=300, context=30, width=40, layers=2, heads=2, hidden=90)


def row(name, setting, **figures):
    return measurements.row(name, 5, setting, figures, command="neurolab sweep compression")


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(measurements, "shipped", lambda: tmp_path / "shipped")
    monkeypatch.setattr(measurements, "own", lambda: tmp_path / "own")
    return tmp_path / "shipped"


def test_a_goal_is_the_mean_of_its_seeds_with_their_range_beside_the_control(store):
    rows = [
        row(
            "compression.headline", {"target": "qat18", "seed": seed},
            exact_match=0.998 - drop / 100, size_ratio=18.1, exact_match_drop_points=9.0,
            steps=700, bits_per_answer_byte=0.01, bytes=312_000,
        )
        for seed, drop in ((1, 0.5), (2, 0.9), (3, 1.3))
    ]  # fmt: skip
    control = [row("compression.control", {"steps": 700, "seed": s}, exact_match=0.998) for s in (1, 2)]
    measurements.append([*rows, *control], store)
    drop, ratio = bench.headline("qat18")
    assert drop.value == pytest.approx(0.9)
    assert drop.spread == pytest.approx((0.5, 1.3))
    assert drop.figures["seeds"] == 3
    assert drop.figures["control_exact_match"] == pytest.approx(99.8)
    assert ratio.value == pytest.approx(18.1)


def test_without_rows_a_goal_says_why_it_has_no_value(store):
    drop, ratio = bench.headline("ptq12")
    assert drop.value is None
    assert "neurolab sweep compression" in drop.why
    gap = bench.shipped_gap(20)
    assert gap.value is None
    reported = benchmark.report(bench.GOALS, [drop, ratio, gap])
    assert not any(entry["met"] for entry in reported["goals"])
    assert all(entry["why"] for entry in reported["goals"])


def test_a_file_is_measured_against_entropy_and_huffmans_optimum(tmp_path):
    torch.manual_seed(0)
    model = Transformer(SMALL)
    steps = {name: float(w.std()) for name, w in entropy_grid.matrices(model).items()}
    tensors = entropy_grid.compress(model, steps, {}, 1.0)
    path = tmp_path / "small.nlab"
    size = compressed.save(path, tensors, config=asdict(SMALL))
    payload, huffman, decode = bench.file_findings(path)
    assert huffman.value == 0
    assert 0 < payload.value < 10  # a small model's tables weigh more
    assert payload.figures["entropy_bytes"] < payload.figures["payload_bytes"] <= size
    assert decode.spread[0] <= decode.value <= decode.spread[1]


def test_the_goals_are_those_of_the_issue():
    goals = {goal.name.removeprefix("compression."): (goal.goal, goal.better) for goal in bench.GOALS}
    assert goals["int8_drop"] == (0.2, "lower")
    assert [goals[f"{n}_drop"][0] for n in ("ptq12", "ptq14", "qat18", "qat28")] == [1, 3, 1, 3]
    assert [goals[f"{n}_ratio"][0] for n in ("ptq12", "ptq14", "qat18", "qat28")] == [12, 14, 18, 28]
    assert goals["payload_over_entropy"] == (1, "lower")
    assert goals["decode_seconds"] == (0.1, "lower")
    assert (goals["structured_macs"][0], goals["structured_latency"][0]) == (2, 1.7)
    assert goals["structured_drop"] == (2, "lower")
