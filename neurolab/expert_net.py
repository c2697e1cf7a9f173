"""Does routing pay? A small Transformer on hard digits, with experts or with one dense feed-forward network.

The task: a real digit (8 x 8) somewhere on 12 x 12 pixels of noise, new noise at every step. 16 patches of
3 x 3 pixels are the tokens. Three kinds of network, alike but for the feed-forward part, with n experts of C
hidden numbers each:

- "experts": each token goes through one expert of n;
- "dense": one network of n C hidden numbers, as many parameters as all experts together;
- "small": one of C hidden numbers, as many operations as one expert.

Shapes: B pictures, L = 16 tokens, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurolab import digits
from neurolab.energy import Counts
from neurolab.experts import Experts, balance, shares
from neurolab.training import Schedule, fit

KINDS = ("experts", "dense", "small")
SIDE, PATCH = 12, 3  # pixels
LENGTH = (SIDE // PATCH) ** 2  # tokens
CLASSES = 10
NOISE = 0.45  # the brightest noise
BALANCE = 0.01  # alpha of the Switch paper
STEPS, BATCH, RATE = 3000, 64, 0.001


@dataclass(frozen=True)
class ExpertConfig:
    """kind: one of KINDS. hidden: C of one expert. experts: n, of which each token goes through m.

    ValueError for another kind, or a size below 1.
    """

    kind: str = "experts"
    width: int = 64
    layers: int = 2
    heads: int = 4
    hidden: int = 128
    experts: int = 8
    m: int = 1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind {self.kind!r}: must be one of {', '.join(KINDS)}")
        for name in ("width", "layers", "heads", "hidden", "experts", "m"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} {value!r}: must be a whole number of at least 1")
        if self.width % self.heads:
            raise ValueError(f"width {self.width}: must be a multiple of heads ({self.heads})")

    @property
    def channels(self) -> int:
        """Hidden numbers of the feed-forward part that is one network (not for "experts")."""
        return self.hidden * (self.experts if self.kind == "dense" else 1)


class ExpertBlock(nn.Module):
    """x + attention(norm1(x)), then x + feed(norm2(x)); x (B, L, D)."""

    def __init__(self, c: ExpertConfig) -> None:
        super().__init__()
        self.heads = c.heads
        self.norm1, self.norm2 = nn.LayerNorm(c.width), nn.LayerNorm(c.width)
        self.qkv, self.out = nn.Linear(c.width, 3 * c.width), nn.Linear(c.width, c.width)
        self.feed: nn.Module
        if c.kind == "experts":
            self.feed = Experts(c.width, c.hidden, c.experts, c.m)
        else:
            self.feed = nn.Sequential(
                nn.Linear(c.width, c.channels), nn.GELU(), nn.Linear(c.channels, c.width)
            )

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.feed(self.norm2(x).flatten(0, 1)).view_as(x)


class ExpertNet(nn.Module):
    """Pictures (B, 12, 12) -> scores (B, 10)."""

    def __init__(self, config: ExpertConfig) -> None:
        super().__init__()
        self.config = config
        self.patch = nn.Linear(PATCH * PATCH, config.width)
        self.place = nn.Parameter(torch.randn(LENGTH, config.width) * 0.02)
        self.blocks = nn.ModuleList(ExpertBlock(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.classes = nn.Linear(config.width, CLASSES)

    def forward(self, pictures: Tensor) -> Tensor:
        """ValueError for another shape."""
        if pictures.ndim != 3 or pictures.shape[1:] != (SIDE, SIDE):
            raise ValueError(f"pictures of shape {tuple(pictures.shape)}: must be (B, {SIDE}, {SIDE})")
        n = SIDE // PATCH
        cut = pictures.reshape(-1, n, PATCH, n, PATCH).transpose(2, 3).reshape(-1, LENGTH, PATCH * PATCH)
        x = self.patch(cut) + self.place
        for block in self.blocks:
            x = block(x)
        scores: Tensor = self.classes(self.norm(x).mean(1))
        return scores

    def layers_of_experts(self) -> list[Experts]:
        """The layers that route."""
        return [m for m in self.modules() if isinstance(m, Experts)]


@lru_cache(maxsize=2)
def _digits(test: bool) -> tuple[Tensor, Tensor]:
    train_x, train_y, test_x, test_y = digits.load(test_share=0.5)
    x, y = (test_x, test_y) if test else (train_x, train_y)
    return torch.from_numpy(x).view(-1, digits.SIDE, digits.SIDE), torch.from_numpy(y)


def hard_digits(count: int, seed: int, test: bool = False) -> tuple[Tensor, Tensor]:
    """pictures (count, 12, 12) in [0, 1] and their classes (count,): a digit anywhere, noise over it."""
    if count < 1:
        raise ValueError(f"count {count!r}: must be at least 1")
    x, y = _digits(test)
    generator = torch.Generator().manual_seed(seed)
    at = torch.randint(len(x), (count,), generator=generator)
    room = SIDE - digits.SIDE + 1
    top, left = torch.randint(room, (2, count), generator=generator)
    pictures = torch.zeros(count, SIDE, SIDE)
    inside = torch.arange(digits.SIDE)
    rows, columns = (top[:, None] + inside)[:, :, None], (left[:, None] + inside)[:, None]
    pictures[torch.arange(count)[:, None, None], rows, columns] = x[at]
    noise = NOISE * torch.rand(pictures.shape, generator=generator)
    return torch.maximum(pictures, noise), y[at]


def trained(config: ExpertConfig, seed: int = 0, steps: int = STEPS, alpha: float = BALANCE) -> ExpertNet:
    """A network, first weights and batches by `seed`, on one thread; alpha weighs the balance loss."""
    if alpha < 0:
        raise ValueError(f"alpha {alpha!r}: must be at least 0")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = ExpertNet(config)

    def loss_of(model: nn.Module, step: int) -> Tensor:
        x, y = hard_digits(BATCH, (seed + 1) * 1_000_003 + step)
        loss = F.cross_entropy(model(x), y)
        for layer in net.layers_of_experts():
            assert layer.last is not None
            loss = loss + alpha * balance(layer.last)
        return loss

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        schedule = Schedule(warmup=min(50, steps), stay=max(1, steps // 2), cool=steps - max(1, steps // 2))
        optimiser = torch.optim.Adam(net.parameters(), lr=RATE)
        fit(net, loss_of, [optimiser], schedule, every=steps, progress=False)
    finally:
        torch.set_num_threads(before)
    return net.eval()


@torch.inference_mode()
def scores(net: ExpertNet, count: int = 4000, seed: int = 10**9) -> dict[str, float]:
    """On test pictures: accuracy (0 to 1); with experts, the busiest one's share times n (1: all alike), and
    how many of a layer's experts one picture's tokens touch (mean)."""
    x, y = hard_digits(count, seed, test=True)
    right, busiest, touched = 0.0, [], []
    for part, wanted in zip(x.split(500), y.split(500), strict=True):
        right += float((net(part).argmax(-1) == wanted).sum())
        for layer in net.layers_of_experts():
            assert layer.last is not None
            busiest.append(shares(layer.last) * len(layer.up))
            chosen = layer.last.chosen.view(len(part), -1)
            touched.append(F.one_hot(chosen, len(layer.up)).amax(1).sum(-1).float().mean())
    found = {"accuracy": right / count}
    if busiest:
        per_layer = torch.stack(busiest).view(-1, net.config.layers, net.config.experts).mean(0)
        found |= {"busiest": float(per_layer.max()), "touched": float(torch.stack(touched).mean())}
    return found


def counts(config: ExpertConfig, touched: float | None = None) -> Counts:
    """What one picture costs in fp32, counted as `energy_counts.Meter` counts.

    touched: None, where every use of a weight fetches it (the model's usual assumption); else how many
    experts of a layer are touched, and each weight is fetched once a picture.
    """
    c, L = config, LENGTH
    mac = special = handed = fetched = once = 0.0

    def matrix(inner: int, columns: int, rows: float = L, kept: float = 1.0) -> None:
        nonlocal mac, handed, fetched, once
        mac += rows * (inner * columns)
        handed += rows * (inner + columns)
        fetched += rows * inner * columns
        once += kept * (inner * columns + columns)  # with its bias

    def norm() -> None:
        nonlocal mac, handed, fetched, once, special
        special += 2 * L
        mac += 4 * L * c.width
        handed += 2 * L * c.width
        fetched += 2 * L * c.width
        once += 2 * c.width

    matrix(PATCH * PATCH, c.width)
    for _ in range(c.layers):
        norm()
        matrix(c.width, 3 * c.width)
        mac += 2 * L * L * c.width + c.heads * L * L  # scores and mix, softmax
        special += c.heads * L * (L + 1)
        fetched += 2 * L * L * c.width
        once += 2 * L * c.width  # keys and values
        handed += 2 * L * c.width + 2 * c.heads * L * L
        matrix(c.width, c.width)
        norm()
        used, kept = (
            (c.m, 1.0 * c.experts if touched is None else touched) if c.kind == "experts" else (1, 1.0)
        )
        channels = c.hidden if c.kind == "experts" else c.channels
        if c.kind == "experts":
            matrix(c.width, c.experts)
            special += L * (c.experts + 1)
            mac += L * (c.experts + c.m * c.width)  # softmax, weighting
        matrix(c.width, channels, L * used, kept)
        special += L * used * channels
        handed += 2 * L * used * channels
        matrix(channels, c.width, L * used, kept)
        mac += 2 * L * c.width  # residual stream
    norm()
    matrix(c.width, CLASSES, 1)
    weights = fetched if touched is None else once
    return Counts(
        tokens=1, mac_fp32=mac, special_fp32=special, weight_bytes=4 * weights, activation_bytes=4 * handed
    )


def macs(config: ExpertConfig) -> int:
    """Multiply-adds of one picture's matrix products (norms, softmax and additions left out)."""
    c = config
    feed = 2 * c.width * (c.hidden * c.m if c.kind == "experts" else c.channels)
    feed += c.width * c.experts if c.kind == "experts" else 0
    a_token = 4 * c.width**2 + 2 * LENGTH * c.width + feed
    return LENGTH * (PATCH**2 * c.width + c.layers * a_token) + c.width * CLASSES
