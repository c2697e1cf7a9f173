"""Chapter 6's pictures. Each function draws one result (a mapping of arrays) and changes nothing.

What is computed is lit, what is left out lies under a blue veil. The truth is green, the network's answer
vermillion; multiply-adds are orange, time is blue, wherever the two stand side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go

from neurolab.explore import COLOURS, layout

Result = Mapping[str, Any]
MACS, TIME, TRUTH, SAID = COLOURS["orange"], COLOURS["blue"], COLOURS["green"], COLOURS["vermillion"]
LINES = [COLOURS[name] for name in ("blue", "vermillion", "green", "purple", "sky", "orange", "yellow")]
GREY = "rgba(128,128,128,0.6)"
PHOTO = [[0, "#000000"], [1, "#ffffff"]]
VEIL = [[0, "rgba(0,60,110,0)"], [1, "rgba(0,60,110,0.88)"]]
LEFT, RIGHT = [0, 0.47], [0.53, 1]


def _photo(figure: go.Figure, z: Any, name: str, axis: str, ceiling: int = 255) -> None:
    figure.add_heatmap(
        z=z, name=name, xaxis=f"x{axis}", yaxis=f"y{axis}", colorscale=PHOTO, zmin=0, zmax=ceiling,
        showscale=False, hoverinfo="skip",
    )  # fmt: skip


def _square(title: str, domain: list[float], height: list[float], side: float, y: str) -> tuple[Any, Any]:
    """The two axes of a picture of `side` pixels: its upper left corner is the origin."""
    plain = {"showticklabels": False, "showgrid": False, "zeroline": False, "ticks": ""}
    across = plain | {
        "domain": domain, "range": [-0.5, side - 0.5], "constrain": "domain", "side": "top",
        "title": {"text": title, "standoff": 4, "font": {"size": 13}},
    }  # fmt: skip
    down = plain | {
        "domain": height, "range": [side - 0.5, -0.5], "scaleanchor": f"x{y}", "constrain": "domain",
    }  # fmt: skip
    return across, down


def _marks(figure: go.Figure, result: Result, axis: str) -> None:
    for name, key, colour, symbol in (
        ("where it is", "true", TRUTH, "circle-open"), ("where the network says", "said", SAID, "x-thin"),
    ):  # fmt: skip
        figure.add_scatter(
            x=result[f"{key} x"], y=result[f"{key} y"], name=name, mode="markers", xaxis=f"x{axis}",
            yaxis=f"y{axis}", hoverinfo="name",
            marker={"color": colour, "size": 15, "symbol": symbol, "line": {"width": 3, "color": colour}},
        )  # fmt: skip


def watch(result: Result) -> go.Figure:
    """Frame -> chosen tokens -> answer, and below it what that costs: multiply-adds and time, of dense.

    frame (S, S) of 0..63, veil (G, G) 1 where left out, edges (2,) of the veil's first tubelet and its step,
    true and said x, y (1,), p (10,) in %, share (2,) in % of the dense network, text (2,).
    """
    figure = go.Figure(layout=layout(height=510, margin={"l": 16, "t": 70, "b": 44}, legend_y=1.09))
    side = len(result["frame"])
    _photo(figure, result["frame"], "frame", "", 63)
    _photo(figure, result["frame"], "what is computed", "2", 63)
    _veil(figure, result["veil"], side, "2")
    _marks(figure, result, "2")
    figure.add_bar(
        x=[str(i) for i in range(10)], y=result["p"], name="answer", xaxis="x3", yaxis="y3",
        marker={"color": SAID}, showlegend=False, hoverinfo="x+y",
    )  # fmt: skip
    figure.add_bar(
        x=result["share"], y=["time", "multiply-adds"], name="of dense", orientation="h", xaxis="x4",
        yaxis="y4", marker={"color": [TIME, MACS]}, text=result["text"], textposition="outside", textangle=0,
        showlegend=False, hoverinfo="skip", cliponaxis=False,
    )  # fmt: skip
    top, low = [0.38, 1], [0, 0.24]
    x1, y1 = _square("what the camera sees", LEFT, top, side, "")
    x2, y2 = _square("what is computed", RIGHT, top, side, "2")
    axes: dict[str, Any] = {
        "xaxis": x1,
        "yaxis": y1,
        "xaxis2": x2 | {"anchor": "y2"},
        "yaxis2": y2 | {"anchor": "x2"},
        "xaxis3": {"domain": LEFT, "anchor": "y3", "title_text": "which digit?", "fixedrange": True},
        "yaxis3": {"domain": low, "anchor": "x3", "range": [0, 100], "tickvals": [0, 50, 100],
                   "ticksuffix": "%", "fixedrange": True},
        "xaxis4": {"domain": [0.64, 1], "anchor": "y4", "range": [0, 140], "tickvals": [0, 50, 100],
                   "title_text": "% of dense", "fixedrange": True},
        "yaxis4": {"domain": low, "anchor": "x4", "fixedrange": True, "automargin": False,
                   "tickvals": [0, 1], "ticktext": ["time", "multiply-<br>adds"], "type": "category"},
    }  # fmt: skip
    return figure.update_layout(axes)


def _veil(figure: go.Figure, veil: Any, side: int, axis: str) -> None:
    step = side / len(veil)
    figure.add_heatmap(
        z=veil, x0=(step - 1) / 2, dx=step, y0=(step - 1) / 2, dy=step, name="left out", xaxis=f"x{axis}",
        yaxis=f"y{axis}", colorscale=VEIL, zmin=0, zmax=1, showscale=False, hoverinfo="skip",
    )  # fmt: skip


_SEEN = {
    "frame": {"z": "frame"},
    "what is computed": {"z": "frame"},
    "left out": {"z": "veil"},
    "where it is": {"x": "true x", "y": "true y"},
    "where the network says": {"x": "said x", "y": "said y"},
}
WATCH_CHANGES = _SEEN | {"answer": {"y": "p"}, "of dense": {"x": "share", "text": "text"}}


def gated(result: Result) -> go.Figure:
    """A clip's last frame with what is chosen, and all its tokens by their change, with threshold and budget.

    As in `watch`; besides: rank (N,) 1.., change (N,) from the largest to the smallest, kept (n,) and its
    ranks, mark x, y (2,) the threshold's line, lid x, y (2,) the budget's.
    """
    figure = go.Figure(layout=layout(height=580, margin={"t": 92, "b": 48}, legend_y=1.08))
    side = len(result["frame"])
    _photo(figure, result["frame"], "frame", "", 63)
    _photo(figure, result["frame"], "what is computed", "2", 63)
    _veil(figure, result["veil"], side, "2")
    _marks(figure, result, "2")
    for name, x, y, style in (
        ("all tokens", "rank", "change", {"color": GREY, "width": 3}),
        ("kept", "kept x", "kept y", {"color": TIME, "width": 6}),
        ("threshold", "mark x", "mark y", {"color": MACS, "width": 2, "dash": "dash"}),
        ("budget", "lid x", "lid y", {"color": COLOURS["purple"], "width": 2, "dash": "dash"}),
    ):
        figure.add_scatter(
            x=result[x], y=result[y], name=name, mode="lines", line=style, xaxis="x3", yaxis="y3",
        )  # fmt: skip
    x1, y1 = _square("the last frame", LEFT, [0.42, 1], side, "")
    x2, y2 = _square("what is computed", RIGHT, [0.42, 1], side, "2")
    return figure.update_layout(
        xaxis=x1, yaxis=y1, xaxis2=x2 | {"anchor": "y2"}, yaxis2=y2 | {"anchor": "x2"},
        xaxis3={"anchor": "y3", "title_text": "tokens, the strongest first",
                "type": "log", "range": [0, 2.45], "tickvals": [1, 4, 16, 64, 256]},
        yaxis3={"anchor": "x3", "domain": [0, 0.3], "title_text": "change", "type": "log",
                "range": [-3.1, 0.1], "tickvals": [0.001, 0.01, 0.1, 1]},
    )  # fmt: skip


GATED_CHANGES = _SEEN | {
    "all tokens": {"x": "rank", "y": "change"},
    "kept": {"x": "kept x", "y": "kept y"},
    "threshold": {"x": "mark x", "y": "mark y"},
    "budget": {"x": "lid x", "y": "lid y"},
}


def mechanisms(result: Result) -> go.Figure:
    """Accuracy over tokens kept for every mechanism, the frame with what the chosen one keeps, and its bills.

    names: of the mechanisms; "NAME x", "NAME y" their points; dense (2,) its accuracy, x, y (1,) the chosen
    one; frame and veil as in `watch`; share (3,) in % of dense, text (3,).
    """
    figure = go.Figure(layout=layout(height=620, margin={"t": 84, "b": 48}))
    for name, colour in zip(result["names"], LINES * 2, strict=False):
        figure.add_scatter(
            x=result[f"{name} x"], y=result[f"{name} y"], name=name, mode="lines+markers",
            line={"color": colour, "width": 2.5}, marker={"size": 7},
        )  # fmt: skip
    figure.add_scatter(
        x=[6, 300], y=result["dense"], name="dense", mode="lines", line={"color": GREY, "dash": "dash"},
    )  # fmt: skip
    figure.add_scatter(
        x=result["x"], y=result["y"], name="yours", mode="markers",
        marker={"color": COLOURS["ink"], "size": 17, "symbol": "circle-open", "line": {"width": 3}},
    )  # fmt: skip
    side = len(result["frame"])
    _photo(figure, result["frame"], "frame", "2", 63)
    _veil(figure, result["veil"], side, "2")
    figure.add_bar(
        x=result["share"], y=["95th percentile", "median time", "multiply-adds"], name="of dense",
        orientation="h", xaxis="x3", yaxis="y3", marker={"color": [COLOURS["sky"], TIME, MACS]},
        text=result["text"], textposition="outside", textangle=0, showlegend=False, hoverinfo="skip",
        cliponaxis=False,
    )  # fmt: skip
    x2, y2 = _square("this clip's tokens", [0.66, 1], [0, 0.36], side, "2")
    return figure.update_layout(
        xaxis={"type": "log", "range": [0.85, 2.45], "tickvals": [8, 16, 32, 64, 128, 256], "anchor": "y",
               "title_text": "tokens kept of 256"},
        yaxis={"domain": [0.56, 1], "title_text": "right (%)", "anchor": "x"},
        xaxis2=x2 | {"anchor": "y2"}, yaxis2=y2 | {"anchor": "x2"},
        xaxis3={"domain": [0.2, 0.6], "anchor": "y3", "range": [0, 140], "tickvals": [0, 50, 100],
                "title_text": "% of dense"},
        yaxis3={"domain": [0, 0.36], "anchor": "x3", "type": "category", "automargin": False,
                "tickvals": [0, 1, 2], "ticktext": ["time,<br>p95", "time,<br>p50", "multiply-<br>adds"]},
    )  # fmt: skip


MECHANISMS_CHANGES = {
    "yours": {"x": "x", "y": "y"},
    "frame": {"z": "frame"},
    "left out": {"z": "veil"},
    "of dense": {"x": "share", "text": "text"},
}


def frames(result: Result) -> go.Figure:
    """Pictures in rows of three: names, and "NAME" (S, S) each of 0..63."""
    names = list(result["names"])
    figure = go.Figure(layout=layout(height=430, showlegend=False, margin={"l": 8, "r": 8, "t": 28, "b": 8}))
    for i, name in enumerate(names):
        axis = str(i + 1) if i else ""
        _photo(figure, result[name], name, axis, 63)
        row, column = divmod(i, 3)
        domain, height = (
            [column / 3 + 0.015, (column + 1) / 3 - 0.015],
            [0.54 * (1 - row), 0.46 + 0.54 * (1 - row)],
        )
        across, down = _square(name, domain, height, len(result[name]), axis)
        across["title"]["font"]["size"] = 11
        anchors = {"anchor": f"y{axis}"}, {"anchor": f"x{axis}"}
        figure.update_layout({f"xaxis{axis}": across | anchors[0], f"yaxis{axis}": down | anchors[1]})
    return figure
