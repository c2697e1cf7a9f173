"""The spiking assistant once more, as plainly as it can be written: whole numbers, one neuron at a time.

Written from the equations and sharing no code with the package, so that it can bear witness. One token, one
step, one population, one neuron; nothing is vectorised, nothing is kept that the equations don't name:

    V = z - theta S + w theta / 2
    +1 where V >= w theta and S + w <= S_max;  -1 where V < 0 and S - w >= S_min;  S moves by w times that
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

NORM, MIX = 2**14, 2**8
Row = list[int]


def plain(p: dict[str, Any]) -> dict[str, Any]:
    """Tensors -> lists of whole numbers (or one); anything else would not be the integer network."""
    found: dict[str, Any] = {}
    for name, x in p.items():
        if name != "scale":
            found[name] = _whole(x.tolist())
    return found


def _whole(x: Any) -> Any:
    if isinstance(x, list):
        return [_whole(y) for y in x]
    assert x == int(x)
    return int(x)


def code(z: int, theta: int, low: int, high: int) -> int:
    """clip(floor(z / theta + 1/2))."""
    return max(low, min(high, (2 * z + theta) // (2 * theta)))


def neuron(z: int, theta: int, S: int, w: int, low: int, high: int) -> int:
    """The count after one step; V is doubled so that halves stay whole."""
    V = 2 * z - 2 * theta * S + w * theta
    if V >= 2 * w * theta and S + w <= high:
        return S + w
    if V < 0 and S - w >= low:
        return S - w
    return S


def dot(a: Row, b: Row) -> int:
    """Sum of products."""
    assert len(a) == len(b)
    return sum(x * y for x, y in zip(a, b, strict=True))


class Plain:
    """A network p (of `plain`) with L blocks and H heads, counts of `bits` bits."""

    def __init__(self, p: dict[str, Any], layers: int, heads: int, bits: int) -> None:
        self.p, self.layers, self.heads = p, layers, heads
        half = 2 ** (bits - 1)
        self.signed, self.unsigned = (-half, half - 1), (0, 2 * half - 1)

    def pass_through(
        self,
        token: int,
        place: int,
        keys: list[list[Row]],
        values: list[list[Row]],
        move: Callable[[str, int, int, int, tuple[int, int]], int],
    ) -> Row:
        """Once through all populations; `move(name, n, z, theta, limits)` gives a neuron's count.

        keys[i], values[i]: those of the tokens before, in block i; this token's are put in place.
        """
        p = self.p
        x = [
            e * p["embedding.unit"] + q * p["position.unit"]
            for e, q in zip(p["embedding.W"][token], p["position.W"][place], strict=True)
        ]
        D = len(x)
        E = D // self.heads

        def norm(name: str) -> Row:
            total = sum(abs(v) for v in x) + 1
            return [move(name, d, NORM * x[d], p[f"{name}.K"][d] * total, self.signed) for d in range(D)]

        def layer(name: str, part: str, S: Row, limits: tuple[int, int]) -> Row:
            W, b, theta = p[f"{part}.W"], p[f"{part}.b"], p[f"{part}.theta"]
            return [move(name, n, dot(W[n], S) + b[n], theta[n], limits) for n in range(len(W))]

        def write(part: str, S: Row) -> None:
            for d in range(D):
                x[d] += dot(p[f"{part}.W"][d], S) * p[f"{part}.unit"]

        for i in range(self.layers):
            S = norm(f"{i}.norm1")
            q, k, v = (
                layer(f"{i}.{part}", f"{i}.{part}", S, self.signed) for part in ("query", "key", "value")
            )
            keys[i][place:], values[i][place:] = [k], [v]
            mixed = []
            for h in range(self.heads):
                here = slice(h * E, h * E + E)
                A = []
                for j in range(place + 1):
                    z = dot(q[here], keys[i][j][here]) - p[f"{i}.attention.offset"][h]
                    theta = p[f"{i}.attention.theta"][h]
                    A.append(move(f"{i}.attention", h * 1000 + j, z, theta, self.unsigned))
                for e in range(h * E, h * E + E):
                    z = MIX * sum(A[j] * values[i][j][e] for j in range(place + 1))
                    mixed.append(move(f"{i}.mix", e, z, p[f"{i}.mix.K"][e] * (sum(A) + 1), self.signed))
            write(f"{i}.out", mixed)
            write(f"{i}.down", layer(f"{i}.hidden", f"{i}.up", norm(f"{i}.norm2"), self.unsigned))
        last = norm("norm")
        return [dot(row, last) + b for row, b in zip(p["embedding.W"], p["logits.b"], strict=True)]

    def rest(self, ids: Row) -> list[Row]:
        """The integer network's logits of every token."""

        def move(name: str, n: int, z: int, theta: int, limits: tuple[int, int]) -> int:
            return code(z, theta, *limits)

        keys: list[list[Row]] = [[] for _ in range(self.layers)]
        values: list[list[Row]] = [[] for _ in range(self.layers)]
        return [self.pass_through(t, place, keys, values, move) for place, t in enumerate(ids)]

    def spikes(self, ids: Row, signed: Row, unsigned: Row) -> tuple[list[Row], list[dict[str, int]], Row]:
        """Tokens one after another, each for len(signed) steps of these weights.

        Returns logits of every token, spikes of every token by population, and the last step with a spike.
        """
        keys: list[list[Row]] = [[] for _ in range(self.layers)]
        values: list[list[Row]] = [[] for _ in range(self.layers)]
        told, fired, settled = [], [], []
        for place, token in enumerate(ids):
            state = State(signed, unsigned, self.signed)
            last, logits = 0, []
            for t in range(len(signed)):
                before, state.t = sum(state.spikes.values()), t
                logits = self.pass_through(token, place, keys, values, state.move)
                if sum(state.spikes.values()) > before:
                    last = t + 1
            told.append(logits)
            fired.append(state.spikes)
            settled.append(last)
        return told, fired, settled


class State:
    """One token's counts and spikes while it runs."""

    def __init__(self, signed: Row, unsigned: Row, limits: tuple[int, int]) -> None:
        self.weights = {True: signed, False: unsigned}
        self.limits, self.t = limits, 0
        self.S: dict[tuple[str, int], int] = {}
        self.spikes: dict[str, int] = {}

    def move(self, name: str, n: int, z: int, theta: int, limits: tuple[int, int]) -> int:
        """One neuron, one step."""
        w = self.weights[limits == self.limits][self.t]
        old = self.S.get((name, n), 0)
        new = neuron(z, theta, old, w, *limits)
        self.spikes[name] = self.spikes.get(name, 0) + (new != old)
        self.S[name, n] = new
        return new
