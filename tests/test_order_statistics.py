"""The range of six orders against chance: known answers, an oracle, and rates under no effect."""

import numpy as np
import pytest
from scipy.stats import studentized_range

from neurolab import order_statistics as st

X = [[1.0, 2.0, 6.0], [3.0, 2.0, 8.0]]  # 2 seeds, 3 orders; variances 2, 0, 2; means 2, 2, 7


def test_range_and_pooled_deviation_by_hand():
    assert st.range_of_means(X) == 5.0
    assert st.pooled_sd(X) == pytest.approx(np.sqrt(4 / 3), rel=1e-14)
    assert st.compare(X)["range_over_seed_sd"] == pytest.approx(5 / np.sqrt(4 / 3), rel=1e-14)


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("share", [0.5, 0.95])
def test_chance_is_the_studentized_range(seeds, share):
    exact = studentized_range.ppf(share, 6, 6 * (seeds - 1)) / np.sqrt(seeds)
    assert st.chance(seeds, 6, share) == pytest.approx(exact, rel=0.01)


@pytest.mark.parametrize(
    ("seeds", "share", "said"), [(3, 0.5, 1.47), (5, 0.5, 1.12), (3, 0.95, 2.74), (5, 0.95, 1.96)]
)
def test_the_numbers_that_the_module_states(seeds, share, said):
    assert f"{said}" in st.__doc__
    assert studentized_range.ppf(share, 6, 6 * (seeds - 1)) / np.sqrt(seeds) == pytest.approx(said, abs=0.006)


def test_p_range_is_the_upper_tail():
    x = np.random.default_rng(1).normal(size=(4, 6)) + np.array([0.8, 0, 0, 0, 0, 0])
    q = st.range_of_means(x) / st.pooled_sd(x) * 2
    assert st.p_range(x) == pytest.approx(studentized_range.sf(q, 6, 18), abs=0.01)


def test_shuffling_counts_every_arrangement():
    x = [[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]  # 8 arrangements, 2 of them with range 1
    assert st.p_shuffled(x, 40_000) == pytest.approx(0.25, abs=0.01)
    assert st.p_shuffled([[0.5, 0.5], [0.1, 0.1]]) == 1.0


def test_a_common_part_of_a_seed_does_not_hide_the_orders():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 6)) * 0.1 + rng.normal(size=(5, 1)) * 50 + np.arange(6)
    assert st.compare(x)["range_over_seed_sd"] < 0.5
    assert st.p_range(x) > 0.9
    assert st.p_shuffled(x) < 0.001


def test_without_effect_one_in_twenty_is_called_one():
    rng = np.random.default_rng(5)
    p = [st.p_shuffled(rng.exponential(size=(4, 6)) + rng.normal(), 400, seed=i) for i in range(1500)]
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.017)  # three standard errors


def test_equal_runs_have_no_range_and_unequal_ones_without_spread_no_ratio():
    same = st.compare(np.full((3, 6), 0.5))
    assert same["range"] == same["range_over_seed_sd"] == 0
    assert same["p_range"] == same["p_shuffled"] == 1.0
    apart = st.compare(np.tile(np.arange(6.0), (3, 1)))
    assert "range_over_seed_sd" not in apart
    assert apart["p_range"] == 0


@pytest.mark.parametrize("x", [[[1.0, 2.0]], [[1.0], [2.0]], [1.0, 2.0], [[1.0, np.nan], [1.0, 2.0]]])
def test_too_little_and_nan_are_refused(x):
    with pytest.raises(ValueError, match="x "):
        st.compare(x)


def test_bad_shares_and_counts_are_refused():
    with pytest.raises(ValueError, match="share 1"):
        st.chance(3, share=1.0)
    with pytest.raises(ValueError, match="seeds 1"):
        st.chance(1)
    with pytest.raises(ValueError, match="shuffles 0"):
        st.p_shuffled(X, 0)
