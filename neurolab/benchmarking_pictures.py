"""Chapter 8's pictures: calls, tails, races, intervals, costs, claims. They draw, and change nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from neurolab.explore import COLOURS, layout

Result = dict[str, Any]
GREY = "#8A929C"
A, B, SAID = COLOURS["blue"], COLOURS["orange"], COLOURS["vermillion"]
VERDICTS = {
    "confirmed": (COLOURS["green"], "circle"),
    "partly": (COLOURS["orange"], "diamond"),
    "not reproduced": (COLOURS["vermillion"], "x"),
    "not measurable here": (GREY, "circle-open"),
}
"""Colour and sign of a verdict in the picture of claims: never told by colour alone."""
TICKS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500]


def calls(result: Result) -> go.Figure:
    """Single calls in order: n (N,), ms (N,), level (2,) the later ones' median, over ends (2,)."""
    figure = go.Figure(layout=layout(height=340))
    figure.add_scatter(
        x=result["n"], y=result["ms"], name="a call", mode="markers", marker={"color": A, "size": 7}
    )
    figure.add_scatter(
        x=result["ends"], y=result["level"], name="median of all but the first", mode="lines",
        line={"color": GREY, "dash": "dash", "width": 2},
    )  # fmt: skip
    figure.update_xaxes(title_text="call")
    return figure.update_yaxes(title_text="ms", type="log", tickvals=TICKS)


def tail(result: Result) -> go.Figure:
    """Times from the fastest call to the slowest, with mean, median, p95 and p99."""
    figure = go.Figure(layout=layout(height=380))
    figure.add_scatter(
        x=result["share"],
        y=result["ms"],
        name="all calls, sorted",
        mode="lines",
        line={"color": A, "width": 3},
    )
    figure.add_scatter(
        x=[0, 100], y=result["mean"], name="mean", mode="lines",
        line={"color": SAID, "dash": "dash", "width": 2},
    )  # fmt: skip
    figure.add_scatter(
        x=result["mark x"], y=result["mark y"], text=list(result["mark"]), name="percentiles",
        mode="markers+text", textposition="top left", marker={"color": B, "size": 10, "symbol": "diamond"},
    )  # fmt: skip
    figure.update_xaxes(title_text="% of the calls that are at most as slow", range=[0, 101])
    return figure.update_yaxes(title_text="ms", type="log", tickvals=TICKS)


def race(result: Result) -> go.Figure:
    """Times of A and of B by the number of the run: "A n", "A ms", "B n", "B ms"."""
    figure = go.Figure(layout=layout(height=360))
    for one, colour, symbol in (("A", A, "circle"), ("B", B, "diamond")):
        figure.add_scatter(
            x=result[f"{one} n"], y=result[f"{one} ms"], name=one, mode="markers",
            marker={"color": colour, "size": 8, "symbol": symbol},
        )  # fmt: skip
    figure.update_xaxes(title_text="run")
    return figure.update_yaxes(title_text="ms", rangemode="tozero")


RACE_CHANGES = {one: {"x": f"{one} n", "y": f"{one} ms"} for one in "AB"}


def readers(result: Result) -> go.Figure:
    """An interval a reader around their value, and the truth: reader, value, up, down (R,), truth (2,)."""
    figure = go.Figure(layout=layout(height=360))
    figure.add_scatter(
        x=result["reader"], y=result["value"], name="a reader's interval", mode="markers",
        marker={"color": A, "size": 7},
        error_y={"type": "data", "symmetric": False, "array": result["up"], "arrayminus": result["down"]},
    )  # fmt: skip
    figure.add_scatter(
        x=[0.5, len(result["reader"]) + 0.5], y=result["truth"], name="the truth", mode="lines",
        line={"color": SAID, "dash": "dash", "width": 2},
    )  # fmt: skip
    figure.update_xaxes(title_text="reader", range=[0, len(result["reader"]) + 1])
    return figure.update_yaxes(title_text="ms")


READERS_CHANGES = {
    "a reader's interval": {"y": "value", "error_y.array": "up", "error_y.arrayminus": "down"},
    "the truth": {"y": "truth"},
}


def resampled(result: Result) -> go.Figure:
    """Medians of drawn samples as bars, the runs that they are drawn from, and the interval's ends."""
    figure = go.Figure(layout=layout(height=360, bargap=0))
    figure.add_bar(
        x=result["centres"], y=result["counts"], name="medians of drawn samples", marker={"color": A}
    )
    figure.add_scatter(
        x=result["runs"], y=result["zero"], name="the runs themselves", mode="markers",
        marker={"color": B, "size": 10, "symbol": "line-ns", "line": {"width": 2, "color": B}},
    )  # fmt: skip
    top = float(np.max(result["counts"]))
    low, high = (float(x) for x in result["ends"])
    figure.add_scatter(
        x=[low, low, None, high, high], y=[0, top, None, 0, top], name="95 % lie between", mode="lines",
        line={"color": SAID, "dash": "dash", "width": 2},
    )  # fmt: skip
    figure.update_xaxes(title_text="ms")
    return figure.update_yaxes(title_text="samples")


def two_lines(
    result: Result, names: dict[str, tuple[str, str]], x: str, y: str, log: bool = True
) -> go.Figure:
    """Lines over n: names say key -> (name, colour)."""
    figure = go.Figure(layout=layout(height=360))
    for key, (name, colour) in names.items():
        figure.add_scatter(
            x=result["n"], y=result[key], name=name, mode="lines+markers", line={"color": colour, "width": 3}
        )
    figure.update_xaxes(title_text=x, type="log" if log else "linear", tickvals=list(map(int, result["n"])))
    if log:
        return figure.update_yaxes(title_text=y, type="log", tickvals=TICKS)
    return figure.update_yaxes(title_text=y, rangemode="tozero")


def operations(result: Result) -> go.Figure:
    """Multiply-adds and time of one call over the pieces that it reads: n, macs, time, of one piece's."""
    names = {"macs": ("multiply-adds", B), "time": ("time", A)}
    return two_lines(result, names, "pieces read in one call", "times those of one piece")


def cached(result: Result) -> go.Figure:
    """Time with and without what was kept: n, with, without in ms."""
    names = {"without": ("everything is read again", B), "with": ("keys and values kept", A)}
    return two_lines(result, names, result.get("x", "pieces so far"), "ms", log=False)


BATCHES = (
    ("tokens", "tokens/s, x one", A),
    ("wait", "a call, x one", B),
    ("memory", "caches (MB)", COLOURS["green"]),
)


def batches(result: Result) -> go.Figure:
    """Three panels over the sequences in a call: throughput and waiting as times one's, and the caches."""
    figure = go.Figure(layout=layout(height=560, showlegend=False, margin={"l": 64}))
    axes: dict[str, Any] = {}
    for i, (key, title, colour) in enumerate(BATCHES):
        n = "" if i == 0 else str(i + 1)
        low = 1 - (i + 1) / 3 + (0.0 if i == 2 else 0.04)
        figure.add_scatter(
            x=result["batch"], y=result[key], name=title, mode="lines+markers", yaxis=f"y{n}",
            line={"color": colour, "width": 3},
        )  # fmt: skip
        axes[f"yaxis{n}"] = {
            "domain": [low, low + 0.24],
            "title_text": title,
            "rangemode": "tozero",
            "nticks": 4,
        }
    figure.update_xaxes(
        title_text="sequences in one call", type="log", tickvals=list(map(int, result["batch"])), anchor="y3"
    )
    return figure.update_layout(**axes)


def baselines(result: Result) -> go.Figure:
    """One thing beside several rivals: rival (R,) names, log (R,) of base 2, text (R,); 1 is a line."""
    figure = go.Figure(layout=layout(height=340, showlegend=False, margin={"l": 112}))
    figure.add_bar(
        x=result["log"], y=list(result["rival"]), orientation="h", name="times better",
        text=list(result["text"]), textposition="outside", cliponaxis=False, marker={"color": A},
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False, ticklabelstandoff=4)
    return figure.update_xaxes(
        title_text="times better", range=[-1.2, 6.2], zeroline=True, tickangle=0, tickvals=[0, 1, 2, 3, 4, 5],
        ticktext=["1", "2", "4", "8", "16", "32"],
    )  # fmt: skip


BASELINES_CHANGES = {"times better": {"x": "log", "y": "rival", "text": "text"}}


def claims(result: Result) -> go.Figure:
    """Every claim that has a figure: how many times better it was measured than its rule asks, by verdict.

    id (C,), times (C,) clipped to the axis, verdict (C,), said (C,) for the pointer.
    """
    many = len(result["id"])
    figure = go.Figure(layout=layout(height=150 + 17 * many, margin={"l": 48}))
    figure.add_scatter(
        x=[1, 1], y=[result["id"][0], result["id"][-1]], mode="lines", name="as asked",
        line={"color": GREY, "dash": "dash", "width": 2},
    )  # fmt: skip
    for word, (colour, symbol) in VERDICTS.items():
        at = [i for i, verdict in enumerate(result["verdict"]) if verdict == word]
        if at:
            figure.add_scatter(
                x=[float(result["times"][i]) for i in at], y=[result["id"][i] for i in at], mode="markers",
                name=word, text=[result["said"][i] for i in at], hoverinfo="text",
                marker={"color": colour, "symbol": symbol, "size": 11},
            )  # fmt: skip
    figure.update_yaxes(
        type="category", categoryorder="array", categoryarray=list(result["id"]), tickfont={"size": 11},
        autorange="reversed", dtick=1,
    )  # fmt: skip
    return figure.update_xaxes(
        title_text="measured, as times what was asked", type="log", tickvals=TICKS, side="bottom",
    )  # fmt: skip
