"""Rounding: the error stays within theory, scales are the best of their candidates, bad input is named."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurolab.quantization import best_scales, dequantize, quantize, round_matrices
from neurolab.transformer import Config, Transformer


@settings(max_examples=60, deadline=None)
@given(bits=st.integers(2, 8), seed=st.integers(0, 10_000))
def test_error_is_at_most_half_a_step_where_nothing_is_clipped(bits, seed):
    w = torch.randn(6, 40, generator=torch.Generator().manual_seed(seed))
    s = w.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
    q = quantize(w, s, bits)
    assert q.min() >= -(2 ** (bits - 1))
    assert q.max() <= 2 ** (bits - 1) - 1
    assert ((w - dequantize(q, s)).abs() <= s / 2 * (1 + 1e-5)).all()


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_best_scales_beat_the_largest_weight_and_a_grid_search(bits):
    w = torch.randn(8, 200, generator=torch.Generator().manual_seed(bits))

    def error(s):
        return (w - dequantize(quantize(w, s, bits), s)).square().sum(1)

    largest = w.abs().amax(1, keepdim=True) / (2 ** (bits - 1) - 1)
    best = error(best_scales(w, bits))
    assert (best <= error(largest) * (1 + 1e-6)).all()
    for shrink in torch.linspace(0.01, 1, 100):
        assert (best <= error(largest * shrink) * (1 + 1e-5)).all()


def test_agrees_with_pytorch_per_channel_rounding():
    w = torch.randn(5, 33, generator=torch.Generator().manual_seed(1))
    s = best_scales(w, 8)
    theirs = torch.fake_quantize_per_channel_affine(w, s[:, 0], torch.zeros(5), 0, -128, 127)
    torch.testing.assert_close(dequantize(quantize(w, s, 8), s), theirs)


def test_all_matrices_are_rounded_and_the_original_is_not():
    torch.manual_seed(0)
    model = Transformer(Config(vocabulary=30, context=8, width=16, layers=1, heads=2, hidden=16))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    rounded = round_matrices(model, 3)
    for name, value in rounded.state_dict().items():
        assert torch.equal(model.state_dict()[name], before[name])
        if value.ndim == 2:
            assert all(len(row.unique()) <= 8 for row in value)
            assert not torch.equal(value, before[name])
        else:
            assert torch.equal(value, before[name])


def test_a_row_of_zeros_stays_zero():
    w = torch.zeros(2, 5)
    assert not dequantize(quantize(w, best_scales(w, 4), 4), best_scales(w, 4)).any()


@pytest.mark.parametrize("bits", [1, 9, 0, -3, 4.0, True, "4"])
def test_bad_bits_are_named(bits):
    with pytest.raises(ValueError, match="bits"):
        best_scales(torch.ones(2, 2), bits)


@pytest.mark.parametrize("bad", [torch.tensor([[1.0, float("nan")]]), torch.tensor([[float("inf")]])])
def test_nan_and_infinite_weights_are_refused(bad):
    with pytest.raises(ValueError, match="NaN or infinity"):
        best_scales(bad, 4)


@pytest.mark.parametrize("shape", [(3,), (0, 4), (2, 2, 2)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="shape"):
        best_scales(torch.ones(shape), 4)
