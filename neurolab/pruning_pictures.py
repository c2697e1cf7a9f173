"""Chapter 5's pictures. Each function draws one result (a mapping of arrays) and changes nothing.

What stays is blue, what goes vermillion, what theory allows green, what a coder wastes orange.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go

from neurolab.explore import COLOURS, layout

Result = Mapping[str, Any]
STAYS, GOES, IDEAL, WASTE = COLOURS["blue"], COLOURS["vermillion"], COLOURS["green"], COLOURS["orange"]
GREY = "rgba(128,128,128,0.6)"


def thinning(result: Result) -> go.Figure:
    """A matrix's weights as a hill of bars: those that stay, and those that are set to zero."""
    figure = go.Figure(layout=layout(height=360, barmode="stack", bargap=0))
    for name, colour in (("stays", STAYS), ("goes", GOES)):
        said = {"stays": "stay", "goes": "become zero"}[name]
        figure.add_bar(x=result["centres"], y=result[name], name=said, marker={"color": colour})
    figure.update_xaxes(title_text="weight w", range=list(result["window"]))
    return figure.update_yaxes(title_text="weights", range=list(result["heights"]))


THINNING_CHANGES = {
    "stay": {"x": "centres", "y": "stays"},
    "become zero": {"x": "centres", "y": "goes"},
    "layout": {"xaxis.range": "window", "yaxis.range": "heights"},
}


def speeds(result: Result) -> go.Figure:
    """Times faster, one row a way to prune: measured, and what the multiply-adds promise."""
    figure = go.Figure(layout=layout(height=500, margin={"l": 128, "t": 60}))
    y = result["y"]
    figure.add_scatter(
        x=result["multiply_adds"], y=y, name="multiply-adds saved", mode="markers",
        marker={"color": GREY, "size": 11, "symbol": "diamond-open", "line": {"width": 2}},
    )  # fmt: skip
    spread = {
        "type": "data", "symmetric": False, "array": result["above"], "arrayminus": result["below"],
        "color": STAYS,
    }  # fmt: skip
    figure.add_scatter(
        x=result["ratio"], y=y, name="measured", mode="markers", error_x=spread,
        marker={"color": STAYS, "size": 10},
    )  # fmt: skip
    figure.add_scatter(
        x=[1, 1], y=[-0.6, len(y) - 0.4], name="as fast as before", mode="lines",
        line={"color": GOES, "dash": "dash", "width": 2},
    )  # fmt: skip
    figure.update_yaxes(
        tickvals=list(range(len(y))), ticktext=list(result["label"]), range=[len(y) - 0.4, -0.6],
        showgrid=False, zeroline=False,
    )  # fmt: skip
    return figure.update_xaxes(
        title_text="times as fast", type="log", range=[-0.4, 1.05], tickvals=[0.5, 1, 2, 5, 10]
    )


SPEEDS_CHANGES = {
    "multiply-adds saved": {"x": "multiply_adds", "y": "y"},
    "measured": {"x": "ratio", "y": "y", "error_x.array": "above", "error_x.arrayminus": "below"},
    "layout": {"yaxis.ticktext": "label"},
}


def tree(result: Result) -> go.Figure:
    """A Huffman tree while it grows: leaves at the bottom, joins above them, the newest one orange."""
    figure = go.Figure(layout=layout(height=420, showlegend=False))
    figure.add_scatter(
        x=result["edge_x"], y=result["edge_y"], name="branches", mode="lines",
        line={"color": GREY, "width": 2}, hoverinfo="skip",
    )  # fmt: skip
    figure.add_scatter(
        x=result["x"], y=result["y"], name="nodes", mode="markers+text", text=result["text"],
        textposition="top center", hoverinfo="text",
        marker={
            "color": result["colour"], "colorscale": [[0, STAYS], [1, WASTE]],
            "cmin": 0, "cmax": 1, "size": 13,
        },
    )  # fmt: skip
    figure.add_scatter(
        x=result["leaf x"], y=result["leaf y"], name="codes", mode="text", text=result["leaf"],
        hoverinfo="skip",
    )  # fmt: skip
    figure.update_xaxes(showticklabels=False, showgrid=False, zeroline=False, range=list(result["wide"]))
    return figure.update_yaxes(
        title_text="joins above a leaf (numbers: %)",
        tickvals=list(range(8)),
        range=list(result["high"]),
        showgrid=False,
        zeroline=False,
    )


TREE_CHANGES = {
    "branches": {"x": "edge_x", "y": "edge_y"},
    "nodes": {"x": "x", "y": "y", "text": "text", "marker.color": "colour"},
    "codes": {"x": "leaf x", "y": "leaf y", "text": "leaf"},
    "layout": {"xaxis.range": "wide", "yaxis.range": "high"},
}


def bills(result: Result) -> go.Figure:
    """What each coder spends on a code: entropy, tables, waste, one bar on the other."""
    figure = go.Figure(layout=layout(height=360, barmode="stack"))
    for name, colour in (("entropy", IDEAL), ("tables", COLOURS["sky"]), ("waste", WASTE)):
        figure.add_bar(x=list(result["coders"]), y=result[name], name=name, marker={"color": colour})
    return figure.update_yaxes(title_text="bits a weight", range=list(result["heights"]))


BILLS_CHANGES = {
    "entropy": {"y": "entropy"},
    "tables": {"y": "tables"},
    "waste": {"y": "waste"},
    "layout": {"yaxis.range": "heights"},
}


def floor(result: Result) -> go.Figure:
    """Bits a weight over the share of zeros: the entropy, Huffman, and what Huffman's zeros alone cost."""
    figure = go.Figure(layout=layout(height=360))
    x = 100 * np.asarray(result["zeros"])
    for name, key, colour, dash in (
        ("Huffman", "huffman", WASTE, "solid"),
        ("entropy", "entropy", IDEAL, "solid"),
        ("one bit for each zero", "floor", GREY, "dot"),
    ):
        figure.add_scatter(
            x=x, y=result[key], name=name, mode="lines+markers",
            line={"color": colour, "dash": dash, "width": 3},
        )  # fmt: skip
    figure.update_xaxes(title_text="zeros among the codes (%)")
    return figure.update_yaxes(title_text="bits a weight", rangemode="tozero")


def zero_bin(result: Result) -> go.Figure:
    """Error over bits a weight: one ruler alone, and masks on two finer rulers; the chosen step is ringed."""
    figure = go.Figure(layout=layout(height=400))
    for name, key, colour, dash in (
        ("one ruler", "ruler", IDEAL, "solid"),
        ("mask, then 4 bits", "mask, 4 bits", WASTE, "solid"),
        ("mask, then 8 bits", "mask, 8 bits", GREY, "dash"),
    ):
        figure.add_scatter(
            x=result[f"{key} x"], y=result[f"{key} y"], name=name, mode="lines+markers",
            line={"color": colour, "dash": dash, "width": 3},
        )  # fmt: skip
    figure.add_scatter(
        x=result["x"], y=result["y"], name="yours", mode="markers",
        marker={"color": GOES, "size": 15, "symbol": "circle-open", "line": {"width": 4}},
    )  # fmt: skip
    figure.update_xaxes(title_text="bits a weight (entropy)", range=[0, 5])
    return figure.update_yaxes(
        title_text="off by (% of the power)", type="log", range=[-0.7, 1.9], tickvals=[0.2, 1, 3, 10, 30]
    )


ZERO_BIN_CHANGES = {
    name: {axis: f"{key} {axis}" for axis in "xy"}
    for name, key in (
        ("one ruler", "ruler"), ("mask, then 4 bits", "mask, 4 bits"), ("mask, then 8 bits", "mask, 8 bits"),
    )
} | {"yours": {"x": "x", "y": "y"}}  # fmt: skip


def front(result: Result) -> go.Figure:
    """Quality over size for every pair of bits and zeros: all grey, the best ones joined, one chosen."""
    figure = go.Figure(layout=layout(height=400))
    figure.add_scatter(
        x=result["all x"], y=result["all y"], name="bits and zeros", mode="markers",
        marker={"color": GREY, "size": 7},
    )  # fmt: skip
    figure.add_scatter(
        x=result["front x"], y=result["front y"], name="nothing is better in both", mode="lines+markers",
        line={"color": IDEAL, "width": 2, "shape": "hv"}, marker={"color": IDEAL, "size": 7},
    )  # fmt: skip
    figure.add_scatter(
        x=result["x"], y=result["y"], name="yours", mode="markers",
        marker={"color": GOES, "size": 15, "symbol": "circle-open", "line": {"width": 4}},
    )  # fmt: skip
    figure.update_xaxes(title_text="bytes on disk (thousands)", type="log", tickvals=[200, 400, 800])
    return figure.update_yaxes(title_text="right answers (%)", range=[-4, 104])


FRONT_CHANGES = {"yours": {"x": "x", "y": "y"}}


def file(result: Result) -> go.Figure:
    """What a file consists of, in bytes: one bar a part."""
    figure = go.Figure(layout=layout(height=320, showlegend=False, margin={"l": 96}))
    y = list(range(len(result["parts"])))
    figure.add_bar(
        x=result["bytes"], y=y, orientation="h", name="bytes", marker={"color": STAYS}, text=result["text"],
        textposition="outside", cliponaxis=False,
    )  # fmt: skip
    figure.update_yaxes(tickvals=y, ticktext=list(result["parts"]), autorange="reversed", showgrid=False)
    return figure.update_xaxes(
        title_text="bytes (logarithmic)", type="log", range=[0.7, 7.4], tickvals=[10, 1000, 100_000]
    )


FILE_CHANGES = {"bytes": {"x": "bytes", "text": "text"}}
