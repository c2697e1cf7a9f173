"""A mixture of experts: many small feed-forward networks; each token goes through the best one or two.

    p = softmax(W_r x),  i in top(p):  y = sum_i g_i E_i(x),  E_i(x) = W2_i gelu(W1_i x + b1_i) + b2_i
    balance = n sum_i f_i P_i,  f_i the share of tokens sent to expert i, P_i the mean of p_i

T tokens, D width, C hidden numbers of one expert, n experts, m of them for each token. With m = 1 the weight
is g = p_i (Fedus et al., *Switch Transformers*, 2021, eq. 2 and 4 to 6); with m = 2 the two p are divided by
their sum (Lepikhin et al., *GShard*, 2020). Nobody is turned away: an expert takes all tokens sent to it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Route(NamedTuple):
    """p (T, n): the router's probabilities; chosen (T, m) int64 and weight (T, m): where each token goes."""

    p: Tensor
    chosen: Tensor
    weight: Tensor


def route(scores: Tensor, m: int = 1) -> Route:
    """The router's scores (T, n) -> where the tokens go. ValueError for m outside 1..n."""
    if scores.ndim != 2 or isinstance(m, bool) or not isinstance(m, int) or not 1 <= m <= scores.shape[1]:
        raise ValueError(f"m {m!r} with scores of shape {tuple(scores.shape)}: must be (T, n) and 1 to n")
    p = scores.softmax(-1)
    weight, chosen = p.topk(m, dim=-1)
    return Route(p, chosen, weight if m == 1 else weight / weight.sum(-1, keepdim=True))


def shares(found: Route) -> Tensor:
    """f (n): the share of the places (tokens times m) that each expert was given; sums to 1."""
    count = torch.bincount(found.chosen.flatten(), minlength=found.p.shape[1])
    return count / found.chosen.numel()


def balance(found: Route) -> Tensor:
    """The load-balance loss, a scalar: 1 if all experts get alike, n if one gets everything.

    Its gradient goes through P alone: an expert that has many tokens is made less likely (Switch, eq. 4).
    """
    return found.p.shape[1] * (shares(found) * found.p.mean(0)).sum()


class Experts(nn.Module):
    """x (T, D) -> (T, D), through m of n experts. `last` keeps the last call's `Route`.

    ValueError for sizes below 1 or m above n.
    """

    def __init__(self, width: int, hidden: int, experts: int, m: int = 1) -> None:
        super().__init__()
        sizes = {"width": width, "hidden": hidden, "experts": experts, "m": m}
        for name, value in sizes.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} {value!r}: must be a whole number of at least 1")
        if m > experts:
            raise ValueError(f"m {m}: must be at most the number of experts, {experts}")
        self.m = m
        self.router = nn.Linear(width, experts, bias=False)
        self.up = nn.Parameter(torch.empty(experts, hidden, width).uniform_(-1, 1) * width**-0.5)
        self.up_bias = nn.Parameter(torch.zeros(experts, hidden))
        self.down = nn.Parameter(torch.empty(experts, width, hidden).uniform_(-1, 1) * hidden**-0.5)
        self.down_bias = nn.Parameter(torch.zeros(experts, width))
        self.last: Route | None = None

    def expert(self, i: int, x: Tensor) -> Tensor:
        """Expert i alone: x (t, D) -> (t, D)."""
        hidden = F.gelu(F.linear(x, self.up[i], self.up_bias[i]))
        return F.linear(hidden, self.down[i], self.down_bias[i])

    def forward(self, x: Tensor) -> Tensor:
        """Each expert computes the tokens sent to it, packed, and no others."""
        found = self.last = route(self.router(x), self.m)
        order = found.chosen.flatten().argsort(stable=True)  # places, expert after expert
        counts = torch.bincount(found.chosen.flatten(), minlength=len(self.up)).tolist()
        token = order // self.m
        packed = x[token].split(counts)
        made = torch.cat([self.expert(i, part) for i, part in enumerate(packed) if len(part)])
        weighted = made * found.weight.flatten()[order][:, None]
        return torch.zeros_like(x).index_add(0, token, weighted)

    def everyone(self, x: Tensor) -> Tensor:
        """The same answer the slow way: every expert computes every token, and most of it is thrown away."""
        found = route(self.router(x), self.m)
        weight = torch.zeros_like(found.p).scatter(1, found.chosen, found.weight)  # (T, n)
        return sum(
            (weight[:, i : i + 1] * self.expert(i, x) for i in range(len(self.up))), torch.zeros_like(x)
        )
