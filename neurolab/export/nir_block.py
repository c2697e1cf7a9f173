"""A block of the spiking assistant as a NIR graph, and back, to the bit.

Where NIR has a word, the graph uses it: Affine and Linear for matrices, Scale for the powers of two on the
residual stream, and two edges into one node for a sum. Our neuron it can't say: its neurons spike 0 or 1,
start again from one value, and know no second input, while ours counts down too, subtracts what it said, and
divides by letting its threshold grow with another population. Nor can NIR multiply two signals, which
attention does twice. So there are two nodes of our own:

    SignedIF   S_min <= S <= S_max; V = 2^shift z - w theta S + w theta / 2, see below
    Product    the scores q . k of each head, or the mix sum_j A_j v_j

A node that a reader doesn't know stops it (nir.read raises an error). That is better than a network that runs
and means something else, which is what a LIF node with a note would be. `read` here knows them.

    input -> norm1 -> query_W -> query -> scores -> attention -> mixing -> mix -> out_W -> out_unit -> sum1
                   -> key_W   -> key   -> scores
                   -> value_W -> value ----------------------> mixing
    input -> sum1  -> norm2 -> up_W -> hidden -> down_W -> down_unit -> sum2 -> output
             sum1 -------------------------------------------------> sum2

`at_rest` runs the graph by its nodes and edges alone, with every neuron at its code.

Sources: Pedersen et al., Nature Communications 2024 (NIR); `stbif`, after You et al., ICML 2024 (the neuron).
D width, H heads of size E, F hidden, L tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from neurolab.export.nir import nir
from neurolab.spiking import MIX_SHIFT, NORM_SHIFT, SIGNED, UNSIGNED, bounds, schedule
from neurolab.spiking_run import Spiking

GROWTHS = ("", "sum |input|", "sum counts")
SCHEDULE_STEPS = 8
MATRICES = {"query": "query", "key": "key", "value": "value", "up": "hidden"}


@dataclass(eq=False)
class SignedIF(nir.NIRNode):
    """A population of signed integrate-and-fire neurons with a tracer; all values are whole numbers.

    At step t, with z the whole input so far and w = weights[t] (the last one from then on):
    V = 2^shift z - theta S + w theta / 2. If V >= w theta and S + w <= S_max: S <- S + w, a spike +w. If
    V < 0 and S - w >= S_min: S <- S - w, a spike -w. At w = 1 it rests where 0 <= V < theta, that is at
    S = clip(floor(2^shift z / theta + 1/2), S_min, S_max).

    theta: (N,), at least 1. growth: "" a constant threshold; "sum |input|" or "sum counts": theta is
    multiplied by 1 + the sum of |z|, or of the counts of the population `by`, heads apart. reset: what a
    spike takes ("subtract": w theta, through the tracer).
    """

    theta: np.ndarray
    S_min: int
    S_max: int
    weights: np.ndarray
    shift: int = 0
    growth: str = ""
    by: str = ""
    reset: str = "subtract"

    def __post_init__(self) -> None:
        """Check the ranges. Raises ValueError."""
        self.S_min, self.S_max, self.shift = int(self.S_min), int(self.S_max), int(self.shift)
        if np.any(np.asarray(self.theta) < 1):
            raise ValueError(f"theta goes down to {np.min(self.theta)}; must be at least 1")
        if not self.S_min <= 0 < self.S_max:
            raise ValueError(f"S_min = {self.S_min}, S_max = {self.S_max}; S_min <= 0 < S_max is needed")
        if self.growth not in GROWTHS or self.reset != "subtract":
            raise ValueError(
                f"growth {self.growth!r}, reset {self.reset!r}; must be {GROWTHS} and 'subtract'"
            )
        self.input_type = {"input": np.array(np.shape(self.theta))}
        self.output_type = {"output": np.array(np.shape(self.theta))}


@dataclass(eq=False)
class Product(nir.NIRNode):
    """A product of two populations' counts, head by head, over a token and those before it.

    kind "scores": sum over E of left x right - offset (H,), 0 for tokens to come; "mix": sum over tokens of
    left x right. left, right: names of the nodes.
    """

    kind: str
    left: str
    right: str
    heads: int
    offset: np.ndarray

    def __post_init__(self) -> None:
        """Check the kind. Raises ValueError."""
        self.heads = int(self.heads)
        if self.kind not in ("scores", "mix"):
            raise ValueError(f"kind = {self.kind!r}; must be 'scores' or 'mix'")
        self.input_type = {"input": np.array([self.heads])}
        self.output_type = {"output": np.array([self.heads])}


OWN: dict[str, type[nir.NIRNode]] = {"SignedIF": SignedIF, "Product": Product}


def to_nir(spiking: Spiking, block: int = 0, kind: str = "unary") -> nir.NIRGraph:
    """Block `block` (0 to layers - 1) of a spiking network as a graph; weights int8, the rest int32.

    kind: the schedule of step weights that its neurons carry ("unary" or "halving").
    """
    config, p = spiking.config, spiking.p
    if isinstance(block, bool) or not isinstance(block, int) or not 0 <= block < config.layers:
        raise ValueError(f"block = {block!r}; must be a whole number from 0 to {config.layers - 1}")
    steps = schedule(SCHEDULE_STEPS, kind, spiking.bits)

    def of(name: str, dtype: type = np.int32) -> np.ndarray:
        values = p[f"{block}.{name}"].detach().numpy()
        if not np.array_equal(values, values.astype(dtype)):
            raise ValueError(f"p[{block}.{name}] does not fit {dtype.__name__}; every value must be whole")
        return values.astype(dtype)

    def neurons(name: str, sign: str, **more: Any) -> SignedIF:
        low, high = bounds(sign, spiking.bits)
        return SignedIF(of(name), low, high, np.array(steps[sign], np.int32), **more)

    D, H = config.width, config.heads
    nothing = np.zeros(H, np.int32)
    norm: dict[str, Any] = {"shift": NORM_SHIFT, "growth": "sum |input|"}
    nodes: dict[str, nir.NIRNode] = {
        "input": nir.Input(np.array([D])),
        "norm1": neurons("norm1.K", SIGNED, **norm),
        "scores": Product("scores", "query", "key", H, of("attention.offset")),
        "attention": neurons("attention.theta", UNSIGNED),
        "mixing": Product("mix", "attention", "value", H, nothing),
        "mix": neurons("mix.K", SIGNED, shift=MIX_SHIFT, growth="sum counts", by="attention"),
        "sum1": nir.Scale(np.ones(D, np.int32)),
        "norm2": neurons("norm2.K", SIGNED, **norm),
        "sum2": nir.Scale(np.ones(D, np.int32)),
        "output": nir.Output(np.array([D])),
    }
    edges = [("input", "norm1"), ("scores", "attention"), ("attention", "mixing"), ("value", "mixing")]
    edges += [("query", "scores"), ("key", "scores"), ("mixing", "mix"), ("input", "sum1"), ("sum1", "norm2")]
    edges += [("sum1", "sum2"), ("sum2", "output")]
    for part, population in MATRICES.items():
        nodes[f"{part}_W"] = nir.Affine(of(f"{part}.W", np.int8), of(f"{part}.b"))
        nodes[population] = neurons(f"{part}.theta", UNSIGNED if part == "up" else SIGNED)
        edges += [("norm2" if part == "up" else "norm1", f"{part}_W"), (f"{part}_W", population)]
    for part, before, after in (("out", "mix", "sum1"), ("down", "hidden", "sum2")):
        nodes[f"{part}_W"] = nir.Linear(of(f"{part}.W", np.int8))
        nodes[f"{part}_unit"] = nir.Scale(np.full(D, of(f"{part}.unit"), np.int32))
        edges += [(before, f"{part}_W"), (f"{part}_W", f"{part}_unit"), (f"{part}_unit", after)]
    # NIR's type check knows no token axis and no node with two kinds of input: names are checked alone
    graph = nir.NIRGraph(nodes, edges, metadata={"block": block, "bits": spiking.bits}, type_check=False)
    graph.validate_structure()
    return graph


def from_nir(graph: nir.NIRGraph) -> dict[str, Tensor]:
    """The block's tensors by their names in `Spiking.p`, float32: equal to those that went in.

    Raises ValueError that names what is missing or is another kind of node.
    """
    block = int(_note(graph, "block"))
    found: dict[str, Any] = {}
    for part, population in MATRICES.items():
        found[f"{part}.W"] = _node(graph, f"{part}_W", nir.Affine).weight
        found[f"{part}.b"] = _node(graph, f"{part}_W", nir.Affine).bias
        found[f"{part}.theta"] = _node(graph, population, SignedIF).theta
    for part in ("out", "down"):
        found[f"{part}.W"] = _node(graph, f"{part}_W", nir.Linear).weight
        found[f"{part}.unit"] = _node(graph, f"{part}_unit", nir.Scale).scale.flat[0]
    for part in ("norm1", "mix", "norm2"):
        found[f"{part}.K"] = _node(graph, part, SignedIF).theta
    found["attention.theta"] = _node(graph, "attention", SignedIF).theta
    found["attention.offset"] = _node(graph, "scores", Product).offset
    return {f"{block}.{name}": torch.as_tensor(np.asarray(x)).float() for name, x in found.items()}


def write(path: str | Path, graph: nir.NIRGraph) -> None:
    """Write a .nir file (HDF5), by nir's own writer."""
    nir.write(path, graph)


def read(path: str | Path) -> nir.NIRGraph:
    """Read a .nir file that may hold our own nodes. ValueError for a type that neither we nor nir know."""
    with h5py.File(path, "r") as file:
        data = nir.serialization.hdf2dict(file["node"])
    nodes = {}
    for name, node in data["nodes"].items():
        try:
            nodes[name] = OWN[node["type"]].from_dict(node) if node["type"] in OWN else nir.dict2NIRNode(node)
        except (AssertionError, KeyError) as error:
            raise ValueError(f"{path}: node {name!r} is {node.get('type')!r}, which is not known") from error
    edges = [(a.decode(), b.decode()) for a, b in data["edges"]]
    return nir.NIRGraph(nodes, edges, metadata=data.get("metadata", {}), type_check=False)


def at_rest(graph: nir.NIRGraph, x: Tensor) -> dict[str, Tensor]:
    """Every node's value, all neurons at rest, for a residual stream x (L, D) of whole numbers.

    Follows the graph's nodes and edges, in float64 (whole numbers are exact up to 2^53). Counts of
    "attention" are (H, L, L), of everything else (L, ...).
    """
    if x.dim() != 2 or not torch.equal(x, x.round()):
        raise ValueError(f"x has shape {tuple(x.shape)}; must be (L, D) of whole numbers")
    before: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for here, there in graph.edges:
        before[there].append(here)
    values: dict[str, Tensor] = {}
    for name in TopologicalSorter(before).static_order():
        node = graph.nodes[name]
        if isinstance(node, nir.Input):
            values[name] = x.double()
        elif isinstance(node, Product):
            values[name] = _product(node, values)
        else:
            z = torch.stack([values[other] for other in before[name]]).sum(0)
            values[name] = _value(node, z, values)
    return values


def _value(node: nir.NIRNode, z: Tensor, values: dict[str, Tensor]) -> Tensor:
    if isinstance(node, nir.Affine | nir.Linear):
        b = getattr(node, "bias", None)
        z = z @ torch.from_numpy(node.weight).double().T
        return z if b is None else z + torch.from_numpy(b)
    if isinstance(node, nir.Scale):
        return z * torch.from_numpy(node.scale)
    if isinstance(node, nir.Output):
        return z
    if not isinstance(node, SignedIF):
        raise ValueError(f"a node of type {type(node).__name__} cannot be run")
    theta = torch.from_numpy(node.theta).double()
    if z.dim() == 3:  # attention (H, L, L): one threshold a head
        theta = theta[:, None, None]
    if node.growth == "sum |input|":
        theta = theta * (z.abs().sum(-1, keepdim=True) + 1)
    elif node.growth == "sum counts":
        total = values[node.by].sum(-1).T + 1  # (L, H)
        theta = theta * total.repeat_interleave(z.shape[-1] // total.shape[-1], -1)
    return torch.floor(z * 2**node.shift / theta + 0.5).clamp(node.S_min, node.S_max)


def _product(node: Product, values: dict[str, Tensor]) -> Tensor:
    left, right = values[node.left], values[node.right].unflatten(-1, (node.heads, -1)).transpose(-3, -2)
    if node.kind == "mix":  # left (H, L, L), right (H, L, E)
        return (left @ right).transpose(-3, -2).flatten(-2)
    left = left.unflatten(-1, (node.heads, -1)).transpose(-3, -2)
    z = left @ right.transpose(-1, -2) - torch.from_numpy(node.offset)[:, None, None]
    return z.tril()  # no drive from tokens to come


def _node(graph: nir.NIRGraph, name: str, kind: type[nir.NIRNode]) -> Any:
    found = graph.nodes.get(name)
    if not isinstance(found, kind):
        raise ValueError(f"node {name!r} is {type(found).__name__}; must be {kind.__name__}")
    return found


def _note(graph: nir.NIRGraph, name: str) -> Any:
    if name not in graph.metadata:
        raise ValueError(f"the graph's metadata hold no {name!r}: it is not a block of the spiking assistant")
    return graph.metadata[name]
