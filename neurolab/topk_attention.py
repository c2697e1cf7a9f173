"""Attention that looks at fewer keys: exact top-k by hand, shared key pruning, and a budget of tiles.

    dense      o_i = sum_j softmax_j(z_i)_j v_j,  z_ij = q_i k_j / sqrt(E)          2 N M E multiply-adds
    top-k      the same over the k largest z_ij of each query i, so all z_ij first  N M E + N k E
    shared     one set of m keys for all queries of a head, chosen by a few probes  2 P M E + 2 N m E
    budgeted   tiles of b queries x b keys, the best by their mean q and mean k     N M E / b^2 + 2 s N M E

Shapes: q (B, H, N, E); k, v (B, H, M, E): B pictures, H heads, N queries, M keys, E numbers in a head.
P probes; s the share of the tiles. All of it for inference: no gradients.

Gupta et al., *Memory-efficient Transformers via Top-k Attention*, 2021 (top-k); Zhang et al., *H2O*, 2023,
and Li et al., *SnapKV*, 2024 (which keys matter, by what some queries look at); Jiang et al., *MInference*,
2024 (tiles by pooled queries and keys).
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from neurolab.neurons_fast import has_numba
from neurolab.topk_kernel import first_guess, kernels

EXACT = ("masked", "gathered", "compiled")  # ways to the same numbers
ROWS = 64  # queries at a time in "compiled", so that their scores stay in the cache
TILE = 32  # queries and keys in a tile
PROBES = 32  # queries that vote on the shared keys


def _check(q: Tensor, k: Tensor, v: Tensor, keep: int, name: str = "keep", most: int | None = None) -> None:
    """ValueError for shapes that do not fit or a `keep` outside 1..most (default: the number of keys)."""
    if q.ndim != 4 or k.shape != v.shape or q.shape[:2] != k.shape[:2] or q.shape[3] != k.shape[-1]:
        shapes = ", ".join(str(tuple(x.shape)) for x in (q, k, v))
        raise ValueError(f"q, k, v of shapes {shapes}: must be (B, H, N, E), (B, H, M, E), (B, H, M, E)")
    most = k.shape[2] if most is None else most
    if isinstance(keep, bool) or not isinstance(keep, int) or not 1 <= keep <= most:
        raise ValueError(f"{name} {keep!r}: must be a whole number from 1 to {most}")


@torch.no_grad()
def dense(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Every key for every query, by torch's fused kernel: (B, H, N, E)."""
    return F.scaled_dot_product_attention(q, k, v)


@torch.no_grad()
def topk_masked(q: Tensor, k: Tensor, v: Tensor, keep: int) -> Tensor:
    """Exact top-k as it is mostly written: all scores, all but `keep` masked out, a dense product."""
    _check(q, k, v, keep)
    z = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5  # (B, H, N, M)
    top = z.topk(keep, dim=-1, sorted=False)
    z = torch.full_like(z, -torch.inf).scatter(-1, top.indices, top.values)
    return z.softmax(-1) @ v


@torch.no_grad()
def topk_gathered(q: Tensor, k: Tensor, v: Tensor, keep: int) -> Tensor:
    """Exact top-k that fetches only the chosen values: N k E multiply-adds after the choice."""
    _check(q, k, v, keep)
    B, H, M, E = v.shape
    z = q @ k.transpose(-1, -2) / E**0.5
    top = z.topk(keep, dim=-1, sorted=False)  # (B, H, N, k)
    rows = top.indices + torch.arange(B * H).view(B, H, 1, 1) * M
    chosen = v.reshape(-1, E)[rows.flatten()].view(-1, keep, E)  # (B H N, k, E)
    return (top.values.softmax(-1).view(-1, 1, keep) @ chosen).view(q.shape)


@torch.no_grad()
def topk_compiled(q: Tensor, k: Tensor, v: Tensor, keep: int, rows: int = ROWS) -> Tensor:
    """Exact top-k with loops of our own (`topk_kernel`), `rows` queries at a time, float32.

    RuntimeError without the optional numba.
    Scores that are equal but for rounding may be taken in another order than by the other two.
    """
    _check(q, k, v, keep)
    if q.dtype != torch.float32 or q.device.type != "cpu":
        raise ValueError(f"q of {q.dtype} on {q.device}: the compiled top-k takes float32 on the CPU")
    if not has_numba():
        raise RuntimeError("the compiled top-k needs the optional numba; method 'masked' does without")
    B, H, N, E = q.shape
    M, kernel, z = k.shape[2], kernels(), first_guess(keep, k.shape[2])
    out = torch.empty(B * H, N, E)
    scaled = q.reshape(B * H, N, E) * E**-0.5
    keys, values = k.reshape(B * H, M, E).transpose(1, 2), v.reshape(B * H, M, E).contiguous().numpy()
    scores = torch.empty(B * H * min(rows, N) * M)
    for i in range(0, N, rows):
        n = min(rows, N - i)
        z_i = scores[: B * H * n * M].view(B * H, n, M)
        torch.matmul(scaled[:, i : i + n], keys, out=z_i)
        chosen = torch.empty(B * H * n, keep)
        places = torch.empty(B * H * n, keep, dtype=torch.int32)
        kernel.choose(z_i.view(-1, M).numpy(), z, chosen.numpy(), places.numpy())
        weights = chosen.softmax(-1).view(B * H, n, keep).numpy()
        for h in range(B * H):
            kernel.mix(
                weights[h], places.view(B * H, n, keep)[h].numpy(), values[h], out[h, i : i + n].numpy()
            )
    return out.view(q.shape)


def topk(q: Tensor, k: Tensor, v: Tensor, keep: int, method: str | None = None) -> Tensor:
    """Exact top-k attention (B, H, N, E): each query over its `keep` keys of the largest scores.

    method: one of `EXACT`; None takes the compiled one where numba is there. ValueError for another method,
    another number of keys than 1 to M, shapes that do not fit.
    """
    method = method or ("compiled" if has_numba() else "masked")
    calls = {"masked": topk_masked, "gathered": topk_gathered, "compiled": topk_compiled}
    if method not in calls:
        raise ValueError(f"method {method!r}: must be one of {', '.join(EXACT)}")
    return calls[method](q, k, v, keep)


@torch.no_grad()
def importance(q: Tensor, k: Tensor, probes: int = PROBES) -> Tensor:
    """How much each key is looked at, (B, H, M): its weight, the mean of `probes` evenly spaced queries."""
    _check(q, k, k, probes, "probes", max(probes, 1))
    chosen = q[:, :, torch.linspace(0, q.shape[2] - 1, min(probes, q.shape[2])).long()]
    return (chosen @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1).mean(-2)


@torch.no_grad()
def shared_keys(
    q: Tensor, k: Tensor, v: Tensor, keep: int, weights: Tensor | None = None, probes: int = PROBES
) -> Tensor:
    """All queries of a head over the same `keep` keys, physically packed: (B, H, N, E).

    weights (B, H, M): how much each key matters, default `importance`. Never chooses by the N M scores, which
    is why it is quick; a key that one query alone needs is lost.
    """
    _check(q, k, v, keep)
    weights = importance(q, k, probes) if weights is None else weights
    if weights.shape != k.shape[:3]:
        raise ValueError(f"weights of shape {tuple(weights.shape)}: must be {tuple(k.shape[:3])}")
    at = weights.topk(keep, dim=-1, sorted=False).indices[..., None].expand(-1, -1, -1, k.shape[3])
    return F.scaled_dot_product_attention(q, k.gather(2, at), v.gather(2, at))


@torch.no_grad()
def tiles(q: Tensor, k: Tensor, budget: float, tile: int = TILE) -> Tensor:
    """Which tiles of b x b scores are worth making: (B, H, N / b, M / b) bool, the share `budget` of them.

    Tiles are scored by their mean query and mean key, as softmax over a row; the budget belongs to a picture,
    so that heads and queries that look at one spot leave theirs to those that look about. Every row of tiles
    keeps its best one. ValueError where b does not divide N and M, or the budget is less than one tile a row.
    """
    _check(q, k, k, 1)
    if not isinstance(tile, int) or tile < 1 or q.shape[2] % tile or k.shape[2] % tile:
        raise ValueError(f"tile {tile!r}: must divide {q.shape[2]} queries and {k.shape[2]} keys")
    B, H, n, m = *q.shape[:2], q.shape[2] // tile, k.shape[2] // tile
    count = round(budget * H * n * m)
    if not 0 < budget <= 1 or count < H * n:
        raise ValueError(f"budget {budget!r}: must be from {1 / m:.4g} (a tile a row) to 1")
    mean_q, mean_k = q.unflatten(2, (n, tile)).mean(3), k.unflatten(2, (m, tile)).mean(3)
    shares = (mean_q @ mean_k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)  # (B, H, n, m)
    shares = shares.scatter(-1, shares.argmax(-1, keepdim=True), torch.inf)
    chosen = shares.flatten(1).topk(count, dim=-1).indices
    found = torch.zeros(B, H * n * m, dtype=torch.bool).scatter_(1, chosen, True)
    return found.view(B, H, n, m)


@torch.no_grad()
def budgeted(q: Tensor, k: Tensor, v: Tensor, chosen: Tensor) -> Tensor:
    """Attention over the tiles that `tiles` chose, (B, H, n, m) bool: (B, H, N, E).

    Rows of tiles with equally many are packed together and go through the fused kernel in one call.
    """
    _check(q, k, v, 1)
    B, H, N, E = q.shape
    if chosen.ndim != 4 or chosen.shape[:2] != (B, H) or not bool(chosen.any(-1).all()):
        raise ValueError(
            f"chosen of shape {tuple(chosen.shape)}: must be (B, H, n, m), a tile at least in every row"
        )
    n, m = chosen.shape[2:]
    queries = q.reshape(B * H * n, N // n, E)
    keys, values = (x.reshape(B * H, m, -1) for x in (k, v))  # a tile in a row
    rows, counts = chosen.view(-1, m), chosen.view(-1, m).sum(-1)
    out = torch.empty_like(queries)
    for count in counts.unique().tolist():
        at = (counts == count).nonzero().squeeze(1)  # rows of tiles with `count` of them
        place = rows[at].nonzero()[:, 1].view(-1, count) + (at // n * m)[:, None]
        k_at, v_at = (x.flatten(0, 1)[place.flatten()].view(len(at), 1, -1, E) for x in (keys, values))
        out[at] = F.scaled_dot_product_attention(queries[at][:, None], k_at, v_at)[:, 0]
    return out.view(q.shape)


@lru_cache(maxsize=64)
def macs(
    method: str, N: int, M: int, E: int, H: int, keep: float = 0, tile: int = TILE, probes: int = PROBES
) -> dict[str, float]:
    """Multiply-adds of one picture's attention: "choice" of what to look at, and "after" it.

    method: "dense", "topk", "shared" (keep: keys) or "budgeted" (keep: the share of the tiles). Softmax is
    left out, as everywhere in the course. ValueError for another method.
    """
    made = {
        "dense": (0.0, 2.0 * N * M * E),
        "topk": (1.0 * N * M * E, 1.0 * N * keep * E),
        "shared": (1.0 * min(probes, N) * M * E, 2.0 * N * keep * E),
        "budgeted": (1.0 * (N // tile) * (M // tile) * E, 2.0 * keep * N * M * E),
    }
    if method not in made:
        raise ValueError(f"method {method!r}: must be one of {', '.join(made)}")
    choice, after = made[method]
    return {"choice": H * choice, "after": H * after}
