"""The loops that are compared, on simulated time with small untrained networks; the stream; the load."""

import json
import subprocess
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from neurolab import video
from neurolab.live_answers import Check
from neurolab.live_clock import CostModel, SimulatedClock
from neurolab.live_trials import ARMS, BUDGETS, SCENE, Trial, burners, choose, dense_latency, gate, stream
from neurolab.sweeps import sparsity_live as sweep
from neurolab.video_net import Seen

MODEL = CostModel(tokens=256)
ANYTHING = Check(sure=0.0, step=1e9, near=1e9)  # untrained networks are sure of nothing


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def net():
    """What is compared is time, which is simulated: the answer is always the same."""
    digit, centre = torch.eye(10)[None, 3], torch.zeros(1, 2)
    return lambda frames, keep=None: Seen(digit, centre)


def trial(net, variant="usual", slow=(), seconds=4, **other):
    clock = SimulatedClock(replace(MODEL, slow=slow), 1)
    settings = {"clock": clock, "check": ANYTHING, "rounds": 3, **other}
    return Trial(net, net, stream(variant, 0, seconds), **settings)


def test_a_stream_is_scenes_of_the_test_split_one_after_another():
    shown = stream("usual", 0, 9)
    assert shown.frames.shape == (225, 64, 64)
    for number, (start, end) in enumerate(((0, 100), (100, 200), (200, 225))):
        scene = video.scene(10_000 + number, split="test")
        assert torch.equal(shown.frames[start : start + 3], scene.frames(0, 3))
        assert set(shown.digit[start:end].tolist()) == {scene.digit}
        assert shown.centre[end - 1].tolist() == pytest.approx(scene.centre(end - start - 1))
        assert (~shown.whole[start:end]).nonzero().flatten().tolist() == list(range(video.FRAMES - 1))
    assert torch.equal(shown.at(225), shown.frames[0])
    with pytest.raises(ValueError, match=r"seconds is 0\.1"):
        stream("usual", 0, 0.1)


def test_the_budget_is_obeyed_and_the_gate_knows_none():
    for variant in ("usual", "noise"):
        clip = stream(variant, 0, 1).frames[None, :8]
        assert all(1 <= choose(clip, n).shape[1] <= n for n in BUDGETS)
        assert choose(clip, 256).shape == gate(clip, 4).shape


def test_the_objective_is_half_of_the_dense_latency_and_no_queue_grows():
    slow = SimulatedClock(replace(MODEL, jitter=0.0, fixed=0.1), 0)  # dense takes longer than a frame does
    shown = stream("usual", 0, 1)
    exact = slow.model.seconds("dense", 0)
    answer = SimpleNamespace()
    assert dense_latency(lambda f: answer, shown, 20, slow) == pytest.approx(exact)


def test_the_loop_holds_the_objective_where_the_gate_wants_too_much_and_going_dense_breaks_it(
    net, monkeypatch
):
    monkeypatch.setattr("neurolab.live_trials.gate", lambda frames, budget: torch.arange(200)[None])
    tried = trial(net, slow=((2.0, 3.0, 1.0),))
    assert tried.policy.objective == pytest.approx(tried.dense_p50 / 2)
    found = tried.turns(ARMS, 2, 2)
    assert set(found) == set(ARMS)
    assert found["loop"]["p99_over_objective"] <= 1
    assert found["without"]["p99_over_objective"] <= 1  # it is the budget that holds it
    assert found["gate"]["p99_over_objective"] > 3
    assert found["breach"]["p99_over_objective"] > found["gate"]["p99_over_objective"]
    assert found["dense"]["p99_over_objective"] > 6
    assert found["loop"]["thought_again"] > 0
    assert found["without"]["fallbacks"] == 0
    assert found["dense"]["fallbacks"] == 93  # every frame but the first 7
    for summary in found.values():
        assert summary["frames"] == 100
    with pytest.raises(ValueError, match="'best'"):
        tried.arm("best")


@pytest.mark.parametrize("fails", [False, True])
def test_the_load_ends_with_the_trial(fails, monkeypatch):
    started = []
    popen = subprocess.Popen

    def noted(*args, **settings):
        started.append(popen(*args, **settings))
        return started[-1]

    monkeypatch.setattr("neurolab.live_trials.subprocess.Popen", noted)
    try:
        with burners(1):
            assert started[0].poll() is None
            if fails:
                raise RuntimeError("the trial failed")
    except RuntimeError:
        assert fails
    assert started[0].poll() is not None
    with pytest.raises(ValueError, match="count is -1"), burners(-1):
        pass


def test_rows_hold_what_the_ledger_and_the_chapter_read(net):
    settings = {"nets": (net, net), "check": ANYTHING, "rounds": 3}
    row = sweep.fallback("usual", 0, turns=1, seconds=1, clock=SimulatedClock(MODEL, 2), **settings)
    for key in ("p99_over_objective", "p99_without_over_objective", "seconds_held_percent", "fallbacks"):
        assert row[key] >= 0
    assert row["objective"] == pytest.approx(row["quiet_dense_p50"] / 2)
    assert row["p99_dense_over_objective"] > 1 > row["p99_over_objective"]
    long = sweep.live("still", 1, seconds=SCENE + 1, clock=SimulatedClock(MODEL, 3), **settings)
    assert long["seconds_held_percent"] == 100
    assert long["scored"] == 29  # of 31 that are looked at, less one in either scene whose clip is not whole
    assert 0 <= long["accuracy_dense"] <= 100
    json.dumps([row, long], allow_nan=False)


def test_with_the_shipped_networks_a_run_is_repeated_to_the_byte_and_says_what_is_there():
    dense, sparse = sweep.networks(0)
    lines = []
    for _ in range(2):
        tried = Trial(
            dense, sparse, stream("usual", 0, 3), clock=SimulatedClock(MODEL, 4), rounds=1, objective=0.004
        )
        records = list(tried.arm("loop").run(tried.shown.at, 75))
        lines.append("".join(record.line() for record in records))
    assert lines[0] == lines[1]
    first = [r for r in records if r.status == "answered"]
    assert len(first) == 68
    assert sum(r.digit == int(tried.shown.digit[r.frame]) for r in first) >= 61
    assert all(1 <= r.tokens <= r.budget for r in first if r.path == "sparse")
    away = sorted((torch.tensor(r.centre) - tried.shown.centre[r.frame]).norm().item() for r in first)
    assert away[len(away) // 2] < video.PATCH / 2


def test_jobs_are_made_once_each_by_functions_of_the_module():
    jobs = sweep.jobs()
    keys = {job.name + json.dumps(job.setting, sort_keys=True) for job in jobs}
    assert len(keys) == len(jobs)
    assert all(job.chapter == 6 and getattr(sweep, job.make.func.__name__) is job.make.func for job in jobs)
    stress = {(j.setting["variant"], j.setting["seed"]) for j in jobs if j.name == "sparsity.live"}
    assert stress == {(v, s) for v in video.VARIANTS for s in (0, 1, 2)}
    loads = {j.setting["load"] for j in jobs if j.name == "sparsity.fallback"}
    assert loads == {0, 1, 2}
