"""ResNet-50 by the table: the published counts, and torchvision's own network layer by layer."""

import sys

import pytest
import torch
from torch import library as operators
from torch import nn

from neurolab import resnet

FOUND = resnet.layers()
KEPT = []  # an operator is forgotten with the object that declared it


def _resnet50():
    """torchvision's network on the meta device: shapes, and no numbers.

    Where torchvision's compiled part was built for another torch it does not import, for want of two
    operators that this network does not use; they are declared, and it does.
    """
    try:
        from torchvision.models import resnet50
    except RuntimeError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        KEPT.append(operators.Library("torchvision", "FRAGMENT"))
        for operator in ("nms", "qnms"):
            KEPT[0].define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        from torchvision.models import resnet50
    with torch.device("meta"):
        return resnet50().eval()


@pytest.fixture(scope="module")
def theirs():
    """(type, weights, outputs) of every layer of theirs, in the order in which it runs."""
    model, ran = _resnet50(), []

    def keep(layer, _, y):
        ran.append((type(layer), sum(p.numel() for p in layer.parameters()), y.numel()))

    for layer in model.modules():
        if not list(layer.children()):
            layer.register_forward_hook(keep)
    model(torch.zeros(1, 3, 224, 224, device="meta"))
    return ran


@pytest.mark.parametrize(
    ("kind", "types"),
    [
        ("convolution", nn.Conv2d), ("norm", nn.BatchNorm2d), ("relu", nn.ReLU), ("linear", nn.Linear),
        ("pool", (nn.MaxPool2d, nn.AdaptiveAvgPool2d)),
    ],
)  # fmt: skip
def test_every_layer_is_torchvisions(theirs, kind, types):
    want = [(weights, outputs) for layer, weights, outputs in theirs if issubclass(layer, types)]
    assert [(layer.weights, layer.outputs) for layer in FOUND if layer.kind == kind] == want
    assert want


def test_additions_are_where_a_block_ends():
    added = [layer.outputs for layer in FOUND if layer.kind == "add"]
    assert added == [256 * 56**2] * 3 + [512 * 28**2] * 4 + [1024 * 14**2] * 6 + [2048 * 7**2] * 3


def test_published_counts():
    f = resnet.counts()
    assert round(f["weights_millions"] * 1e6) == 25_557_032  # torchvision's documentation
    assert f["macs_millions"] == pytest.approx(4089, abs=0.5)  # the same: 4.09 "GFLOPS"
    for end in ("", "_convolutions", "_every"):
        both = f["weights_millions"] + f[f"activations_millions{end}"]
        assert f[f"megabytes{end}"] == pytest.approx(4 * both, rel=1e-12)
    assert (
        f["activations_millions_convolutions"] < f["activations_millions"] < f["activations_millions_every"]
    )


def test_inference_holds_most_at_the_first_shortcut():
    # it runs onto 256 channels while its input, and the 256 channels of the third convolution, wait
    f = resnet.counts()
    assert f["live_millions"] * 1e6 == pytest.approx((64 + 256 + 256) * 56**2, abs=0.5)
    assert f["megabytes_live"] == pytest.approx(4 * (f["weights_millions"] + f["live_millions"]), rel=1e-12)
