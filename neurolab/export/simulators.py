"""One NIR graph through three simulators: ours, snnTorch and norse, each by its own importer.

Shapes: T time steps, B samples, N neurons of a layer.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from neurolab.export.nir import chain, from_nir, nir
from neurolab.neurons import lif


@torch.no_grad()
def run(
    graph: nir.NIRGraph, x: Tensor, T: int, by: str = "neurolab", dt: float | None = None
) -> list[Tensor]:
    """Spikes (T, B, N) of every LIF layer while x (B, inputs) comes in at each of T steps.

    by: "neurolab", "snntorch" or "norse": each reads the graph with its own importer. dt: seconds a step for
    neurolab and norse, default the graph's own; snnTorch always takes 1e-4.
    """
    if by not in SIMULATORS:
        raise ValueError(f"by = {by!r}; must be one of {', '.join(SIMULATORS)}")
    if isinstance(T, bool) or not isinstance(T, int) or T < 1:
        raise ValueError(f"T = {T!r}; must be a whole number of at least 1")
    inputs = int(graph.input_type["input"][0])
    if x.dim() != 2 or x.shape[1] != inputs:
        raise ValueError(f"x has shape {tuple(x.shape)}; the graph takes (B, {inputs})")
    return SIMULATORS[by](graph, x.float(), T, dt)


def differing(one: Sequence[Tensor], other: Sequence[Tensor]) -> int:
    """How many spikes of two runs are not the same, all layers and steps together."""
    return sum(int((a != b).sum()) for a, b in zip(one, other, strict=True))


def _ours(graph: nir.NIRGraph, x: Tensor, T: int, dt: float | None) -> list[Tensor]:
    spikes: list[Tensor] = []
    for layer in from_nir(graph, dt):
        drive = nn.functional.linear(spikes[-1] if spikes else x, layer.W, layer.b)
        steps = None if spikes else T  # the first layer's drive is the same at every step
        spikes.append(lif(drive, layer.beta, layer.theta, layer.reset, T=steps).s)
    return spikes


def _snntorch(graph: nir.NIRGraph, x: Tensor, T: int, dt: float | None) -> list[Tensor]:
    from snntorch.import_nir import import_from_nir

    with contextlib.redirect_stdout(io.StringIO()):  # it prints every layer's parameters
        network = import_from_nir(graph)
    return _listen(network, graph, lambda: [network(x) for _ in range(T)], lambda out: out)


def _norse(graph: nir.NIRGraph, x: Tensor, T: int, dt: float | None) -> list[Tensor]:
    from norse.torch import from_nir as import_from_nir

    dt = graph.metadata.get("dt", 1e-3) if dt is None else dt
    network = import_from_nir(graph, ignore_warnings=True, dt=float(dt))

    def steps() -> None:
        state = None
        for _ in range(T):
            _, state = network(x, state)

    return _listen(network, graph, steps, lambda out: out[0])


def _listen(
    network: nn.Module, graph: nir.NIRGraph, steps: Callable[[], Any], spikes: Callable[[Any], Tensor]
) -> list[Tensor]:
    """What the modules that stand for LIF nodes give out while `steps` runs."""
    heard: dict[str, list[Tensor]] = {}
    modules = dict(network.named_modules())
    for name in chain(graph):
        if isinstance(graph.nodes[name], nir.LIF):
            kept = heard.setdefault(name, [])
            modules[name.replace(".", "_")].register_forward_hook(
                lambda module, given, out, kept=kept: kept.append(spikes(out).clone())
            )
    steps()
    return [torch.stack(kept) for kept in heard.values()]


SIMULATORS: dict[str, Callable[[nir.NIRGraph, Tensor, int, float | None], list[Tensor]]] = {
    "neurolab": _ours,
    "snntorch": _snntorch,
    "norse": _norse,
}
