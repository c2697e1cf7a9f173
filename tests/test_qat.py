"""Fake quantization: values and derivatives against closed forms, and whole numbers all the way."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from neurolab import assistant, qat, qat_activations, quantized, tuning
from neurolab.transformer import Config, Transformer

SMALL = Config(vocabulary=1024, context=60, width=20, layers=2, heads=2, hidden=30)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Transformer(SMALL).eval()


def fake(W, kind, step):
    made = qat.FakeQuant(W, kind, "tensor")
    with torch.no_grad():
        made.log_step.fill_(torch.tensor(step).log())
    return made


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_values_and_derivatives_are_torchs_learnable_fake_quantize(bits):
    """torch's own LSQ kernel, an independent oracle; ties of rounding apart."""
    torch.manual_seed(bits)
    W = torch.randn(40, 30, requires_grad=True)
    low, high = qat.levels(bits)
    mine = fake(W, bits, 0.3)
    used = mine(W)
    pull = torch.randn_like(used)
    used.backward(pull)
    s = torch.tensor([0.3], requires_grad=True)
    w = W.detach().clone().requires_grad_()
    theirs = torch._fake_quantize_learnable_per_tensor_affine(w, s, torch.zeros(1), low, high, 1.0)
    theirs.backward(pull)
    assert torch.allclose(used, theirs, atol=1e-6)
    assert torch.allclose(W.grad, w.grad, atol=1e-6)
    assert mine.log_step.grad.item() == pytest.approx(s.grad.item() * 0.3, rel=1e-4)  # d/d log s = s d/ds


def test_ternary_binary_and_grid_codes():
    W = torch.tensor([[-0.9, -0.4, -0.1, 0.0, 0.1, 0.6, 0.95, 300.0]])
    assert fake(W, "ternary", 1.0).codes(W).tolist() == [[-1, 0, 0, 0, 0, 1, 1, 1]]
    assert fake(W, "binary", 1.0).codes(W).tolist() == [[-1, -1, -1, 1, 1, 1, 1, 1]]
    assert fake(W, "grid", 0.5).codes(W).tolist() == [[-2, -1, 0, 0, 0, 1, 2, 127]]
    assert fake(W, "binary", 0.25)(W).abs().unique().tolist() == [0.25]


def test_first_steps_are_the_closed_forms():
    torch.manual_seed(0)
    W = torch.randn(3, 4000) * torch.tensor([[1.0], [2.0], [0.5]])
    binary = qat.first_steps(W, "binary", "channel")
    assert torch.allclose(binary, W.abs().mean(1, keepdim=True))
    # the best step of a binary weight is mean |w| (XNOR-Net, equation 6): any other has the larger error
    for factor in (0.95, 1.05):
        worse = (W - binary * factor * W.sign()).square().sum()
        assert worse > (W - binary * W.sign()).square().sum()
    ternary = qat.first_steps(W, "ternary", "channel")
    errors = {
        f: (W - (t := ternary * f) * (W / t).round().clamp(-1, 1)).square().sum().item()
        for f in (0.7, 0.85, 1.0, 1.15, 1.3)
    }
    assert min(errors, key=errors.get) in (0.85, 1.0, 1.15)
    assert qat.first_steps(torch.zeros(2, 3), "grid", "tensor").tolist() == [[1.0]]


def test_all_matrices_are_quantized_and_the_file_holds_what_is_used(net):
    ids = torch.randint(1024, (2, 9))
    before = net(ids)
    qat.fake_quantize(net, 3, skip=("position.weight",))
    tensors = qat.coded(net)
    assert {n for n, x in tensors.items() if isinstance(x, quantized.Coded)} == {
        n for n, _ in qat.weights(net) if n != "position.weight"
    }
    assert all(int(x.q.max()) <= 3 and int(x.q.min()) >= -4 for x in tensors.values() if hasattr(x, "q"))
    again = quantized.put(Transformer(SMALL), tensors)
    assert torch.equal(again(ids), net(ids))
    flat = qat.plain(net)
    assert type(flat.embedding) is nn.Embedding
    assert torch.equal(flat(ids), net(ids))
    assert qat.quantizer(net.embedding) is not None  # the copy took nothing away from the original
    assert not torch.allclose(net(ids), before, atol=1e-3)


def test_a_mask_underneath_stays_zero(net):
    class Mask(nn.Module):
        def __init__(self, keep):
            super().__init__()
            self.register_buffer("keep", keep)

        def forward(self, W):
            return W * self.keep

    layer = net.blocks[0].feed_forward.up
    keep = torch.rand_like(layer.weight) > 0.5
    parametrize.register_parametrization(layer, "weight", Mask(keep))
    qat.fake_quantize(net, 4)
    tuning.tune(net, steps=2, seed=0, batch=8)
    assert bool((layer.weight[~keep] == 0).all())
    assert bool((qat.coded(net)["blocks.0.feed_forward.up.weight"].q[~keep] == 0).all())


def test_prices_are_those_of_an_ideal_coder():
    q = torch.tensor([0, 0, 0, 0, 1, 1, -1, 2]).float()
    bits = qat.price_list(q.repeat(1000), -2, 2)
    assert bits[3:5].tolist() == pytest.approx([1.0, 2.0], abs=0.01)  # shares 1/2 and 1/4
    assert bits[2].item() == pytest.approx(3.0, abs=0.02)
    assert bits[0] > 12  # a code that nobody uses is dear, and has a price


def test_the_price_draws_to_the_cheaper_code_and_is_the_entropy():
    net = copy.deepcopy(assistant.load().model)
    qat.fake_quantize(net, "grid", granularity="tensor")
    module = net.blocks[0].attention.query
    found, W = qat.quantizer(module)
    with torch.no_grad():
        for _, other in qat.weights(net):
            f, w = qat.quantizer(other)
            w.copy_(f.step() * f.codes(w))  # on the grid the price is the entropy
    assert qat.price(net).item() == pytest.approx(qat.code_bits(net), rel=0.01)
    with torch.no_grad():
        W.copy_(W + 0.3 * found.step())
    (pull,) = torch.autograd.grad(qat.price(net), W)
    u = W.flatten(1) / found.step()
    between = (u > 0.05) & (u < 0.9)  # zero is the commonest code: from 0 < u < 1 it is cheaper to go down
    assert bool((pull[between] > 0).all())


@pytest.mark.parametrize(("kind", "bits"), [(8, 8), (4, 8), (4, 4), ("ternary", 8)])
def test_the_integer_run_gives_the_same_bits(kind, bits):
    net = qat.fake_quantize(copy.deepcopy(assistant.load().model), kind)
    rows = [tuning.training_rows(8, 0).at(i) for i in range(2)]
    qat_activations.quantize_activations(net, bits, rows)
    whole = qat_activations.integer_run(net)
    for batch in rows:
        assert torch.equal(whole(batch.ids[:, :-1]), net(batch.ids[:, :-1]))
    layer = whole.blocks[1].feed_forward.up
    assert layer.q.dtype == torch.int8
    codes = torch.floor(torch.randn(5, 160) / layer.step + 0.5).clamp(layer.low, layer.high)
    exact = (codes.double() @ layer.q.double().T) * layer.scale.double()
    assert torch.allclose(layer(codes * layer.step).double(), exact, rtol=1e-6)


def test_sums_beyond_float32_are_refused():
    wide = nn.Sequential(nn.Linear(1200, 3, bias=False))
    qat.fake_quantize(wide, 8)

    class Batch:
        ids = torch.zeros(1, 2)

    wide.forward = lambda ids: nn.Sequential.forward(wide, torch.randn(4, 1200))
    with pytest.raises(ValueError, match="float32 is exact to"):
        qat_activations.quantize_activations(wide, 8, [Batch()])


@pytest.mark.parametrize("kind", [1, 9, 0, "half", 3.0])
def test_there_is_no_such_kind(net, kind):
    with pytest.raises(ValueError, match=repr(kind).replace(".", r"\.")):
        qat.fake_quantize(net, kind)


def test_wrong_granularity_and_names_are_refused(net):
    with pytest.raises(ValueError, match="granularity 'row'"):
        qat.fake_quantize(net, 4, granularity="row")
    with pytest.raises(ValueError, match="'head'"):
        qat.fake_quantize(net, 4, skip=("head",))
    with pytest.raises(ValueError, match="call fake_quantize first"):
        qat_activations.quantize_activations(net, 8, [])
