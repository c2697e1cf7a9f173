"""Early exit of the video network, and what both sweeps report."""

from __future__ import annotations

import json
from functools import partial

import pytest
import torch
from torch.nn import functional as F

from neurolab import benchmark, early_exit, exit_figures, exit_video, video, video_net
from neurolab.early_exit import NEVER
from neurolab.exit_video import VideoHeads
from neurolab.sweeps import sparsity_exit as sweep
from neurolab.video_net import VideoConfig, VideoTransformer

CONFIG = VideoConfig(width=24, layers=3, heads=2, hidden=32)


@pytest.fixture(scope="module")
def network():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = VideoTransformer(CONFIG).eval()
    torch.manual_seed(1)
    return net, VideoHeads(net, 8).eval()


def some(frames):
    return torch.arange(3, 43, 5).expand(len(frames), -1)


def everything(frames):
    return None


@pytest.fixture(scope="module")
def seen(network):
    return exit_video.watched(*network, some, 24, "validation", gate=True)


@pytest.fixture(scope="module")
def middle(seen):
    return tuple((seen.sure[:, :2].median(0).values + 1e-5).tolist())


def test_without_exits_the_answer_is_the_networks(network):
    net, heads = network
    frames = video.clips([4], split="test").frames
    for choose in (some, everything):
        found = exit_video.watch(net, heads, frames, choose(frames), NEVER)
        with torch.inference_mode():
            wanted = net(frames, choose(frames))
        assert found.layers == 3
        assert torch.equal(found.seen.digit, wanted.digit)
        assert torch.equal(found.seen.centre, wanted.centre)


def test_heads_begin_as_the_networks_own_reading(network):
    net, heads = network
    frames = video.clips([1, 2], split="test").frames
    with torch.inference_mode():
        x, places = exit_video.begin(net, frames, some(frames))
        for head in heads.heads:
            x = net.block(0, x)
            for mine, its in zip(head(x, places), net.read(x, places), strict=True):
                assert torch.allclose(mine, its, atol=1e-5)


def test_one_clip_at_a_time_leaves_where_the_replay_says(network, seen, middle):
    net, heads = network
    clips = video.clips(range(24), split="validation")
    made = [exit_video.watch(net, heads, f[None], some(f[None]), middle) for f in clips.frames]
    assert len({m.layers for m in made}) > 1
    found = exit_video.replay(seen, middle)
    assert found["layers_mean"] == pytest.approx(sum(m.layers for m in made) / 24)
    right = [int(m.seen.digit.argmax()) == d for m, d in zip(made, clips.digit.tolist(), strict=True)]
    assert exit_video.exits_right(seen, middle) == right
    assert found["accuracy"] == pytest.approx(100 * sum(right) / 24)
    away = [(m.seen.centre[0] - c).norm().item() for m, c in zip(made, clips.centre, strict=True)]
    assert found["tracking_error"] == pytest.approx(sum(away) / 24, rel=1e-4)


def test_the_cost_is_what_was_multiplied(network, monkeypatch):
    """Linear layers, attention's products and the pointing, counted as they are called."""
    net, heads = network
    frames = video.clips([4], split="test").frames
    keep = some(frames)
    done = []
    linear, attend = F.linear, F.scaled_dot_product_attention

    def counting(x, weight, bias=None):
        done.append(x.numel() // x.shape[-1] * weight.numel())
        return linear(x, weight, bias)

    def attending(q, k, v, attn_mask=None):
        done.append(2 * q.shape[1] * q.shape[2] * k.shape[2] * q.shape[3])
        return attend(q, k, v, attn_mask=attn_mask)

    monkeypatch.setattr(F, "linear", counting)
    monkeypatch.setattr(F, "scaled_dot_product_attention", attending)
    for threshold, asked in ((0.0, 1), ((NEVER, 0.0), 1), (NEVER, 0), (1.0, 2)):
        done.clear()
        found = exit_video.watch(net, heads, frames, keep, threshold)
        readings = asked + (found.layers == 3)
        pointing = readings * keep.shape[1] * CONFIG.width
        assert exit_video.exit_macs(CONFIG, keep.shape[1], 8, found.layers, asked) == sum(done) + pointing


def test_no_exit_costs_what_the_network_costs_and_the_gate_counts_on_both_sides(seen):
    found = exit_video.replay(seen, NEVER)
    assert found["mean_cost_ratio"] == 1
    assert found["accuracy_drop_points"] == 0
    assert found["tracking_error"] == found["full_tracking_error"]
    whole = sum(video_net.macs(CONFIG, 8).values()) + seen.gate
    least = exit_video.exit_macs(CONFIG, 8, 8, 1, 1) + seen.gate
    assert exit_video.replay(seen, 0.0)["mean_cost_ratio"] == pytest.approx(least / whole)


def test_heads_learn_while_the_network_stays_as_it_is(network):
    net, _ = network
    before = {name: x.clone() for name, x in net.state_dict().items()}
    heads, history = exit_video.train(net, some, steps=4, batch=4, hidden=8, seed=3)
    again, _ = exit_video.train(net, some, steps=4, batch=4, hidden=8, seed=3)
    assert history.step == 4
    assert all(torch.equal(a, b) for a, b in zip(heads.parameters(), again.parameters(), strict=True))
    assert all(torch.equal(before[name], x) for name, x in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    fresh = VideoHeads(net, 8)
    assert not torch.equal(heads.heads[0].digit.weight, fresh.heads[0].digit.weight)


def test_the_choice_keeps_accuracy_and_place(seen):
    thresholds = exit_video.choose_thresholds(seen, 4.0, 1.02, (0.0, 0.12, 0.2, NEVER))
    found = exit_video.replay(seen, thresholds)
    assert found["accuracy_drop_points"] <= 4
    assert found["tracking_error"] <= 1.02 * found["full_tracking_error"]
    free = exit_video.replay(seen, exit_video.choose_thresholds(seen, 100.0, 100.0, (0.0, NEVER)))
    assert free["mean_cost_ratio"] <= found["mean_cost_ratio"]
    assert free["layers_mean"] == 1


def test_bad_input_is_named(network, seen):
    net, heads = network
    two = video.clips([1, 2]).frames
    with pytest.raises(ValueError, match="2 clips"):
        exit_video.watch(net, heads, two, None, 0.5)
    with pytest.raises(ValueError, match="hidden 0"):
        VideoHeads(net, 0)
    with pytest.raises(ValueError, match="1 block"):
        VideoHeads(VideoTransformer(VideoConfig(width=8, layers=1, heads=1, hidden=8)))
    with pytest.raises(ValueError, match="steps 0"):
        exit_video.train(net, some, steps=0)
    with pytest.raises(ValueError, match=r"most_away 0\.5"):
        exit_video.choose_thresholds(seen, 1.0, 0.5)


def test_what_is_lost_has_an_interval_and_times_a_direction():
    found = exit_figures.lost([True] * 9 + [False], [True] * 8 + [False] * 2)
    assert found["accuracy_drop_points"] == pytest.approx(10)
    low, high = found["accuracy_drop_points_low"], found["accuracy_drop_points_high"]
    assert (high - low) / 2 == pytest.approx(1.96 * 100 * (0.1**0.5) / 10**0.5)
    fast = benchmark.Tails([1.0] * 98 + [6.0] * 2, [2.0] * 100)
    times = exit_figures.times(fast)
    assert times["p50_ratio"] == 2  # as fast, so above 1 is faster
    assert times["p99_ratio"] == pytest.approx(1 / 3)  # and a worse tail is below 1
    assert times["mean_time_ratio"] == pytest.approx(200 / 110)


def test_the_shipped_heads_belong_to_the_assistant_and_answer_cheaper():
    heads = exit_figures.shipped()
    from neurolab import assistant, facts

    found = exit_figures.figures(
        assistant.load(), heads, (NEVER, 0.9, 0.6), "late", facts.split("dev")[::25], timed=2
    )
    assert found["mean_cost_ratio"] < 0.8
    assert found["exact_match"] >= 0.95
    assert {"p50_ratio", "p95_ratio", "p99_ratio"} <= found.keys()
    with pytest.raises(ValueError, match="at least 2"):
        exit_figures.figures(assistant.load(), heads, 0.9, "late", [])


def test_every_row_has_a_job_that_another_process_can_make():
    jobs = sweep.jobs()
    keys = [job.name + json.dumps(job.setting, sort_keys=True) for job in jobs]
    assert len(set(keys)) == len(keys)
    assert {job.name for job in jobs} == {"sparsity.early_exit", "sparsity.exit_sweep"}
    chosen = [job.setting for job in jobs if job.name == "sparsity.early_exit"]
    assert {(s["model"], s["seed"]) for s in chosen} == {
        (m, s) for m in ("assistant", "video") for s in range(3)
    }
    assert {s["threshold"] for s in chosen} == {"chosen"}
    for job in jobs:
        assert isinstance(job.make, partial)
        assert getattr(sweep, job.make.func.__name__) is job.make.func
        assert job.chapter == 6
    for threshold in sweep.SWEPT.values():
        assert len(early_exit.thresholds_of(threshold, 4)) == 3


def test_a_row_of_the_video_network_is_whole(network, monkeypatch):
    monkeypatch.setattr(sweep, "video_trained", lambda name, seed: network)
    monkeypatch.setattr(sweep, "TIMED", 4)
    found = sweep.video_figures("dynamic", 0, "chosen", validation=16, test=16)
    assert 0 < found["mean_cost_ratio"] <= 1
    assert found["scenes"] == 16
    assert len(found["thresholds"]) == 2
    assert {"p50_ratio", "p95_ratio", "accuracy_drop_points_high", "tracking_error"} <= found.keys()


def test_the_heads_are_made_by_one_command(network, monkeypatch, tmp_path):
    from typer.testing import CliRunner

    from neurolab import assistant, cli

    heads = exit_figures.shipped()
    monkeypatch.setattr(exit_figures, "trained", lambda seed: heads)
    found = CliRunner().invoke(cli.app, ["train", "exit", "--folder", str(tmp_path)])
    assert found.exit_code == 0, found.output
    model = assistant.load().model
    back = early_exit.load(model, tmp_path / early_exit.FILE.name)
    for mine, its in zip(back.parameters(), heads.parameters(), strict=True):
        assert torch.equal(mine, its)
