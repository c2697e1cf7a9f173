"""Encoders against snnTorch and closed forms; round trips with bounds that wrong code fails; bad input."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from snntorch import spikegen

from neurolab import digits, encoding
from neurolab.codes import CODES, rms

SHARES = st.floats(0, 1, width=32)
VALUES = arrays(np.float32, array_shapes(max_dims=3, max_side=5), elements=SHARES)
quick = settings(max_examples=60, deadline=None)


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    return torch.tensor(digits.load()[2])  # (449, 64)


# --- the oracle: snnTorch ---


@pytest.mark.parametrize("T", [1, 2, 16, 64])
def test_rate_is_snntorchs_coin_for_coin(pictures, T):
    torch.manual_seed(11)
    assert torch.equal(encoding.rate(pictures, T, seed=11), spikegen.rate(pictures, num_steps=T))


@pytest.mark.parametrize("T", [2, 5, 16, 33, 100])
@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("linear", [False, True])
def test_latency_is_snntorchs_spike_for_spike(pictures, T, clip, linear):
    theirs = spikegen.latency(pictures, T, normalize=True, linear=linear, clip=clip)
    assert torch.equal(encoding.latency(pictures, T, log=not linear, clip=clip), theirs)


@pytest.mark.parametrize(("threshold", "tau"), [(0.01, 1.0), (0.05, 3.0), (0.2, 7.5)])
def test_log_latency_in_ticks_is_snntorchs_where_late_spikes_stay_silent(pictures, threshold, tau):
    theirs = spikegen.latency(pictures, 16, threshold=threshold, tau=tau, bypass=True)
    assert torch.equal(encoding.latency(pictures, 16, log=True, threshold=threshold, tau=tau), theirs)


def test_snntorch_stretches_the_log_code_by_what_else_is_in_the_tensor_and_we_do_not():
    bright, with_dark = torch.tensor([0.3, 0.9]), torch.tensor([0.3, 0.9, 0.0])
    theirs = [spikegen.latency(x, 16, normalize=True)[:, 0].argmax() for x in (bright, with_dark)]
    ours = [encoding.latency(x, 16, log=True)[:, 0].argmax() for x in (bright, with_dark)]
    assert theirs[0] == 15  # the slowest of its tensor, so it lands on the last tick
    assert theirs[1] == 0
    assert ours[0] == ours[1] == theirs[1]


@pytest.mark.parametrize("off", [False, True])
@pytest.mark.parametrize("threshold", [0.05, 0.25, 1.0])
def test_delta_is_snntorchs(pictures, off, threshold):
    signal = pictures.T  # (64, 449): each picture read pixel by pixel
    theirs = spikegen.delta(signal, threshold=threshold, off_spike=off)
    assert torch.equal(encoding.delta(signal, threshold, off=off), theirs)


# --- closed forms ---


@pytest.mark.parametrize("code", ["rate", "poisson"])
@pytest.mark.parametrize("T", [1, 4, 16, 64])
def test_random_counts_miss_by_what_the_formula_says(code, T):
    # 40,000 trains per value: the measured RMS is within 4 of its own standard errors of the formula
    x = torch.tensor([0.1, 0.5, 0.9]).repeat_interleave(40_000)
    one = CODES[code]
    error = (one.decode(one.encode(x, T, 5)) - x).view(3, -1)
    squared = error.double().square()
    spread = squared.std(1) / math.sqrt(squared.shape[1])
    want = one.theory(x, T).view(3, -1)[:, 0].double().square()
    assert ((squared.mean(1) - want).abs() <= 4 * spread + 1e-6).all()
    assert (error.double().mean(1).abs() < 4 * want.sqrt() / 200).all()  # and it has no bias


def test_four_times_the_window_halves_the_error_of_coins_and_quarters_it_without_dice():
    x = torch.rand(200_000, generator=encoding.generator(3))
    coins = [rms(encoding.rate_decode(encoding.rate(x, T)), x) for T in (10, 40)]
    counts = [rms(encoding.rate_decode(encoding.even(x, T)), x) for T in (10, 40)]
    assert coins[0] / coins[1] == pytest.approx(2, rel=0.02)
    assert counts[0] / counts[1] == pytest.approx(4, rel=0.02)


@pytest.mark.parametrize("code", ["even", "latency", "phase"])
@pytest.mark.parametrize("T", [4, 8, 11])
def test_rounding_codes_miss_by_their_step_over_root_twelve(code, T):
    x = 0.01 + 0.98 * torch.rand(300_000, generator=encoding.generator(1))
    one = CODES[code]
    assert rms(one.decode(one.encode(x, T, 0)), x) == pytest.approx(float(one.theory(x, T)[0]), rel=0.03)


def test_leaky_capacitor_formula_by_stepping_its_equation():
    # tau dv/dt = x - v from v = 0 crosses the threshold at t = tau ln(x / (x - threshold))
    x, threshold, tau, dt = 0.3, 0.05, 4.0, 1e-4
    v, t = 0.0, 0.0
    while v < threshold:
        v, t = v + dt / tau * (x - v), t + dt
    ours = encoding.latency_times([x], 100, log=True, threshold=threshold, tau=tau)
    assert float(ours[0]) == pytest.approx(t, abs=2e-3)


# --- round trips ---


@quick
@given(VALUES, st.integers(1, 40), st.integers(0, 2**31))
def test_rate_has_its_shape_its_certainties_and_its_seed(x, T, seed):
    spikes = encoding.rate(x, T, seed)
    assert spikes.shape == (T, *x.shape)
    assert ((spikes == 0) | (spikes == 1)).all()
    assert torch.equal(spikes, encoding.rate(x, T, seed))
    x = torch.as_tensor(x)
    heard = encoding.rate_decode(spikes)
    assert torch.equal(heard[(x == 0) | (x == 1)], x[(x == 0) | (x == 1)])


@quick
@given(VALUES, st.integers(1, 64))
def test_even_is_within_half_a_spike_after_every_tick(x, T):
    spikes = encoding.even(x, T)
    assert ((spikes == 0) | (spikes == 1)).all()
    so_far = torch.arange(1, T + 1).view(-1, *[1] * x.ndim) * torch.as_tensor(x).double()
    assert ((spikes.double().cumsum(0) - so_far).abs() <= 0.5 + 1e-9).all()


@quick
@given(VALUES, st.integers(2, 64))
def test_linear_latency_fires_once_and_is_within_half_a_tick(x, T):
    spikes = encoding.latency(x, T)
    assert (spikes.sum(0) == 1).all()
    floor = torch.as_tensor(x).clamp(min=0.01)  # below the threshold it fires as the threshold does
    assert ((encoding.latency_decode(spikes) - floor).abs() <= 0.5 / (T - 1) + 1e-6).all()


@quick
@given(VALUES, st.integers(2, 64))
def test_clip_silences_what_is_below_the_threshold_and_nothing_else(x, T):
    spikes = encoding.latency(x, T, threshold=0.25, clip=True)
    assert torch.equal(spikes.sum(0) > 0, torch.as_tensor(x) >= 0.25)
    assert (encoding.latency_decode(spikes)[torch.as_tensor(x) < 0.25] == 0).all()


@quick
@given(arrays(np.float32, 6, elements=st.floats(0.125, 1, width=32)), st.floats(1.0, 20.0))
def test_log_latency_is_within_half_a_tick_on_its_own_time_axis(x, tau):
    spikes = encoding.latency(x, 64, log=True, threshold=0.05, tau=tau)
    heard = encoding.latency_decode(spikes, log=True, threshold=0.05, tau=tau)
    there = encoding.latency_times(x, 64, log=True, threshold=0.05, tau=tau)
    back = encoding.latency_times(heard.clamp(max=1), 64, log=True, threshold=0.05, tau=tau)
    assert ((there - back).abs() <= 0.5 + 1e-3).all() or (heard == 1).any()
    assert ((there - back).abs()[heard < 1] <= 0.5 + 1e-3).all()


@quick
@given(VALUES, st.integers(1, 24))
def test_phase_is_within_half_of_its_smallest_bit(x, T):
    error = encoding.phase_decode(encoding.phase(x, T)).double() - torch.as_tensor(x).double()
    assert (error.abs() <= 0.5 / (2**T - 1) + 1e-7).all()


def test_phase_writes_the_largest_bit_first():
    assert encoding.phase([5 / 7], 3).flatten().tolist() == [1, 0, 1]
    assert encoding.phase([4 / 7], 3).flatten().tolist() == [1, 0, 0]


@quick
@given(arrays(np.float32, (3, 7), elements=SHARES, unique=True), st.integers(1, 7))
def test_rank_order_keeps_the_order_and_its_own_profile_gives_the_numbers_back(x, T):
    spikes = encoding.rank_order(x)
    assert torch.equal(spikes.sum(0) > 0, torch.as_tensor(x) > 0)
    assert (spikes.sum(-1) <= 1).all()  # one neuron a tick
    for row, train in zip(torch.as_tensor(x), spikes.transpose(0, 1), strict=True):
        order = train.argmax(1)[train.sum(1) > 0]
        assert torch.equal(row[order], row[row > 0].sort(descending=True).values)
        profile = encoding.rank_profile(row.unsqueeze(0))
        assert torch.equal(encoding.rank_order_decode(train, profile), row)
    assert torch.equal(encoding.rank_order(x, T), spikes[:T])


def test_rank_order_breaks_ties_by_index_and_does_not_see_brightness():
    x = torch.tensor([0.2, 0.9, 0.2, 0.0])
    assert encoding.rank_order(x).argmax(1).tolist()[:3] == [1, 0, 2]
    assert torch.equal(encoding.rank_order(x), encoding.rank_order(x / 2))  # half the light, the same spikes


@quick
@given(arrays(np.float32, 8, elements=SHARES), st.integers(3, 12), st.floats(0.5, 2.0))
def test_population_peaks_at_the_nearest_centre(x, K, width):
    answers = encoding.population(x, K, width)
    assert answers.shape == (8, K)
    assert ((answers >= 0) & (answers <= 1)).all()
    distance = (torch.as_tensor(x).unsqueeze(-1) - encoding.tuning_centres(K)).abs()
    chosen = distance.gather(-1, answers.argmax(-1, keepdim=True)).squeeze(-1)
    assert (chosen - distance.min(-1).values <= 1e-6).all()


def test_population_follows_bohtes_layout_and_more_ticks_bring_it_closer():
    assert encoding.tuning_centres(4).tolist() == pytest.approx([-0.25, 0.25, 0.75, 1.25])
    x = torch.linspace(0, 1, 101).repeat(20)
    errors = [
        rms(encoding.population_decode(encoding.rate(encoding.population(x), T)), x) for T in (4, 16, 64)
    ]
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.25)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.25)


@quick
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=60), st.floats(0.125, 0.5))
def test_tracking_stays_within_the_threshold_once_it_has_caught_up(steps, threshold):
    signal = torch.tensor(steps).cumsum(0) * threshold / 10  # moves by less than the threshold a tick
    heard = encoding.delta_decode(encoding.delta_tracking(signal, threshold), threshold)
    assert ((heard - signal).abs() <= threshold * 1.0001).all()


def test_delta_never_hears_a_slow_slope_and_tracking_does():
    slope = torch.linspace(0.0, 1.0, 50)
    assert encoding.delta(slope, 0.1).abs().sum() == 0
    assert encoding.delta_tracking(slope, 0.1).sum() in (9, 10)


# --- bad input ---

ENCODERS = [encoding.rate, encoding.poisson, encoding.even, encoding.latency, encoding.phase]


@pytest.mark.parametrize("encode", ENCODERS)
@pytest.mark.parametrize(
    ("x", "what"),
    [
        ([], "empty"),
        ([0.5, math.nan], "NaN"),
        ([1.5], r"\[0.0, 1.0\].*1.5"),
        ([-0.1], "-0.1"),
        ([math.inf], "NaN"),
    ],
)
def test_bad_numbers_are_refused_by_name(encode, x, what):
    with pytest.raises(ValueError, match=what):
        encode(x, 8)


@pytest.mark.parametrize("encode", ENCODERS)
@pytest.mark.parametrize("T", [0, -1, 2.5, True, None, "8"])
def test_bad_windows_are_refused_by_name(encode, T):
    with pytest.raises(ValueError, match="T must be a whole number"):
        encode([0.5], T)


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: encoding.latency([0.5], 1), "at least 2"),
        (lambda: encoding.latency([0.5], 8, threshold=0.0), "threshold"),
        (lambda: encoding.latency([0.5], 8, tau=1.0), "tau is for the log code"),
        (lambda: encoding.latency([0.5], 8, log=True, tau=-1.0), "tau"),
        (lambda: encoding.phase([0.5], 25), "at most 24"),
        (lambda: encoding.rate([0.5], 8, seed="now"), "seed"),
        (lambda: encoding.rank_order(0.5), "at least one axis"),
        (lambda: encoding.rank_profile([0.5]), r"\(M, N\)"),
        (lambda: encoding.rank_order_decode(torch.ones(3, 3), [0.5]), "one number per tick"),
        (lambda: encoding.population([0.5], K=2), "K must be"),
        (lambda: encoding.population([0.5], width=0), "width"),
        (lambda: encoding.delta([0.5], threshold=0), "threshold"),
        (lambda: encoding.delta(0.5), r"\(T, ...\)"),
        (lambda: encoding.delta_tracking(0.5), r"\(T, ...\)"),
        (lambda: encoding.rate_decode(torch.zeros(0, 3)), "T >= 1"),
        (lambda: encoding.latency_decode(torch.zeros(1, 3)), "T >= 2"),
        (lambda: encoding.rate_decode(torch.tensor([math.nan])), "NaN"),
        (lambda: rms(torch.zeros(2), torch.zeros(3)), "shape"),
    ],
)
def test_other_bad_arguments_are_refused_by_name(call, what):
    with pytest.raises(ValueError, match=what):
        call()


def test_a_single_number_and_a_generator_will_do():
    dice = torch.Generator().manual_seed(4)
    assert encoding.rate(0.5, 6, dice).shape == (6,)
    assert torch.equal(encoding.rate(0.5, 6, torch.Generator().manual_seed(4)), encoding.rate(0.5, 6, 4))
    assert float(encoding.latency_decode(encoding.latency(0.75, 5))) == 0.75


# --- the table of codes ---


@pytest.mark.parametrize("code", list(CODES))
def test_every_code_hears_digits_better_in_a_longer_window(pictures, code):
    one = CODES[code]
    errors = [rms(one.decode(one.encode(pictures, T, 0)), pictures) for T in (4, 12)]
    assert errors[1] < errors[0] < 0.35


def test_the_tables_log_code_spends_the_whole_window_on_the_digits():
    spikes = CODES["log latency"].encode(torch.tensor([1 / 16, 1.0, 0.0]), 16, 0)
    assert spikes[:, 0].argmax() == 15
    assert spikes[:, 1].argmax() == 0
    assert spikes[:, 2].sum() == 0


def test_snntorchs_floor_mishears_a_zero_in_a_long_window_and_the_tables_latency_does_not():
    zero = torch.zeros(1)
    floor = spikegen.latency(zero, 64, normalize=True, linear=True)
    assert float(encoding.latency_decode(floor)) == pytest.approx(1 / 63)
    assert float(CODES["latency"].decode(CODES["latency"].encode(zero, 64, 0))) == 0.0


def test_ties_fall_as_documented():
    assert encoding.even([0.5], 1).sum() == 1  # halves round up
    many = torch.full((5000,), 0.5)
    first = encoding.rank_order(many, 20).argmax(1)
    assert first.tolist() == list(range(20))  # equal numbers in the order of their index
