"""The trade-off's picture: what is saved against what is still right, and all figures of one point."""

from __future__ import annotations

from math import log10
from typing import Any

import plotly.graph_objects as go

from neurolab.explore import COLOURS, layout

Result = dict[str, Any]
GREY = "#8A929C"
FRONT, HERE, TARGET = COLOURS["green"], COLOURS["vermillion"], COLOURS["ink"]
WAYS = {"spikes": COLOURS["blue"], "numbers": COLOURS["orange"]}
TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20]
SIZES = [1, 2, 3, 5, 10]
TOP, MIDDLE, LOW = [0.72, 1.0], [0.385, 0.63], [0.0, 0.26]


def points(result: Result) -> go.Figure:
    """Three panels: file and quality, energy and quality, and the bars of the chosen point.

    "all x", "all y": every point's file and right answers (%); "spikes x", "spikes y", "numbers x", ...: its
    energy, times less than 8 bits; "front x", ...: those that no other beats; "trained x", "trained y",
    "trained": other networks and their names; widest: the largest x of all these. "file x", "file y",
    "energy x", "energy y": the chosen point.
    bar (W,), "bar text" (W,), what (W,). times, least: the article's targets.
    """
    figure = go.Figure(layout=layout(height=860, margin={"l": 112, "b": 48}))
    figure.add_scatter(
        x=result["all x"], y=result["all y"], name="all points", mode="markers", hovertext=result["all"],
        hoverinfo="text", marker={"color": GREY, "size": 6, "opacity": 0.55},
    )  # fmt: skip
    for way, colour in WAYS.items():
        figure.add_scatter(
            x=result[f"{way} x"], y=result[f"{way} y"], name=f"as {way}", mode="markers", xaxis="x2",
            yaxis="y2", hovertext=result[way], hoverinfo="text",
            marker={"color": colour, "size": 6, "opacity": 0.45},
        )  # fmt: skip
    for what, axis in (("front", ""), ("energy front", "2")):
        figure.add_scatter(
            x=result[f"{what} x"], y=result[f"{what} y"], name="no other beats these", mode="lines+markers",
            xaxis=f"x{axis}", yaxis=f"y{axis}", showlegend=not axis, hoverinfo="skip",
            line={"color": FRONT, "width": 2, "shape": "vh"}, marker={"size": 7, "color": FRONT},
        )  # fmt: skip
    figure.add_scatter(
        x=result["trained x"], y=result["trained y"], name="chapters 4 and 5", mode="markers",
        hovertext=list(result["trained"]), hoverinfo="text",
        marker={"color": COLOURS["purple"], "size": 12, "symbol": "star"},
    )  # fmt: skip
    for axis in ("", "2"):
        figure.add_scatter(
            x=[result["times"], result["times"], None, *result["span"]],
            y=[-5.0, 105.0, None, result["least"], result["least"]],
            name="the article's targets", mode="lines", xaxis=f"x{axis}", yaxis=f"y{axis}",
            showlegend=not axis, hoverinfo="skip", line={"color": TARGET, "dash": "dash", "width": 1.5},
        )  # fmt: skip
    mark = {"color": HERE, "size": 15, "symbol": "diamond", "line": {"color": TARGET, "width": 1.5}}
    figure.add_scatter(
        x=result["file x"], y=result["file y"], name="this point", mode="markers", marker=mark,
        hoverinfo="skip",
    )  # fmt: skip
    figure.add_scatter(
        x=result["energy x"], y=result["energy y"], name="this point, energy", mode="lines+markers",
        marker=mark, line={"color": HERE, "width": 2}, xaxis="x2", yaxis="y2", showlegend=False,
        hoverinfo="skip",
    )  # fmt: skip
    figure.add_bar(
        x=result["bar"], base=1, y=list(result["what"]), orientation="h", name="figures", xaxis="x3",
        yaxis="y3", text=result["bar text"], textposition="outside", cliponaxis=False, showlegend=False,
        marker={"color": [GREY, *[WAYS["numbers"]] * 3, *[WAYS["spikes"]] * 3, COLOURS["sky"]]},
        hoverinfo="skip",
    )  # fmt: skip
    low, high = result["span"]
    right = {"title_text": "right answers, %", "range": [-4, 104], "tickvals": [0, 20, 40, 60, 80, 100]}
    wide = {"type": "log", "tickvals": TICKS, "ticktext": [f"{t:g}" for t in TICKS]}
    return figure.update_layout(
        xaxis={**wide, "range": _logs(0.85, result["widest"] * 1.15), "anchor": "y",
               "tickvals": SIZES, "ticktext": [f"{t:g}" for t in SIZES], "title_text": "file: times smaller"},
        xaxis2={**wide, "range": _logs(low, high), "anchor": "y2",
                "title_text": "energy (simulated): times less"},
        xaxis3={**wide, "range": _logs(low / 2, high * 3), "anchor": "y3",
                "title_text": "times better than with 8 bits"},
        yaxis={**right, "domain": TOP, "anchor": "x"},
        yaxis2={**right, "domain": MIDDLE, "anchor": "x2"},
        yaxis3={"domain": LOW, "anchor": "x3", "autorange": "reversed", "type": "category",
                "showgrid": False, "ticklabelstandoff": 4},
    )  # fmt: skip


def _logs(low: float, high: float) -> list[float]:
    return [log10(low), log10(high)]


CHANGES = {
    "this point": {"x": "file x", "y": "file y"},
    "this point, energy": {"x": "energy x", "y": "energy y"},
    "figures": {"x": "bar", "text": "bar text"},
}
