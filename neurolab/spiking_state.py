"""The spiking assistant at work in integers: R tokens at once, one step at a time.

The arithmetic is that of `spiking.features` with `spiking_rules.IntegerSpikes`, but counts are int8, drives
int32, and only the present step is kept. `spiking_stream` hands tokens to the rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from neurolab.spiking import NORM_SHIFT, SIGNED, UNSIGNED, bounds, schedule
from neurolab.spiking_files import Spiking, accumulators
from neurolab.spiking_kernels import kernels, times
from neurolab.transformer import Config

PARTS = ("norm1", "query", "key", "value", "attention", "mix", "norm2", "hidden")


def populations(layers: int) -> list[str]:
    """All populations in the order in which spikes pass through them: 8 a block and one more."""
    return [*(f"{i}.{part}" for i in range(layers) for part in PARTS), "norm"]


def chain(layers: int) -> int:
    """How many populations stand one behind another: query, key and value stand side by side."""
    return 6 * layers + 1


def bound(config: Config, bits: int = 4, kind: str = "unary") -> int:
    """Steps after which every token rests, whatever the input.

    Take one neuron whose drive z and threshold theta no longer change, with step weight 1. If V = z - theta S
    + theta / 2 lies in [0, theta), it is silent for ever. If V >= theta it fires +1 at every step, and each
    spike lowers V by theta, so V can't fall below 0: it only ever moves the one way, until V < theta or S =
    S_max. If V < 0, likewise downwards. It moves at most S_max - S_min times, for S has only that many places
    to go. So a population rests at most S_max - S_min steps after the ones before it rest (spikes pass
    through all populations within a step, so no step is lost on the way), and the first has a drive that
    never changes. C populations in a chain: C (S_max - S_min) steps. Nothing here asks where S began, so
    after the last step of weight above 1 (`halving` has bits - 1 of them, `ramp` 2^(bits - 1) - 1) the same
    holds. Populations one after another (`radix`) need `bits` steps each, since their drives are final before
    they begin.
    """
    low, high = bounds(SIGNED, bits)
    if kind == "radix":
        return bits * chain(config.layers)
    wide = {"unary": 0, "halving": bits - 1, "ramp": 2 ** (bits - 1) - 1}  # steps of weight above 1
    if kind not in wide:
        raise ValueError(f"kind {kind!r}: must be one of {', '.join(wide)}, radix")
    return chain(config.layers) * (high - low) + wide[kind]


def rest_of(kind: str, config: Config, bits: int, T: int | None) -> dict[str, tuple[int, ...]]:
    """The step weights of a run of T steps, or until rest: then of as many steps as the bound allows."""
    return schedule(T if T is not None else bound(config, bits, kind) + 1, kind, bits)


class Stream:
    """The state of R rows: counts S of every population, keys and values so far, steps taken. All integers.

    length: tokens L that keys and values have room for; weights: step weights by kind, the last for ever.
    OverflowError if a norm's membrane could pass int64 (the other sums are proven below 2^24 by `prove`).
    """

    def __init__(
        self,
        net: Spiking,
        rows: int,
        length: int,
        weights: dict[str, tuple[int, ...]],
        compiled: bool | None = None,
    ) -> None:
        c, self.net, self.length = net.config, net, length
        x = accumulators(net.p, c, net.bits)["x"]  # z, theta S and w theta, twice
        K = max(int(k.max()) for name, k in net.p.items() if "norm" in name)
        if 2 * (x << NORM_SHIFT) + 4 * 2**net.bits * K * (c.width * x + 1) >= 2**63:
            raise OverflowError(f"a norm with K = {K} and |x| up to {x} could pass int64")
        self.fire, self.norm, self.attend = kernels(compiled)
        self.names = populations(c.layers)
        self.at = {name: k for k, name in enumerate(self.names)}
        self.p = {
            name: x.to(torch.int8 if name.endswith(".W") else torch.int32)
            for name, x in net.p.items()
            if name != "scale"
        }
        self.nothing = torch.zeros(max(c.width, c.hidden), dtype=torch.int32)
        self.weights = {kind: torch.tensor(w, dtype=torch.int32) for kind, w in weights.items()}
        self.low, self.high = bounds(SIGNED, net.bits)
        self.top = bounds(UNSIGNED, net.bits)[1]

        def empty(*shape: int) -> Tensor:
            return torch.zeros(rows, *shape, dtype=torch.int8)

        shapes = {"attention": (c.heads, length), "hidden": (c.hidden,)}
        self.S = {name: empty(*shapes.get(name.split(".")[-1], (c.width,))) for name in self.names}
        self.keys = [empty(length, c.width) for _ in range(c.layers)]
        self.values = [empty(length, c.width) for _ in range(c.layers)]
        self.sums = {  # what growing thresholds were made from
            name: torch.full((rows, c.heads) if name.endswith("mix") else (rows,), -1)
            for name in self.names
            if name.endswith(("norm", "norm1", "norm2", "mix"))
        }
        self.position = torch.zeros(rows, dtype=torch.long)
        self.t = torch.zeros(rows, dtype=torch.long)  # steps taken
        self.x = torch.zeros(rows, c.width, dtype=torch.int32)  # the token itself
        self.spikes = torch.zeros(len(self.names), rows, dtype=torch.long)  # of the last step
        self.products = torch.zeros(rows, dtype=torch.long)  # of the last step

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.t)

    def keep(self, rows: Tensor) -> None:
        """Keep only these rows."""
        self.S = {name: S[rows] for name, S in self.S.items()}
        self.keys, self.values = [k[rows] for k in self.keys], [v[rows] for v in self.values]
        self.sums = {name: total[rows] for name, total in self.sums.items()}
        self.position, self.t, self.x = self.position[rows], self.t[rows], self.x[rows]
        self.spikes, self.products = self.spikes[:, rows].contiguous(), self.products[rows]

    def begin(self, rows: Tensor, ids: Tensor, position: Tensor) -> None:
        """Put token ids at their positions into these rows; the caches keep what came before."""
        p = self.p
        for S in self.S.values():
            S[rows] = 0
        for total in self.sums.values():
            total[rows] = -1
        self.t[rows], self.position[rows] = 0, position
        self.x[rows] = (
            p["embedding.W"][ids].int() * p["embedding.unit"]
            + p["position.W"][position].int() * p["position.unit"]
        )

    def _fire(self, name: str, S: Tensor, part: str) -> Tensor:
        """Move the population `name` that reads counts S through the matrix `part`."""
        p, mine = self.p, self.S[name]
        signed = name[-6:] != "hidden"
        self.fire(
            times(S, p[f"{part}.W"]),
            p[f"{part}.b"],
            p[f"{part}.theta"],
            mine,
            self.w[SIGNED if signed else UNSIGNED],
            self.low if signed else 0,
            self.high if signed else self.top,
            self.spikes[self.at[name]],
        )
        return mine

    def _norm(self, name: str, x: Tensor) -> Tensor:
        spikes, S, w = self.spikes[self.at[name]], self.S[name], self.w[SIGNED]
        self.norm(x, self.p[f"{name}.K"], S, w, self.low, self.high, self.sums[name], spikes, self.products)
        return S

    def _attend(self, i: int, S: Tensor) -> Tensor:
        p, mine = self.p, self.S[f"{i}.mix"]
        self.attend(
            *(self._fire(f"{i}.{part}", S, f"{i}.{part}") for part in ("query", "key", "value")),
            self.keys[i],
            self.values[i],
            self.position,
            p[f"{i}.attention.offset"],
            p[f"{i}.attention.theta"],
            self.S[f"{i}.attention"],
            p[f"{i}.mix.K"],
            mine,
            self.w[SIGNED],
            self.w[UNSIGNED],
            (self.low, self.high, self.top),
            self.sums[f"{i}.mix"],
            self.spikes[self.at[f"{i}.attention"]],
            self.spikes[self.at[f"{i}.mix"]],
            self.products,
        )
        return mine

    def step(self) -> Tensor:
        """One step of all rows; returns the counts (R, D) of the last norm. Its spikes are in `spikes`."""
        p = self.p
        self.w = {kind: w[self.t.clamp(max=len(w) - 1)] for kind, w in self.weights.items()}
        self.products.zero_()
        x = self.x
        for i in range(self.net.config.layers):
            S = self._attend(i, self._norm(f"{i}.norm1", x))
            x = x + times(S, p[f"{i}.out.W"]) * p[f"{i}.out.unit"]
            S = self._fire(f"{i}.hidden", self._norm(f"{i}.norm2", x), f"{i}.up")
            x = x + times(S, p[f"{i}.down.W"]) * p[f"{i}.down.unit"]
        S = self._norm("norm", x)
        self.t += 1
        return S
