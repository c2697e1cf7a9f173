"""Rounding: within theory, the codes of PyTorch and ONNX Runtime, the best scales of their candidates."""

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnxruntime.quantization.quant_utils import quantize_data

from neurolab.quantization import (
    TERNARY,
    best_scales,
    best_steps,
    code_range,
    codes,
    dequantize,
    encode,
    quantize,
    round_matrices,
    shared,
)
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


# ---- symmetric and affine, per tensor, channel and group -------------------------------------------------

GRANULARITIES = ("tensor", "channel", "group16")


def normal(*shape, seed=0, shift=0.0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) + shift


@pytest.mark.parametrize("bits", [8, 4, 2])
@pytest.mark.parametrize("granularity", GRANULARITIES)
@settings(max_examples=20, deadline=None)
@given(affine=st.booleans(), shift=st.floats(-3, 3), seed=st.integers(0, 1000))
def test_error_is_at_most_half_a_step_and_zero_has_a_code(bits, granularity, affine, shift, seed):
    w = normal(4, 64, seed=seed, shift=shift)
    w[0, 0] = 0
    made = encode(w, bits, granularity, affine=affine, narrow=not affine)
    lowest, highest = code_range(bits, affine=affine)
    assert made.q.min() >= lowest
    assert made.q.max() <= highest
    half = made.spread(made.step).expand_as(w) / 2
    # a zero point is a whole number, so an affine range may miss an end by up to half a step more
    assert ((made.value() - w).abs() <= half * (2 if affine else 1) * (1 + 1e-4)).all()
    assert made.value()[0, 0] == 0


def test_error_is_the_theory_of_even_noise():
    w = torch.rand(200, 500, generator=torch.Generator().manual_seed(3)) * 2 - 1
    made = encode(w, 8, "tensor")
    assert float((made.value() - w).square().mean() / made.step.square()) == pytest.approx(1 / 12, rel=0.01)


def test_finer_granularity_leaves_less_error():
    w = normal(8, 64) * torch.logspace(-2, 0, 8)[:, None]
    errors = [float((encode(w, 4, g).value() - w).square().sum()) for g in GRANULARITIES]
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize(
    ("bits", "options", "expected"),
    [
        (8, {}, (-128, 127)), (8, {"narrow": True}, (-127, 127)), (4, {"affine": True}, (0, 15)),
        (2, {}, (-2, 1)), (TERNARY, {}, (-1, 1)),
    ],
)  # fmt: skip
def test_code_ranges(bits, options, expected):
    assert code_range(bits, **options) == expected


def test_ternary_steps_are_the_best_of_their_candidates():
    w = normal(5, 300)
    s = best_steps(w, -1, 1)

    def error(step):
        return (w - codes(w, step, None, -1, 1) * step).square().sum(1)

    for shrink in torch.linspace(0.01, 1, 100):
        assert (error(s) <= error(w.abs().amax(1, keepdim=True) * shrink) * (1 + 1e-5)).all()


def onnx_codes(x, made, axis, block, kind):
    """Codes that ONNX's QuantizeLinear (opset 21) gives x with the step and zero point of `made`."""
    step = made.step.numpy() if block or made.step.ndim == 0 else made.step.numpy()[:, 0]
    zero = np.zeros(step.shape, int) if made.zero is None else made.zero.numpy().reshape(step.shape)
    options = ({} if axis is None else {"axis": axis}) | ({"block_size": block} if block else {})
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], **options),
        helper.make_node("Cast", ["q"], ["y"], to=TensorProto.INT32),
    ]
    graph = helper.make_graph(
        nodes, "rounding",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.INT32, x.shape)],
        [
            helper.make_tensor("s", TensorProto.FLOAT, step.shape, step.flatten().tolist()),
            helper.make_tensor("z", kind, zero.shape, zero.flatten().tolist()),
        ],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x.numpy()})[0]


@pytest.mark.parametrize(
    ("granularity", "axis", "block"), [("tensor", None, 0), ("channel", 0, 0), ("group16", 1, 16)]
)
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("bits", [8, 4])
def test_same_codes_as_onnx_runtime(bits, affine, granularity, axis, block):
    w = normal(12, 64, shift=0.3)
    w[0, :8] = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.0, 3.5])  # ties, where the step is 1
    made = encode(w, bits, granularity, affine=affine)
    kinds = {8: (TensorProto.INT8, TensorProto.UINT8), 4: (TensorProto.INT4, TensorProto.UINT4)}
    assert np.array_equal(onnx_codes(w, made, axis, block, kinds[bits][affine]), made.q.numpy())


def test_ties_go_to_the_even_code_as_in_onnx_runtime():
    x = torch.tensor([[0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5, -128.0]])
    made = encode(x, 8, "tensor", ranges=lambda _: (torch.tensor([[-127.0]]), torch.tensor([[127.0]])))
    assert made.step == 1
    assert made.q.tolist() == [[0, 2, 2, 0, -2, -2, 126, -128]]
    assert onnx_codes(x, made, None, 0, TensorProto.INT8).tolist() == made.q.tolist()


@pytest.mark.parametrize("affine", [False, True])
def test_same_step_zero_point_and_codes_as_onnx_runtimes_weight_quantizer(affine):
    """Its symmetric range is -127..127, ours with `narrow`: both sides reach equally far."""
    w = normal(9, 40, shift=0.2)
    kind = TensorProto.UINT8 if affine else TensorProto.INT8
    zero, step, theirs = quantize_data(w.numpy(), kind, symmetric=not affine)
    made = encode(w, 8, "tensor", affine=affine, narrow=not affine)
    assert float(made.step) == float(step)
    assert (0 if made.zero is None else int(made.zero)) == int(zero)
    assert np.array_equal(np.asarray(theirs).astype(int), made.q.numpy())


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("channel", [False, True])
def test_same_codes_as_pytorch(affine, channel):
    """PyTorch multiplies by 1 / s where we divide by s: they may differ where w / s is a tie but for the last
    bits of a float, and nowhere else. With a power of two as step, 1 / s is exact and so are all codes."""
    w = normal(16, 500, shift=0.1)
    granularity = "channel" if channel else "tensor"
    kind = torch.quint8 if affine else torch.qint8
    for power in (False, True):

        def two(x, power=power):
            top = 2.0 ** x.abs().amax(-1).log2().ceil()
            low, high = (-top, top * 127 / 128) if affine else (-top * 127 / 128, top * 127 / 128)
            return (low, high) if power else (x.amin(-1), x.amax(-1))

        made = encode(w, 8, granularity, affine=affine, ranges=two)
        zero = torch.zeros_like(made.step) if made.zero is None else made.zero
        if channel:
            theirs = torch.quantize_per_channel(w, made.step[:, 0].double(), zero[:, 0].long(), 0, kind)
            fake = torch.fake_quantize_per_channel_affine(
                w, made.step[:, 0], zero[:, 0].int(), 0, *code_range(8, affine=affine)
            )
        else:
            theirs = torch.quantize_per_tensor(w, float(made.step), int(zero), kind)
            fake = torch.fake_quantize_per_tensor_affine(
                w, float(made.step), int(zero), *code_range(8, affine=affine)
            )
        differ = theirs.int_repr().short() != made.q
        if power:
            assert torch.equal(made.step.log2(), made.step.log2().round())
            assert not differ.any()
            assert torch.equal(fake, made.value())
        u = w / made.spread(made.step)
        assert ((u[differ] - u[differ].floor() - 0.5).abs() < 128 * 2**-22).all()
        assert differ.float().mean() < 1e-3


def test_a_convolutions_kernel_has_a_step_an_output():
    w = normal(6, 3, 3, 3)
    made = encode(w, 8, "channel")
    assert made.step.shape == (6, 1)
    assert torch.equal(made.value().reshape(6, 27), encode(w.reshape(6, 27), 8, "channel").value())


def test_zeros_stay_zero_and_take_the_step_one():
    for affine in (False, True):
        made = encode(torch.zeros(2, 32), 4, "group16", affine=affine)
        assert not made.value().any()
        assert (made.step == 1).all()


def test_bad_granularity_and_numbers_are_named():
    w = torch.ones(2, 30)
    with pytest.raises(ValueError, match="16 must divide the 30"):
        shared(w, "group16")
    for bad in ("row", "group0", "group", "group-3"):
        with pytest.raises(ValueError, match="granularity"):
            shared(w, bad)
    with pytest.raises(ValueError, match="NaN"):
        encode(torch.tensor([[1.0, float("nan")]]), 4)
    with pytest.raises(ValueError, match="bits"):
        encode(w, 9)
    with pytest.raises(ValueError, match="bits"):
        code_range(TERNARY, affine=True)
