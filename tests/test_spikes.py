"""The accidents: what is lost, what is invented, what moves, and that nothing else does."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurolab import encoding, spikes

quick = settings(max_examples=60, deadline=None)
TRAINS = st.tuples(st.integers(1, 20), st.integers(1, 6), st.integers(0, 10_000)).map(
    lambda size: encoding.rate(torch.full((size[1],), 0.4), size[0], size[2])
)


@quick
@given(TRAINS, st.floats(0, 1), st.integers(0, 99))
def test_drop_only_takes_and_insert_only_gives(train, p, seed):
    assert (spikes.drop(train, p, seed) <= train).all()
    more = spikes.insert(train, p, seed)
    assert (more >= train).all()
    assert torch.equal(more[train > 0], train[train > 0])


def test_drop_and_insert_hit_as_often_as_they_should():
    train = torch.cat([torch.ones(5, 20_000), torch.zeros(5, 20_000)])
    for p in (0.0, 0.1, 0.5, 1.0):
        within = 4 * math.sqrt(p * (1 - p) / 100_000) + 1e-9
        assert abs(float(spikes.drop(train, p)[:5].mean()) - (1 - p)) <= within
        assert abs(float(spikes.insert(train, p)[5:].mean()) - p) <= within


@quick
@given(TRAINS, st.floats(0, 5), st.integers(0, 99))
def test_jitter_holds_every_spike_in_the_window(train, sd, seed):
    moved = spikes.jitter(train, sd, seed)
    assert moved.shape == train.shape
    assert torch.equal(moved.sum(0), train.sum(0))
    melted = spikes.jitter(train, sd, seed, merge=True)
    assert torch.equal(melted, moved.clamp(max=1))
    assert (spikes.jitter(train, sd, seed, edges="lose").sum(0) <= train.sum(0)).all()
    assert torch.equal(spikes.jitter(train, 0.0, seed), train)


@pytest.mark.parametrize("sd", [0.5, 1.0, 3.0])
def test_jitter_moves_by_a_rounded_normal(sd):
    train = torch.zeros(101, 50_000)
    train[50] = 1
    shift = spikes.jitter(train, sd).argmax(0).double() - 50
    edges = torch.arange(-40.5, 41.0)
    weight = torch.erf(edges.double() / sd / math.sqrt(2)).diff() / 2  # chance of each whole shift
    variance = float((weight * torch.arange(-40, 41) ** 2).sum())
    assert abs(float(shift.mean())) < 4 * math.sqrt(variance / 50_000)
    assert float(shift.var()) == pytest.approx(variance, rel=0.04)


def test_jitter_loses_what_leaves_the_window_and_holds_it_otherwise():
    train = torch.zeros(3, 10_000)
    train[0] = 1
    assert float(spikes.jitter(train, 1.0).sum()) == 10_000
    lost = 1 - float(spikes.jitter(train, 1.0, edges="lose").mean() * 3)
    chance = 0.5 * math.erfc(0.5 / math.sqrt(2)) + 0.5 * math.erfc(2.5 / math.sqrt(2))
    assert lost == pytest.approx(chance, abs=0.02)


def test_two_spikes_in_one_tick_move_apart():
    train = torch.zeros(41, 2_000)
    train[20] = 2
    moved = spikes.jitter(train, 3.0)
    assert torch.equal(moved.sum(0), train.sum(0))
    assert float((moved.max(0).values == 1).float().mean()) > 0.8


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda s: spikes.drop(s, 1.5), "p is a probability"),
        (lambda s: spikes.insert(s, math.nan), "p is a probability"),
        (lambda s: spikes.jitter(s, -1), "sd is in ticks"),
        (lambda s: spikes.jitter(s, math.nan), "sd is in ticks"),
        (lambda s: spikes.jitter(s, 1, edges="wrap"), "edges"),
        (lambda s: spikes.jitter(-s, 1), "whole counts"),
        (lambda s: spikes.drop(s / 2, 0.1), "whole counts"),
        (lambda s: spikes.drop(s[:0], 0.1), "T >= 1"),
    ],
)
def test_bad_arguments_are_refused_by_name(call, what):
    with pytest.raises(ValueError, match=what):
        call(torch.ones(4, 2))
