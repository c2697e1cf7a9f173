"""Chapter 3's pictures. Each function draws one result (a mapping of arrays) and changes nothing.

L tokens, T steps, S counts, theta thresholds. Colours are the same all through the chapter: softmax and other
float things grey, the signed neuron blue, plain integrate-and-fire vermillion, the quantizer's answer green.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from neurolab.explore import COLOURS, Explorer, layout

Result = Mapping[str, Any]
FLOAT, SIGNED, PLAIN, CODE = "rgba(128,128,128,0.6)", COLOURS["blue"], COLOURS["vermillion"], COLOURS["green"]
PALE = "rgba(128,128,128,0.10)"
HEAT = [[0.0, PALE], [0.5, COLOURS["sky"]], [1.0, COLOURS["blue"]]]
MORE = (COLOURS["orange"], COLOURS["purple"], COLOURS["sky"], COLOURS["green"])
STEPS_SHOWN = (1, 2, 4, 8, 16, 32, 64, 128)


def _line(x: Any, y: Any, name: str, colour: str, **more: Any) -> go.Scatter:
    """A line; `dash`, `width` and `mode` may be given."""
    style = {"color": colour, "width": more.pop("width", 2), "dash": more.pop("dash", "solid")}
    return go.Scatter(
        x=np.asarray(x), y=np.asarray(y), name=name, mode=more.pop("mode", "lines"), line=style, **more
    )


def _steps_axis(figure: go.Figure, rest: bool = True) -> go.Figure:
    """T on a logarithmic axis with its powers of two, and "rest" at the end."""
    ticks = STEPS_SHOWN if rest else STEPS_SHOWN[:-1]
    names = [str(t) for t in ticks[:-1]] + (["rest"] if rest else [str(ticks[-1])])
    return figure.update_xaxes(
        title_text="steps T for each piece", type="log", tickvals=list(ticks), ticktext=names,
        range=[-0.08, float(np.log10(ticks[-1])) + 0.08],
    )  # fmt: skip


def looking(result: Result) -> go.Figure:
    """Who looks where: `A` (rows: pieces, columns: pieces looked at), both named by `texts`."""
    texts, L = list(result["texts"]), len(result["texts"])
    figure = go.Figure(layout=layout(height=430, margin={"l": 76, "r": 8, "t": 8, "b": 76}))
    figure.add_heatmap(
        z=result["A"], name="weights", colorscale=HEAT, zmin=0, zmax=1, showscale=False, xgap=1, ygap=1
    )
    ticks = {"tickvals": list(range(L)), "ticktext": texts, "showgrid": False, "zeroline": False, "ticks": ""}
    figure.update_xaxes(title_text="looks at", tickangle=-60, **ticks)
    return figure.update_yaxes(title_text="after reading", autorange="reversed", **ticks)


LOOKING_CHANGES = {"weights": {"z": "A"}}


def settling(result: Result) -> go.Figure:
    """A signed neuron's count on the way to its code, beside it plain integrate-and-fire and the drive."""
    figure = go.Figure(layout=layout(height=400))
    figure.add_trace(_line(result["t"], result["code"], "the quantizer's code", CODE, dash="dash", width=3))
    figure.add_trace(_line(result["t"], result["drive"], "drive z / θ", FLOAT, width=1.5))
    shape = {"line_shape": "hv"}
    figure.add_trace(
        _line(result["t"], result["signed"], "signed neuron's count S", SIGNED, width=3).update(**shape)
    )
    figure.add_trace(
        _line(result["t"], result["plain"], "plain IF's count", PLAIN, dash="dot").update(**shape)
    )
    figure.update_xaxes(title_text="step t")
    return figure.update_yaxes(title_text="count", range=[-2, 17])


SETTLING_CHANGES = {
    "the quantizer's code": {"y": "code"},
    "drive z / θ": {"y": "drive"},
    "signed neuron's count S": {"y": "signed"},
    "plain IF's count": {"y": "plain"},
}


def winners(result: Result) -> go.Figure:
    """Shares of attention over the pieces: by softmax (float), by counts after T steps, by counts at rest."""
    texts, L = list(result["texts"]), len(result["texts"])
    figure = go.Figure(layout=layout(height=380, barmode="overlay", margin={"b": 76}))
    at = np.arange(L)
    figure.add_bar(
        x=at, y=result["softmax"], name="softmax", width=0.86, marker={"color": "rgba(128,128,128,0.3)"}
    )
    figure.add_bar(
        x=at, y=result["spikes"], name="spikes after T steps", width=0.46, marker={"color": SIGNED}
    )
    figure.add_scatter(
        x=at, y=result["rest"], name="spikes at rest", mode="markers",
        marker={"symbol": "line-ew", "size": 18, "line": {"width": 3, "color": CODE}, "color": CODE},
    )  # fmt: skip
    figure.update_xaxes(tickvals=list(at), ticktext=texts, tickangle=-60, showgrid=False, ticks="")
    return figure.update_yaxes(title_text="share of attention", range=[0, 1.04])


WINNERS_CHANGES = {
    "softmax": {"y": "softmax"},
    "spikes after T steps": {"y": "spikes"},
    "spikes at rest": {"y": "rest"},
}


def waits(result: Result) -> go.Figure:
    """How many pieces had their last spike at step T, for two schedules."""
    figure = go.Figure(layout=layout(height=320, barmode="overlay"))
    for name, colour in (("unary", SIGNED), ("halving", COLOURS["orange"])):
        figure.add_bar(x=result["T"], y=result[name], name=name, marker={"color": colour}, opacity=0.65)
    figure.update_xaxes(title_text="step of a piece's last spike")
    return figure.update_yaxes(title_text="pieces")


def beside(result: Result) -> go.Figure:
    """Dots on the diagonal or off it: `x` against `y`, axes named by `x name`, `y name`."""
    figure = go.Figure(layout=layout(height=360, showlegend=False))
    ends = np.array(
        [min(np.min(result["x"]), np.min(result["y"])), max(np.max(result["x"]), np.max(result["y"]))]
    )
    figure.add_trace(_line(ends, ends, "equal", FLOAT, dash="dash"))
    figure.add_scatter(
        x=result["x"], y=result["y"], name="numbers", mode="markers", marker={"size": 6, "color": SIGNED}
    )
    figure.update_xaxes(title_text=str(result["x name"]))
    return figure.update_yaxes(title_text=str(result["y name"]))


def bars(result: Result) -> go.Figure:
    """Groups of bars: `names`, `groups`; each group's `g values`; `axis` names the upright axis."""
    figure = go.Figure(layout=layout(height=360, barmode="group"))
    for group, colour in zip(result["groups"], (FLOAT, SIGNED, *MORE), strict=False):
        figure.add_bar(
            x=list(result["names"]), y=result[f"{group} values"], name=group, marker={"color": colour}
        )
    return figure.update_yaxes(title_text=str(result["axis"]), rangemode="tozero")


def curves(result: Result) -> go.Figure:
    """A figure against T: `groups`, each with `g x`, `g y`; dashed `level` for the network at rest.

    Group by group the colours are: signed neurons blue shades, plain IF vermillion.
    """
    figure = go.Figure(layout=layout(height=400))
    figure.add_trace(
        _line(result["level x"], result["level"], str(result["level name"]), FLOAT, dash="dash", width=3)
    )
    for group, colour in zip(
        result["groups"],
        (SIGNED, *(COLOURS[c] for c in ("orange", "green", "purple", "sky")), PLAIN),
        strict=False,
    ):
        figure.add_trace(
            _line(result[f"{group} x"], result[f"{group} y"], group, colour, mode="lines+markers")
        )
    return _steps_axis(figure).update_yaxes(title_text=str(result["axis"]), rangemode="tozero")


def codings(result: Result) -> go.Figure:
    """A figure against T for three codes: `rate y`, `temporal y`, `hybrid y`."""
    figure = go.Figure(layout=layout(height=360))
    for name, colour in (("rate", SIGNED), ("temporal", COLOURS["orange"]), ("hybrid", COLOURS["green"])):
        figure.add_trace(_line(result["T"], result[f"{name} y"], name, colour, mode="lines+markers"))
    figure.update_xaxes(
        title_text="steps T", type="log", tickvals=list(result["T"]), ticktext=[str(T) for T in result["T"]]
    )
    return figure.update_yaxes(title_text=str(result["axis"]), range=list(result["range"]))


CODINGS_CHANGES = {name: {"y": f"{name} y"} for name in ("rate", "temporal", "hybrid")} | {
    "layout": {"yaxis.range": "range", "yaxis.title.text": "axis"}
}


def two_prices(result: Result) -> go.Figure:
    """Quality (upper) and time for an answer (lower) against T."""
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    figure.add_trace(
        _line(result["T"], result["quality"], "right answers (%)", SIGNED, mode="lines+markers"), 1, 1
    )
    figure.add_trace(
        _line(result["T"], result["ms"], "time for one answer (ms)", COLOURS["orange"], mode="lines+markers"),
        2,
        1,
    )
    figure.update_layout(layout(height=430))
    figure = _steps_axis(figure)
    figure.update_xaxes(title_text="", row=1, col=1)
    figure.update_yaxes(title_text="right (%)", rangemode="tozero", row=1, col=1)
    return figure.update_yaxes(title_text="ms", rangemode="tozero", row=2, col=1)


def surface(result: Result) -> go.Figure:
    """Quality over T (columns) and bits of a count (rows), with the chosen point ringed."""
    figure = go.Figure(layout=layout(height=340, margin={"l": 64}))
    figure.add_heatmap(
        z=result["z"], x=list(result["T names"]), y=list(result["bits names"]), name="grid", colorscale=HEAT,
        text=result["labels"], texttemplate="%{text}", showscale=False, xgap=2, ygap=2, hoverinfo="skip",
    )  # fmt: skip
    figure.add_scatter(
        x=result["at x"], y=result["at y"], name="chosen", mode="markers", hoverinfo="skip",
        marker={"symbol": "square-open", "size": 34, "line": {"width": 3}, "color": COLOURS["orange"]},
    )  # fmt: skip
    figure.update_layout(showlegend=False)
    figure.update_xaxes(title_text="steps T", type="category", showgrid=False)
    return figure.update_yaxes(title_text="bits of a count", type="category", showgrid=False)


SURFACE_CHANGES = {"grid": {"z": "z", "text": "labels"}, "chosen": {"x": "at x", "y": "at y"}}


def show(
    draw: Any, result: dict[str, Any], title: str, alt: str, caption: str, gaps: Sequence[str] = ()
) -> Explorer:
    """A picture without knobs, in the house frame."""
    return Explorer(lambda: result, draw, title=title, alt=alt, caption=caption, gaps=tuple(gaps))
