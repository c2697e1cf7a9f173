"""`neurolab bench lif`: the neurons of chapter 2 beside snnTorch's, bit by bit and second by second.

Everything runs on one thread, in pairs (ours, theirs, ours, theirs, ...) in one run. snnTorch is used as its
tutorials do: a Python loop over the steps, the network's layers inside it, no gradients where none are
wanted. Bits first: what is timed is compared too, and `lif.timed_paths_differing` counts the spikes and
membranes that differ.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from neurolab.benchmark import Finding, Goal, Ratio, paired
from neurolab.neurons import lif
from neurolab.neurons_fast import has_numba

CHAPTER = 2
GOALS = [
    Goal("lif.spikes_differing", 0, "lower", "spikes", "spikes that differ from snnTorch's, of 1e8"),
    Goal(
        "lif.gradient_difference",
        1e-6,
        "lower",
        "",
        "largest difference of a gradient, over the largest gradient",
    ),
    Goal(
        "lif.timed_paths_differing",
        0,
        "lower",
        "values",
        "spikes and membranes of the timed runs that differ",
    ),
    Goal(
        "lif.one_neuron_vs_snntorch", 200, "higher", "x", "1 neuron, 1,000 steps, membrane kept, no compiler"
    ),
    Goal("lif.many_torch_vs_snntorch", 6, "higher", "x", "1,000 neurons, 1,000 steps, plain torch"),
    Goal("lif.many_numba_vs_snntorch", 400, "higher", "x", "1,000 neurons, 1,000 steps, numba"),
    Goal("lif.wide_vs_copy", 1.6, "lower", "x", "100,000 neurons, 256 steps, over copying the same bytes"),
    Goal("lif.mlp_vs_snntorch", 8, "higher", "x", "784-256-10, batch 128, T = 25, forward and backward"),
    Goal(
        "lif.grid_batch1_vs_snntorch", 200, "higher", "x", "32 settings of the same network, batch 1, forward"
    ),
    Goal(
        "lif.grid_batch128_vs_snntorch",
        25,
        "higher",
        "x",
        "32 settings of the same network, batch 128, forward",
    ),
]
BETA, THETA, T = 0.9, 1.0, 25
NO_NUMBA = "the optional package numba is not installed"


def snntorch_run(x: Tensor, beta: float, theta: float, reset: str = "subtract") -> tuple[Tensor, Tensor]:
    """snnTorch's own loop. x (T, N). Returns spikes and membranes, (T, N) each."""
    import snntorch

    neuron = snntorch.Leaky(beta=beta, threshold=theta, reset_mechanism=reset)
    v, S, V = torch.zeros_like(x[0]), [], []
    with torch.no_grad():
        for x_t in x:
            s, v = neuron(x_t, v)
            S.append(s)
            V.append(v)
    return torch.stack(S), torch.stack(V)


def network(seed: int = 0) -> nn.ModuleDict:
    """The perceptron 784-256-10 that both sides use."""
    torch.manual_seed(seed)
    return nn.ModuleDict({"fc1": nn.Linear(784, 256), "fc2": nn.Linear(256, 10)})


def snntorch_net(net: nn.ModuleDict, x: Tensor, beta: float, theta: float, steps: int = T) -> Tensor:
    """Spike counts (B, 10) of snnTorch's usual loop; x (B, 784) is shown at every step."""
    import snntorch

    lif1, lif2 = (snntorch.Leaky(beta=beta, threshold=theta) for _ in range(2))
    v1, v2, count = torch.zeros(len(x), 256), torch.zeros(len(x), 10), torch.zeros(len(x), 10)
    for _ in range(steps):
        s1, v1 = lif1(net["fc1"](x), v1)
        s2, v2 = lif2(net["fc2"](s1), v2)
        count = count + s2
    return count


def our_net(
    net: nn.ModuleDict, x: Tensor, beta: float, theta: float, steps: int = T, path: str = "auto"
) -> Tensor:
    """The same counts (B, 10): the picture stands still, so the first layer runs once."""
    s1 = lif(net["fc1"](x), beta, theta, T=steps, path=path).s
    return lif(net["fc2"](s1), beta, theta, path=path).s.sum(0)


@torch.inference_mode()
def our_grid(net: nn.ModuleDict, x: Tensor, betas: Tensor, thetas: Tensor, steps: int = T) -> Tensor:
    """Spike counts (G, B, 10) for G settings of beta and theta at once; x (B, 784)."""
    c1 = net["fc1"](x)  # (B, 256), the same for every setting
    G, B = len(betas), len(x)
    if B * G <= 256:  # small: one sequence with a setting per neuron
        b, th = (a.view(G, 1, 1).expand(G, B, 256).contiguous() for a in (betas, thetas))
        s1 = lif(c1.expand(G, B, 256), b, th, T=steps).s
        b, th = (a.view(G, 1, 1).expand(G, B, 10).contiguous() for a in (betas, thetas))
        return lif(net["fc2"](s1), b, th).s.sum(0)
    s1, s2 = (
        torch.empty(steps, B, 256),
        torch.empty(steps, B, 10),
    )  # large: one setting at a time stays in the cache
    counts = []
    for b, th in zip(betas.tolist(), thetas.tolist(), strict=True):
        lif(c1, b, th, T=steps, out=s1)
        counts.append(lif(net["fc2"](s1), b, th, out=s2).s.sum(0))
    return torch.stack(counts)


def settings() -> tuple[Tensor, Tensor]:
    """The grid: 8 leaks and 4 thresholds, (32,) each."""
    pairs = list(itertools.product(np.linspace(0.6, 0.95, 8), (0.5, 0.75, 1.0, 1.5)))
    return torch.tensor([b for b, _ in pairs], dtype=torch.float32), torch.tensor([t for _, t in pairs])


def count_differing(entries: int, seed: int = 0) -> int:
    """Spikes of our paths that differ from snnTorch's: inputs random and dyadic (many ties)."""
    chooser = np.random.default_rng(seed)
    source = torch.Generator().manual_seed(seed)
    N, steps, wrong, done = 10_000, 250, 0, 0
    while done < entries:
        dyadic = bool(chooser.integers(2))
        beta = float(chooser.choice([0.5, 0.75, 0.875, 1.0])) if dyadic else float(chooser.uniform(0, 1))
        theta = float(chooser.choice([0.5, 1.0, 2.0])) if dyadic else float(chooser.uniform(0.2, 2))
        reset = "zero" if chooser.integers(4) == 0 else "subtract"
        x = torch.rand(steps, N, generator=source) * 1.2 - 0.2
        x = torch.round(x * 64) / 64 if dyadic else x
        S, V = snntorch_run(x, beta, theta, reset)
        for path in ("torch", "numba") if has_numba() else ("torch",):
            wrong += int((lif(x, beta, theta, reset, path=path).s != S).sum())
        for j in range(4):
            run = lif(x[:, j], beta, theta, reset, path="python", trace=True)
            wrong += _differing(run.s, S[:, j]) + _differing(run.V, V[:, j])
        done += x.numel()
    return wrong


def gradient_difference(path: str = "auto", seeds: int = 3) -> float:
    """Largest |ours - snnTorch's| of all weights' gradients, over the largest gradient of that matrix."""
    worst = 0.0
    for seed in range(seeds):
        net, (x, y) = network(seed), batch(128, seed)
        grads = []
        for forward in (_bind(our_net, path=path), snntorch_net):
            net.zero_grad()
            cross_entropy(forward(net, x, BETA, THETA), y).backward()
            grads.append([p.grad.clone() for p in net.parameters() if p.grad is not None])
        for ours, theirs in zip(*grads, strict=True):
            worst = max(worst, float((ours - theirs).abs().max() / theirs.abs().max()))
    return worst


def batch(size: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Pictures (size, 784) in [0, 1] and labels (size,), drawn at random."""
    source = torch.Generator().manual_seed(seed)
    return torch.rand(size, 784, generator=source), torch.randint(10, (size,), generator=source)


def _differing(a: Tensor | None, b: Tensor) -> int:
    return b.numel() if a is None else int(torch.ne(a, b).sum())


@contextmanager
def one_thread() -> Iterator[None]:
    """torch on one thread while open."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def run(quick: bool = False, progress: Callable[[str], None] | None = None) -> list[Finding]:
    """Measure all goals; quick: fewer entries and pairs."""
    say = progress or (lambda line: None)
    with one_thread():
        return _run(5 if quick else 11, int(1e7 if quick else 1e8), say)


def _run(pairs: int, entries: int, say: Callable[[str], None]) -> list[Finding]:
    found: list[Finding] = []
    say(f"spikes against snnTorch, {entries:.0e} entries")
    found.append(Finding("lif.spikes_differing", count_differing(entries), setting={"entries": entries}))
    say("gradients against snnTorch")
    found.append(Finding("lif.gradient_difference", gradient_difference()))
    source, wrong = torch.Generator().manual_seed(1), 0

    say("one neuron, 1,000 steps")
    x1 = torch.rand(1000, 1, generator=source) * 0.4
    one = lif(x1, BETA, THETA, path="python", trace=True)
    S, V = snntorch_run(x1, BETA, THETA)
    wrong += _differing(one.s, S) + _differing(one.V, V)
    ratio = paired(
        lambda: lif(x1, BETA, THETA, path="python", trace=True),
        lambda: snntorch_run(x1, BETA, THETA),
        pairs=pairs,
    )
    found.append(Finding.of("lif.one_neuron_vs_snntorch", ratio))

    x = torch.rand(1000, 1000, generator=source) * 0.4
    S, out = snntorch_run(x, BETA, THETA)[0], torch.empty(1000, 1000)
    for path in ("torch", "numba"):
        goal = f"lif.many_{path}_vs_snntorch"
        if path == "numba" and not has_numba():
            found.append(Finding(goal, why=NO_NUMBA))
            continue
        say(f"1,000 neurons, 1,000 steps, {path}")
        wrong += _differing(lif(x, BETA, THETA, path=path, out=out).s, S)
        ours = _bind(lif, x, BETA, THETA, path=path, out=out)
        inner = (200 if path == "numba" else 5, 1)  # as long a look at ours as at theirs
        found.append(Finding.of(goal, paired(ours, lambda: _spikes_only(x), pairs=pairs, inner=inner)))

    say("100,000 neurons, 256 steps, beside a copy")
    found.append(_wide(pairs, source))
    wrong += int(found[-1].figures.get("differing", 0))

    say("784-256-10, forward and backward")
    net, (pictures, labels) = network(), batch(128)
    theirs = _trained(snntorch_net, net, pictures, labels)
    found.append(
        Finding.of(
            "lif.mlp_vs_snntorch", paired(_trained(our_net, net, pictures, labels), theirs, pairs=pairs)
        )
    )
    plain = paired(_trained(_bind(our_net, path="torch"), net, pictures, labels), theirs, pairs=pairs)
    found.append(Finding(None, plain.median, (plain.low, plain.high), name="lif.mlp_torch_vs_snntorch"))

    betas, thetas = settings()
    for size in (1, 128):
        say(f"32 settings, batch {size}")
        pictures, _ = batch(size)
        ours_grid, theirs_grid = (
            _bind(our_grid, net, pictures, betas, thetas),
            _bind(_snntorch_grid, net, pictures),
        )
        wrong += _differing(ours_grid(), theirs_grid())
        found.append(
            Finding.of(
                f"lif.grid_batch{size}_vs_snntorch", paired(ours_grid, theirs_grid, pairs=max(3, pairs // 2))
            )
        )
    found.append(Finding("lif.timed_paths_differing", wrong))
    return found


def _wide(pairs: int, source: torch.Generator) -> Finding:
    if not has_numba():
        return Finding("lif.wide_vs_copy", why=NO_NUMBA)
    x = torch.rand(256, 100_000, generator=source) * 0.4
    out, other = torch.empty_like(x), torch.empty_like(x)
    ours = _bind(lif, x, BETA, THETA, path="numba", out=out)
    ours()
    differing = _differing(out, snntorch_run(x, BETA, THETA)[0])
    copies = {"torch": lambda: other.copy_(x), "numpy": lambda: np.copyto(other.numpy(), x.numpy())}
    ratios: dict[str, Ratio] = {name: paired(copy, ours, pairs=pairs) for name, copy in copies.items()}
    worst = max(ratios.values(), key=lambda r: r.median)  # beside the faster of the two copies
    each = {f"over_{name}_copy": r.median for name, r in ratios.items()}
    return Finding.of("lif.wide_vs_copy", worst, figures={**each, "differing": differing})


def _spikes_only(x: Tensor) -> Tensor:
    import snntorch

    neuron = snntorch.Leaky(beta=BETA, threshold=THETA)
    v, S = torch.zeros_like(x[0]), []
    with torch.no_grad():
        for x_t in x:
            s, v = neuron(x_t, v)
            S.append(s)
    return torch.stack(S)


@torch.no_grad()
def _snntorch_grid(net: nn.ModuleDict, x: Tensor) -> Tensor:
    betas, thetas = settings()
    pairs = zip(betas.tolist(), thetas.tolist(), strict=True)
    return torch.stack([snntorch_net(net, x, b, th) for b, th in pairs])


def _trained(forward: Callable[..., Tensor], net: nn.ModuleDict, x: Tensor, y: Tensor) -> Callable[[], None]:
    def step() -> None:
        net.zero_grad()
        cross_entropy(forward(net, x, BETA, THETA), y).backward()

    return step


def _bind(function: Callable[..., Any], *args: Any, **more: Any) -> Callable[..., Any]:
    return lambda *rest: function(*args, *rest, **more)
