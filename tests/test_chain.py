"""Claim E1's chain on a small network: its steps, what their files weigh and give back, their controls."""

import copy
from dataclasses import replace

import pytest
import torch
from torch.nn.utils import parametrize

from neurolab import chain, compressed, digit_net, pruning, qat, quantized
from neurolab.measurements import row
from neurolab.orders import SUBJECTS
from neurolab.sweeps import compression_chain


@pytest.fixture(scope="module")
def subject():
    net = digit_net.trained(0, steps=80, channels=(6, 8, 12))
    return replace(SUBJECTS["digits"], network=lambda seed: copy.deepcopy(net))


@pytest.fixture
def quick(subject, monkeypatch):
    """The digits' network made small, and a student of 20 steps."""
    monkeypatch.setitem(SUBJECTS, "digits", subject)
    whole = digit_net.trained
    monkeypatch.setattr(chain, "STUDENT_CHANNELS", (5, 6, 10))
    monkeypatch.setattr(digit_net, "trained", lambda seed, **more: whole(seed, **{"steps": 20, **more}))


def test_the_int8_step_is_rounding_alone(subject):
    net, control = chain.take(subject, "int8", 0, 5)
    start = subject.network(0).state_dict()
    for name, coded in qat.coded(net).items():
        if isinstance(coded, quantized.Coded):
            assert start[name].ndim > 1
            within = (coded.q > -128) & (coded.q < 127)  # not clipped
            assert within.float().mean() > 0.9
            off = ((coded.value() - start[name]).abs() / coded.spread(coded.step))[within]
            assert off.max() <= 0.5 + 1e-4
        else:
            assert torch.equal(coded, start[name])
    assert all(torch.equal(x, start[name]) for name, x in control.state_dict().items())


def test_the_later_steps_keep_the_mask_and_the_control_has_as_many_steps(subject):
    wanted = pruning.masks(pruning.scores(subject.network(0)), chain.ZEROS, "global")
    seen = []

    def teach(net, steps, seed, teacher, soft):
        seen.append((parametrize.is_parametrized(net.out), steps, seed, teacher is not None, soft))
        subject.teach(net, steps, seed, teacher, soft)

    net, control = chain.take(replace(subject, teach=teach), "distilled", 3, 4)
    compressed_steps = [s[1:] for s in seen if s[0]]
    control_steps = [s[1:] for s in seen if not s[0]]
    assert compressed_steps == [(4, 6, False, 0.0), (4, 7, True, 1.0)]
    assert control_steps == [(4, 6, False, 0.0), (4, 7, False, 0.0)]
    used = qat.plain(net).state_dict()
    assert all((used[name][~mask] == 0).all() for name, mask in wanted.items())
    assert not any(parametrize.is_parametrized(module) for module in control.modules())


@pytest.mark.parametrize("step", ["int8", "pruned", "distilled", "student"])
def test_the_file_gives_back_the_network_that_was_scored(subject, step, tmp_path, quick):
    net, _ = chain.take(subject, step, 0, 3)
    compressed.save(tmp_path / "net", qat.coded(net), config=subject.config(net))
    found = compressed.load(tmp_path / "net")
    back = digit_net.DigitNet(tuple(found.config["channels"]))
    back.load_state_dict(quantized.values(found.tensors))
    assert digit_net.scores(back) == digit_net.scores(qat.plain(net))


def test_figures_along_the_chain(quick):
    rows = {step: chain.run("digits", step, 0, 3) for step in chain.steps_of("digits")}
    start = rows["float"]
    assert start["size_ratio"] == start["packed_ratio"] == 1
    assert start["exact_match_drop_points"] == start["exact_match_drop_from_control_points"] == 0
    assert start["bytes"] > 4 * sum(p.numel() for p in SUBJECTS["digits"].network(0).parameters())
    for step, found in rows.items():
        assert found["size_ratio"] == found["float_bytes"] / found["bytes"]
        lost = 100 * (start["exact_match"] - found["exact_match"])
        assert found["exact_match_drop_points"] == pytest.approx(lost)
        beside = 100 * (found["control_exact_match"] - found["exact_match"])
        assert found["exact_match_drop_from_control_points"] == pytest.approx(beside)
        if step in ("pruned", "distilled", "student"):
            assert found["zeros"] >= chain.ZEROS - 0.0005  # a whole number of weights
    assert rows["distilled"]["control_bits_per_picture"] != rows["pruned"]["control_bits_per_picture"]
    assert rows["student"]["control_exact_match"] == rows["distilled"]["control_exact_match"]
    # coded zeros are cheap; packed ones cost 8 bits like any code
    assert rows["pruned"]["bytes"] < 0.7 * rows["int8"]["bytes"]
    assert rows["pruned"]["packed_bytes"] == pytest.approx(rows["int8"]["packed_bytes"], rel=0.02)
    assert rows["student"]["bytes"] < rows["distilled"]["bytes"]


def test_a_run_is_the_same_again(quick):
    assert chain.run("digits", "distilled", 1, 2) == chain.run("digits", "distilled", 1, 2)


def test_the_student_is_four_fifths():
    def count(channels):
        return sum(p.numel() for p in digit_net.DigitNet(channels).parameters())

    assert count(chain.STUDENT_CHANNELS) / count(digit_net.CHANNELS) == pytest.approx(0.8, abs=0.03)


def test_a_table_by_hand():
    def made(step, seed, match):
        figures = {
            "exact_match": match,
            "control_exact_match": 0.99,
            "exact_match_drop_points": 100 * (0.98 - match),
            "exact_match_drop_from_control_points": 100 * (0.99 - match),
            "bytes": 100 + seed,
            "size_ratio": 4.0 + seed,
            "packed_ratio": 3.0,
        }
        setting = {"model": "digits", "step": step, "seed": seed}
        return row("compression.chain", 5, setting, figures, command="made up")

    other = row("compression.order", 5, {"model": "digits"}, {"range": 1.0}, command="made up")
    rows = [made("pruned", 0, 0.9), other, made("pruned", 1, 0.92), made("float", 0, 0.98)]
    first, second = chain.table("digits", rows)
    assert (first["step"], first["seeds"], first["exact_match_sd"]) == ("float", 1, None)
    assert second["exact_match"] == pytest.approx(0.91)
    assert second["exact_match_sd"] == pytest.approx(0.01 * 2**0.5)
    assert second["exact_match_drop_points"] == pytest.approx(7)
    assert (second["bytes"], second["size_ratio"]) == (100.5, 4.5)
    assert chain.table("assistant", rows) == []


def test_unknown_models_and_steps_are_refused():
    with pytest.raises(ValueError, match="model 'resnet'"):
        chain.steps_of("resnet")
    with pytest.raises(ValueError, match="step 'student'"):
        chain.run("assistant", "student", 0, 1)


def test_the_sweep_has_every_step_of_both_models():
    jobs = compression_chain.jobs()
    assert {job.name for job in jobs} == {"compression.chain"}
    for model, seeds in chain.SEEDS.items():
        for step in chain.steps_of(model):
            found = [j for j in jobs if (j.setting["model"], j.setting["step"]) == (model, step)]
            trained = step not in ("float", "int8") or model == "digits"
            assert [j.setting["seed"] for j in found] == (list(seeds) if trained else [0])
            for job in found:
                assert job.make.args == (model, step, job.setting["seed"], job.setting["steps"])
