"""The rows of pruning: what they are called, what is held fixed, and how they meet their control."""

from __future__ import annotations

import json

import pytest
import torch

from neurolab import measurements
from neurolab.structure import smaller
from neurolab.sweeps import compression_prune as sweep
from neurolab.transformer import Config, Transformer


@pytest.fixture(scope="module")
def jobs():
    return sweep.jobs()


def test_no_row_is_made_twice_and_another_process_can_make_each(jobs):
    keys = [job.name + json.dumps(job.setting, sort_keys=True) for job in jobs]
    assert len(set(keys)) == len(keys)
    for job in jobs:
        assert job.chapter == 5
        assert job.minutes <= 30
        assert getattr(sweep, job.make.func.__name__) is job.make.func
    assert {job.name for job in jobs} == {
        "compression.prune",
        "compression.prune_speed",
        "compression.distill",
    }


def test_the_goal_has_three_seeds_and_half_the_multiply_adds(jobs):
    rows = [job.setting for job in jobs if job.setting.get("method") == "structured"]
    goal = [s for s in rows if (s["layers"], s["heads"], s["channels"]) == sweep.GOAL and s["tuned"]]
    assert {s["seed"] for s in goal if s["importance"] == "measured"} == {0, 1, 2}
    layers, heads, channels = sweep.GOAL
    small = Config(layers=layers, heads=heads, hidden=channels, head=Config().head_size)
    ratios = sweep.pruned_speed.mac_ratios(Config(), small)
    assert ratios["mac_ratio_least"] >= 2


def test_the_share_that_is_gone_is_that_of_the_blocks_weights():
    big = Transformer(Config())
    for kept in ((2, 4, 576), (4, 1, 640), (1, 5, 640)):
        layers, heads, channels = kept
        plan = sweep.Plan(
            tuple(range(layers)), (tuple(range(heads)),) * layers, (tuple(range(channels)),) * layers
        )
        left, all_ = (
            sum(p.numel() for name, p in m.named_parameters() if p.ndim == 2 and name.startswith("blocks"))
            for m in (smaller(big, plan), big)
        )
        assert sweep.gone(kept) == pytest.approx(1 - left / all_, abs=5e-4)


def test_the_drop_from_the_control_is_that_of_equal_steps_and_seed(monkeypatch, tmp_path):
    monkeypatch.setattr(measurements, "own", lambda: tmp_path)
    monkeypatch.setattr(measurements, "shipped", lambda: tmp_path)
    assert sweep.from_control({"exact_match": 0.97}, 600, 1) == {}
    for steps, seed, value in ((600, 0, 0.5), (600, 1, 0.99), (200, 1, 0.6)):
        setting = {"steps": steps, "seed": seed}
        row = measurements.row("compression.control", 4, setting, {"exact_match": value}, command="test")
        measurements.append(row, tmp_path)
    found = sweep.from_control({"exact_match": 0.97}, 600, 1)
    assert found["exact_match_drop_from_control_points"] == pytest.approx(2)


def test_the_plan_of_a_layer_keeps_the_parts_that_matter(monkeypatch):
    score = sweep.Importance(torch.tensor([1.0, 3.0]), torch.eye(2), torch.eye(2, 3))
    monkeypatch.setattr(sweep, "importance", lambda kind: score)
    assert sweep.plan((1, 1, 1)) == sweep.Plan((1,), ((1,),), ((1,),))
