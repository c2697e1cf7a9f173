"""Goals, paired timing and the report's exact shape."""

import gc
import io
import json
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from neurolab import benchmark
from neurolab.benchmark import Finding, Goal, middle, paired, report, rows, table

FAST = Goal("lif.one", 200.0, "higher", "x", "one neuron")
EXACT = Goal("lif.differing", 0.0, "lower", "spikes", "differing spikes")


def test_a_goal_is_met_from_its_side():
    assert FAST.met(200.0)
    assert not FAST.met(199.9)
    assert EXACT.met(0)
    assert not EXACT.met(1)
    assert not FAST.met(None)


def test_a_bad_goal_is_refused():
    with pytest.raises(ValueError, match="better is 'bigger'"):
        Goal("a.b", 1.0, "bigger", "", "")
    with pytest.raises(ValueError, match="finite"):
        Goal("a.b", float("nan"), "higher", "", "")


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_the_interval_holds_the_median(values):
    median, low, high = middle(values)
    assert min(values) <= low <= median <= high <= max(values)


def test_the_interval_is_that_of_the_sign_test():
    assert middle(range(1, 8)) == (4, 1, 7)
    assert middle(range(1, 10)) == (5, 2, 8)
    with pytest.raises(ValueError, match="values is empty"):
        middle([])


def test_paired_alternates_and_says_how_much_faster_the_first_is():
    calls = []
    ratio = paired(
        lambda: (calls.append("a"), time.sleep(0.002)),
        lambda: (calls.append("b"), time.sleep(0.012)),
        pairs=5,
        inner=1,
    )
    assert "".join(calls) == "ab" * 6
    assert ratio.median > 1.5
    assert ratio.low <= ratio.median <= ratio.high
    assert ratio.a_seconds < ratio.b_seconds


def test_paired_turns_the_garbage_collector_on_again_after_an_error():
    calls = iter(range(2))

    def fails():
        next(calls)

    with pytest.raises(StopIteration):
        paired(fails, lambda: None, inner=2)
    assert gc.isenabled()


@pytest.mark.parametrize("bad", [{"pairs": 0}, {"warmup": -1}, {"inner": 0}])
def test_paired_refuses_nothing_to_time(bad):
    with pytest.raises(ValueError, match="needed"):
        paired(lambda: None, lambda: None, **bad)


def test_the_report_has_the_agreed_shape():
    made = report([FAST, EXACT], [Finding("lif.one", 260.0, (241.0, 275.0)), Finding("lif.differing", 0)])
    assert made["goals"][0] == {
        "name": "lif.one",
        "value": 260.0,
        "goal": 200.0,
        "better": "higher",
        "unit": "x",
        "spread": [241.0, 275.0],
        "met": True,
    }
    assert set(made) == {"goals", "machine", "versions"}
    assert made["machine"]["cores"] >= 1
    assert json.loads(json.dumps(made, allow_nan=False)) == made


def test_what_was_not_measured_is_null_with_a_reason():
    made = report([FAST, EXACT], [Finding("lif.one", None, why="numba is not installed")])
    assert made["goals"][0]["value"] is None
    assert made["goals"][0]["why"] == "numba is not installed"
    assert not made["goals"][0]["met"]
    assert made["goals"][1]["why"] == "this run did not measure it"
    nan = report([FAST], [Finding("lif.one", float("nan"))])
    assert nan["goals"][0]["value"] is None
    assert nan["goals"][0]["why"] == "the measurement gave nan"


def test_a_finding_without_a_goal_set_for_it_is_an_error():
    with pytest.raises(ValueError, match=r"lif\.two.*no such goal"):
        report([FAST], [Finding("lif.two", 1.0)])


def test_findings_become_rows():
    found = [
        Finding("lif.one", 260.0, (241.0, 275.0), setting={"steps": 1000}, figures={"a_seconds": 0.1}),
        Finding(None, name="lif.extra", figures={"x": 1}),
        Finding("lif.differing", None, why="no"),
    ]
    made = rows(found, 2, "neurolab bench lif")
    assert [item.name for item in made] == ["lif.one", "lif.extra"]
    assert made[0].figures == {"value": 260.0, "low": 241.0, "high": 275.0, "a_seconds": 0.1}
    assert made[0].setting == {"steps": 1000}


def test_the_table_says_yes_or_no_in_words():
    from rich.console import Console

    console = Console(width=120, record=True, file=io.StringIO())
    console.print(
        table(report([FAST, EXACT], [Finding("lif.one", 260.0), Finding("lif.differing", None, why="gone")]))
    )
    text = console.export_text()
    assert "yes" in text
    assert "NO" in text
    assert "gone" in text


def test_every_suite_sets_goals_and_runs():
    for name in benchmark.suites():
        module = benchmark.suite(name)
        assert all(isinstance(goal, Goal) for goal in module.GOALS)
        names = [goal.name for goal in module.GOALS]
        assert len(set(names)) == len(names)
        assert callable(module.run)
    with pytest.raises(ValueError, match="there is no suite 'nothing'"):
        benchmark.suite("nothing")


def test_tails_give_the_percentiles_of_single_calls() -> None:
    made = benchmark.Tails([1.0] * 99 + [4.0], [2.0] * 94 + [8.0] * 6)
    assert made.ratio(50) == 2.0
    assert made.ratio(95) == 8.0
    assert made.ratio(100) == 2.0
    assert benchmark.percentile([3.0, 1.0, 2.0, 4.0], 50) == 2.0
    seen: list[tuple[str, int]] = []
    found = benchmark.tails(lambda i: seen.append(("a", i)), lambda i: seen.append(("b", i)), 3, 1)
    assert seen == [("a", 0), ("b", 0), ("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2)]
    assert len(found.seconds_a) == len(found.seconds_b) == 3
    seen.clear()
    benchmark.tails(lambda i: seen.append(("a", i)), lambda i: seen.append(("b", i)), 3, 0, turn=2)
    assert seen == [("a", 0), ("a", 1), ("b", 0), ("b", 1), ("a", 2), ("b", 2)]
    for bad in ({"rounds": 0}, {"warmup": -1}, {"turn": 0}):
        with pytest.raises(ValueError, match="at least"):
            benchmark.tails(lambda i: None, lambda i: None, **bad)
    with pytest.raises(ValueError, match="percent"):
        benchmark.percentile([], 50)


def test_the_bootstrap_is_scipy_s():
    x = np.random.default_rng(3).lognormal(size=40)
    mean = lambda a, axis=-1: a.mean(axis)  # noqa: E731
    value, low, high = benchmark.bootstrap(x, mean, resamples=9000, seed=1)
    assert value == x.mean()
    other = stats.bootstrap((x,), mean, method="percentile", n_resamples=9000, rng=2).confidence_interval
    assert [low, high] == pytest.approx([other.low, other.high], abs=0.05 * (high - low))
    assert benchmark.bootstrap(x, mean, resamples=9000, seed=1) == (value, low, high)
    assert benchmark.bootstrap(x)[0] == np.median(x)


def test_the_bootstrap_s_interval_holds_the_truth_as_often_as_it_says():
    random, held = np.random.default_rng(0), 0
    for seed in range(300):
        _, low, high = benchmark.bootstrap(random.normal(5, 2, 60), resamples=300, sure=0.9, seed=seed)
        held += low <= 5 <= high
    assert 0.85 < held / 300 < 0.95


def test_the_bootstrap_takes_any_statistic_and_refuses_nonsense():
    x = [1.0, 2.0, 3.0, 10.0]
    assert benchmark.bootstrap(x, lambda a: a.mean(-1))[0] == 4
    assert benchmark.bootstrap([7.0]) == (7, 7, 7)
    for bad in ([], [1.0, float("nan")]):
        with pytest.raises(ValueError, match="at least one finite number"):
            benchmark.bootstrap(bad)
    for wrong in ({"sure": 1.0}, {"sure": 0.0}, {"resamples": 0}):
        with pytest.raises(ValueError, match="are needed"):
            benchmark.bootstrap(x, **wrong)


def test_spread_is_the_standard_deviation_over_the_mean():
    assert benchmark.spread([9.0, 11.0]) == pytest.approx(100 * 2**0.5 / 10)
    assert benchmark.spread([5.0, 5.0, 5.0]) == 0
    for bad in ([3.0], [-1.0, 1.0]):
        with pytest.raises(ValueError, match="two or more"):
            benchmark.spread(bad)


def test_four_times_the_runs_halve_the_uncertainty():
    x = np.random.default_rng(0).normal(100, 10, 20_000)
    wide, narrow = (benchmark.runs_needed(x, within) for within in (0.04, 0.02))
    assert narrow / wide == pytest.approx(4, rel=0.25)
    # a median's standard error is 1.2533 sigma / sqrt(n), and 95 % lie within 1.96 of them
    assert narrow == pytest.approx((1.96 * 1.2533 * 10 / 2) ** 2, rel=0.2)
    assert benchmark.runs_needed([4.0] * 5) == 1
    assert benchmark.runs_needed(x, 0.001, most=64) == 64
    with pytest.raises(ValueError, match="within 1"):
        benchmark.runs_needed(x, 1)


def test_a_tail_takes_more_runs_than_a_median():
    x = np.random.default_rng(0).lognormal(0, 0.3, 20_000)
    assert benchmark.runs_needed(x, 0.05, statistic=lambda a: np.quantile(a, 0.95, axis=-1)) > (
        2 * benchmark.runs_needed(x, 0.05)
    )


def test_the_clock_shows_every_call_in_order():
    waits = iter([0.0, 0.03, 0.001, 0.001])
    seen = benchmark.clock(lambda: time.sleep(next(waits)), 3, warmup=1)
    assert len(seen) == 3
    assert seen[0] > seen[1]
    assert seen[0] >= 0.03
    with pytest.raises(ValueError, match="times is 0"):
        benchmark.clock(int, 0)
    with benchmark.quiet():
        assert not gc.isenabled()
    assert gc.isenabled()
