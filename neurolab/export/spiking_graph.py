"""The spiking assistant as an ONNX graph, put together operator by operator: no spike operator is needed.

An exporter that follows a program through some thousand little steps takes a minute; this takes a moment and
gives the same function (`spiking_decoder.SpikingDecoder` is its twin in torch). Time is the first axis of
everything that changes with it, (T, B, n, N), and a population is either

    unrolled   T times the operators of one step, one behind another
    looped     one Scan along that axis, whose body is one step: a graph that does not grow with T

Weights stay int8: MatMulInteger adds them up in int32. Counts go in as bytes S - S_min of at most 127, since
some kernels for bytes add pairs of products in 16 bits, and 2 x 127 x 127 still fits.

Shapes as in `spiking_decoder`: B sequences, n new tokens, P in the cache, M = P + n, N neurons.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from neurolab.export.graph_builder import Graph
from neurolab.export.spiking_decoder import check, schedule_of
from neurolab.spiking import MIX_SHIFT, NORM_SHIFT, SIGNED, UNSIGNED, bounds, schedule
from neurolab.spiking_files import Spiking, SpikingError

F32, I64 = TensorProto.FLOAT, TensorProto.INT64
HIGHEST_BITS = 7


def spiking_graph(
    net: Spiking, T: int | None = None, kind: str | None = None, looped: bool = False
) -> onnx.ModelProto:
    """The network as a model with the inputs and outputs of `decoder.Decoder`; logits are whole numbers.

    T, kind: as in `SpikingDecoder`. looped: Scan instead of T copies. ValueError for a T below 1 or an
    unknown kind, SpikingError where numbers would not be exact.
    """
    return _Writer(net, T, kind, looped).model()


class _Writer:
    """The graph of one network. Values with a time axis are (T, B, n, ...), those without have 1 there."""

    def __init__(self, net: Spiking, T: int | None, kind: str | None, looped: bool) -> None:
        if net.bits > HIGHEST_BITS:
            raise SpikingError(f"counts of {net.bits} bits: byte kernels are exact up to {HIGHEST_BITS}")
        check(net)
        self.g, self.net, self.c = Graph(), net, net.config
        self.kind = "radix" if T is None else schedule_of(net, kind)
        self.weights = None if T is None else schedule(T, self.kind, net.bits)
        self.looped = looped and T is not None
        self.p = {name: x.double().numpy() for name, x in net.p.items()}

    # --- the network ---

    def model(self) -> onnx.ModelProto:
        g, c = self.g, self.c
        one, zero = np.int64(1), np.int64(0)
        n, past = self.size("ids", 1), self.size("cache", 4)
        end = g.op("Add", past, n)
        at, seen = g.op("Range", past, end, one), g.op("Range", zero, end, one)
        rows, columns = g.op("Unsqueeze", at, np.array([1])), g.op("Unsqueeze", seen, np.array([0]))
        self.causal = g.op("Cast", g.op("LessOrEqual", columns, rows), to=F32)  # (n, M)
        self.own = g.op("Cast", g.op("Equal", columns, rows), to=F32)
        x = g.op("Add", self.looked_up("embedding", "ids"), self.looked_up("position", at))  # (B, n, D)
        x, kept = g.op("Unsqueeze", x, np.array([0])), []
        caches = (
            g.op("Split", "cache", outputs=c.layers, axis=0, num_outputs=c.layers)
            if c.layers > 1
            else ["cache"]
        )
        for i in range(c.layers):
            mixed, present = self.attend(i, self.norm(x, f"{i}.norm1"), caches[i])
            kept.append(present)
            x = self.add(x, mixed, f"{i}.out", SIGNED)
            up = self.drive(self.norm(x, f"{i}.norm2"), [f"{i}.up"], SIGNED)
            x = self.add(x, self.fire(up, UNSIGNED, self.theta([f"{i}.up"])), f"{i}.down", UNSIGNED)
        newest = g.op("Gather", x, np.int64(-1), axis=2)  # (T, B, D)
        last = g.op("Gather", self.norm(newest, "norm"), np.int64(-1), axis=0)  # after the last step
        g.nodes.append(helper.make_node("Identity", [self.logits(last)], ["logits"]))
        g.nodes.append(helper.make_node("Concat", kept, ["new_cache"], axis=0))
        E = c.width // c.heads
        return g.model(
            "spiking",
            [("ids", I64, ["batch", "n"]), ("cache", F32, [c.layers, 2, "batch", c.heads, "past", E])],
            [
                ("logits", F32, ["batch", c.vocabulary]),
                ("new_cache", F32, [c.layers, 2, "batch", c.heads, "past + n", E]),
            ],
            f"spiking assistant, {self.kind}",
        )

    def size(self, of: str, axis: int) -> str:
        """A size as a scalar."""
        return self.g.op("Squeeze", self.g.op("Shape", of, start=axis, end=axis + 1))

    def matrix(self, names: list[str]) -> str:
        """Matrices (N, C) below one another, transposed: (C, N) int8."""
        W = np.concatenate([self.p[f"{name}.W"] for name in names]).T
        return self.g.constant(np.ascontiguousarray(W, np.int8), name=f"{'_'.join(names)}.W")

    def looked_up(self, name: str, ids: str) -> str:
        g = self.g
        W = g.constant(self.p[f"{name}.W"], np.int8, name=f"{name}.W")
        row = g.op("Cast", g.op("Gather", W, ids, axis=0), to=F32)
        return g.op("Mul", row, np.float32(self.p[f"{name}.unit"]))

    def times(self, S: str, W: str, kind: str) -> str:
        """Counts (..., C) times an int8 matrix (C, N): whole numbers as float32 (..., N)."""
        g, low = self.g, bounds(kind, self.net.bits)[0]
        byte = g.op("Cast", g.op("Sub", S, np.float32(low)) if low else S, to=TensorProto.UINT8)
        point = [g.constant(-low, np.uint8)] if low else []
        return g.op("Cast", g.op("MatMulInteger", byte, W, *point), to=F32)

    def drive(self, S: str, names: list[str], kind: str) -> str:
        b = np.concatenate([self.p[f"{name}.b"] for name in names])
        return self.g.op("Add", self.times(S, self.matrix(names), kind), b.astype(np.float32))

    def add(self, x: str, S: str, name: str, kind: str) -> str:
        written = self.g.op(
            "Mul", self.times(S, self.matrix([name]), kind), np.float32(self.p[f"{name}.unit"])
        )
        return self.g.op("Add", x, written)

    def logits(self, S: str) -> str:
        W = self.g.op("Transpose", self.g.constant(self.p["embedding.W"], np.int8), perm=[1, 0])
        return self.g.op("Add", self.times(S, W, SIGNED), self.p["logits.b"].astype(np.float32))

    def norm(self, x: str, name: str) -> str:
        """Counts of the residual stream x (..., D), each token measured by its own sum of |x|, in int64."""
        g = self.g
        whole = g.op("Cast", x, to=I64)
        total = g.op("ReduceSum", g.op("Abs", whole), np.array([-1]), keepdims=1)
        theta = g.op("Mul", g.op("Add", total, np.int64(1)), self.p[f"{name}.K"].astype(np.int64))
        S = self.fire(g.op("Mul", whole, np.int64(2**NORM_SHIFT)), SIGNED, theta, np.int64, name != "0.norm1")
        return g.op("Cast", S, to=F32)

    def heads(self, S: str) -> str:
        """(T, B, n, D) -> (T, B, H, n, E)."""
        H = self.c.heads
        cut = self.g.op("Reshape", S, np.array([0, 0, 0, H, self.c.width // H]))
        return self.g.op("Transpose", cut, perm=[0, 1, 3, 2, 4])

    def attend(self, i: int, S: str, cache: str) -> tuple[str, str]:
        """Block i: counts of the norm (T, B, n, D), cache (1, 2, B, H, P, E) -> counts of the mix, cache."""
        g, c = self.g, self.c
        names = [f"{i}.{part}" for part in ("query", "key", "value")]
        counts = self.fire(self.drive(S, names, SIGNED), SIGNED, self.theta(names))  # (T, B, n, 3 D)
        q, k, v = (self.heads(s) for s in g.op("Split", counts, outputs=3, axis=-1, num_outputs=3))
        k_end, v_end = (g.op("Gather", s, np.array([-1]), axis=0) for s in (k, v))  # (1, B, H, n, E)
        both = g.op("Unsqueeze", g.op("Concat", k_end, v_end, axis=0), np.array([0]))
        present = g.op("Concat", cache, both, axis=4)  # (1, 2, B, H, M, E)
        keys, values = (
            g.op("Squeeze", s, np.array([0, 1]))
            for s in g.op("Split", present, outputs=2, axis=1, num_outputs=2)
        )
        z = g.op("MatMul", q, g.op("Transpose", keys, perm=[0, 1, 3, 2]))  # (T, B, H, n, M)
        if self.weights is not None:
            lack = g.op("ReduceSum", g.op("Mul", q, g.op("Sub", k, k_end)), np.array([-1]), keepdims=1)
            z = g.op("Add", z, g.op("Mul", lack, self.own))
        offset, theta = (
            self.p[f"{i}.attention.{part}"].astype(np.float32)[:, None, None] for part in ("offset", "theta")
        )
        z = g.op("Mul", g.op("Sub", z, offset), self.causal)
        A = g.op("Mul", self.fire(z, UNSIGNED, g.constant(theta)), self.causal)
        z = g.op("MatMul", A, values)  # (T, B, H, n, E)
        if self.weights is not None:
            mine = g.op("ReduceSum", g.op("Mul", A, self.own), np.array([-1]), keepdims=1)
            z = g.op("Add", z, g.op("Mul", mine, g.op("Sub", v, v_end)))
        K = self.p[f"{i}.mix.K"].astype(np.float32).reshape(c.heads, 1, -1)
        total = g.op("Add", g.op("ReduceSum", A, np.array([-1]), keepdims=1), np.float32(1))
        mixed = self.fire(
            g.op("Mul", z, np.float32(2**MIX_SHIFT)), SIGNED, g.op("Mul", total, K), growing=True
        )
        back = g.op("Transpose", mixed, perm=[0, 1, 3, 2, 4])
        return g.op("Reshape", back, np.array([0, 0, 0, c.width])), present

    # --- the neurons ---

    def theta(self, names: list[str]) -> str:
        return self.g.constant(np.concatenate([self.p[f"{name}.theta"] for name in names]), np.float32)

    def fire(self, z: str, kind: str, theta: str, dtype: type = np.float32, growing: bool = False) -> str:
        """The counts of a population with drive z. growing: whether theta, too, has T in front."""
        g, (low, high) = self.g, bounds(kind, self.net.bits)
        if self.weights is None:
            return self.settled(z, theta, low, dtype)
        weights = self.weights[kind]
        T = len(weights)
        still = dtype is np.int64 and not growing  # the first norm: its drive never changes
        S = g.op("Mul", z if still else g.op("Gather", z, np.array([0]), axis=0), dtype(0))
        if self.looped:
            return self.scanned(z, theta, S, weights, (low, high), dtype, still, growing)
        zs = [z] * T if still or T == 1 else g.op("Split", z, outputs=T, axis=0, num_outputs=T)
        thetas = g.op("Split", theta, outputs=T, axis=0, num_outputs=T) if growing and T > 1 else [theta] * T
        counts = []
        for t, w in enumerate(weights):
            S = moved(g, zs[t], thetas[t], S, g.constant(w, dtype), low, high, dtype)
            counts.append(S)
        return g.op("Concat", *counts, axis=0)

    def settled(self, z: str, theta: str, low: int, dtype: type) -> str:
        """`bits` steps, most significant spike first: the binary digits of S - S_min, as in the twin."""
        g = self.g
        S = g.op("Add", g.op("Mul", z, dtype(0)), dtype(low))
        for w in (2**b for b in reversed(range(self.net.bits))):
            owed = g.op("Mul", g.op("Sub", z, g.op("Mul", theta, S)), dtype(2))
            fires = g.op("GreaterOrEqual", owed, g.op("Mul", theta, dtype(2 * w - 1)))
            S = g.op("Where", fires, g.op("Add", S, dtype(w)), S)
        return S

    def scanned(
        self,
        z: str,
        theta: str,
        S: str,
        weights: tuple[int, ...],
        limits: tuple[int, int],
        dtype: type,
        still: bool,
        growing: bool,
    ) -> str:
        """A Scan along time: the state is S, and each step gives it out."""
        g, inner = self.g, self.g.body()
        kind = I64 if dtype is np.int64 else F32
        S = g.op("Squeeze", S, np.array([0]))
        fed = {"w": g.constant(weights, dtype)}
        if still:
            z = g.op("Squeeze", z, np.array([0]))
            theta = g.op("Squeeze", theta, np.array([0]))
        else:
            fed["z"] = z
        if growing:
            fed["theta"] = theta
        tag = f"s{g.made}_"
        own = {name: tag + name for name in fed}
        new = moved(inner, own.get("z", z), own.get("theta", theta), tag + "S", own["w"], *limits, dtype)
        inner.nodes.append(helper.make_node("Identity", [new], [tag + "out"]))
        body = helper.make_graph(
            inner.nodes,
            "step",
            [helper.make_tensor_value_info(name, kind, None) for name in (tag + "S", *own.values())],
            [helper.make_tensor_value_info(name, kind, None) for name in (new, tag + "out")],
        )
        _, counts = g.op("Scan", S, *fed.values(), outputs=2, body=body, num_scan_inputs=len(fed))
        g.made = max(g.made, inner.made)
        return counts


def moved(g: Graph, z: str, theta: str, S: str, w: str, low: int, high: int, dtype: type = np.float32) -> str:
    """One step of one population, the count S after it: up where u >= w theta, down where u < -w theta, with
    u = 2 (z - theta S), and only within its bounds."""
    u = g.op("Mul", g.op("Sub", z, g.op("Mul", theta, S)), dtype(2))
    reach = g.op("Mul", theta, w)
    more, less = g.op("Add", S, w), g.op("Sub", S, w)
    up = g.op("And", g.op("GreaterOrEqual", u, reach), g.op("LessOrEqual", more, dtype(high)))
    down = g.op("And", g.op("Less", u, g.op("Neg", reach)), g.op("GreaterOrEqual", less, dtype(low)))
    return g.op("Where", up, more, g.op("Where", down, less, S))
