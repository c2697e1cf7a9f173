"""Chapter 2's pictures. Each function draws one result (a mapping of arrays) and changes nothing.

v, V: membranes in units of the threshold; t: steps, from 0; s: spikes, 0 or 1. Colours are the same all
through the chapter: the membrane blue, what leaks orange, what comes in green, what a spike takes vermillion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from neurolab.explore import COLOURS, Explorer, layout

Result = Mapping[str, Any]
MEMBRANE, LEAK, INPUT, RESET, QUIET = (
    COLOURS["blue"], COLOURS["orange"], COLOURS["green"], COLOURS["vermillion"], "rgba(128,128,128,0.55)",
)  # fmt: skip
PALE = "rgba(128,128,128,0.13)"
FIRE = [[0.0, PALE], [1.0, RESET]]
SIGNED = [[0.0, COLOURS["blue"]], [0.5, PALE], [1.0, RESET]]


def _line(x: Any, y: Any, name: str, colour: str, **more: Any) -> go.Scatter:
    """A line; `dash` and `width` may be given."""
    style = {"color": colour, "width": more.pop("width", 2), "dash": more.pop("dash", "solid")}
    return go.Scatter(
        x=np.asarray(x), y=np.asarray(y), name=name, mode=more.pop("mode", "lines"), line=style, **more
    )


def _arrow(result: Result, part: str, name: str, colour: str) -> go.Scatter:
    """An arrow from the first to the second of the result's two points `part x`, `part y`."""
    return go.Scatter(
        x=result[f"{part} x"],
        y=result[f"{part} y"],
        name=name,
        mode="lines+markers",
        line={"color": colour, "width": 7},
        marker={"symbol": "arrow", "size": [0, 19], "color": colour, "angleref": "previous", "opacity": 1},
    )


def step(result: Result) -> go.Figure:
    """Ten steps of the membrane V up to step t with the three terms of step t as arrows; below, all of x."""
    figure = make_subplots(rows=2, cols=1, row_heights=[0.76, 0.24], vertical_spacing=0.13)
    figure.add_trace(_line(result["t"], result["V"], "membrane v", MEMBRANE, mode="lines+markers"), 1, 1)
    figure.add_trace(_line(result["span"], result["theta"], "threshold", QUIET, dash="dash"), 1, 1)
    figure.add_trace(_arrow(result, "leak", "leaks", LEAK), 1, 1)
    figure.add_trace(_arrow(result, "input", "comes in", INPUT), 1, 1)
    figure.add_trace(_arrow(result, "reset", "a spike costs", RESET), 1, 1)
    figure.add_bar(
        x=np.arange(64),
        y=result["x"],
        name="ink",
        marker={"color": result["inks"]},
        showlegend=False,
        row=2,
        col=1,
    )
    figure.update_layout(layout(height=470, bargap=0.1))
    figure.update_xaxes(range=result["window"], row=1, col=1)
    figure.update_yaxes(title_text="membrane v", range=[-0.15, 1.75], row=1, col=1)
    figure.update_yaxes(title_text="x", range=[0, 0.65], row=2, col=1)
    return figure.update_xaxes(title_text="step t", row=2, col=1)


STEP_CHANGES = {
    "membrane v": {"x": "t", "y": "V"},
    "leaks": {"x": "leak x", "y": "leak y"},
    "comes in": {"x": "input x", "y": "input y"},
    "a spike costs": {"x": "reset x", "y": "reset y"},
    "ink": {"marker.color": "inks"},
    "layout": {"xaxis.range": "window"},
}


def knobs(result: Result) -> go.Figure:
    """The membrane V over t, its threshold, and its spikes as marks above."""
    figure = go.Figure(layout=layout(height=360))
    figure.add_trace(_line(result["t"], result["V"], "membrane v", MEMBRANE))
    figure.add_trace(_line(result["t"], result["threshold"], "threshold", QUIET, dash="dash"))
    figure.add_trace(
        _line(result["t"], result["ceiling"], "as far as the leak lets it climb", LEAK, dash="dot")
    )
    figure.add_scatter(
        x=result["spike t"], y=result["spike y"], name="spikes", mode="markers",
        marker={"color": RESET, "size": 9, "symbol": "line-ns", "line": {"width": 3, "color": RESET}},
    )  # fmt: skip
    figure.update_xaxes(title_text="step t", range=[-1, 61])
    return figure.update_yaxes(title_text="membrane v", range=[-0.1, 3.2])


KNOB_CHANGES = {
    "membrane v": {"y": "V"},
    "threshold": {"y": "threshold"},
    "as far as the leak lets it climb": {"y": "ceiling"},
    "spikes": {"x": "spike t", "y": "spike y"},
}


def volts(result: Result) -> go.Figure:
    """A cell in mV over ms: the exact solution, the step with exp(-dt / tau), the step with 1 - dt / tau."""
    figure = go.Figure(layout=layout(height=360))
    figure.add_trace(_line(result["ms"], result["exact"], "differential equation", QUIET, width=6))
    figure.add_trace(
        _line(result["dt ms"], result["step"], "beta = exp(-dt / tau)", MEMBRANE, mode="lines+markers")
    )
    figure.add_trace(
        _line(result["dt ms"], result["euler"], "beta = 1 - dt / tau", LEAK, mode="lines+markers")
    )
    figure.update_xaxes(title_text="time (ms)", range=[0, 100])
    return figure.update_yaxes(title_text="membrane (mV)")


VOLTS_CHANGES = {
    "beta = exp(-dt / tau)": {"x": "dt ms", "y": "step"},
    "beta = 1 - dt / tau": {"x": "dt ms", "y": "euler"},
}


def rates(result: Result) -> go.Figure:
    """Spikes a step against the input: counted dots, the closed form (with gaps), a clipped ReLU."""
    figure = go.Figure(layout=layout(height=380))
    figure.add_trace(_line(result["x"], result["relu"], "clipped ReLU", QUIET, dash="dash"))
    figure.add_trace(_line(result["fine x"], result["form"], "closed form", LEAK))
    figure.add_scatter(
        x=result["x"], y=result["rate"], name="counted", mode="markers", marker={"color": MEMBRANE, "size": 7}
    )
    figure.update_xaxes(title_text="input x at every step")
    return figure.update_yaxes(title_text="spikes a step", range=[-0.03, 1.05])


RATE_CHANGES = {"counted": {"y": "rate"}, "closed form": {"y": "form"}}


def quarrel(result: Result) -> go.Figure:
    """Spike trains of one neuron by several definitions: `trains` (definitions, T), names in `names`."""
    figure = go.Figure(layout=layout(height=300, margin={"l": 96, "r": 16, "b": 48}))
    figure.add_heatmap(
        z=result["trains"], y=list(result["names"]), name="spikes", colorscale=FIRE, zmin=0, zmax=1,
        showscale=False, xgap=1, ygap=3,
    )  # fmt: skip
    figure.update_xaxes(title_text="step t", showgrid=False, zeroline=False)
    return figure.update_yaxes(autorange="reversed", showgrid=False, ticks="")


def homing(result: Result) -> go.Figure:
    """What a signed neuron has said so far (theta S), and a plain one, on the way to the code."""
    figure = go.Figure(layout=layout(height=400))
    figure.add_trace(
        _line(result["t"], result["code"], "the quantizer's answer", QUIET, dash="dash", width=3)
    )
    figure.add_trace(_line(result["t"], result["z"], "input so far", INPUT, width=1.5))
    shape = {"line_shape": "hv"}
    figure.add_trace(_line(result["t"], result["signed"], "ST-BIF: theta S", MEMBRANE).update(**shape))
    figure.add_trace(
        _line(result["t"], result["plain"], "plain IF: theta count", RESET, dash="dot").update(**shape)
    )
    figure.update_xaxes(title_text="step t")
    return figure.update_yaxes(title_text="value", range=[-1.75, 2.1])


HOMING_CHANGES = {
    "the quantizer's answer": {"y": "code"},
    "input so far": {"y": "z"},
    "ST-BIF: theta S": {"y": "signed"},
    "plain IF: theta count": {"y": "plain"},
}


def bump(result: Result) -> go.Figure:
    """A spike as it is (a step), as the learner sees it (a curve), and its slope h (a bump)."""
    figure = go.Figure(layout=layout(height=360))
    figure.add_trace(_line(result["u"], result["s"], "spike", QUIET, width=3))
    figure.add_trace(_line(result["u"], result["curve"], "as the learner sees it", MEMBRANE))
    figure.add_trace(_line(result["u"], result["slope"], "its slope h(u), scaled to 1", RESET))
    figure.update_xaxes(title_text="u = v - theta")
    return figure.update_yaxes(range=[-0.35, 1.4])


BUMP_CHANGES = {"as the learner sees it": {"y": "curve"}, "its slope h(u), scaled to 1": {"y": "slope"}}


def bargain(result: Result) -> go.Figure:
    """Accuracy against memory: one mark a training run; `groups` name the methods in the result's order."""
    figure = go.Figure(layout=layout(height=380))
    colours = (COLOURS["blue"], COLOURS["sky"], COLOURS["orange"], COLOURS["vermillion"], COLOURS["green"])
    for name, colour in zip(result["groups"], colours, strict=False):
        figure.add_scatter(
            x=result[f"{name} memory"], y=result[f"{name} accuracy"], name=name, mode="markers",
            marker={"size": 11, "color": colour},
        )  # fmt: skip
    figure.update_xaxes(title_text="memory (whole sequence = 1)", range=[0, 1.08])
    return figure.update_yaxes(title_text="test accuracy", range=[0, 1.02])


def reading(result: Result) -> go.Figure:
    """A digit, the hidden spikes (T, neurons) while it is shown, the spike counts of the ten outputs."""
    figure = make_subplots(
        rows=1, cols=3, column_widths=[0.26, 0.44, 0.3], horizontal_spacing=0.09,
        subplot_titles=("shown", "hidden spikes", "outputs"),
    )  # fmt: skip
    ink = [[0.0, PALE], [1.0, MEMBRANE]]
    figure.add_heatmap(
        z=result["digit"], name="digit", colorscale=ink, zmin=0, zmax=1, showscale=False, row=1, col=1
    )
    figure.add_heatmap(
        z=result["hidden"], name="hidden", colorscale=FIRE, zmin=0, zmax=1, showscale=False, row=1, col=2
    )
    figure.add_bar(
        x=np.arange(10), y=result["counts"], name="counts", marker={"color": MEMBRANE}, row=1, col=3
    )
    figure.update_layout(layout(height=320, margin={"l": 8, "r": 8, "t": 40, "b": 40}, showlegend=False))
    for column in (1, 2):
        figure.update_xaxes(showticklabels=False, ticks="", showgrid=False, zeroline=False, row=1, col=column)
        figure.update_yaxes(
            showticklabels=False,
            ticks="",
            showgrid=False,
            zeroline=False,
            autorange="reversed",
            row=1,
            col=column,
        )
    figure.update_layout(yaxis={"scaleanchor": "x", "constrain": "domain"}, xaxis={"constrain": "domain"})
    figure.update_xaxes(title_text="time", row=1, col=2)
    return figure.update_xaxes(title_text="digit", dtick=1, tickangle=0, tickfont={"size": 10}, row=1, col=3)


READING_CHANGES = {"digit": {"z": "digit"}, "hidden": {"z": "hidden"}, "counts": {"y": "counts"}}


def bars(result: Result) -> go.Figure:
    """Groups of bars with spread: `names`, `groups`, for each group `g values`, `g low`, `g high`."""
    figure = go.Figure(layout=layout(height=340, barmode="group"))
    for group, colour in zip(result["groups"], (COLOURS["orange"], MEMBRANE, COLOURS["sky"]), strict=False):
        value = np.asarray(result[f"{group} values"])
        up, down = np.asarray(result[f"{group} high"]) - value, value - np.asarray(result[f"{group} low"])
        figure.add_bar(
            x=list(result["names"]),
            y=value,
            name=group,
            marker={"color": colour},
            error_y={"array": up, "arrayminus": down, "color": QUIET},
        )
    return figure.update_yaxes(title_text=str(result["axis"]), rangemode="tozero")


def show(
    draw: Any, result: dict[str, Any], title: str, alt: str, caption: str, gaps: Sequence[str] = ()
) -> Explorer:
    """A picture without knobs, in the house frame."""
    return Explorer(lambda: result, draw, title=title, alt=alt, caption=caption, gaps=tuple(gaps))
