"""The policy of the live loop, its clocks and its telemetry, each alone."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neurolab.live_answers import Check, calibrate
from neurolab.live_budget import PAIRS, Costs, Governor, Policy
from neurolab.live_clock import CostModel, SimulatedClock, WallClock
from neurolab.live_telemetry import EVENTS, Record, Telemetry, Window, nearest_rank
from tests import toy_live as toy

COSTS = Costs(10.0, {4: 1.0, 8: 2.0, 16: 4.0, 32: 8.0})
POLICY = Policy(5.0, (4, 8, 16, 32), 8, margin=0.9, window=8, hold=4, calm=3, audit=5)


def governor(**other):
    return Governor(replace(POLICY, **other), COSTS)


def feed(g, tokens, factor, times=1, path="sparse"):
    """Answers that take `factor` times their calibrated time; the last one's events."""
    events = ()
    for _ in range(times):
        seconds = factor * (COSTS.dense if path == "dense" else COSTS.seconds(tokens))
        events = g.timed(path, tokens, seconds, seconds)
    return events


# Telemetry


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.sampled_from((0.0, 0.5, 0.95, 0.99, 1.0)))
def test_a_percentile_is_the_least_value_with_that_share_at_or_under_it(values, share):
    found = nearest_rank(sorted(values), share)
    at_or_under = sum(v <= found for v in values) / len(values)
    below = sum(v < found for v in values) / len(values)
    assert found in values
    assert at_or_under >= share - 1e-9
    assert below < share or found == min(values)


def test_the_p99_of_25_frames_is_the_worst_and_of_200_leaves_out_two():
    assert nearest_rank(range(25), 0.99) == 24
    assert nearest_rank(range(200), 0.99) == 197
    assert nearest_rank(range(100), 0.07) == 6  # 0.07 * 100 is a little more than 7
    with pytest.raises(ValueError, match="at least one"):
        nearest_rank([], 0.5)
    with pytest.raises(ValueError, match=r"1\.5"):
        nearest_rank([1.0], 1.5)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=80), st.integers(1, 9))
def test_a_window_holds_the_last_values_and_no_others(values, size):
    window = Window(size)
    for i, value in enumerate(values):
        window.add(value)
        last = values[max(0, i + 1 - size) : i + 1]
        assert len(window) == len(last)
        for share in (0.0, 0.5, 0.95, 1.0):
            assert window.percentile(share) == nearest_rank(sorted(last), share)
    with pytest.raises(ValueError, match="finite"):
        window.add(math.nan)


def test_seconds_are_held_one_by_one_and_a_frame_passed_over_counts():
    telemetry = Telemetry(objective=0.01)
    for i in range(100):  # 4 seconds of 25 frames; one late answer in second 1, one frame passed over in 3
        late = 0.02 if i in (30, 80) else 0.005
        status = "passed over" if i == 80 else "answered"
        telemetry.add(Record(i, i * 0.04, status, "sparse", 8, 8, late, late))
    telemetry.add(Record(99, 3.96, "thought again", "dense", latency=0.035, agrees=True))
    found = telemetry.summary()
    assert found["seconds"] == 4
    assert found["seconds_held_percent"] == 50
    assert found["over_percent"] == 2
    assert found["p99_over_objective"] == 2
    assert (found["frames"], found["fallbacks"], found["agreed_percent"]) == (100, 1, 100)
    assert found["tokens_mean"] == 8


def test_a_record_is_a_line_of_json_with_microseconds():
    record = Record(3, 0.12, "answered", "sparse", 8, 7, 1 / 3, 2 / 3, 4, (1 / 3, 2.0), 1 / 7)
    read = json.loads(record.line())
    assert read["seconds"] == 0.333333
    assert read["centre"] == [0.3333, 2.0]
    assert read["sure"] == 0.1429
    assert record.decision() == (3, "answered", "sparse", 8, 7, 4, None, ())


# The policy


def test_a_latency_breach_lowers_the_budget_and_never_goes_dense():
    g = governor()
    for _ in range(3):
        g.judged(False)  # quality asks for the top rung
    assert g.decide().budget == 16  # 32 would take 8 s of 5
    assert feed(g, 16, 2.0) == ("over",)
    after = g.decide()
    assert (after.path, after.budget) == ("sparse", 8)
    assert "strained" in after.events
    assert feed(g, 8, 3.0) == ("over",)
    assert g.decide().budget == 4
    assert feed(g, 4, 6.0) == ("over", "overload")
    assert (g.decide().path, g.decide().budget) == ("sparse", 4)  # dense would take 10 s, and more


def test_a_lone_hiccup_moves_the_ceiling_for_a_while_and_nothing_else():
    g = governor(window=32)
    feed(g, 8, 1.0, times=31)
    feed(g, 8, 4.0)
    assert g.slowness() == pytest.approx(1.0)
    assert g.decide().budget == 4
    feed(g, 4, 1.0, times=POLICY.hold)
    assert g.decide().budget == 8


def test_what_is_slower_than_calibrated_lowers_the_budget_before_the_objective_breaks():
    g = governor()
    assert feed(g, 8, 2.3, times=2) == ()  # 4.6 s of 5: in time
    assert g.decide().budget == 4  # 8 tokens are predicted at 4.6 s, more than 0.9 of 5
    feed(g, 4, 1.0, times=POLICY.window)
    assert g.decide().budget == 8  # and back, once the slow ones have left the window


def test_quality_raises_the_budget_by_a_rung_to_the_top_and_calm_lowers_it_to_the_base():
    g = Governor(replace(POLICY, objective=100.0, fallback="none"), COSTS)
    seen = []
    for _ in range(4):
        g.judged(False)
        seen.append(g.decide().budget)
    assert seen == [16, 32, 32, 32]
    for _ in range(2 * POLICY.calm):
        g.judged(True)
    assert g.decide().budget == 8
    for _ in range(50):
        g.judged(True)
    assert g.decide().budget == 8


def test_the_dense_path_answers_at_once_where_it_is_affordable_and_quality_wants_it():
    g = governor(objective=12.0)
    assert g.decide().path == "sparse"
    g.judged(False)
    g.judged(False)
    assert g.decide() == replace(g.decide(), path="dense", budget=0, events=("dense",))
    feed(g, 0, 1.3, path="dense")  # 13 s: over
    assert g.decide().path == "sparse"
    late = governor(objective=12.0)
    late.judged(False)
    late.judged(False)
    assert late.timed("dense", 0, 10.0, 13.0) == ("over",)  # in time itself, but begun too late
    assert late.decide().path == "sparse"


def test_where_sparsity_does_not_pay_by_calibration_the_dense_path_answers():
    dear = Costs(1.5, COSTS.rungs)
    assert Governor(POLICY, dear).decide().path == "dense"
    assert Governor(replace(POLICY, fallback="none"), dear).decide().path == "sparse"
    assert Governor(replace(POLICY, base=4), dear).decide().path == "sparse"


def test_where_sparsity_stops_paying_the_dense_path_answers_and_sparse_is_tried_again():
    g = governor()
    for _ in range(PAIRS):
        feed(g, 4, 12.0)
        g.thought_again(COSTS.dense, False)
    paths = []
    for _ in range(POLICY.hold):
        paths.append(g.decide().path)
        feed(g, 0, 1.0, path="dense")
    assert paths == ["dense"] * POLICY.hold
    assert g.decide().path == "sparse"
    assert g.probing


def test_load_that_slows_both_paths_is_not_taken_for_sparsity_that_does_not_pay():
    g = governor()
    for _ in range(20):
        feed(g, 4, 30.0)
        g.thought_again(30 * COSTS.dense, False)
        assert g.decide().path == "sparse"


def test_the_second_thought_fits_or_is_left_off():
    g = governor()
    assert g.may_think_again(10.0)
    assert not g.may_think_again(9.9)
    feed(g, 8, 1.5)
    assert not g.may_think_again(14.9)  # the machine is slower now
    g.thought_again(10.0, overran=True)
    assert not g.may_think_again(1e9)
    feed(g, 8, 1.0, times=POLICY.hold)
    assert g.may_think_again(1e9)
    g.thought_again(50.0, overran=False)  # the dense path alone was slow: it may be again
    assert not g.may_think_again(49.0)
    assert not governor(fallback="none").may_think_again(1e9)


def test_a_doubt_that_the_dense_path_shares_is_excused_for_a_while():
    g = governor()
    g.thought_again(10.0, False, excuse=True)
    g.judged(False)
    assert g.want == g.base
    assert not g.may_think_again(1e9)
    feed(g, 8, 1.0, times=POLICY.hold)
    g.judged(False)
    assert g.want == g.base + 1


def test_the_proposal_that_is_compared_with_goes_dense_for_hold_frames():
    g = governor(fallback="breach", adapt=False)
    assert g.decide().path == "sparse"
    feed(g, 8, 3.0)
    paths = []
    for _ in range(POLICY.hold + 1):
        plan = g.decide()
        paths.append(plan.path)
        feed(g, plan.budget, 1.0, path=plan.path)
    assert paths == ["dense"] * POLICY.hold + ["sparse"]  # the dense answers are late too, and don't count


def test_costs_are_linear_between_rungs_and_beyond():
    assert [COSTS.seconds(n) for n in (1, 4, 6, 8, 12, 32, 64)] == [1, 1, 1.5, 2, 3, 8, 16]
    assert Costs(2.0, {8: 1.0}).seconds(100) == 1.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"objective": 0.0}, "objective is 0"),
        ({"objective": math.nan}, "objective is nan"),
        ({"budgets": (8, 8), "base": 8}, "ascending"),
        ({"budgets": (), "base": 8}, "ascending"),
        ({"base": 9}, "base is 9"),
        ({"margin": 1.1}, "margin is 1.1"),
        ({"hold": 0}, "hold is 0"),
        ({"audit": 2.5}, "audit is 2.5"),
        ({"fallback": "never"}, "'never'"),
    ],
)
def test_settings_out_of_bounds_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        replace(POLICY, **change)


def test_costs_and_checks_out_of_bounds_are_refused():
    with pytest.raises(ValueError, match=r"rungs\[4\] is -1"):
        Costs(1.0, {4: -1.0})
    with pytest.raises(ValueError, match="rungs is empty"):
        Costs(1.0, {})
    with pytest.raises(ValueError, match=r"no time for the budgets \[32\]"):
        Governor(POLICY, Costs(1.0, {4: 1.0, 8: 1.0, 16: 1.0}))
    with pytest.raises(ValueError, match="sure is 2"):
        Check(sure=2)
    with pytest.raises(ValueError, match="jitter is -1"):
        CostModel(jitter=-1)
    with pytest.raises(ValueError, match="ascend"):
        CostModel(slow=((2.0, 1.0, 1.0), (1.0, 1.0, 1.0)))
    with pytest.raises(ValueError, match="objective"):
        Telemetry(math.inf)


# Clocks


def test_simulated_time_is_a_function_of_the_seed():
    def times(seed):
        clock = SimulatedClock(CostModel(spikes=0.1), seed)
        return [clock.timed(lambda: 32, "sparse", lambda n: n)[1] for _ in range(200)]

    assert times(1) == times(1)
    assert times(1) != times(2)
    least = CostModel().seconds("sparse", 32)
    spiked = [t for t in times(1) if t > 2 * least]
    assert min(times(1)) >= least
    assert 5 <= len(spiked) <= 45  # about a tenth


def test_simulated_load_slows_both_paths_and_the_sparse_one_further():
    model = CostModel(choosing=0.0, slow=((1.0, 2.0, 3.0), (5.0, 1.0, 1.0)))
    for path, factor in (("dense", 2), ("sparse", 6)):
        before, during, after = (model.seconds(path, 256, now) for now in (0.5, 1.0, 5.0))
        assert during == pytest.approx(factor * before)
        assert after == before


def test_the_wall_clock_waits_and_never_too_short():
    clock = WallClock()
    until = clock.now() + 0.003
    clock.wait(until)
    assert clock.now() >= until
    clock.wait(until)  # over already
    made, seconds = clock.timed(lambda: 7, "sparse", lambda n: n)
    assert (made, seconds >= 0) == (7, True)


def test_calibration_finds_the_cost_of_full_budgets_though_fewer_are_chosen():
    asked = []

    def sparse(frames, keep):
        asked.append(keep.shape[1])
        assert len(set(keep[0].tolist())) == keep.shape[1]
        return toy.net(frames, keep)

    clip = torch.stack([toy.frame(i) for i in range(4)])[None]
    model = replace(toy.MODEL, jitter=0.0)
    costs = calibrate(
        toy.net,
        sparse,
        lambda x, n: toy.choose(x, n)[:, : 1 + n // 2],
        [clip],
        (8, 4),
        SimulatedClock(model),
        rounds=3,
    )
    assert set(asked) == {4, 8}
    assert costs.dense == pytest.approx(model.seconds("dense", 0))
    assert costs.rungs == {n: pytest.approx(model.seconds("sparse", n)) for n in (4, 8)}
    with pytest.raises(ValueError, match="0 rounds"):
        calibrate(toy.net, toy.net, toy.choose, [clip], (4,), rounds=0)


def test_every_event_has_its_sentence_and_no_two_are_alike():
    assert len(set(EVENTS.values())) == len(EVENTS)
    assert np.all([len(text.split()) >= 4 for text in EVENTS.values()])
