"""Depthwise-separable convolutions against torch's own and against the ordinary ones they stand for."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from neurolab import separable
from neurolab.separable import Separable, Stem


def picture(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_each_channel_is_looked_at_alone_then_mixed():
    layer = Separable(3, 5)
    x = picture(2, 3, 7, 7)
    alone = torch.cat(
        [F.conv2d(x[:, c : c + 1], layer.depthwise.weight[c : c + 1], padding=1) for c in range(3)], 1
    )
    mixed = torch.einsum("oc,bcij->boij", layer.pointwise.weight[:, :, 0, 0], alone)
    assert torch.allclose(layer(x), mixed + layer.pointwise.bias.view(-1, 1, 1), atol=1e-6)


def test_it_is_an_ordinary_convolution_of_few_numbers():
    layer = Separable(4, 6)
    ordinary = layer.as_ordinary()
    x = picture(2, 4, 9, 9)
    assert torch.allclose(layer(x), ordinary(x), atol=1e-6)
    # each output's kernels are the same 3 x 3 patterns, only scaled: of rank 1 for each input channel
    assert all(torch.linalg.matrix_rank(ordinary.weight[:, c].flatten(1)) == 1 for c in range(4))


def test_an_ordinary_convolution_is_mostly_no_separable_one():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weight = nn.Conv2d(4, 6, 3).weight
    assert torch.linalg.matrix_rank(weight[:, 0].flatten(1)) == 6


@pytest.mark.parametrize("kind", separable.KINDS)
@pytest.mark.parametrize("side", [8, 64])
def test_multiply_adds_are_those_that_torch_counts(kind, side):
    net = Stem(kind).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(picture(1, side, side))
    assert counter.get_total_flops() == 2 * sum(separable.macs(kind, side).values())


def test_the_saving_is_the_one_of_the_formula():
    saved = separable.macs("ordinary", 64)["conv3"] / separable.macs("separable", 64)["conv3"]
    assert saved == pytest.approx(1 / (1 / 64 + 1 / 9))
    weights = [sum(p.numel() for p in Stem(kind).conv3.parameters()) for kind in separable.KINDS]
    assert weights == [9 * 32 * 64 + 64, 9 * 32 + 32 * 64 + 64]


@pytest.mark.parametrize("kind", separable.KINDS)
def test_it_learns_digits_and_a_seed_says_everything(kind):
    first = separable.trained(kind, 0, 120)
    short, again, other = (separable.trained(kind, seed, 5) for seed in (0, 0, 1))
    assert torch.equal(short.out.weight, again.out.weight)
    assert not torch.equal(short.out.weight, other.out.weight)
    assert separable.accuracy(first) > 0.8
    assert separable.accuracy(Stem(kind).eval()) < 0.35


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Stem("deep"), "kind 'deep': must be one of ordinary, separable"),
        (lambda: Stem("ordinary", (16, 0, 4)), "channels 0"),
        (lambda: Separable(2, 1.5), "out 1.5"),
        (lambda: separable.macs("deep", 8), "kind 'deep'"),
        (lambda: Stem("ordinary")(torch.zeros(1, 8, 12)), r"x of shape \(1, 8, 12\)"),
        (lambda: Stem("ordinary")(torch.zeros(1, 6, 6)), "multiple of 4"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
