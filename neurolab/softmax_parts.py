"""What can stand where softmax stands: rules that make attention weights A from queries and keys.

A query gives every token that it may see a score, s_j = q . k_j / sqrt(E), and softmax makes weights of
them, A_j = e^(s_j) / sum_i e^(s_i): positive, and 1 in all. That takes exponentials and a division.
Each class below says in its first line what it does instead. Shapes: B sequences, H heads, L queries, M keys
(cached ones first), E numbers a head; `seen` (L, M) is true where a query may look.

Rules with ranks or winners have no slope. In training they borrow softmax's: the weights are the rule's on
the way forward, and on the way back the derivative is softmax's (a straight-through surrogate).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from neurolab.transformer import Attention


def scores(q: Tensor, k: Tensor, seen: Tensor) -> Tensor:
    """s (B, H, L, M): q (B, H, L, E) against k (B, H, M, E); minus infinity where not seen."""
    return (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).masked_fill(~seen, -math.inf)


def borrow(hard: Tensor, s: Tensor) -> Tensor:
    """`hard` forwards, the derivative of softmax(s) backwards."""
    soft = s.softmax(-1)
    return hard + soft - soft.detach()


class Softmax(nn.Module):
    """A_j = e^(s_j) / sum_i e^(s_i)."""

    def forward(self, q: Tensor, k: Tensor, seen: Tensor) -> Tensor:
        """q (B, H, L, E), k (B, H, M, E), seen (L, M) -> A (B, H, L, M); so do all of this module."""
        return scores(q, k, seen).softmax(-1)


class Divisive(nn.Module):
    """A_j = r_j / (1 + sum_i r_i) with r = max(g s - o, 0)^power: divisive normalisation.

    The 1 lets a query say "nobody". g and o are one number a head; power is 1 or 2. Carandini and Heeger
    (2012) review the sum that divides in the cortex; Wortsman et al. (arXiv 2309.08586) use ReLU attention.
    """

    def __init__(self, heads: int, power: int = 1) -> None:
        super().__init__()
        if power not in (1, 2):
            raise ValueError(f"power {power!r}: must be 1 or 2")
        self.power = power
        self.gain, self.offset = nn.Parameter(torch.ones(heads)), nn.Parameter(torch.zeros(heads))

    def forward(self, q: Tensor, k: Tensor, seen: Tensor) -> Tensor:
        s = self.gain[:, None, None] * scores(q, k, torch.ones_like(seen)) - self.offset[:, None, None]
        r = (s * seen).clamp(min=0) ** self.power
        return r / (1 + r.sum(-1, keepdim=True))


class Winners(nn.Module):
    """A = softmax over the `k` largest scores, 0 for all others: k winners take all."""

    def __init__(self, k: int) -> None:
        super().__init__()
        if not isinstance(k, int) or isinstance(k, bool) or k < 1:
            raise ValueError(f"k {k!r}: must be a whole number of winners, at least 1")
        self.k = k

    def forward(self, q: Tensor, k: Tensor, seen: Tensor) -> Tensor:
        s = scores(q, k, seen)
        least = s.topk(min(self.k, s.shape[-1]), -1).values[..., -1:]
        return s.masked_fill(s < least, -math.inf).softmax(-1)


class Argmax(nn.Module):
    """A_j = 1 for the largest score, 0 for all others: each query is routed to one token."""

    def forward(self, q: Tensor, k: Tensor, seen: Tensor) -> Tensor:
        s = scores(q, k, seen)
        return borrow(torch.zeros_like(s).scatter(-1, s.argmax(-1, keepdim=True), 1.0), s)


def latency(s: Tensor, ticks_per_nat: float) -> Tensor:
    """Ticks at which each score's neuron fires, counted from the first: floor((max s - s_j) ticks_per_nat).

    All ramps rise at one speed from where the score puts them, so the best is first; what is not seen never
    fires (infinity).
    """
    return torch.floor((s.amax(-1, keepdim=True) - s) * ticks_per_nat)


class Order(nn.Module):
    """A_j = m^(r_j) / sum_i m^(r_i), r_j: how many spiked before j. Only the order counts.

    Thorpe and Gautrais (1998), rank order coding. m, one a head, begins at 1/2. Those that fire in one tick
    share their rank.
    """

    def __init__(self, heads: int, ticks_per_nat: float = 4.0) -> None:
        super().__init__()
        self.ticks_per_nat = ticks_per_nat
        self.fade = nn.Parameter(torch.zeros(heads))  # m = sigmoid(fade)

    def forward(self, q: Tensor, k: Tensor, seen: Tensor) -> Tensor:
        s = scores(q, k, seen)
        with torch.no_grad():
            t = latency(s, self.ticks_per_nat)
            rank = torch.searchsorted(t.sort(-1).values, t)
        m = self.fade.sigmoid()[:, None, None]
        return borrow((rank * m.log()).masked_fill(~seen, -math.inf).softmax(-1), s)


class Times(nn.Module):
    """A_j = 2^(-t_j) / sum_i 2^(-t_i), t_j: the tick of j's first spike. A tick later is half as much.

    With a tick of ln 2 nats this is softmax on whole powers of two: shifts, no exponential.
    """

    def forward(self, q: Tensor, k: Tensor, seen: Tensor) -> Tensor:
        s = scores(q, k, seen)
        with torch.no_grad():
            w = torch.exp2(-latency(s, 1 / math.log(2)))
        return borrow(w / w.sum(-1, keepdim=True), s)


def orthogonal(features: int, size: int, seed: int = 0) -> Tensor:
    """Directions (features, size), float64: orthogonal in groups of `size`, as long as Gaussian ones."""
    if features < 1:
        raise ValueError(f"features {features}: must be at least 1")
    dice = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=dice, dtype=torch.float64)

    def rotation() -> Tensor:
        Q, R = torch.linalg.qr(normal(size, size))
        return (Q * R.diag().sign()).T  # without the signs some directions would never be drawn

    groups = [rotation() for _ in range(-(-features // size))]
    return torch.cat(groups)[:features] * normal(features, size).norm(dim=1, keepdim=True)


class Linearised(nn.Module):
    """A_j = phi(q) . phi(k_j) / sum_i phi(q) . phi(k_i), phi(x) = e^(W x - |x|^2 / 2): FAVOR+.

    Choromanski et al., Rethinking attention with Performers, ICLR 2021. Over random W the mean of
    phi(q) . phi(k) is e^(q . k), so with many features this is softmax; and because phi(q) stands alone,
    `running` needs no weights at all. In float64: the features span many powers of ten.
    """

    W: Tensor

    def __init__(self, size: int, features: int = 128, seed: int = 0) -> None:
        super().__init__()
        self.register_buffer("W", orthogonal(features, size, seed))  # (features, E)

    def phi(self, x: Tensor) -> Tensor:
        """x (..., E) -> positive features (..., features)."""
        x = x.double() / x.shape[-1] ** 0.25
        return torch.exp(x @ self.W.T - x.square().sum(-1, keepdim=True) / 2) + 1e-100

    def forward(self, q: Tensor, k: Tensor, seen: Tensor) -> Tensor:
        a = (self.phi(q) @ self.phi(k).transpose(-1, -2)) * seen
        return (a / a.sum(-1, keepdim=True)).to(q.dtype)

    def running(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Causal attention (B, H, L, E) with two running sums of fixed size, whatever the length.

        S_t = S_(t-1) + phi(k_t) v_t^T, n_t = n_(t-1) + phi(k_t), y_t = phi(q_t) S_t / phi(q_t) . n_t.
        """
        f, g = self.phi(q), self.phi(k)
        S = (g.unsqueeze(-1) * v.double().unsqueeze(-2)).cumsum(-3)  # (B, H, L, features, E)
        y = (f.unsqueeze(-2) @ S).squeeze(-2)
        return (y / (f * g.cumsum(-2)).sum(-1, keepdim=True)).to(q.dtype)


SOFTMAX = ("divisive", "squared", "winners", "argmax", "order", "times", "linearised")


def rule(name: str, heads: int, size: int) -> nn.Module:
    """The rule that stands in for softmax: `heads` heads of `size` numbers. ValueError for another name."""
    made: dict[str, nn.Module] = {
        "softmax": Softmax(),
        "divisive": Divisive(heads),
        "squared": Divisive(heads, 2),
        "winners": Winners(4),
        "argmax": Argmax(),
        "order": Order(heads),
        "times": Times(),
        "linearised": Linearised(size),
    }
    if name not in made:
        raise ValueError(f"rule {name!r}: must be one of {', '.join(made)}")
    return made[name]


class Swapped(Attention):
    """The attention `old` with its matrices, and its softmax replaced by `weigh`."""

    def __init__(self, old: Attention, weigh: nn.Module) -> None:
        nn.Module.__init__(self)
        self.heads = old.heads
        self.query, self.key, self.value, self.out = old.query, old.key, old.value, old.out
        self.weigh = weigh

    def forward(
        self, x: Tensor, past: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """As `Attention.forward`."""
        q, k, v = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        if past is not None:
            k, v = torch.cat((past[0], k), dim=2), torch.cat((past[1], v), dim=2)
        L, M = q.shape[2], k.shape[2]
        seen = torch.ones(L, M, dtype=torch.bool, device=x.device).tril(M - L)
        y = self.weigh(q, k, seen) @ v  # (B, H, L, E)
        return self.out(y.transpose(1, 2).flatten(2)), (k, v)
