"""Chapter 7's pictures: one step, the graph, and files side by side. They draw, and change nothing."""

from __future__ import annotations

from math import log10
from typing import Any

import plotly.graph_objects as go

from neurolab.explore import COLOURS, layout

Result = dict[str, Any]
OLD, NEW, ROOM = COLOURS["blue"], COLOURS["orange"], "#C9CED4"
HERE, BROWSER = COLOURS["blue"], COLOURS["vermillion"]
GROUPS = [COLOURS["blue"], COLOURS["green"], COLOURS["vermillion"], COLOURS["orange"], "#8A929C"]


def step(result: Result) -> go.Figure:
    """What one call is given (a bar of the cache: old, new, room) and what comes out (the five leaders)."""
    figure = go.Figure(layout=layout(height=400, barmode="stack", margin={"l": 96, "b": 44}))
    for name, key, colour in (
        ("in the cache", "old", OLD),
        ("new in this call", "new", NEW),
        ("room left", "room", ROOM),
    ):
        figure.add_bar(
            x=result[key], y=["pieces"], orientation="h", name=name, marker={"color": colour}, xaxis="x2",
            yaxis="y2",
        )  # fmt: skip
    figure.add_bar(
        x=result["p"], y=list(result["piece"]), orientation="h", name="next piece", marker={"color": OLD},
        showlegend=False, text=list(result["shares"]), textposition="outside", cliponaxis=False,
    )  # fmt: skip
    return figure.update_layout(
        xaxis={"domain": [0, 1], "anchor": "y", "range": [0, 118], "title_text": "next piece, %",
               "tickvals": [0, 25, 50, 75, 100]},
        yaxis={"domain": [0, 0.66], "anchor": "x", "autorange": "reversed", "type": "category",
               "ticklabelstandoff": 4},
        xaxis2={"domain": [0, 1], "anchor": "y2", "range": [0, _context(result)]},
        yaxis2={"domain": [0.86, 1], "anchor": "x2", "showgrid": False, "ticklabelstandoff": 4},
        legend={"traceorder": "normal"},
    )  # fmt: skip


def _context(result: Result) -> float:
    """Pieces that the context holds."""
    return float(sum(result[key][0] for key in ("old", "new", "room")))


STEP_CHANGES = {
    "in the cache": {"x": "old"},
    "new in this call": {"x": "new"},
    "room left": {"x": "room"},
    "next piece": {"x": "p", "y": "piece", "text": "shares"},
}


def graph(result: Result) -> go.Figure:
    """The feed-forward part as boxes and arrows, from top to bottom; below, operators of the whole graph."""
    figure = go.Figure(layout=layout(height=560, showlegend=False, margin={"l": 132, "b": 44}))
    figure.add_scatter(
        x=result["line x"], y=result["line y"], mode="lines", name="arrows", hoverinfo="skip",
        line={"color": "#8A929C", "width": 1.5}, xaxis="x2", yaxis="y2",
    )  # fmt: skip
    figure.add_scatter(
        x=result["x"], y=result["y"], mode="markers+text", name="operators", text=result["name"],
        textposition=list(result["side"]), textfont={"size": 12}, hoverinfo="text", cliponaxis=False,
        xaxis="x2", yaxis="y2",
        marker={"size": 13, "symbol": "square", "color": result["group"], "cmin": -0.5, "cmax": 4.5,
                "colorscale": _scale()},
    )  # fmt: skip
    figure.add_bar(
        x=result["count"], y=list(result["kind"]), orientation="h", name="count",
        marker={"color": GROUPS[: len(result["kind"])]}, text=result["count"], textposition="outside",
        cliponaxis=False,
    )  # fmt: skip
    return figure.update_layout(
        xaxis={"anchor": "y", "title_text": "operators in the whole file", "range": [0, 112]},
        yaxis={
            "domain": [0, 0.3],
            "anchor": "x",
            "autorange": "reversed",
            "showgrid": False,
            "ticklabelstandoff": 4,
        },
        xaxis2={"anchor": "y2", "range": [-0.15, 2.7], "visible": False},
        yaxis2={"domain": [0.42, 1], "anchor": "x2", "visible": False, "range": [-11.6, 0.6]},
    )


def _scale() -> list[list[Any]]:
    """Five plain colours as a scale from 0 to 1."""
    steps: list[list[Any]] = []
    for i, colour in enumerate(GROUPS):
        steps += [[i / len(GROUPS), colour], [(i + 1) / len(GROUPS), colour]]
    return steps


GRAPH_CHANGES = {
    "arrows": {"x": "line x", "y": "line y"},
    "operators": {"x": "x", "y": "y", "text": "name", "textposition": "side", "marker.color": "group"},
    "count": {"x": "count", "text": "count"},
}

PANELS = (
    ("bytes", "size", "file (MB)"),
    ("step", "fast", "x torch, a token"),
    ("right", "right", "right (%)"),
)


def runtimes(result: Result) -> go.Figure:
    """Three rows of bars over the precisions of one runtime: file, speed of a token, right answers.

    precision (P,), size (P,) in MB, fast (P,) times torch fp32, right (P,) in %, with texts "size text", ...
    """
    figure = go.Figure(layout=layout(height=520, showlegend=False, margin={"l": 64}))
    axes: dict[str, Any] = {}
    for i, (name, key, title) in enumerate(PANELS):
        n = "" if i == 0 else str(i + 1)
        low = 1 - (i + 1) / 3 + (0.0 if i == 2 else 0.03)
        figure.add_bar(
            x=list(result["precision"]), y=result[key], name=name, text=result[f"{key} text"], yaxis=f"y{n}",
            textposition="outside", cliponaxis=False, marker={"color": GROUPS[(0, 1, 3)[i]]},
        )  # fmt: skip
        axes[f"yaxis{n}"] = {
            "domain": [low, low + 0.24], "title_text": title, "rangemode": "tozero", "nticks": 4,
        }  # fmt: skip
    figure.update_xaxes(type="category", anchor="y3")
    return figure.update_layout(**axes)


RUNTIMES_CHANGES = {name: {"x": "precision", "y": key, "text": f"{key} text"} for name, key, _ in PANELS}


def two_places(result: Result) -> go.Figure:
    """Each file's speed over that of its runtime's float file, here and in a browser, logarithmic.

    format (F,), here (F,), browser (F,): times as fast as the file of floats.
    """
    figure = go.Figure(layout=layout(height=360, barmode="group", margin={"l": 132}))
    ends = [1.0]
    for name, key, colour in (("in a browser", "browser", BROWSER), ("on this processor", "here", HERE)):
        ratios = [float(x) for x in result[key]]
        ends += ratios
        figure.add_bar(
            base=1, x=[x - 1 for x in ratios], y=list(result["format"]), orientation="h", name=name,
            text=[f"{x:.2g}x" for x in ratios], textposition="outside", cliponaxis=False,
            marker={"color": colour}, customdata=ratios,
            hovertemplate="%{y}: %{customdata:.2f}<extra></extra>",
        )  # fmt: skip
    figure.update_yaxes(autorange="reversed", showgrid=False, type="category", ticklabelstandoff=4)
    return figure.update_xaxes(
        title_text="times as fast as floats", type="log",
        range=[log10(min(ends) / 3), log10(max(ends) * 2)],
        tickvals=[0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10],
    )  # fmt: skip
