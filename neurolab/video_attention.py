"""The video network with another attention, or with fewer heads, chosen for each clip.

A **rule** stands in for softmax attention: (q, k, v), each (B, H, L, E), -> (B, H, L, E); L = 1 + N, the
readout token first. **Heads by frame**: a gate looks at the tokens' mean and spread before each block and
says how much each head is going to add; the others are left out, packed (their matrices are not multiplied),
and what they add on average is added instead. The gate is a ridge regression on the dense network's own
heads, so nothing is trained. Static head pruning: Michel et al., *Are Sixteen Heads Really Better than One?*,
2019; heads chosen by picture: Meng et al., *AdaViT*, 2022.

Shapes: B clips, N tubelets, L = 1 + N, D width, H heads, E = D / H, K layers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from neurolab import topk_attention, video, video_net
from neurolab.topk_attention import TILE
from neurolab.video_net import Block, Seen, VideoConfig, VideoTransformer

Rule = Callable[[Tensor, Tensor, Tensor], Tensor]
RULES = ("topk", "shared", "budgeted")
RIDGE = 0.3  # of the features' mean square


def tile(N: int) -> int:
    """Queries and keys in a tile: larger ones where there are more, so that packing them stays cheap."""
    return TILE if N <= 512 else 2 * TILE


def rule(name: str, keep: float) -> Rule:
    """A rule by name. keep: keys of each query ("topk"), of each head ("shared"); the share of tiles
    ("budgeted", where the readout looks at everything and nothing but the readout looks at it).

    ValueError for another name.
    """
    if name == "topk":
        return lambda q, k, v: topk_attention.topk(q, k, v, int(keep))
    if name == "shared":
        return lambda q, k, v: topk_attention.shared_keys(q, k, v, int(keep))
    if name != "budgeted":
        raise ValueError(f"rule {name!r}: must be one of {', '.join(RULES)}")

    def by_tiles(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        first = F.scaled_dot_product_attention(q[:, :, :1], k, v)
        q, k, v = (x[:, :, 1:] for x in (q, k, v))
        chosen = topk_attention.tiles(q, k, keep, tile(q.shape[2]))
        return torch.cat((first, topk_attention.budgeted(q, k, v, chosen)), 2)

    return by_tiles


@torch.no_grad()
def look(net: VideoTransformer, frames: Tensor, by: Rule) -> Seen:
    """The answer for frames (B, F, S, S) with the rule `by` in place of softmax attention in every block."""
    tokens = video.tubelets(frames)
    places = torch.arange(tokens.shape[1])
    x = net.embed(tokens, places)
    for block in net.blocks:
        assert isinstance(block, Block)
        x = x + block.out(by(*block.split(x)).transpose(1, 2).flatten(2))
        x = x + block.down(F.gelu(block.up(block.norm2(x))))
    return net.read(x, places)


def macs(config: VideoConfig, name: str, keep: float) -> dict[str, float]:
    """Multiply-adds of one clip by part with a rule, choosing included."""
    parts: dict[str, float] = {**video_net.macs(config)}
    L, N, E, H = 1 + config.tokens, config.tokens, config.width // config.heads, config.heads
    if name == "budgeted":
        made = topk_attention.macs(name, N, N, E, H, keep, tile(N))
        made["after"] += 2.0 * L * E * H  # the readout
    else:
        made = topk_attention.macs(name, L, L, E, H, keep)
    return parts | {"attention": config.layers * sum(made.values())}


class HeadGate(NamedTuple):
    """weight (K, 2 D, H), bias (K, H): from `features`, what a head is expected to add (root mean square
    over tokens and numbers). means (K, H, D): what it adds on average. usual (K, H): how much, mostly.
    """

    weight: Tensor
    bias: Tensor
    means: Tensor
    usual: Tensor


def features(x: Tensor) -> Tensor:
    """x (B, L, D) -> (B, 2 D): the tokens' mean and their standard deviation, number by number."""
    return torch.cat((x.mean(1), x.std(1, correction=0)), -1)


def _mixed(block: Block, x: Tensor) -> Tensor:
    """What every head adds to x (B, L, D): (B, H, L, D), without the bias of `out`."""
    y = F.scaled_dot_product_attention(*block.split(x))  # (B, H, L, E)
    per_head = block.out.weight.unflatten(1, (block.heads, -1))  # (D, H, E)
    return torch.einsum("bhle,dhe->bhld", y, per_head)


@torch.no_grad()
def fit_gate(net: VideoTransformer, frames: Tensor, batch: int = 32) -> HeadGate:
    """A gate from frames (B, F, S, S), as many as 2 D or more: its expectations by ridge regression.

    ValueError for fewer.
    """
    if len(frames) < 2 * net.config.width:
        raise ValueError(f"frames: {len(frames)} clips; a gate needs at least {2 * net.config.width}")
    K, H, D = net.config.layers, net.config.heads, net.config.width
    seen: list[list[Tensor]] = [[] for _ in range(K)]
    added: list[list[Tensor]] = [[] for _ in range(K)]
    means = torch.zeros(K, H, D)
    for part in frames.split(batch):
        tokens = video.tubelets(part)
        x = net.embed(tokens, torch.arange(tokens.shape[1]))
        for i, block in enumerate(net.blocks):
            assert isinstance(block, Block)
            made = _mixed(block, x)
            seen[i].append(features(x))
            added[i].append(made.square().mean((2, 3)).sqrt())
            means[i] += made.mean(2).sum(0) / len(frames)
            x = net.block(i, x)
    weight, bias, usual = torch.empty(K, 2 * D, H), torch.empty(K, H), torch.empty(K, H)
    for i in range(K):
        X, Y = torch.cat(seen[i]).double(), torch.cat(added[i]).double()
        a, b = X - X.mean(0), Y - Y.mean(0)
        ridge = RIDGE * a.square().mean() * len(X)
        W = torch.linalg.solve(a.T @ a + ridge * torch.eye(2 * D, dtype=torch.float64), a.T @ b)
        weight[i], bias[i], usual[i] = W, Y.mean(0) - X.mean(0) @ W, Y.mean(0)
    return HeadGate(weight, bias, means, usual)


def choose(gate: HeadGate, i: int, x: Tensor, keep: int, by: str = "frame") -> Tensor:
    """The heads of block i to compute for x (B, L, D): (B, keep), rising.

    by: "frame" asks the gate; "static" takes those that add most on average. ValueError for another, or keep
    outside 1..H.
    """
    H = gate.usual.shape[1]
    if isinstance(keep, bool) or not isinstance(keep, int) or not 1 <= keep <= H:
        raise ValueError(f"keep {keep!r}: must be a whole number from 1 to {H}")
    if by not in ("frame", "static"):
        raise ValueError(f"by {by!r}: must be 'frame' or 'static'")
    score = features(x) @ gate.weight[i] + gate.bias[i] if by == "frame" else gate.usual[i].expand(len(x), -1)
    return score.topk(keep, dim=-1).indices.sort(-1).values


def few_heads(block: Block, x: Tensor, heads: Tensor, means: Tensor) -> Tensor:
    """One block on x (1, L, D) with only `heads` (h,) computed; means (H, D) stands in for the others."""
    D, H = x.shape[-1], block.heads
    matrix = block.qkv.weight.view(3, H, -1, D)[:, heads].flatten(0, 2)  # (3 h E, D)
    bias = block.qkv.bias.view(3, H, -1)[:, heads].flatten()
    q, k, v = F.linear(block.norm1(x), matrix, bias).unflatten(-1, (3, len(heads), -1)).permute(2, 0, 3, 1, 4)
    y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)  # (1, L, h E)
    out = block.out.weight.view(D, H, -1)[:, heads].flatten(1)  # (D, h E)
    left_out = means.sum(0) - means[heads].sum(0)
    x = x + F.linear(y, out, block.out.bias + left_out)
    made: Tensor = x + block.down(F.gelu(block.up(block.norm2(x))))
    return made


@torch.no_grad()
def look_with_heads(
    net: VideoTransformer, frames: Tensor, gate: HeadGate, keep: int, by: str = "frame"
) -> Seen:
    """The answer with `keep` heads in each block: packed for one clip, masked for several (equal answers)."""
    tokens = video.tubelets(frames)
    places = torch.arange(tokens.shape[1])
    x = net.embed(tokens, places)
    for i, block in enumerate(net.blocks):
        assert isinstance(block, Block)
        heads = choose(gate, i, x, keep, by)
        if len(x) == 1:
            x = few_heads(block, x, heads[0], gate.means[i])
            continue
        on = torch.zeros(len(x), block.heads).scatter_(1, heads, 1.0)  # (B, H)
        y = F.scaled_dot_product_attention(*block.split(x)) * on[:, :, None, None]
        left_out = (1 - on) @ gate.means[i]  # (B, D)
        x = x + block.out(y.transpose(1, 2).flatten(2)) + left_out[:, None]
        x = x + block.down(F.gelu(block.up(block.norm2(x))))
    return net.read(x, places)


def head_macs(config: VideoConfig, keep: int, by: str = "frame") -> dict[str, float]:
    """Multiply-adds of one clip by part with `keep` heads in each block, the gate included."""
    parts: dict[str, float] = {**video_net.macs(config)}
    share = keep / config.heads
    gate = config.layers * 2 * config.width * config.heads if by == "frame" else 0
    return parts | {
        "projections": parts["projections"] * share,
        "attention": parts["attention"] * share,
        "gate": gate,
    }
