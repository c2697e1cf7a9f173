"""Chapter 6's charts: bills, curves, the map of kernels and the live loop. They draw, and change nothing.

Multiply-adds are orange, time is blue, wherever the two stand side by side.
"""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from neurolab.explore import COLOURS, layout
from neurolab.sparsity_pictures import GREY, LINES, MACS, SAID, TIME, TRUTH, Result


def bills(result: Result) -> go.Figure:
    """Two bars a way, multiply-adds and time, in % of dense: the two that ought to agree.

    way (W,) names, macs (W,), time (W,) in %.
    """
    figure = go.Figure(layout=layout(height=340, barmode="group", margin={"l": 112}))
    for name, key, colour in (("time", "time", TIME), ("multiply-adds", "macs", MACS)):
        figure.add_bar(
            x=result[key], y=list(result["way"]), orientation="h", name=name, marker={"color": colour},
            text=[f"{x:.0f}%" for x in result[key]], textposition="outside", cliponaxis=False,
        )  # fmt: skip
    figure.update_yaxes(autorange="reversed", showgrid=False, ticklabelstandoff=4)
    return figure.update_xaxes(title_text="% of dense", rangemode="tozero", range=[0, 135])


def costs(result: Result) -> go.Figure:
    """Multiply-adds and time of a clip over the tokens kept, in % of all: n, macs, packed, masked (m,)."""
    figure = go.Figure(layout=layout(height=380))
    for name, key, colour, dash in (
        ("time, masked", "masked", COLOURS["sky"], "dot"),
        ("time, packed", "packed", TIME, "solid"),
        ("multiply-adds", "macs", MACS, "solid"),
    ):
        figure.add_scatter(
            x=result["n"], y=result[key], name=name, mode="lines+markers",
            line={"color": colour, "width": 3, "dash": dash},
        )  # fmt: skip
    figure.update_xaxes(title_text="tokens kept of 256", tickvals=[1, 32, 64, 128, 192, 256])
    return figure.update_yaxes(title_text="% of dense", rangemode="tozero")


def curves(result: Result, rise: bool = False) -> go.Figure:
    """Lines over a common axis: names; "NAME x", "NAME y"; x name, y name. rise: the axis need not show 0.

    log: which axes are logarithmic ("", "x", "xy"); level and level name: a dashed line, if any.
    """
    figure = go.Figure(layout=layout(height=400))
    log = result.get("log", "")
    ends: list[float] = []
    for name, colour in zip(result["names"], LINES * 2, strict=False):
        figure.add_scatter(
            x=result[f"{name} x"], y=result[f"{name} y"], name=name, mode="lines+markers",
            line={"color": colour, "width": 3},
        )  # fmt: skip
        ends += [float(x) for x in result[f"{name} x"]]
    if "level" in result:
        figure.add_scatter(
            x=[min(ends), max(ends)], y=[result["level"]] * 2, name=result["level name"], mode="lines",
            line={"color": GREY, "dash": "dash", "width": 2},
        )  # fmt: skip
    ticks = {"tickvals": sorted(set(ends))} if "x" in log and len(set(ends)) < 9 else {}
    figure.update_xaxes(title_text=result["x name"], type="log" if "x" in log else "linear", **ticks)
    rows: dict[str, Any] = {"rangemode": "normal" if rise else "tozero"}
    if "y" in log:
        rows = {"tickvals": [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50]}
    return figure.update_yaxes(title_text=result["y name"], type="log" if "y" in log else "linear", **rows)


def winners(result: Result) -> go.Figure:
    """Which kernel wins where: best (D, S) its number in `kernels`.

    density (D,) and size (S,) are texts, kernels the names, text (D, S) what stands in each field.
    """
    kernels = list(result["kernels"])
    steps: list[list[Any]] = []
    for i, colour in enumerate(_FIELDS[: len(kernels)]):
        steps += [[i / len(kernels), colour], [(i + 1) / len(kernels), colour]]
    figure = go.Figure(layout=layout(height=430, margin={"l": 64, "b": 52}))
    figure.add_heatmap(
        z=result["best"], x=list(result["size"]), y=list(result["density"]), name="fastest", colorscale=steps,
        zmin=-0.5, zmax=len(kernels) - 0.5, text=result["text"], texttemplate="%{text}", showscale=False,
        hoverinfo="text", xgap=2, ygap=2, textfont={"color": "#1B1F25", "size": 12},
    )  # fmt: skip
    for i, name in enumerate(kernels):
        figure.add_scatter(
            x=[None], y=[None], name=name, mode="markers",
            marker={"color": _FIELDS[i], "size": 12, "symbol": "square"},
        )  # fmt: skip
    figure.update_xaxes(title_text="rows and columns of the matrix", type="category")
    return figure.update_yaxes(title_text="blocks that are there", type="category")


_FIELDS = ["#C9CED4", "#8CC5EA", "#F2C45A", "#7CCDB2", "#EDA07A", "#E0B3CD", "#F5EE9E", "#9FB2D8"]
WINNERS_CHANGES = {"fastest": {"z": "best", "text": "text"}}


def timeline(result: Result) -> go.Figure:
    """A live loop: above, the time of each frame with the objective; below, the tokens that it was given.

    frame (T,), latency (T,) in ms, objective (ms), budget (T,), "dense x", "dense y" frames and times of the
    dense path.
    """
    figure = go.Figure(layout=layout(height=460))
    figure.add_scatter(
        x=result["frame"], y=result["latency"], name="time of a frame", mode="lines",
        line={"color": TIME, "width": 2},
    )  # fmt: skip
    figure.add_scatter(
        x=[float(result["frame"][0]), float(result["frame"][-1])], y=[result["objective"]] * 2,
        name="objective", mode="lines", line={"color": SAID, "dash": "dash", "width": 2},
    )  # fmt: skip
    figure.add_scatter(
        x=result["dense x"], y=result["dense y"], name="thought again, dense", mode="markers",
        marker={"color": TRUTH, "size": 8, "symbol": "diamond-open", "line": {"width": 2}},
    )  # fmt: skip
    figure.add_scatter(
        x=result["frame"], y=result["budget"], name="tokens", mode="lines", yaxis="y2",
        line={"color": MACS, "width": 2, "shape": "hv"},
    )  # fmt: skip
    figure.update_xaxes(title_text="frame", anchor="y2")
    return figure.update_layout(
        yaxis={"domain": [0.48, 1], "title_text": "ms", "rangemode": "tozero", "anchor": "x"},
        yaxis2={"domain": [0, 0.36], "title_text": "tokens", "rangemode": "tozero", "anchor": "x"},
    )


def layers(result: Result) -> go.Figure:
    """How many layers each piece of an answer went through: pieces (n,) and layers (n,)."""
    figure = go.Figure(layout=layout(height=300, showlegend=False))
    figure.add_bar(x=list(result["pieces"]), y=result["layers"], name="layers", marker={"color": TIME})
    figure.update_xaxes(title_text="pieces of the answer, in order", type="category")
    return figure.update_yaxes(title_text="layers", range=[0, 4.2], tickvals=[1, 2, 3, 4])


LAYERS_CHANGES = {"layers": {"x": "pieces", "y": "layers"}}


def exits(result: Result) -> go.Figure:
    """Cost and times in % of all layers over the threshold (sure: texts), and the points lost below."""
    figure = go.Figure(layout=layout(height=500))
    for name, key, colour, dash in (
        ("multiply-adds, mean", "cost", MACS, "solid"),
        ("time, median", "p50", TIME, "solid"),
        ("time, 95th percentile", "p95", TIME, "dot"),
    ):
        figure.add_scatter(
            x=list(result["sure"]), y=result[key], name=name, mode="lines+markers",
            line={"color": colour, "width": 3, "dash": dash},
        )  # fmt: skip
    figure.add_scatter(
        x=list(result["sure"]), y=result["lost"], name="points lost", mode="lines+markers", yaxis="y2",
        line={"color": SAID, "width": 3},
    )  # fmt: skip
    figure.update_xaxes(title_text="sure enough to leave", type="category", anchor="y2")
    return figure.update_layout(
        yaxis={"domain": [0.45, 1], "title_text": "% of all layers", "rangemode": "tozero", "anchor": "x"},
        yaxis2={"domain": [0, 0.34], "title_text": "points lost", "rangemode": "tozero", "anchor": "x"},
    )


EXITS_CHANGES = {
    "multiply-adds, mean": {"x": "sure", "y": "cost"},
    "time, median": {"x": "sure", "y": "p50"},
    "time, 95th percentile": {"x": "sure", "y": "p95"},
    "points lost": {"x": "sure", "y": "lost"},
}
