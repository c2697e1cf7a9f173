"""A small convolutional network for the digits: trained from scratch in seconds, so many seeds are cheap.

Three 3 x 3 convolutions and one matrix, 25,866 parameters in all (about 100 KB in float32):

    8 x 8 -> conv 16 -> conv 32 -> pool -> 4 x 4 -> conv 64 -> pool -> 2 x 2 x 64 -> linear -> 10 scores

Shapes: B pictures, each (64,) line by line as `digits.load` gives them, K = 10 classes.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurolab import digits
from neurolab.digits import SIDE
from neurolab.training import Schedule, fit

CLASSES = 10
CHANNELS = (16, 32, 64)
BATCH = 64
RATE = 0.003  # Adam's, for a network from scratch
TUNING_RATE = 0.001  # for one that is trained on
TRAINING_STEPS = 600


class DigitNet(nn.Module):
    """Pictures (B, 64) float32 in [0, 1] -> scores (B, 10). `channels`: of the three convolutions."""

    def __init__(self, channels: tuple[int, int, int] = CHANNELS) -> None:
        super().__init__()
        if len(channels) != 3 or any(not isinstance(c, int) or c < 1 for c in channels):
            raise ValueError(f"channels {channels!r}: must be three whole numbers of at least 1")
        self.channels = channels
        first, second, third = channels
        self.conv1 = nn.Conv2d(1, first, 3, padding=1)
        self.conv2 = nn.Conv2d(first, second, 3, padding=1)
        self.conv3 = nn.Conv2d(second, third, 3, padding=1)
        self.out = nn.Linear(4 * third, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 64) -> (B, 10). Raises ValueError for another shape."""
        if x.ndim != 2 or x.shape[1] != SIDE * SIDE:
            raise ValueError(f"x of shape {tuple(x.shape)}: must be (B, {SIDE * SIDE})")
        x = x.unflatten(1, (1, SIDE, SIDE))  # (B, 1, 8, 8)
        x = F.relu(self.conv2(F.relu(self.conv1(x))))  # (B, 32, 8, 8)
        x = F.relu(self.conv3(F.max_pool2d(x, 2)))  # (B, 64, 4, 4)
        return self.out(F.max_pool2d(x, 2).flatten(1))


@lru_cache(maxsize=4)
def _tensors(split: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    train_x, train_y, test_x, test_y = digits.load(test_share=0.5, seed=split)
    return (
        torch.from_numpy(train_x),
        torch.from_numpy(train_y),
        torch.from_numpy(test_x),
        torch.from_numpy(test_y),
    )


def soft_loss(scores: Tensor, wanted: Tensor) -> Tensor:
    """KL(teacher || student) in nats, mean over B, of scores (B, K) (Hinton et al., 2015, temperature 1)."""
    return F.kl_div(scores.log_softmax(-1), wanted.log_softmax(-1), reduction="batchmean", log_target=True)


def teach(
    net: nn.Module,
    *,
    steps: int,
    seed: int,
    teacher: nn.Module | None = None,
    soft: float = 0.0,
    rate: float = TUNING_RATE,
    split: int = 0,
) -> None:
    """Train `net` in place: `steps` batches of 64 (drawn by `seed`) with Adam, on one thread.

    The rate warms up over 20 steps and then falls in a line to 0, as in `tuning.tune`. The loss is
    (1 - soft) cross-entropy + soft KL to `teacher`. Raises ValueError for a `soft` outside [0, 1], for soft
    labels without a teacher, and for fewer than 1 step.
    """
    if not 0.0 <= soft <= 1.0:
        raise ValueError(f"soft {soft!r}: must lie in [0, 1]")
    if soft > 0 and teacher is None:
        raise ValueError(f"soft {soft!r} with no teacher: soft labels come from a teacher")
    if steps < 1:
        raise ValueError(f"steps {steps!r}: must be at least 1")
    x, y, _, _ = _tensors(split)
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randint(len(x), (steps, BATCH), generator=generator)  # (steps, B)

    def loss_of(model: nn.Module, step: int) -> Tensor:
        at = chosen[step]
        scores = model(x[at])
        loss = (1 - soft) * F.cross_entropy(scores, y[at]) if soft < 1 else scores.new_zeros(())
        if teacher is not None and soft > 0:
            with torch.no_grad():
                wanted = teacher(x[at])
            loss = loss + soft * soft_loss(scores, wanted)
        return loss

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        optimiser = torch.optim.Adam(net.parameters(), lr=rate)
        schedule = Schedule(warmup=min(20, steps), stay=1, cool=steps - 1)
        fit(net, loss_of, [optimiser], schedule, every=steps, progress=False)
    finally:
        torch.set_num_threads(before)


@torch.inference_mode()
def scores(net: nn.Module, every: int = 1, split: int = 0) -> dict[str, float]:
    """On each `every`-th held-out picture: accuracy, called exact match, in [0, 1], and bits spent on a
    picture's right class."""
    _, _, x, y = (tensor[::every] for tensor in _tensors(split))
    net.eval()
    found = net(x)
    bits = F.cross_entropy(found, y).item() / math.log(2)
    return {"exact_match": (found.argmax(-1) == y).float().mean().item(), "bits_per_picture": bits}


def trained(
    seed: int = 0,
    *,
    steps: int = TRAINING_STEPS,
    channels: tuple[int, int, int] = CHANNELS,
    teacher: nn.Module | None = None,
    soft: float = 0.0,
) -> DigitNet:
    """A float network, first weights and batches by `seed`; about two seconds. In evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = DigitNet(channels)
    teach(net, steps=steps, seed=seed, rate=RATE, teacher=teacher, soft=soft)
    return net.eval()
