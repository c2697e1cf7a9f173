"""neurolab.sweeps.sparsity_mechanisms, on small networks that nobody trained."""

import pytest
import torch

from neurolab import learned_gate, sparsity, video, video_cost, video_net
from neurolab.benchmark import Tails
from neurolab.sweeps import sparsity_mechanisms as sweep

torch.set_num_threads(1)
CONFIG = video_net.VideoConfig(width=32, layers=2, heads=4, hidden=32)
SCENES = 70
TIMED = sweep.timed


@pytest.fixture(autouse=True)
def untrained(monkeypatch):
    """`load` gives a small random network for every name, of its own for every seed."""

    def load(name="dense", seed=0, side=64):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return video_net.VideoTransformer(CONFIG).eval()

    def load_gate(seed=0, side=64):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return learned_gate.Gate().eval()

    monkeypatch.setattr(video_net, "load", load)
    monkeypatch.setattr(learned_gate, "load", load_gate)
    monkeypatch.setattr(sweep, "SCENES", SCENES)
    monkeypatch.setattr(sweep, "TIMED", 2)
    monkeypatch.setattr(sweep, "timed", lambda *_: Tails([1.0, 1.0], [2.0, 3.0]).figures())
    sweep.dense_right.cache_clear()
    yield
    sweep.dense_right.cache_clear()


@pytest.mark.parametrize("name", sweep.MECHANISMS)
def test_a_row_has_the_figures_that_rules_and_pictures_read(name):
    found = sweep.row(name, 24, 0)
    wanted = {"accuracy", "tracking_error", "macs", "flops_ratio", "energy_ratio", "tokens_kept_percent"}
    assert wanted <= set(found)
    assert found["scenes"] == SCENES
    if name == "dense":
        assert (found["flops_ratio"], found["tokens_kept_percent"]) == (1, 100)
        return
    assert {"accuracy_drop_points", "latency_ratio", "p95_ratio", "p99_ratio"} <= set(found)
    low, mid, high = (found[f"accuracy_drop_points{end}"] for end in ("_low", "", "_high"))
    assert low <= mid <= high
    dense = sweep.row("dense", 256, 0)
    assert mid == pytest.approx(dense["accuracy"] - found["accuracy"], abs=1e-4)
    if name == "threshold":
        assert found["tokens_kept_percent"] < 100 * 24 / 256
    else:
        assert found["tokens_kept_percent"] == pytest.approx(100 * 24 / 256)


def test_clips_in_groups_are_seen_as_behind_masks():
    net = video_net.load()
    frames = video.clips(range(12), split="test").frames
    mask = sparsity.chosen(sparsity.change(frames), 32, 0.1)
    assert len(mask.sum(1).unique()) > 2
    with torch.inference_mode():
        grouped, kept = sweep.in_groups(net, frames, mask)
        hidden = net(frames, mask=mask)
        alone = torch.cat([sweep.threshold(net, 0)(clip[None], 32)[1] for clip in frames])
    assert torch.equal(kept, mask.sum(1))
    assert torch.allclose(grouped.digit, hidden.digit, atol=1e-5)
    assert torch.allclose(grouped.centre, hidden.centre, atol=1e-4)
    assert torch.equal(alone, sparsity.chosen(sparsity.change(frames), 32).sum(1))


def test_choosing_is_paid_for():
    config = video_net.VideoConfig()
    macs = {name: sweep.counts(name, config, 32).mac_fp32 for name in sweep.MECHANISMS}
    assert macs["static"] == video_cost.counts(config, 32).mac_fp32
    assert macs["change"] == macs["static"] + video_cost.GATE * 8 * 64 * 64
    assert macs["threshold"] == macs["change"] == macs["change_untuned"]
    assert macs["gate"] == macs["change"] + learned_gate.macs(config) + 8 * 64 * 64
    extra = sparsity.attention_macs(config, 32) - sum(video_net.macs(config, 32).values())
    assert macs["attention"] == macs["static"] + extra
    assert macs["change"] < macs["gate"] < macs["attention"] < macs["dense"]
    assert sweep.counts("attention", config, 256) == video_cost.counts(config, 256) + video_cost.Counts(
        mac_fp32=257 * 128, special_fp32=4 * 256
    )


def test_costs_are_the_mean_over_clips():
    config = video_net.VideoConfig()
    both = sweep.costs("threshold", config, torch.tensor([16, 32, 32, 32]))
    few, many = (sweep.counts("threshold", config, n).mac_fp32 for n in (16, 32))
    assert both["macs"] == pytest.approx(0.25 * few + 0.75 * many)
    assert both["tokens_kept_percent"] == pytest.approx(100 * 28 / 256)


def test_masking_is_timed_three_ways():
    found = sweep.masked(16, rounds=1)
    assert set(found) == {"latency_ratio", "p95_ratio", "without_choosing", "packed_ratio"}
    assert min(found.values()) > 0


@pytest.mark.parametrize("name", ["threshold", "attention"])
def test_each_call_is_timed_against_the_dense_network(name):
    found = TIMED(name, 16, 0, 64, rounds=2)
    assert {"latency_ratio", "p95_ratio", "p99_ratio"} <= set(found)
    assert min(found.values()) > 0


def test_each_row_once():
    jobs = sweep.jobs()
    settings = [(job.name, tuple(job.setting.items())) for job in jobs]
    assert len(set(settings)) == len(settings)
    kept = {job.setting["mechanism"] for job in jobs if job.name == "sparsity.mechanism"}
    assert kept == set(sweep.MECHANISMS)
    with pytest.raises(ValueError, match="mechanism 'luck'"):
        sweep.watching("luck", 0)
