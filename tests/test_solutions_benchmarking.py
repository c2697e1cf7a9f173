"""The references of chapter 8 against machines that drift, SciPy's bootstrap, and the definition."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from neurolab.exercises import check, exercises
from neurolab.solutions.benchmarking import faster, front, interval

OURS = [item for item in exercises() if item.name.split(".")[0] == "benchmarking"]


def test_the_chapter_has_its_exercises():
    assert [item.chapter for item in OURS] == [8] * 3
    assert sum(item.minutes for item in OURS) == 24  # with the capstone's, what the chapter's head says


@pytest.mark.parametrize("exercise", OURS, ids=[item.name for item in OURS])
def test_a_solution_can_be_pasted_into_the_notebook(exercise):
    space = {"np": np}
    exec(exercise.source(), space)
    name = exercise.stub.split("(")[0].removeprefix("def ")
    assert check(exercise.name, space[name]).passed


@settings(deadline=None)
@given(st.floats(0.2, 5), st.floats(-0.5, 4), st.integers(4, 20), st.integers(0, 99))
def test_pairs_survive_drift(truth, drift, pairs, seed):
    random = np.random.default_rng(seed)
    order = "".join("AB" if coin else "BA" for coin in random.random(pairs) < 0.5)
    machine = np.repeat(1 + drift * np.arange(pairs) / pairs, 2)  # as slow for both of a pair
    cost = np.array([1.0 if who == "A" else truth for who in order])
    assert faster(order, cost * machine) == pytest.approx(truth, rel=1e-9)
    disturbed = cost * machine
    disturbed[: 2 * ((pairs - 1) // 2) : 2] *= 50  # fewer than half of the pairs
    assert faster(order, disturbed) == pytest.approx(truth, rel=1e-9) or pairs % 2 == 0


def test_the_interval_is_scipy_s():
    random = np.random.default_rng(5)
    x = random.lognormal(size=61)
    low, high = interval(x, random.integers(0, 61, (9000, 61)), 0.9)
    other = stats.bootstrap(
        (x,), np.median, method="percentile", n_resamples=9000, confidence_level=0.9, rng=6
    ).confidence_interval
    assert [low, high] == pytest.approx([other.low, other.high], rel=0.05)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=15))
def test_the_front_is_by_its_definition(points):
    cost, good = (np.array(x, float) for x in zip(*points, strict=True))
    kept = front(cost, good)
    for i, j in itertools.product(range(len(points)), repeat=2):
        beats = cost[j] <= cost[i] and good[j] >= good[i] and (cost[j] < cost[i] or good[j] > good[i])
        assert not (beats and kept[i])
    for i in range(len(points)):  # and what is beaten is beaten by one of the front
        if not kept[i]:
            assert any(kept[j] and cost[j] <= cost[i] and good[j] >= good[i] for j in range(len(points)))
