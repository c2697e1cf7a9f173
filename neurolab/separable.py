"""Depthwise-separable convolutions: look at each channel alone, then mix the channels, not both at once.

    ordinary    y_o = sum_c K_oc * x_c          3 x 3 x C x O weights
    separable   z_c = k_c * x_c                 3 x 3 x C (depthwise)
                y_o = sum_c W_oc z_c            C x O     (pointwise)

so 1 / (1/O + 1/9) times fewer of both weights and multiply-adds (Howard et al., *MobileNets*, 2017, section
3.1). `Stem` is three such layers in front of a classifier; its first layer, which has one channel to look at,
stays ordinary, as theirs does. Shapes: B pictures, C and O channels, S pixels along an edge.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurolab import digits
from neurolab.training import Schedule, fit

KINDS = ("ordinary", "separable")
CHANNELS = (16, 32, 64)
CLASSES = 10
STEPS, BATCH, RATE = 800, 64, 0.003


def _whole(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} {value!r}: must be a whole number of at least 1")


class Separable(nn.Module):
    """x (B, C, S, S) -> (B, O, S, S): 3 x 3 over each channel, then 1 x 1 over all of them."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        _whole("channels", channels)
        _whole("out", out)
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.pointwise = nn.Conv2d(channels, out, 1)
        nn.init.normal_(self.depthwise.weight, std=1 / 3)  # as loud behind it as before: 9 x (1/3)^2 = 1
        nn.init.normal_(self.pointwise.weight, std=(2 / channels) ** 0.5)  # He et al., 2015

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.pointwise(self.depthwise(x))
        return made

    @torch.no_grad()
    def as_ordinary(self) -> nn.Conv2d:
        """The ordinary convolution that computes the same: K_oc = W_oc k_c."""
        depth, point = self.depthwise.weight, self.pointwise.weight  # (C, 1, 3, 3), (O, C, 1, 1)
        made = nn.Conv2d(depth.shape[0], point.shape[0], 3, padding=1)
        made.weight.copy_(point * depth.transpose(0, 1))
        assert made.bias is not None
        assert self.pointwise.bias is not None
        made.bias.copy_(self.pointwise.bias)
        return made


class Stem(nn.Module):
    """Pictures (B, S, S) -> scores (B, 10): three convolutions with ReLU, a pool after the second and third.

    kind: one of KINDS; ValueError for another.
    """

    def __init__(self, kind: str, channels: tuple[int, int, int] = CHANNELS) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"kind {kind!r}: must be one of {', '.join(KINDS)}")
        for c in channels:
            _whole("channels", c)
        first, second, third = channels
        self.kind, self.channels = kind, channels
        self.conv1 = nn.Conv2d(1, first, 3, padding=1)
        self.conv2, self.conv3 = (
            nn.Conv2d(c, o, 3, padding=1) if kind == "ordinary" else Separable(c, o)
            for c, o in ((first, second), (second, third))
        )
        self.out = nn.Linear(4 * third, CLASSES)

    def features(self, x: Tensor) -> Tensor:
        """(B, S, S) -> (B, third, S / 4, S / 4): what the stem hands on. ValueError for another shape."""
        if x.ndim != 3 or x.shape[1] != x.shape[2] or x.shape[1] % 4:
            raise ValueError(f"x of shape {tuple(x.shape)}: must be (B, S, S) with S a multiple of 4")
        x = F.relu(self.conv2(F.relu(self.conv1(x[:, None]))))
        return F.max_pool2d(F.relu(self.conv3(F.max_pool2d(x, 2))), 2)

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.out(F.adaptive_max_pool2d(self.features(x), 2).flatten(1))
        return scores


def macs(kind: str, side: int, channels: tuple[int, int, int] = CHANNELS) -> dict[str, int]:
    """Multiply-adds of one picture by part (conv1, conv2, conv3, out). ValueError for a kind that is none."""
    if kind not in KINDS:
        raise ValueError(f"kind {kind!r}: must be one of {', '.join(KINDS)}")

    def layer(c: int, o: int) -> int:
        return 9 * c * o if kind == "ordinary" else 9 * c + c * o

    first, second, third = channels
    return {
        "conv1": side**2 * 9 * first,
        "conv2": side**2 * layer(first, second),
        "conv3": (side // 2) ** 2 * layer(second, third),
        "out": 4 * third * CLASSES,
    }


@lru_cache(maxsize=1)
def _pictures() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    train_x, train_y, test_x, test_y = digits.load(test_share=0.5)
    shape = (-1, digits.SIDE, digits.SIDE)
    return (
        torch.from_numpy(train_x).view(shape),
        torch.from_numpy(train_y),
        torch.from_numpy(test_x).view(shape),
        torch.from_numpy(test_y),
    )


def trained(kind: str, seed: int = 0, steps: int = STEPS) -> Stem:
    """A stem with its classifier, trained on half of the 1,797 digits, on one thread; in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = Stem(kind)
    x, y, _, _ = _pictures()
    at = torch.randint(len(x), (steps, BATCH), generator=torch.Generator().manual_seed(seed))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        schedule = Schedule(warmup=min(20, steps), stay=max(1, steps // 2), cool=steps - max(1, steps // 2))
        fit(
            net,
            lambda model, step: F.cross_entropy(model(x[at[step]]), y[at[step]]),
            [torch.optim.Adam(net.parameters(), lr=RATE)],
            schedule,
            every=steps,
            progress=False,
        )
    finally:
        torch.set_num_threads(before)
    return net.eval()


@torch.inference_mode()
def accuracy(net: nn.Module) -> float:
    """The share of the other half of the digits that is named right, 0 to 1."""
    _, _, x, y = _pictures()
    return float((net(x).argmax(-1) == y).float().mean())
