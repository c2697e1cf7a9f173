"""Calibration: how far the codes shall reach. Farther, and steps are coarse; less far, and numbers are cut.

Four answers, for numbers x that occur n times each:

- max: to the largest number; nothing is cut;
- percentile: to a given share of the numbers (99.9 % of them);
- mse: to where the squared error is least, what is cut and what is rounded together;
- entropy: to where the rounded distribution tells least bits less than the true one (Kullback-Leibler).

Sources: Migacz, 8-bit inference with TensorRT, GTC 2017 (entropy); Wu et al., Integer quantization for deep
learning inference, arXiv 2004.09602, 2020 (section 5 compares max, percentile and entropy).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from neurolab.facts import Question
from neurolab.gptq import batches
from neurolab.quantization import Ranges, code_range, codes, extremes, step_and_zero
from neurolab.transformer import Transformer

METHODS = ("max", "percentile", "mse", "entropy")
PERCENTILE = 99.9  # per cent of the numbers that a percentile keeps
FRACTIONS = 100  # clips that mse tries, in equal steps up to the largest number
BINS = 2048  # of entropy's histogram, as in TensorRT


@dataclass(frozen=True)
class Numbers:
    """Numbers x (N,) and how often each occurs, n (N,), float64: weights as they are, or a histogram."""

    x: Tensor
    n: Tensor

    @classmethod
    def of(cls, x: Tensor) -> Numbers:
        """Every number of x (...) once. ValueError where there is none, or NaN or infinity."""
        if x.numel() == 0 or not torch.isfinite(x).all():
            raise ValueError(f"x of shape {tuple(x.shape)}: must hold a number, and no NaN or infinity")
        flat = x.detach().flatten().double()
        return cls(flat, torch.ones_like(flat))

    def ends(self, affine: bool) -> tuple[float, float]:
        """The smallest and the largest number, stretched to hold 0; symmetric: -m, m."""
        low, high = min(float(self.x.min()), 0.0), max(float(self.x.max()), 0.0)
        return (low, high) if affine else (-max(-low, high), max(-low, high))


def calibrate(
    seen: Numbers, method: str, bits: float, *, affine: bool = False, percentile: float = PERCENTILE
) -> tuple[float, float]:
    """The range (low, high) that gets codes, by one of METHODS. Symmetric ranges are (-c, c).

    ValueError for another method, a percentile outside (50, 100], and bits as `quantization.code_range` says.
    """
    code_range(bits, affine=affine)
    if method == "max":
        return seen.ends(affine)
    if method == "percentile":
        return by_percentile(seen, percentile, affine=affine)
    if method == "mse":
        return by_mse(seen, bits, affine=affine)
    if method == "entropy":
        return by_entropy(seen, bits, affine=affine)
    raise ValueError(f"method {method!r}: must be one of {', '.join(METHODS)}")


def by_percentile(seen: Numbers, percentile: float, *, affine: bool = False) -> tuple[float, float]:
    """Symmetric, the least c with this per cent of all |x| <= c; affine, the rest is cut half at each end."""
    if not 50 < percentile <= 100:
        raise ValueError(f"percentile {percentile!r}: must be above 50 and at most 100")

    def reached(x: Tensor, share: float) -> float:
        order = x.argsort()
        upto = seen.n[order].cumsum(0)
        return float(x[order][int((upto < share * float(upto[-1]) * (1 - 1e-12)).sum())])

    if not affine:
        c = reached(seen.x.abs(), percentile / 100)
        return -c, c
    share = 0.5 + percentile / 200
    return min(-reached(-seen.x, share), 0.0), max(reached(seen.x, share), 0.0)


def costs(
    seen: Numbers, low: float, high: float, bits: float, *, affine: bool = False
) -> tuple[float, float]:
    """Mean squared errors (rounding, clipping): of numbers up to half a step from a code, and the others."""
    lowest, highest = code_range(bits, affine=affine)
    s, z = step_and_zero(torch.tensor(low), torch.tensor(high), bits, affine=affine)
    step, zero = float(s), 0 if z is None else int(z)
    u = seen.x / step
    off = (torch.round(u) + zero).clamp(lowest, highest) - zero - u
    squared = off.square() * seen.n * step**2
    beyond = off.abs() > 0.5
    total = float(seen.n.sum())
    return float(squared[~beyond].sum()) / total, float(squared[beyond].sum()) / total


def by_mse(seen: Numbers, bits: float, *, affine: bool = False) -> tuple[float, float]:
    """The range, of FRACTIONS ones in equal steps up to the largest number, with the least squared error."""
    low, high = seen.ends(affine)
    tried = [i / FRACTIONS for i in range(1, FRACTIONS + 1)]
    best = min(tried, key=lambda f: sum(costs(seen, f * low, f * high, bits, affine=affine)))
    return best * low, best * high


def by_entropy(seen: Numbers, bits: float, *, affine: bool = False, bins: int = BINS) -> tuple[float, float]:
    """The clip whose rounded histogram is nearest to the true one by Kullback-Leibler divergence.

    As in TensorRT: a histogram of |x| (affine: of x); for every clip P, the bins within, what is beyond added
    to the outermost, and Q, the same bins (without the added) merged to as many as there are codes and spread
    again over those that are not empty. Affine, both ends move in proportion.
    """
    low, high = seen.ends(affine)
    levels = 2 ** int(bits) if affine else code_range(bits)[1] + 1
    start = low if affine else 0.0
    if high == start:
        return low, high
    values = seen.x if affine else seen.x.abs()
    counts, _ = np.histogram(values.numpy(), bins, (start, high), weights=seen.n.numpy())
    origin = -start / (high - start) * bins  # 0, in bins
    best, least = 1.0, np.inf
    for i in range(levels, bins + 1):
        f = i / bins
        first, last = round(origin * (1 - f)), round(origin + (bins - origin) * f)
        if last - first >= levels and (cost := divergence(counts, first, last, levels)) < least:
            best, least = f, cost
    return best * low, best * high


def divergence(counts: np.ndarray, first: int, last: int, levels: int) -> float:
    """KL(P || Q) in nats of a histogram cut to bins first..last-1 and merged to so many levels."""
    p = counts[first:last].copy()
    edges = np.round(np.linspace(0, len(p), levels + 1)).astype(int)[:-1]
    merged = np.add.reduceat(p, edges)
    p[0] += counts[:first].sum()
    p[-1] += counts[last:].sum()
    full = p > 0
    filled = np.add.reduceat(full.astype(float), edges)
    each = np.divide(merged, filled, out=np.zeros(levels), where=filled > 0)
    q = np.repeat(each, np.diff([*edges, len(p)]))
    if (q[full] == 0).any():
        return float("inf")
    p, q = p[full] / p.sum(), q[full] / q[full].sum()
    return float((p * np.log(p / q)).sum())


def ranges(method: str, bits: float, *, affine: bool = False, percentile: float = PERCENTILE) -> Ranges:
    """`calibrate` for `quantization.encode`: a range for each n of x (..., n)."""
    if method == "max":
        return extremes

    def find(x: Tensor) -> tuple[Tensor, Tensor]:
        each = [
            calibrate(Numbers.of(row), method, bits, affine=affine, percentile=percentile)
            for row in x.reshape(-1, x.shape[-1])
        ]
        found = torch.tensor(each, dtype=torch.float32).reshape(*x.shape[:-1], 2)
        return found[..., 0], found[..., 1]

    return find


# ---- activations ------------------------------------------------------------------------------------------

OUTPUT = "norm"  # the site of what the output layer is given: what the last LayerNorm says


@contextmanager
def sites(model: Transformer, act: Any) -> Iterator[None]:
    """While open, act(site, x) -> x or None sees (or replaces) what every matrix is given, by its name."""
    with ExitStack() as stack:
        for name, layer in model.named_modules():
            if isinstance(layer, nn.Linear):
                hook = layer.register_forward_pre_hook(lambda _, given, name=name: act(name, given[0]))
                stack.callback(hook.remove)
        hook = model.norm.register_forward_hook(lambda _, _given, made: act(OUTPUT, made))
        stack.callback(hook.remove)
        yield


@torch.no_grad()
def activations(
    model: Transformer, tokenizer: Tokenizer, questions: Sequence[Question], *, bins: int = 2 * BINS
) -> dict[str, Numbers]:
    """Histograms of what every matrix is given over the tokens of questions and answers, by site.

    Two passes: the ends first, then the bins between them. The outermost bins stand for the ends themselves.
    """
    ends: dict[str, tuple[float, float]] = {}
    counts: dict[str, Tensor] = {}
    tokens: dict[str, Tensor] = {}

    def widen(site: str, x: Tensor) -> None:
        low, high = ends.get(site, (0.0, 0.0))
        ends[site] = min(low, float(x[tokens["real"]].min())), max(high, float(x[tokens["real"]].max()))

    def count(site: str, x: Tensor) -> None:
        low, high = ends[site]
        counts[site] = counts.get(site, 0) + torch.histc(x[tokens["real"]], bins, low, high).double()

    for act in (widen, count):
        with sites(model, act):
            for ids, tokens["real"], _ in batches(tokenizer, questions):
                model.features(ids)
    found = {}
    for site, (low, high) in ends.items():
        x = low + (torch.arange(bins, dtype=torch.float64) + 0.5) * (high - low) / bins
        x[0], x[-1] = low, high
        kept = counts[site] > 0
        found[site] = Numbers(x[kept], counts[site][kept])
    return found


@contextmanager
def rounded_activations(
    model: Transformer, reach: Mapping[str, tuple[float, float]], bits: int
) -> Iterator[None]:
    """While open, what every matrix is given is rounded to affine codes over the site's range, and back.

    ValueError for a site of the model that `reach` does not hold.
    """
    lowest, highest = code_range(bits, affine=True)
    grids = {
        site: step_and_zero(torch.tensor(low), torch.tensor(high), bits, affine=True)
        for site, (low, high) in reach.items()
    }

    def act(site: str, x: Tensor) -> Tensor:
        if site not in grids:
            raise ValueError(f"reach has no range for {site!r}")
        s, z = grids[site]
        assert z is not None
        return (codes(x, s, z, lowest, highest) - z).float() * s

    with sites(model, act):
        yield
