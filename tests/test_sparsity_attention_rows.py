"""The rows of attention, experts and the stem: each once, what they count, and that they can be made."""

import json

import pytest
import torch

from neurolab import energy, video_attention, video_cost, video_net
from neurolab.sweeps import sparsity_attention, sparsity_experts
from neurolab.video_net import VideoConfig

CONFIG = VideoConfig()


@pytest.mark.parametrize("module", [sparsity_attention, sparsity_experts])
def test_every_row_once_and_ready_for_another_process(module):
    jobs = module.jobs()
    keys = [job.name + json.dumps(job.setting, sort_keys=True) for job in jobs]
    assert len(set(keys)) == len(keys) >= 10
    assert {job.chapter for job in jobs} == {6}
    assert all(getattr(module, job.make.func.__name__) is job.make.func for job in jobs)


def test_costs_of_everything_are_those_of_the_dense_network():
    whole = sparsity_attention.counts(CONFIG, video_net.macs(CONFIG), 1.0)
    assert whole == video_cost.counts(CONFIG)


def test_costs_of_fewer_keys_by_hand():
    L, d, K = 257, 128, 4
    parts = video_attention.macs(CONFIG, "topk", 32)
    less, dense = sparsity_attention.counts(CONFIG, parts, 32 / L), video_cost.counts(CONFIG)
    assert dense.mac_fp32 - less.mac_fp32 == K * L * (L - 32) * d
    assert dense.special_fp32 - less.special_fp32 == pytest.approx(K * 4 * L * (L - 32))
    assert dense.activation_bytes - less.activation_bytes == pytest.approx(4 * K * L * (L - 32) * d)
    assert 1.1 < energy.ratio(dense, less) < 2


def test_top_k_saves_less_than_half_once_its_choice_is_counted():
    found = sparsity_attention.operations("topk", 1024, 64)
    assert found["operations_ratio_with_choice"] == pytest.approx(2 * 1024 / (1024 + 64))
    shared = sparsity_attention.operations("shared", 1024, 64)
    assert shared["operations_ratio"] == 16
    assert 10 < shared["operations_ratio_with_choice"] < 16


def test_a_row_of_time_can_be_made(monkeypatch):
    monkeypatch.setattr(sparsity_attention, "PAIRS", 1)
    row = sparsity_attention.topk(256, 32, "masked")
    assert row["operations_ratio"] == 8
    assert row["latency_ratio"] > 0
    for method in ("shared", "budgeted"):
        assert sparsity_attention.attention(256, 0.25, method)["latency_ratio"] > 0


def test_random_queries_are_the_same_every_time():
    assert all(map(torch.equal, sparsity_attention.given(32), sparsity_attention.given(32)))


def test_a_row_of_the_stem_and_of_experts_can_be_made(monkeypatch):
    monkeypatch.setattr(sparsity_experts, "PAIRS", 1)
    trained = sparsity_experts.separable.trained
    monkeypatch.setattr(sparsity_experts.separable, "trained", lambda kind, seed: trained(kind, seed, 3))
    row = sparsity_experts.stem(0)
    assert row["macs_ratio"] > 6 > row["parameters_ratio"] > 3
    assert row["macs_ratio_layer"] == pytest.approx(1 / (1 / 64 + 1 / 9))
    monkeypatch.setattr(
        sparsity_experts, "network", lambda config, seed, alpha=0: sparsity_experts.ExpertNet(config).eval()
    )
    monkeypatch.setattr(
        sparsity_experts.expert_net, "scores", lambda net: {"accuracy": 0.5, "busiest": 1.0, "touched": 4.0}
    )
    row = sparsity_experts.moe(8, 1, 0)
    assert row["parameters_ratio"] == pytest.approx(1, abs=0.02)
    assert row["energy_ratio"] > 3
    assert row["energy_ratio_dram"] < row["energy_ratio"]
    assert row["energy_ratio_small"] < 1
