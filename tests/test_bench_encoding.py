"""The bench of chapter 1: every figure of the claim is there, the goals are met, rows keep their form."""

import json

import pytest
import torch

from neurolab import assistant, facts, measurements
from neurolab.bench import encoding as bench
from neurolab.benchmark import report, rows
from neurolab.coded import activations
from neurolab.tokens import train_tokenizer
from neurolab.transformer import Config, Transformer

FIGURES = {
    "rate_error_ratio_4x",
    "rate_spikes_per_value_T16",
    "latency_spikes_per_value",
    "latency_error_T16",
    "rate_error_T16",
    "latency_error_jitter1_T16",
    "rate_error_jitter1_T16",
}


@pytest.fixture(scope="module")
def findings(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assistant, "FOLDER", tmp_path_factory.mktemp("empty"))  # digits only: fast, and no card
        return bench.run(quick=True)


def test_the_goals_are_met(findings):
    assert all(entry["met"] for entry in report(bench.GOALS, findings)["goals"])


def test_the_claims_rows_hold_every_figure_for_several_seeds(findings, tmp_path):
    made = rows(findings, bench.CHAPTER, "neurolab bench encoding")
    measurements.append(made, tmp_path)
    back = measurements.read("encoding.window_error", store=tmp_path)
    assert len(back) >= 2
    for one in back:
        assert set(one.figures) >= FIGURES
        assert set(one.setting) >= {"T", "code", "seed", "data"}
        json.dumps(one.figures, allow_nan=False)


def test_the_figures_follow_the_formulas():
    x = torch.rand(200_000, generator=torch.Generator().manual_seed(2))
    got = bench.window_error(x, seed=1)
    assert got["rate_error_T16"] == pytest.approx((1 / 6 / 16) ** 0.5, rel=0.01)  # mean of x (1 - x) is 1/6
    assert got["rate_error_ratio_4x"] == pytest.approx(2, rel=0.02)
    assert got["latency_error_T16"] == pytest.approx(1 / 15 / 12**0.5, rel=0.01)
    assert got["rate_spikes_per_value_T16"] == pytest.approx(8, rel=0.01)
    assert got["rate_window_to_match_latency"] == pytest.approx(450, rel=0.02)  # 1/6 / (1/15^2/12)
    assert got["rate_error_in_that_window"] == pytest.approx(got["latency_error_T16"], rel=0.02)
    assert got["rate_error_jitter1_T16"] == pytest.approx(got["rate_error_T16"])
    assert 0.9 / 15 < got["latency_error_jitter1_T16"] < 1.1 / 15


def test_answers_through_an_exact_code_are_the_answers_without():
    asked = bench.sample(12)
    texts = [q.text for q in asked]
    assert len(asked) == 12
    assert {q.language for q in asked} == set(facts.LANGUAGES)
    torch.manual_seed(0)
    config = Config(vocabulary=300, context=200, width=16, layers=1, heads=2, hidden=24)
    small = assistant.Assistant(Transformer(config).eval(), train_tokenizer(texts, 300), {})
    asked = [
        facts.Question(**{**vars(q), "answer": a}) for q, a in zip(asked, small.answers(texts), strict=True)
    ]
    sites = {site: activations(small, texts, site) for site in ("feed_forward", "attention")}
    fine = bench.answers(small, {"feed_forward": "phase"}, 24, 0, sites, asked)
    assert fine["exact_match"] >= 11 / 12
    rough = bench.answers(small, {"feed_forward": "rate", "attention": "rate"}, 2, 0, sites, asked)
    assert rough["exact_match"] < fine["exact_match"]
    assert 0 < rough["spikes_per_value"] < 2
