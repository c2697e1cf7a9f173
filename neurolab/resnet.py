"""ResNet-50 counted layer by layer: weights, activations, multiply-accumulates, for one picture of 224 x 224.

From the table of the architecture (He et al., 2016, with the stride in the 3 x 3 convolution, as torchvision
has it), so nothing is downloaded. What counts as an activation is a choice, and the article does not say
which; three are counted:

    convolutions   the outputs of the convolutions and of the classifier
    in place       also of poolings and additions. Batch norm is folded and ReLU works in place: they make no
                   numbers of their own
    every          also of each batch norm and each ReLU, as if every layer kept its own
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

SIDE = 224
STAGES = ((3, 64), (4, 128), (6, 256), (3, 512))
"""Blocks and inner channels of each stage."""
EXPANSION, CLASSES = 4, 1000
COUNTED = {
    "convolutions": ("convolution", "linear"),
    "in place": ("convolution", "linear", "pool", "add"),
    "every": ("convolution", "linear", "pool", "add", "norm", "relu"),
}
BYTES = 4  # of an FP32


@dataclass(frozen=True)
class Layer:
    """A layer: weights (biases and a norm's scale and shift included), numbers put out, multiply-accumulates.

    live: activations that inference must hold while it runs (its inputs, its output, a waiting shortcut).
    """

    name: str
    kind: str
    weights: int
    outputs: int
    macs: int = 0
    live: int = 0


def _convolution(name: str, k: int, i: int, o: int, side: int, held: int, relu: bool) -> Iterator[Layer]:
    """k x k convolution from i to o channels onto side x side, its norm, a ReLU; held: what else is live."""
    outputs = o * side * side
    yield Layer(name, "convolution", k * k * i * o, outputs, k * k * i * outputs, held + outputs)
    yield Layer(f"{name} norm", "norm", 2 * o, outputs)
    if relu:
        yield Layer(f"{name} relu", "relu", 0, outputs)


def _block(name: str, i: int, w: int, side: int, stride: int) -> Iterator[Layer]:
    """A bottleneck: 1 x 1, 3 x 3, 1 x 1 and the shortcut, itself a 1 x 1 convolution where shapes change."""
    after, o = side // stride, EXPANSION * w
    x, a, b, y = i * side**2, w * side**2, w * after**2, o * after**2
    yield from _convolution(f"{name}.1", 1, i, w, side, x, True)
    yield from _convolution(f"{name}.2", 3, w, w, after, x + a, True)
    yield from _convolution(f"{name}.3", 1, w, o, after, x + b, False)
    if i != o or stride > 1:
        yield from _convolution(f"{name}.shortcut", 1, i, o, after, x + y, False)
    yield Layer(f"{name}.add", "add", 0, y, 0, 2 * y)
    yield Layer(f"{name}.relu", "relu", 0, y)


def layers() -> list[Layer]:
    """All layers of ResNet-50 in order."""
    side = SIDE // 2
    found = list(_convolution("stem", 7, 3, 64, side, 3 * SIDE**2, True))
    found.append(Layer("stem.pool", "pool", 0, 64 * (side // 2) ** 2, 0, 64 * (side**2 + (side // 2) ** 2)))
    i, side = 64, side // 2
    for s, (blocks, w) in enumerate(STAGES):
        for b in range(blocks):
            stride = 2 if s and not b else 1
            found += _block(f"{s + 1}.{b + 1}", i, w, side, stride)
            i, side = EXPANSION * w, side // stride
    found.append(Layer("pool", "pool", 0, i, 0, i * side**2 + i))
    found.append(Layer("classifier", "linear", i * CLASSES + CLASSES, CLASSES, i * CLASSES, i + CLASSES))
    return found


def counts() -> dict[str, float]:
    """Figures of the row: weights and activations in millions, megabytes (10^6 bytes) of both in FP32.

    activations_millions, megabytes: counted "in place"; `*_convolutions`, `*_every`: the other two ways.
    megabytes_live: the weights, and the most activations that inference holds at one time.
    """
    found = layers()
    weights = sum(layer.weights for layer in found)
    figures: dict[str, float] = {"weights_millions": weights / 1e6, "layers": len(found)}
    for way, kinds in COUNTED.items():
        activations = sum(layer.outputs for layer in found if layer.kind in kinds)
        end = "" if way == "in place" else f"_{way}"
        figures[f"activations_millions{end}"] = activations / 1e6
        figures[f"megabytes{end}"] = BYTES * (weights + activations) / 1e6
    live = max(layer.live for layer in found)
    figures |= {"live_millions": live / 1e6, "megabytes_live": BYTES * (weights + live) / 1e6}
    return figures | {"macs_millions": sum(layer.macs for layer in found) / 1e6}
