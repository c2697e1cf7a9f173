"""Spiking classifiers out to NIR, the Neuromorphic Intermediate Representation, and back.

NIR describes neurons in continuous time and in physical units; a simulator chooses the steps. Its LIF node is

    tau dv/dt = (v_leak - v) + R I        spike where v > v_threshold, then v = v_reset

One Euler step of length dt is our neuron (`neurolab.neurons`) with a reset to zero:

    v(t) = (1 - dt / tau) v(t-1) + (R dt / tau) I(t)        beta = 1 - dt / tau,  theta = v_threshold

so tau = dt / (1 - beta), in seconds. What comes in is multiplied by R dt / tau, and our x is not. There are
two ways to put that right (`gain`), and readers differ in which one they understand:

    "weights"   R = 1; weights and biases times tau / dt       snnTorch and norse
    "r"         R = tau / dt; weights as they are              snnTorch alone: norse leaves R out

A NIR file holds no dt. snnTorch 1.0.0 takes 1e-4 s, norse 1.1.0 takes 1e-3 s unless told: a network read with
the wrong one has another leak and another gain. We write dt into the graph's metadata, for our own reader.

What NIR can't say: a **soft reset**. In continuous time a membrane is caught exactly at its threshold, so to
take theta and to go to zero are the same; the difference is born with the steps, which jump past it (NIR pull
request 63; issue 137 proposes a node for resets). `to_nir` refuses one unless `note_reset=True`, which leaves
a note that `from_nir` obeys and no other reader sees. And NIR spikes at v > v_threshold, as we, snnTorch and
norse do; SpikingJelly and sinabs spike at v >= v_threshold and differ where v meets it exactly.

Sources: Pedersen et al., Neuromorphic intermediate representation, Nature Communications 2024; the sources of
nir 1.0.8, snnTorch 1.0.0 and norse 1.1.0. T time steps, B samples, N neurons of a layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from neurolab.neurons import RESETS

try:
    import nir
except ModuleNotFoundError as missing:
    raise ImportError(
        "neurolab.export needs the optional package nir; in the course's folder: "
        "pip install -c constraints.txt -e '.[nir]'"
    ) from missing

DT = 1e-4
"""The step, in seconds, that snnTorch's importer takes for granted."""
GAINS = ("weights", "r")
NOTE = "neurolab_reset"
"""The name in a LIF node's metadata under which the reset stands."""


class Layer(NamedTuple):
    """A layer of LIF neurons behind a matrix: x = W s + b.

    W (N, inputs), b (N,): float32. beta in [0, 1), theta > 0: as float32 holds them. reset: one of
    `neurons.RESETS`.
    """

    W: Tensor
    b: Tensor
    beta: float
    theta: float
    reset: str


def to_nir(
    layers: Sequence[Layer], dt: float = DT, gain: str = "weights", note_reset: bool = False
) -> nir.NIRGraph:
    """The graph input -> fc0 -> lif0 -> fc1 -> lif1 ... -> output of a stack of layers.

    dt: seconds a step. gain: where the input's scale goes ("weights" or "r", see above). Whatever it is,
    `from_nir` gives the same layers back, to the bit. Raises ValueError for layers that do not fit together,
    a reset that NIR has no word for (unless note_reset, and then never for "none"), beta = 1, or a beta that
    no tau in float32 gives back exactly.
    """
    _check(layers, dt, gain)
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input(np.array([layers[0].W.shape[1]]))}
    for i, layer in enumerate(layers):
        if layer.reset == "none" or (layer.reset != "zero" and not note_reset):
            raise ValueError(
                f"layer {i}: reset = {layer.reset!r}; NIR's LIF node can only reset to a value, so a reader "
                "would run another network. Use reset = 'zero'"
                + (
                    ""
                    if layer.reset == "none"
                    else ", or note_reset=True for a note that only from_nir obeys"
                )
            )
        tau = _tau(layer.beta, dt, f"layer {i}")
        scale = 1.0 / _gain(1.0, tau, dt) if gain == "weights" else 1.0
        # float64 holds the product so closely that dividing again gives the float32 weight itself
        number: type = np.float64 if gain == "weights" else np.float32
        W, b = (a.detach().double().numpy() * scale for a in (layer.W, layer.b))
        nodes[f"fc{i}"] = nir.Affine(W.astype(number), b.astype(number))
        nodes[f"lif{i}"] = nir.LIF(
            tau=_full(layer, tau),
            r=_full(layer, 1.0 if gain == "weights" else tau / np.float32(dt)),
            v_leak=_full(layer, 0.0),
            v_threshold=_full(layer, layer.theta),
            v_reset=_full(layer, 0.0),
            metadata={NOTE: layer.reset},
        )
    nodes["output"] = nir.Output(np.array([layers[-1].W.shape[0]]))
    names = list(nodes)
    return nir.NIRGraph(nodes, list(pairwise(names)), metadata={"dt": float(dt)})


def from_nir(graph: nir.NIRGraph | str | Path, dt: float | None = None) -> list[Layer]:
    """The layers of a graph, or of a .nir file: a chain of Affine or Linear nodes, each before a LIF node.

    dt: seconds a step; default what the graph's metadata say. Raises ValueError that names the node for
    anything that a `Layer` can't say: other nodes, branches, leak or reset potentials other than 0, neurons
    of one layer that differ, resets unknown to us; and for a dt that is missing.
    """
    if isinstance(graph, str | Path):
        try:
            graph = nir.read(graph)
        except (AssertionError, KeyError) as error:
            raise ValueError(f"{graph}: not a graph of NIR's own nodes ({error!r})") from error
    dt = graph.metadata.get("dt") if dt is None else dt
    if dt is None:
        raise ValueError(
            "dt is not in the graph's metadata; a NIR graph has no step of its own: give dt = ..."
        )
    _check_dt(float(dt))
    layers, names = [], chain(graph)
    if not names or len(names) % 2:
        raise ValueError(f"the graph's nodes {names} are no pairs of matrix and LIF")
    for first, second in zip(names[::2], names[1::2], strict=True):
        matrix, cell = graph.nodes[first], graph.nodes[second]
        if not isinstance(matrix, nir.Affine | nir.Linear):
            raise ValueError(f"node {first!r} is {type(matrix).__name__}; must be Affine or Linear")
        if not isinstance(cell, nir.LIF):
            raise ValueError(f"node {second!r} is {type(cell).__name__}; must be LIF")
        for name in ("v_leak", "v_reset"):
            if np.any(getattr(cell, name) != 0):
                raise ValueError(f"node {second!r}: {name} = {getattr(cell, name).flat[0]}; must be 0")
        tau, r = np.float32(_one(cell.tau, "tau", second)), _one(cell.r, "r", second)
        reset = cell.metadata.get(NOTE, "zero")
        if reset not in RESETS:
            raise ValueError(f"node {second!r}: reset {reset!r}; must be one of {', '.join(RESETS)}")
        scale = _gain(r, tau, float(dt))
        W = torch.from_numpy(np.asarray(matrix.weight, np.float64) * scale).float()
        b = getattr(matrix, "bias", None)
        b = np.zeros(len(W)) if b is None else np.asarray(b, np.float64)
        beta, theta = float(_beta(tau, float(dt))), _one(cell.v_threshold, "v_threshold", second)
        layers.append(Layer(W, torch.from_numpy(b * scale).float(), beta, theta, reset))
    _check(layers, float(dt), GAINS[0])
    return layers


def chain(graph: nir.NIRGraph) -> list[str]:
    """The nodes between the input and the output, in order. ValueError if the graph is no chain."""
    following: dict[str, str] = {}
    for here, there in graph.edges:
        if here in following:
            raise ValueError(f"node {here!r} leads to {following[here]!r} and {there!r}; must be a chain")
        following[here] = there
    starts = [name for name, node in graph.nodes.items() if isinstance(node, nir.Input)]
    if len(starts) != 1 or len(set(following.values())) != len(following):
        raise ValueError("the graph must be a chain with one input")
    found: list[str] = []
    here = starts[0]
    while here in following and len(found) <= len(graph.nodes):
        here = following[here]
        found.append(here)
    if len(found) != len(graph.nodes) - 1 or not isinstance(graph.nodes[found[-1]], nir.Output):
        raise ValueError("the graph must be a chain from its input to its output, all nodes on it")
    return found[:-1]


def _gain(r: float, tau: np.floating, dt: float) -> float:
    """R dt / tau, what the cell multiplies its input by; 1 if r is tau / dt as float32 rounds it."""
    if np.float32(r) == np.float32(tau) / np.float32(dt):
        return 1.0
    return r * float(np.float32(dt)) / float(tau)


def _beta(tau: np.floating, dt: float) -> np.float32:
    """1 - dt / tau as snnTorch computes it, all in float32."""
    return np.float32(1) - np.float32(dt) / np.float32(tau)


def _tau(beta: float, dt: float, where: str) -> np.float32:
    """A float32 tau with 1 - dt / tau = beta in float32, exactly."""
    wanted = np.float32(beta)
    if wanted == 1:
        raise ValueError(
            f"{where}: beta = {beta!r}; must be below 1. NIR's node for it is IF, which snnTorch 1.0.0 reads "
            "as beta = 0.9, and norse 1.1.0 without dt"
        )
    tau = np.float32(dt) / (np.float32(1) - wanted)
    if _beta(tau, dt) != wanted:
        raise ValueError(
            f"{where}: beta = {beta!r}; no float32 tau gives it back as 1 - dt / tau, the nearest is "
            f"{float(_beta(tau, dt))!r}"
        )
    return tau


def _full(layer: Layer, value: float | np.floating) -> np.ndarray:
    return np.full(layer.W.shape[0], value, np.float32)


def _one(values: np.ndarray, name: str, where: str) -> float:
    found = np.unique(values)
    if len(found) != 1:
        raise ValueError(f"node {where!r}: {name} has {len(found)} values; all neurons must share one")
    return float(found[0])


def _check_dt(dt: float) -> None:
    if not 1e-30 < dt < 1e30:  # far inside float32, in which readers compute
        raise ValueError(f"dt = {dt!r}; must be above 0 and finite, in seconds")


def _check(layers: Sequence[Layer], dt: float, gain: str) -> None:
    _check_dt(dt)
    if gain not in GAINS:
        raise ValueError(f"gain = {gain!r}; must be one of {', '.join(GAINS)}")
    if not layers:
        raise ValueError("layers is empty; give at least one")
    for i, (W, b, beta, theta, reset) in enumerate(layers):
        if W.dim() != 2 or b.shape != W.shape[:1] or W.dtype != torch.float32 or b.dtype != torch.float32:
            raise ValueError(
                f"layer {i}: W {tuple(W.shape)} {W.dtype}, b {tuple(b.shape)} {b.dtype}; "
                "must be (N, inputs) and (N,), float32"
            )
        if i and W.shape[1] != layers[i - 1].W.shape[0]:
            raise ValueError(
                f"layer {i}: takes {W.shape[1]} inputs; layer {i - 1} has {layers[i - 1].W.shape[0]}"
            )
        if not bool(torch.isfinite(W).all() and torch.isfinite(b).all()):
            raise ValueError(f"layer {i}: W or b holds NaN or infinity; every value must be finite")
        if not (0 <= beta <= 1 and theta > 0 and math.isfinite(theta)):
            raise ValueError(f"layer {i}: beta = {beta!r}, theta = {theta!r}; must be in [0, 1] and above 0")
        if reset not in RESETS:
            raise ValueError(f"layer {i}: reset = {reset!r}; must be one of {', '.join(RESETS)}")
