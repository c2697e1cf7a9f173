"""Who wins, and by what: the explorer of chapter 3's energy, as pure functions and a figure.

Everything is per synapse, in pJ, by `energy.Model`. Four networks with the same synapses: dense fp32, dense
int8, int8 that skips zeros, and spikes. Measured networks are points: their own counts, priced anew wherever
weights and membranes are put.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from neurolab.energy import DEFAULT, PLACES, Counts, Model, break_even, energy, neuron_step, total
from neurolab.explore import COLOURS, Choice, Explorer, layout

NETWORKS = ("fp32", "int8", "int8, zeros skipped", "spikes")
LINE_COLOURS = dict(zip(NETWORKS, (COLOURS[c] for c in ("ink", "orange", "blue", "vermillion")), strict=True))
PARTS = {  # drawn part -> parts of `energy.energy`
    "operations": ("compute", "thresholds", "specials", "accumulators"),
    "weights": ("weights",),
    "membranes": ("membrane_reads", "membrane_writes"),
    "sent on": ("activations",),
}
PART_COLOURS = dict(zip(PARTS, (COLOURS[c] for c in ("green", "sky", "purple", "yellow")), strict=True))
HEARD = np.geomspace(0.01, 10, 31)  # spikes per synapse along the lines
STEPS = (1, 2, 4, 8, 16, 32, 64)
RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)  # spikes per neuron and step
Point = tuple[str, Counts]


def networks(
    T: int, rate: float, density: float = 0.5, fan: float = 160, number_bytes: float = 1.0
) -> dict[str, Counts]:
    """What one synapse costs each of `NETWORKS`, as counts.

    T: steps, from 1. rate: spikes per neuron and step, 0 to 1. density: share of inputs that are not 0, 0 to
    1. fan: synapses into and out of a neuron, which share its membrane and the sending of its value, from 1.
    number_bytes: what an activation of int8 takes (0.5 for 4 bits). ValueError outside.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"rate {rate!r}: must be from 0 to 1")
    break_even(T, density, fan)  # for its checks
    heard = T * rate
    step = {name: T * value / fan for name, value in vars(neuron_step()).items()}
    made = (
        Counts(mac_fp32=1, weight_bytes=4, activation_bytes=2 * 4 / fan),
        Counts(mac_int8=1, weight_bytes=1, activation_bytes=2 * number_bytes / fan),
        Counts(mac_int8=density, weight_bytes=density, activation_bytes=2 * number_bytes / fan),
        Counts(**step)
        + Counts(
            add_int32=heard, weight_bytes=heard, activation_bytes=2 * 2 * heard / fan, spikes=heard / fan
        ),
    )
    return dict(zip(NETWORKS, made, strict=True))


def compute(
    T: int,
    rate: float,
    weights: str,
    membranes: str,
    *,
    density: float = 0.5,
    fan: float = 160,
    points: Sequence[Point] = (),
    model: Model = DEFAULT,
) -> dict[str, Any]:
    """The explorer's result. T, rate, density, fan: as in `networks`; weights, membranes: `PLACES`.

    points: (name, counts) of measured networks. Returns arrays: per part the energies of `NETWORKS`
    ("operations", "weights", ...), "total" (4,), the lines over "heard" (31,), "here x", "here y",
    "points x", "points y", "points name"; numbers "break-even" (spikes per synapse against the network that
    skips zeros) and "events"; "winner", one of `NETWORKS`.
    """
    placed = replace(model, weights=weights, membranes=membranes)
    costs = {name: energy(counts, placed) for name, counts in networks(T, rate, density, fan).items()}
    totals = np.array([sum(cost.values()) for cost in costs.values()])
    result: dict[str, Any] = {
        part: np.array([sum(cost[name] for name in names) for cost in costs.values()])
        for part, names in PARTS.items()
    }
    quiet = total(networks(T, 0.0, density, fan)["spikes"], placed)
    slope = (total(networks(1, 1.0, density, fan)["spikes"], placed)) - total(
        networks(1, 0.0, density, fan)["spikes"], placed
    )
    result |= {f"line {name}": np.full(HEARD.shape, totals[i]) for i, name in enumerate(NETWORKS[:3])}
    named = [(name, counts) for name, counts in points if counts.synapses > 0]
    return result | {
        "line spikes": quiet + slope * HEARD,
        "heard": HEARD,
        "names": list(NETWORKS),
        "total": totals,
        "here x": np.array([T * rate]),
        "here y": totals[3:],
        "points x": np.array([counts.add_int32 / counts.synapses for _, counts in named]),
        "points y": np.array([total(counts, placed) / counts.synapses for _, counts in named]),
        "points name": [name for name, _ in named] or np.array([], dtype=str),
        "break-even": max(0.0, float(totals[2] - quiet) / slope),
        "events": T * rate,
        "winner": NETWORKS[int(totals.argmin())],
    }


def describe(result: Mapping[str, Any]) -> str:
    """One sentence: who wins, at what, and where the break-even lies."""
    fp32, int8, skipping, spikes = (float(one) for one in result["total"])
    even = float(result["break-even"])
    where = f"below {even:.2f} spikes per synapse" if even > 0 else "at no number of spikes"
    return (
        f"{float(result['events']):.2f} spikes per synapse cost {spikes:.2f} pJ; fp32 {fp32:.2f}, "
        f"int8 {int8:.2f}, int8 that skips zeros {skipping:.2f}. Least: {result['winner']}. "
        f"Here spikes beat skipped zeros {where}."
    )


def drawn(result: Mapping[str, Any]) -> go.Figure:
    """Above, bars of what each network spends on what; below, energy against spikes per synapse."""
    figure = make_subplots(rows=2, cols=1, row_heights=[0.42, 0.58], vertical_spacing=0.17)
    for part, colour in PART_COLOURS.items():
        figure.add_trace(
            go.Bar(y=result["names"], x=result[part], name=part, orientation="h", marker={"color": colour}),
            1,
            1,
        )
    for name, colour in LINE_COLOURS.items():
        line = {"color": colour, "width": 3 if name == "spikes" else 2}
        line |= {} if name == "spikes" else {"dash": "dash"}
        figure.add_trace(
            go.Scatter(x=result["heard"], y=result[f"line {name}"], name=name, mode="lines", line=line), 2, 1
        )
    ring = {"size": 15, "symbol": "circle-open", "color": COLOURS["vermillion"], "line": {"width": 3}}
    figure.add_trace(
        go.Scatter(x=result["here x"], y=result["here y"], name="here", mode="markers", marker=ring), 2, 1
    )
    marker = {"size": 10, "symbol": "diamond", "color": COLOURS["ink"]}
    figure.add_trace(
        go.Scatter(
            x=result["points x"],
            y=result["points y"],
            text=result["points name"],
            name="our networks",
            mode="markers",
            marker=marker,
        ),
        2,
        1,
    )
    figure.update_layout(layout(height=620, barmode="stack", margin={"l": 120, "r": 16, "t": 60, "b": 48}))
    figure.update_xaxes(title_text="pJ for one synapse", row=1, col=1)
    figure.update_yaxes(autorange="reversed", row=1, col=1)
    figure.update_xaxes(title_text="spikes per synapse and token", type="log", dtick=1, row=2, col=1)
    return figure.update_yaxes(title_text="pJ for one synapse", type="log", dtick=1, row=2, col=1)


CHANGES: dict[Any, dict[str, str]] = {part: {"x": part} for part in PARTS}
CHANGES |= {name: {"y": f"line {name}"} for name in NETWORKS}
CHANGES |= {"here": {"x": "here x", "y": "here y"}, "our networks": {"x": "points x", "y": "points y"}}


def explorer(points: Sequence[Point] = (), density: float = 0.5, fan: float = 160) -> Explorer:
    """T x spike rate x where weights live x where membranes live. density, fan: as measured."""
    return Explorer(
        lambda T, rate, weights, membranes: compute(
            T, rate, weights, membranes, density=density, fan=fan, points=points
        ),
        drawn,
        controls={
            "T": Choice(*STEPS, value=4),
            "rate": Choice(*RATES, value=0.1, label="spikes per neuron and step"),
            "weights": Choice(*PLACES[1:], label="weights in"),
            "membranes": Choice(*PLACES[:4], value="8 KB", label="membranes in"),
        },
        changes=CHANGES,
        describe=describe,
        title="Who wins, and where the memory is",
        alt="Bars show what four networks spend on operations, weights, membranes and sending. Below, the "
        "energy of spikes rises with spikes per synapse and crosses the level lines of the other three.",
        caption="Put the weights into DRAM and watch the bars: what is still worth saving? Then lower T and "
        "the rate until the ring lies under the blue line.",
    )


def point(row: Any) -> Point:
    """The point of a row named spiking.energy: its name and its counts per token."""
    setting, counts = row.setting, row.figures["counts"]
    return f"{setting['network']}, {setting['schedule']}, T = {setting['T'] or 'rest'}", Counts(**counts)
