"""The bench of dynamic sparsity: which rows a goal reads, and what it says while they are missing."""

import pytest

from neurolab import benchmark, measurements, video
from neurolab.bench import sparsity as bench


def row(name, setting, **figures):
    return measurements.row(name, 6, setting, figures, command="neurolab sweep sparsity")


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(measurements, "shipped", lambda: tmp_path / "shipped")
    monkeypatch.setattr(measurements, "own", lambda: tmp_path / "own")
    return tmp_path / "shipped"


def clip_row(seed, side=64, method="dynamic", scenes=6400, **figures):
    given = {
        "flops_ratio": 11.0, "latency_ratio": 3.9, "p95_ratio": 3.2, "accuracy_drop_points": 0.1,
        "accuracy_drop_points_high": 0.6, "tracking_error": 1.0, "tracking_error_dense": 1.25,
        "accuracy": 95.0, "accuracy_dense": 95.1, "scenes": scenes,
        "alternating_ratio": 3.0, "alternating_p95_ratio": 2.5,
    }  # fmt: skip
    return row(
        "sparsity.video",
        {"method": method, "seed": seed, "side": side, "budget": 0.125},
        **{**given, **figures},
    )


def by_goal(findings):
    return {item.goal: item for item in findings}


def test_the_headline_is_the_mean_of_its_seeds_with_the_upper_end_of_what_is_lost(store):
    measurements.append(
        [
            *(clip_row(s, accuracy_drop_points_high=h) for s, h in ((0, 0.5), (1, 0.7), (2, 1.2))),
            clip_row(0, method="static", latency_ratio=99.0),
            clip_row(0, side=128, latency_ratio=12.0, accuracy_drop_points_high=0.4),
            clip_row(3, scenes=1000, latency_ratio=50.0),  # too few scenes to count
        ],
        store,
    )
    found = by_goal(bench.video_findings("video", 64))
    assert found["sparsity.video_drop"].value == pytest.approx(0.8)
    assert found["sparsity.video_drop"].spread == (0.5, 1.2)
    assert found["sparsity.video_drop"].figures["mean_drop"] == pytest.approx(0.1)
    assert found["sparsity.video_p50"].value == pytest.approx(3.9)
    assert found["sparsity.video_p50"].figures["rows"] == 3
    assert found["sparsity.video_macs"].value == pytest.approx(11)
    assert found["sparsity.video_p95"].value == pytest.approx(3.2)
    assert found["sparsity.video_p50_alternating"].value == pytest.approx(3.0)
    assert found["sparsity.video_p95_alternating"].value == pytest.approx(2.5)
    assert found["sparsity.video_tracking"].value == pytest.approx(0.8)
    large = by_goal(bench.video_findings("large", 128))
    assert large["sparsity.large_p50"].value == 12
    assert large["sparsity.large_drop"].value == 0.4
    assert set(large) == {"sparsity.large_p50", "sparsity.large_drop"}


def test_the_readers_newer_row_counts(store, tmp_path):
    measurements.append(clip_row(0), store)
    measurements.append(clip_row(0, latency_ratio=2.0), tmp_path / "own")
    assert by_goal(bench.video_findings("video", 64))["sparsity.video_p50"].value == 2


def test_the_worst_stress_counts_and_a_missing_one_is_named(store):
    for i, variant in enumerate(video.VARIANTS):
        if variant == "noise":
            continue
        for seed in (0, 1):
            setting = {"variant": variant, "method": "dynamic", "seed": seed}
            measurements.append(row("sparsity.stress", setting, accuracy_drop_points=i + seed), store)
    stressed = bench.rows("sparsity.stress", method="dynamic")
    given = ("accuracy_drop_points", "variant", max, bench.STRESS)
    missing = bench.worst("sparsity.stress_drop", stressed, *given)
    assert missing.value is None
    assert "noise" in missing.why
    setting = {"variant": "noise", "method": "dynamic", "seed": 0}
    measurements.append(row("sparsity.stress", setting, accuracy_drop_points=30.0), store)
    found = bench.worst("s", bench.rows("sparsity.stress", method="dynamic"), *given)
    assert found.value == 30
    assert found.figures["still"] == 5.5  # the mean of its seeds
    assert "usual" not in found.figures
    assert found.spread == (1, 30)
    least = bench.worst("s", stressed, "accuracy_drop_points", "variant", min, ("still", "flicker"))
    assert least.value == 1.5


def test_early_exit_is_the_worse_of_two_networks(store):
    measurements.append(
        [
            row("sparsity.early_exit", {"model": m, "seed": s}, mean_cost_ratio=c, accuracy_drop_points=d)
            for m, s, c, d in (("assistant", 0, 0.7, 0.4), ("assistant", 1, 0.8, 0.6), ("video", 0, 0.6, 0.9))
        ],
        store,
    )
    cost, drop = bench.exits()
    assert cost.value == pytest.approx(0.75)
    assert drop.value == pytest.approx(0.9)


def test_without_rows_every_goal_says_why_and_the_kernel_is_timed(store):
    findings = bench.run(quick=True)
    assert sorted(item.goal for item in findings) == sorted(goal.name for goal in bench.GOALS)
    reported = benchmark.report(bench.GOALS, findings)
    for entry in reported["goals"]:
        if entry["name"] == "sparsity.block_kernel":
            assert entry["value"] > 0
        else:
            assert not entry["met"]
            assert "neurolab sweep sparsity" in entry["why"]
    kernel = by_goal(findings)["sparsity.block_kernel"]
    assert kernel.setting == {"size": 512, "density": 0.25, "columns": 256}
    assert kernel.figures["b_seconds"] / kernel.figures["a_seconds"] == pytest.approx(kernel.value, rel=0.5)


def test_the_goals_are_those_of_the_issue():
    goals = {goal.name.removeprefix("sparsity."): (goal.goal, goal.better) for goal in bench.GOALS}
    higher = {"video_macs": 10, "video_p50": 3.5, "video_p95": 3, "large_p50": 10, "live_held": 99}
    higher |= {"enhance_p50": 3, "block_kernel": 3, "video_p50_alternating": 3.5, "video_p95_alternating": 3}
    lower = {"video_drop": 1, "video_tracking": 1, "large_drop": 1, "stress_drop": 3, "live_drop": 3}
    lower |= {"enhance_drop": 0.3, "dispatch_slowdown": 5, "exit_cost": 0.9, "exit_drop": 1}
    assert goals == {k: (v, "higher") for k, v in higher.items()} | {
        k: (v, "lower") for k, v in lower.items()
    }
    assert bench.CHAPTER == 6
    assert bench.SIZES == (512, 1024, 2048)
    assert "usual" not in bench.STRESS
