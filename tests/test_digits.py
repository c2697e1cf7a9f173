"""The digits: shapes, range, a split that is the same for a seed and loses no picture."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from neurolab import digits


def test_shapes_types_and_range():
    train_x, train_y, test_x, test_y = digits.load()
    assert train_x.shape == (1348, 64)
    assert test_x.shape == (449, 64)
    assert train_x.dtype == test_x.dtype == np.float32
    assert train_y.dtype == test_y.dtype == np.int64
    assert train_x.min() == 0.0
    assert train_x.max() == 1.0
    assert set(test_y) == set(range(10))


def test_no_picture_is_lost_or_in_both_halves():
    train_x, train_y, test_x, test_y = digits.load()
    ours = np.concatenate([np.c_[train_x, train_y], np.c_[test_x, test_y]])
    raw = load_digits()
    theirs = np.c_[raw.data / 16, raw.target]
    assert sorted(map(tuple, ours)) == sorted(map(tuple, theirs))


def test_a_seed_gives_the_same_split_and_another_seed_another():
    first, again, other = digits.load(seed=3), digits.load(seed=3), digits.load(seed=4)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[1], other[1])


def test_a_caller_may_change_its_copy():
    digits.load()[0][:] = -1
    assert digits.load()[0].min() == 0.0


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 2.0])
def test_bad_share_is_refused_by_name(share):
    with pytest.raises(ValueError, match="test_share"):
        digits.load(test_share=share)
