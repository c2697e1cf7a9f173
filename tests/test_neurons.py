"""The neurons: bit for bit snnTorch's, on every path, for every reset; and clear errors."""

import numpy as np
import pytest
import snntorch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurolab import neurons_fast as fast
from neurolab import surrogates
from neurolab.bench import lif as bench
from neurolab.neurons import LIF, PATHS, RESETS, if_step, lif, lif_step

torch.set_num_threads(1)


def currents(*shape, seed=0, low=-0.2, high=0.8):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * (high - low) + low


def by_steps(x, beta, theta, reset, v0=None):
    v, S, V = torch.zeros_like(x[0]) if v0 is None else v0, [], []
    for x_t in x:
        s, v = lif_step(v, x_t, beta, theta, reset)
        S.append(s)
        V.append(v)
    return torch.stack(S), torch.stack(V)


@pytest.mark.parametrize("path", ["torch", "numba"])
@pytest.mark.parametrize("reset", ["subtract", "zero", "none"])
@pytest.mark.parametrize(("beta", "theta"), [(0.9, 1.0), (0.5, 0.7), (1.0, 1.1), (0.0, 0.3), (0.37, 0.123)])
def test_every_path_is_snntorch_bit_for_bit(path, reset, beta, theta):
    x = currents(200, 300)
    S, V = bench.snntorch_run(x, beta, theta, reset)
    run = lif(x, beta, theta, reset, path=path, trace=True)
    assert S.sum() > 0
    assert torch.equal(run.s, S)
    assert torch.equal(run.V, V)
    assert torch.equal(run.v, V[-1])


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("dyadic", [False, True])
def test_plain_python_is_snntorch_bit_for_bit(reset, dyadic):
    x = currents(400, 40)
    x, beta, theta = (torch.round(x * 32) / 32, 0.75, 0.5) if dyadic else (x, 0.9, 0.61)
    run = lif(x, beta, theta, reset, path="torch", trace=True)
    for j in range(40):
        one = lif(x[:, j], beta, theta, reset, path="python", trace=True)
        assert torch.equal(one.s, run.s[:, j])
        assert torch.equal(one.V, run.V[:, j])


def test_the_step_and_the_paths_agree_for_all_resets_and_first_membranes():
    x, v0 = currents(60, 3, 5), currents(3, 5, seed=1, low=-2, high=3)
    for reset in RESETS:
        S, V = by_steps(x, 0.8, 0.9, reset, v0)
        for path in ("torch", "numba"):
            run = lif(x, 0.8, 0.9, reset, v0=v0, trace=True, path=path)
            assert torch.equal(run.s, S)
            assert torch.equal(run.V, V)


def test_no_spike_differs_from_snntorch_in_many():
    assert bench.count_differing(5_000_000, seed=3) == 0


def test_the_two_soft_resets_differ_by_what_leaks_from_theta():
    x = torch.full((40, 1), 0.3)
    soft, first = (lif(x, 0.8, 1.0, reset, trace=True).V for reset in ("subtract", "subtract first"))
    at = int((soft[:, 0] > 1).nonzero()[0]) + 1
    assert torch.allclose(first[at] - soft[at], torch.tensor([0.2 * 1.0]), atol=1e-6)


def test_settings_of_each_neuron_equal_neurons_alone():
    x, beta, theta = (
        currents(50, 4, 6),
        currents(4, 6, seed=1, low=0, high=1),
        currents(4, 6, seed=2, low=0.3),
    )
    for path, reset in [(p, r) for p in ("torch", "numba") for r in RESETS]:
        run = lif(x, beta, theta, reset, path=path)
        one = lif(x[:, 2, 3], float(beta[2, 3]), float(theta[2, 3]), reset)
        assert torch.equal(run.s[:, 2, 3], one.s)


def test_a_constant_current_equals_the_repeated_one_and_fills_the_given_buffer():
    x = currents(70, 90)
    for path in ("torch", "numba"):
        out = torch.full((30, 70, 90), 7.0)
        run = lif(x, 0.9, T=30, path=path, out=out)
        assert run.s is out
        assert torch.equal(out, lif(x.expand(30, 70, 90), 0.9, path="torch").s)
    one = lif(torch.tensor(0.3), 0.9, T=30, path="python")
    assert torch.equal(one.s, lif(torch.full((30,), 0.3), 0.9, path="torch").s)


def test_more_neurons_than_a_tile_holds():
    x = currents(3, fast._TILE + 1000)
    assert torch.equal(lif(x, 0.9, path="numba").s, lif(x, 0.9, path="torch").s)


@pytest.mark.parametrize("name", ["sigmoid", "fast_sigmoid", "arctan"])
def test_surrogates_have_snntorchs_gradients(name):
    theirs = {"sigmoid": snntorch.surrogate.sigmoid(), "fast_sigmoid": snntorch.surrogate.fast_sigmoid()}
    u = torch.linspace(-2, 2, 401, requires_grad=True)
    (ours,) = torch.autograd.grad(getattr(surrogates, name)()(u).sum(), u)
    (want,) = torch.autograd.grad(theirs.get(name, snntorch.surrogate.atan())(u).sum(), u)
    assert torch.allclose(ours, want, atol=1e-6)


@pytest.mark.parametrize("kind", surrogates.KINDS)
def test_the_slope_is_the_derivative_of_the_curve_and_big_inputs_give_no_nan(kind):
    surrogate = surrogates.Surrogate(kind, 3.0)
    u = torch.tensor([-1.7, -0.2, -0.05, 0.1, 0.3, 0.9], dtype=torch.float64, requires_grad=True)
    (derivative,) = torch.autograd.grad(surrogate.curve(u).sum(), u)
    assert torch.allclose(derivative, surrogate.slope(u).detach())
    assert torch.autograd.gradcheck(surrogate.curve, (u,))
    assert torch.allclose(surrogate.curve(torch.zeros(1)), torch.tensor(0.5))
    assert torch.isfinite(surrogate.slope(torch.tensor([-1e4, 1e4]))).all()
    assert surrogate(torch.tensor([-0.1, 0.0, 0.1])).tolist() == [0, 0, 1]


@pytest.mark.parametrize("path", ["torch", "numba"])
@pytest.mark.parametrize("kind", surrogates.KINDS)
@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("static", [False, True])
def test_the_gradient_of_a_sequence_is_autograds_through_the_steps(path, kind, reset, static):
    surrogate, T = surrogates.Surrogate(kind, 2.0), 12
    x = currents(*(() if static else (T,)), 5, 4, low=-0.3, high=0.9).requires_grad_()
    w_s, w_v = currents(T, 5, 4, seed=1), currents(T, 5, 4, seed=2)
    run = lif(x, 0.85, 0.6, reset, T=T if static else None, trace=True, path=path, surrogate=surrogate)
    (ours,) = torch.autograd.grad((run.s * w_s).sum() + (run.V * w_v).sum(), x)
    v, total = torch.zeros(5, 4), torch.zeros(())
    for t in range(T):
        s, v = lif_step(v, x if static else x[t], 0.85, 0.6, reset, surrogate)
        total = total + (s * w_s[t]).sum() + (v * w_v[t]).sum()
    (want,) = torch.autograd.grad(total, x)
    assert torch.allclose(ours, want, atol=1e-5)


@pytest.mark.parametrize("path", ["torch", "numba"])
@pytest.mark.parametrize("reset", RESETS)
def test_the_gradient_reaches_the_first_membrane_with_a_setting_per_neuron(path, reset):
    x = currents(9, 6).requires_grad_()
    v0 = currents(6, seed=3, high=1.5).requires_grad_()
    beta, theta = currents(6, seed=1, low=0.1, high=1), currents(6, seed=2, low=0.3)
    run = lif(x, beta, theta, reset, v0=v0, path=path)
    ours = torch.autograd.grad((run.s * 3).sum() + run.v.sum(), (x, v0))
    v, total = v0, torch.zeros(())
    for t in range(9):
        s, v = lif_step(v, x[t], beta, theta, reset, surrogates.arctan())
        total = total + 3 * s.sum()
    want = torch.autograd.grad(total + v.sum(), (x, v0))
    assert torch.allclose(ours[0], want[0], atol=1e-5)
    assert torch.allclose(ours[1], want[1], atol=1e-5)


@pytest.mark.parametrize("path", ["auto", "torch"])
def test_the_network_has_snntorchs_gradients(path):
    assert bench.gradient_difference(path, seeds=1) <= 1e-6


def test_the_grid_counts_as_32_snntorch_networks():
    net, (betas, thetas) = bench.network(), bench.settings()
    for size in (1, 12):
        x, _ = bench.batch(size)
        assert torch.equal(bench.our_grid(net, x, betas, thetas), bench._snntorch_grid(net, x))


def test_the_layer_learns_its_leak_and_equals_the_sequence():
    x = currents(20, 6)
    fixed, learned = LIF(0.9, surrogate=surrogates.piecewise_linear()), LIF(0.9, learn_beta=True)
    assert torch.equal(fixed(x), learned(x))
    assert torch.equal(fixed(x[0], T=9), learned(x[0], T=9))
    s, V = learned(x, membrane=True)
    (s.sum() + V.sum()).backward()
    assert learned.beta.grad is not None
    assert torch.isfinite(learned.beta.grad)
    assert "0.9" in repr(fixed)
    assert "learned" in repr(learned)
    assert torch.equal(fixed(x, membrane=True)[1], V)


finite = st.floats(-4, 4, width=32)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(finite, min_size=1, max_size=40), st.floats(0, 1, width=32), st.floats(0.0625, 3, width=32),
    st.sampled_from(RESETS), finite,
)  # fmt: skip
def test_property_all_paths_give_the_same_bits(xs, beta, theta, reset, v0):
    x, v = torch.tensor(xs), torch.tensor(v0)
    runs = [lif(x, beta, theta, reset, v0=v, trace=True, path=path) for path in PATHS]
    for run in runs[1:]:
        assert torch.equal(run.s, runs[0].s)
        assert torch.equal(run.V, runs[0].V)
    assert set(runs[0].s.tolist()) <= {0.0, 1.0}
    assert torch.equal(runs[0].s, (runs[0].V > np.float32(theta)).float())


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**64 - 1), st.integers(-40, 40))
def test_property_splitting_rounds_as_float32_does(seed, shift):
    """Products and sums of random float32, ties among them, rounded by the splitting and by the hardware."""
    rng = np.random.default_rng(seed)
    a = rng.standard_normal(2000).astype(np.float32)
    b = (rng.integers(-(2**12), 2**12, 2000) * 2.0**shift).astype(np.float32)  # few bits: many exact ties
    for exact, want in ((a.astype(float) * b, a * b), (a.astype(float) + b, a + b)):
        c = exact * fast._SPLIT
        assert np.array_equal((c - (c - exact)).astype(np.float32), want)
        assert np.array_equal(c - (c - exact), want.astype(float))


def test_plain_python_steps_aside_where_float32_underflows():
    for x in (torch.cat([torch.tensor([0.9]), torch.zeros(2000)]), torch.full((50,), 1e-42)):
        V = lif(x, 0.9, 1.0, path="torch", trace=True).V
        assert torch.equal(lif(x, 0.9, 1.0, path="python", trace=True).V, V)


def test_double_precision_and_if():
    x = currents(30, 4).double()
    run = lif(x, 1.0, 0.9, trace=True)
    assert run.s.dtype == torch.float64
    v = torch.zeros(4, dtype=torch.float64)
    for x_t, V_t in zip(x, run.V, strict=True):
        _, v = if_step(v, x_t, 0.9)
        assert torch.equal(v, V_t)


ok = torch.rand(5, 3)
BAD = [
    (dict(x=torch.tensor([[0.1], [float("nan")]])), "NaN"),
    (dict(x=torch.tensor([[0.1], [float("inf")], [0.1]]), reset="zero"), "infinity"),
    (dict(x=torch.tensor([[0.1], [float("inf")], [0.1]])), "infinity"),
    (dict(x=torch.tensor([float("nan"), 0.1]), path="python"), "NaN"),
    (dict(x=torch.tensor([[float("nan")], [0.1]], requires_grad=True)), "NaN"),
    (dict(x=torch.empty(0, 3)), "at least one step"),
    (dict(x=ok, T=0), "at least one step"),
    (dict(x=ok, T=2.5), "at least one step"),
    (dict(x=torch.empty(4, 0)), "no neuron"),
    (dict(x=torch.tensor(1.0)), "constant current"),
    (dict(x=torch.ones(4, 3, dtype=torch.int64)), "floats"),
    (dict(x=[0.1, 0.2]), "list"),
    (dict(theta=0.0), "theta"),
    (dict(theta=-1.0), "theta"),
    (dict(theta=float("inf")), "theta"),
    (dict(theta=float("nan")), "theta"),
    (dict(beta=1.5), "beta"),
    (dict(beta=-0.1), "beta"),
    (dict(beta=float("nan")), "beta"),
    (dict(beta=torch.rand(4)), "beta has shape"),
    (dict(reset="soft"), "reset"),
    (dict(path="cuda"), "path"),
    (dict(path="python"), "one neuron"),
    (dict(x=ok.double(), path="numba"), "float32"),
    (dict(v0=torch.zeros(4)), "v0"),
    (dict(out=torch.zeros(5, 4)), "out"),
    (dict(x=torch.rand(5, 3, requires_grad=True), beta=torch.rand(3, requires_grad=True)), "lif_step"),
]


@pytest.mark.parametrize(("bad", "word"), BAD)
def test_bad_input_is_named(bad, word):
    with pytest.raises(ValueError, match=word):
        lif(**{"x": ok, "beta": 0.9, **bad})


def test_other_bad_input_is_named(monkeypatch):
    with pytest.raises(ValueError, match="reset"):
        lif_step(ok, ok, 0.9, reset="soft")
    with pytest.raises(ValueError, match="beta"):
        LIF(2.0)
    with pytest.raises(ValueError, match="not a surrogate"):
        surrogates.Surrogate("step", 1.0)
    with pytest.raises(ValueError, match="positive"):
        surrogates.sigmoid(0)
    monkeypatch.setattr("neurolab.neurons.fast.has_numba", lambda: False)
    assert torch.equal(lif(ok, 0.9).s, lif(ok, 0.9, path="torch").s)
    with pytest.raises(ValueError, match="optional package numba"):
        lif(ok, 0.9, path="numba")
