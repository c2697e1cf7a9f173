"""The signed neuron is a quantizer, rates follow closed forms, checkpointing is exact."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurolab import bptt, membrane, stbif
from neurolab.neurons import lif, lif_step
from neurolab.surrogates import arctan


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.integers(-64, 64), min_size=1, max_size=12), st.sampled_from([0.25, 1.0, 2.0]),
    st.integers(-8, 0), st.integers(1, 15),
)  # fmt: skip
def test_property_the_count_is_the_code(xs, theta, S_min, S_max):
    x = torch.tensor(xs, dtype=torch.float32) / 16  # sums and thetas exact in float32, ties included
    run = stbif.st_bif(x, theta, S_min, S_max, T=len(xs) + S_max - S_min)
    assert torch.equal(run.S[-1], stbif.code(run.z, theta, S_min, S_max))
    assert torch.equal(run.s.cumsum(0), run.S)
    assert run.S.min() >= S_min
    assert run.S.max() <= S_max
    assert set(run.s.tolist()) <= {-1.0, 0.0, 1.0}


def test_the_count_is_torchs_fake_quantization():
    z = torch.randn(2000, generator=torch.Generator().manual_seed(0)) * 2
    theta, S_min, S_max = 0.3, -8, 7
    run = stbif.st_bif(z[None], theta, S_min, S_max, T=16)
    away = ((z / theta + 0.5) - torch.round(z / theta + 0.5)).abs() > 1e-4  # torch rounds ties to even
    want = torch.fake_quantize_per_tensor_affine(z, theta, 0, S_min, S_max)
    assert torch.allclose((theta * run.S[-1])[away], want[away], atol=1e-6)
    assert away.float().mean() > 0.99


def test_a_spike_can_be_taken_back_and_plain_if_cannot():
    x = torch.tensor([2.0, -2.0, 0.0, 0.0])
    assert stbif.st_bif(x, 1.0, -4, 4).S[-1] == 0
    assert lif(x, 1.0, 1.0).s.sum() > 0


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.97, 1.0])
def test_the_closed_form_is_the_simulated_rate(beta):
    x, T = torch.linspace(0.013, 1.71, 60, dtype=torch.float64), 20_000
    counted = lif(x, beta, 1.0, "zero", T=T).s.mean(0).numpy()
    assert np.abs(counted - membrane.rate(x.numpy(), beta)).max() <= 1 / T * 1.01


def test_a_bucket_without_a_leak_counts_exactly():
    x, T = torch.linspace(-0.5, 1.3, 50, dtype=torch.float64), 4000
    for reset in ("subtract", "subtract first"):
        counted = lif(x, 1.0, 1.0, reset, T=T).s.mean(0).numpy()
        settled = np.asarray(x) <= 1
        assert np.abs(counted - membrane.rate(x.numpy(), 1.0, 1.0, reset))[settled].max() <= 1.01 / T
        assert (counted[~settled] >= 1 - 2 / T).all()


def test_units_there_and_back_and_the_exact_step():
    cell = membrane.Membrane(tau=15.0, dt=0.5)
    assert membrane.time_constant(cell.beta, cell.dt) == pytest.approx(15.0)
    v = 0.0
    for _ in range(40):  # 20 ms of 1 nA against the solution of the differential equation
        v = cell.beta * v + cell.input(1.0)
    want = cell.rest + cell.resistance * (1 - math.exp(-20 / 15))
    assert cell.volts(v) == pytest.approx(want)


def test_the_rate_in_hertz_is_the_limit_of_small_steps():
    cell = membrane.Membrane(tau=20.0, dt=0.01)
    current = np.array([1.0, 1.4, 1.6, 2.0, 3.0])
    fine = membrane.rate(cell.input(current), cell.beta) * 1000 / cell.dt
    assert np.allclose(fine, cell.rate(current), rtol=1e-3)
    assert (cell.rate(np.array([0.0, 1.5])) == 0).all()


def network(seed=0, inputs=3, hidden=6):
    source = torch.Generator().manual_seed(seed)
    W = [
        torch.randn(a, b, generator=source) * 0.6
        for a, b in ((inputs, hidden), (hidden, hidden), (hidden, 2))
    ]
    for w in W:
        w.requires_grad_()

    def step(state, x_t):
        v, s, y = state
        s, v = lif_step(v, x_t @ W[0] + s @ W[1], 0.9, 1.0, "subtract", arctan())
        y = 0.95 * y + s @ W[2]
        return (v, s, y), y

    return W, step, (torch.zeros(4, hidden), torch.zeros(4, hidden), torch.zeros(4, 2))


def gradients(how, *more):
    W, step, start = network()
    x = torch.rand(23, 4, 3, generator=torch.Generator().manual_seed(1))
    with bptt.SavedBytes() as saved:
        loss = how(
            bptt.by_steps(step),
            start,
            x,
            lambda ys, first: (ys**2).sum() / 100,
            *more,
            *([W] if how is bptt.checkpointed else []),
        )
    return loss, [w.grad for w in W], saved


def test_checkpointing_gives_the_full_gradient_with_less_memory():
    loss, full, saved = gradients(bptt.full)
    for window in (1, 5, 23, 100):
        again, parts, _ = gradients(bptt.checkpointed, window)
        assert again == pytest.approx(loss, rel=1e-5)
        for a, b in zip(parts, full, strict=True):
            assert torch.allclose(a, b, rtol=1e-4, atol=1e-5)
    assert gradients(bptt.checkpointed, 5)[2].peak < 0.5 * saved.peak


def test_truncation_has_the_full_loss_but_its_own_gradient():
    loss, full, saved = gradients(bptt.full)
    cut_loss, cut, less = gradients(bptt.truncated, 5)
    assert cut_loss == pytest.approx(loss, rel=1e-5)
    assert less.peak < 0.5 * saved.peak
    assert not torch.allclose(cut[0], full[0], rtol=1e-2)
    for a, b in zip(gradients(bptt.truncated, 23)[1], full, strict=True):
        assert torch.equal(a, b)


def test_saved_bytes_counts_a_known_graph():
    w = torch.rand(10, 10, requires_grad=True)
    x = torch.rand(7, 10)
    with bptt.SavedBytes() as saved:
        y = (x @ w).sigmoid()  # keeps x (280 bytes) for w's gradient and y (280 bytes) for the sigmoid's
        assert saved.peak == saved.now == 560
        y.sum().backward()
        del y
        assert saved.now == 0
    assert saved.peak == 560


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: membrane.leak(0, 1), "tau"),
        (lambda: membrane.leak(20, 0), "dt"),
        (lambda: membrane.leak(float("nan"), 1), "tau"),
        (lambda: membrane.time_constant(1.0, 1), "beta"),
        (lambda: membrane.Membrane(threshold=-70), "threshold"),
        (lambda: membrane.Membrane(resistance=0), "resistance"),
        (lambda: membrane.rate(0.5, 0.9, reset="subtract"), "closed form"),
        (lambda: membrane.rate(0.5, 1.9), "beta"),
        (lambda: membrane.rate(0.5, 0.9, theta=0), "theta"),
        (lambda: membrane.rate(float("nan"), 0.9), "NaN"),
        (lambda: stbif.st_bif(torch.ones(3), 0.0, -1, 1), "theta"),
        (lambda: stbif.st_bif(torch.ones(3), 1.0, 1, 2), "S_min"),
        (lambda: stbif.st_bif(torch.ones(3), 1.0, 0, 0), "S_min"),
        (lambda: stbif.st_bif(torch.tensor([float("nan")]), 1.0, -1, 1), "NaN"),
        (lambda: stbif.st_bif(torch.ones(3), 1.0, -1, 1, T=2), "T = 2"),
        (lambda: stbif.st_bif(torch.ones(0), 1.0, -1, 1), "T = 0"),
        (lambda: stbif.st_bif(torch.ones(3, dtype=torch.int32), 1.0, -1, 1), "floats"),
        (lambda: gradients(bptt.truncated, 0), "window"),
        (lambda: bptt.by_steps(lambda s, x: (s, x))((), torch.empty(0, 2)), "at least one"),
    ],
)
def test_bad_input_is_named(call, word):
    with pytest.raises(ValueError, match=word):
        call()
