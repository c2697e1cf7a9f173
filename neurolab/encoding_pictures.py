"""Chapter 1's pictures: digits, spike rasters, errors. Each function draws one result and changes nothing.

Pictures of ink: 0 is paper, 1 is full ink. Rasters: a row is a neuron (row 0 on top), a column a tick.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from neurolab.explore import COLOURS, Explorer, layout

PALE = "rgba(128,128,128,0.13)"  # paper and silence: seen on a light page and on a dark one
INK = [[0.0, PALE], [1.0, COLOURS["blue"]]]
FIRE = [[0.0, PALE], [1.0, COLOURS["vermillion"]]]
ONOFF = [[0.0, COLOURS["blue"]], [0.5, PALE], [1.0, COLOURS["vermillion"]]]
CODE_COLOURS = {
    "rate": COLOURS["vermillion"],
    "poisson": COLOURS["orange"],
    "even": COLOURS["green"],
    "latency": COLOURS["blue"],
    "log latency": COLOURS["sky"],
    "phase": COLOURS["purple"],
    "population": COLOURS["ink"],
}
MARKS = dict(
    zip(CODE_COLOURS, ("circle", "x", "diamond", "square", "cross", "star", "triangle-up"), strict=True)
)


def table(head: Sequence[str], cells: Sequence[Sequence[Any]], note: str = "") -> str:
    """An HTML table: ``head`` names the columns, ``cells`` are the rows, ``note`` stands below in italics."""
    top = "".join(f'<th scope="col">{escape(str(one))}</th>' for one in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(one))}</td>" for one in row) + "</tr>" for row in cells)
    below = f"<p><em>({escape(note)})</em></p>" if note else ""
    framed = f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div style="overflow-x:auto" tabindex="0">{framed}</div>{below}'


def picture(z: Any, name: str = "", shades: Any = INK, low: float = 0.0, high: float = 1.0) -> go.Heatmap:
    """A heat map without a scale beside it."""
    return go.Heatmap(
        z=np.asarray(z), name=name, zmin=low, zmax=high, colorscale=shades, showscale=False, xgap=1, ygap=1
    )


def raster(spikes: Any, name: str = "", shades: Any = FIRE, low: float = 0.0) -> go.Heatmap:
    """Spikes (T, ...) as a heat map of (neurons, T); more than one spike in a tick shows as one."""
    z = rows(spikes)
    return picture(z, name, shades, low).update(
        ygap=0 if z.shape[0] > 16 else 1, xgap=0 if z.shape[1] > 24 else 1
    )


def rows(spikes: Any) -> np.ndarray:
    """Spikes (T, ...) as a raster is drawn: (neurons, T)."""
    spikes = np.asarray(spikes)
    return spikes.reshape(len(spikes), -1).T


def _bare(figure: go.Figure, square: Sequence[int] = ()) -> go.Figure:
    """Take ticks and lines away; y runs down; panels in ``square`` (1, 2, ...) get square pixels."""
    figure.update_xaxes(showticklabels=False, showgrid=False, zeroline=False, ticks="")
    figure.update_yaxes(showticklabels=False, showgrid=False, zeroline=False, ticks="", autorange="reversed")
    for panel in square:
        number = "" if panel == 1 else str(panel)
        figure.update_layout(
            {
                f"yaxis{number}": {"scaleanchor": f"x{number}", "constrain": "domain"},
                f"xaxis{number}": {"constrain": "domain"},
            }
        )
    return figure


def listening(result: Mapping[str, Any], moving: bool = True) -> go.Figure:
    """Three panels: what was meant (``said``, 8 x 8), the ``spikes`` (64, T), what is ``heard`` (8, 8)."""
    figure = make_subplots(
        rows=1,
        cols=3,
        column_widths=[0.27, 0.46, 0.27],
        horizontal_spacing=0.04,
        subplot_titles=("meant", "64 neurons", "heard"),
    )
    figure.add_trace(picture(result["said"], "said"), 1, 1)
    drawn = raster(np.asarray(result["spikes"]).T, "spikes")
    figure.add_trace(drawn.update(xgap=0 if moving else drawn.xgap), 1, 2)
    figure.add_trace(picture(result["heard"], "heard"), 1, 3)
    figure.update_layout(layout(height=64 * 4 + 76, margin={"l": 8, "r": 8, "t": 40, "b": 36}))
    _bare(figure, square=(1, 3))
    figure.update_xaxes(title_text="time", title_standoff=4, row=1, col=2)
    figure.update_yaxes(constraintoward="top", row=1)
    return figure


def show_listening(said: Any, spikes: Any, heard: Any, title: str, alt: str, caption: str = "") -> Explorer:
    """The three panels of `listening` as a still picture."""
    result = {"said": np.asarray(said), "spikes": rows(spikes), "heard": np.asarray(heard)}
    return Explorer(
        lambda: result, lambda r: listening(r, moving=False), title=title, alt=alt, caption=caption
    )


def show_rasters(
    trains: Mapping[str, Any], title: str, alt: str, caption: str = "", columns: int = 2
) -> Explorer:
    """One raster a panel, named by the key and counted; signed trains show ups red and downs blue."""
    names = list(trains)
    made = [np.asarray(trains[name]) for name in names]
    lines = -(-len(names) // columns)
    high, between = 64 * 3, 44  # pixels: three a neuron in a panel of 64, so that all rows look alike
    inside = lines * high + (lines - 1) * between
    titles = [f"{name} ({np.abs(one).sum():,.0f} spikes)" for name, one in zip(names, made, strict=True)]
    figure = make_subplots(
        rows=lines,
        cols=columns,
        subplot_titles=titles,
        horizontal_spacing=0.05,
        vertical_spacing=between / inside,
    )
    for i, (name, one) in enumerate(zip(names, made, strict=True)):
        signed = one.min() < 0
        drawn = raster(one, name, ONOFF if signed else FIRE, -1.0 if signed else 0.0)
        figure.add_trace(drawn, i // columns + 1, i % columns + 1)
    figure.update_layout(layout(height=inside + 52, margin={"l": 8, "r": 8, "t": 36, "b": 16}))
    figure.update_annotations(font_size=13)
    result = {f"train{i}": one for i, one in enumerate(made)}
    return Explorer(lambda: result, lambda _: _bare(figure), title=title, alt=alt, caption=caption)


def arc(result: Mapping[str, Any]) -> go.Figure:
    """Error against the number itself: ``measured`` dots over ``ink``, the ``theory`` line over ``grid``."""
    figure = go.Figure(layout=layout(height=360))
    line = {"color": COLOURS["ink"], "dash": "dash", "width": 2}
    figure.add_scatter(x=result["grid"], y=result["theory"], mode="lines", name="formula", line=line)
    dots = {"color": CODE_COLOURS["rate"], "size": 9}
    figure.add_scatter(x=result["ink"], y=result["measured"], mode="markers", name="measured", marker=dots)
    figure.update_xaxes(title_text="the number x (ink of a pixel)", range=[-0.02, 1.02])
    return figure.update_yaxes(title_text="error of what is heard", range=[0, 0.37])


PRICED = ("rate", "poisson", "population", "even", "latency", "phase")
PRICES_CHANGES = {name: {"x": f"{name} x", "y": f"{name} y"} for name in PRICED} | {
    "this T": {"x": "ring x", "y": "ring y"}
}
ARC_CHANGES = {"formula": {"y": "theory"}, "measured": {"y": "measured"}}


def prices(result: Mapping[str, Any]) -> go.Figure:
    """Error (``NAME y``) against spikes (``NAME x``), a line a code; rings at (``ring x``, ``ring y``)."""
    figure = go.Figure(layout=layout(height=430))
    for name in PRICED:
        x, y = result[f"{name} x"], result[f"{name} y"]
        figure.add_scatter(x=x, y=y, name=name, mode="lines+markers", **_style(name))
    ring = {"size": 17, "symbol": "circle-open", "color": COLOURS["ink"], "line": {"width": 3}}
    figure.add_scatter(x=result["ring x"], y=result["ring y"], name="this T", mode="markers", marker=ring)
    figure.update_xaxes(title_text="spikes for one number", type="log", dtick=1)
    return figure.update_yaxes(title_text="RMS error", type="log", dtick=1, range=[-3.1, -0.2])


def _style(name: str) -> dict[str, Any]:
    colour = CODE_COLOURS[name]
    return {
        "line": {"color": colour, "width": 2},
        "marker": {"color": colour, "size": 8, "symbol": MARKS[name]},
    }


def damaged(result: Mapping[str, Any]) -> go.Figure:
    """Left what is ``heard`` (8, 8) after an accident; right ``bars`` of RMS error, one for each code."""
    figure = make_subplots(
        rows=1,
        cols=2,
        column_widths=[0.4, 0.6],
        horizontal_spacing=0.14,
        subplot_titles=("heard", "RMS error, 50 digits"),
    )
    figure.add_trace(picture(result["heard"], "heard"), 1, 1)
    colours = [CODE_COLOURS[str(name)] for name in result["codes"]]
    figure.add_trace(
        go.Bar(x=result["codes"], y=result["bars"], name="error", marker={"color": colours}), 1, 2
    )
    figure.update_layout(layout(height=330, margin={"l": 8, "r": 12, "t": 40, "b": 36}, showlegend=False))
    axis = {"showticklabels": False, "showgrid": False, "zeroline": False, "ticks": ""}
    figure.update_xaxes(axis, constrain="domain", row=1, col=1)
    figure.update_yaxes(axis, autorange="reversed", scaleanchor="x", constrain="domain", row=1, col=1)
    return figure.update_yaxes(range=[0, 0.4], row=1, col=2)


DAMAGED_CHANGES = {"heard": {"z": "heard"}, "error": {"y": "bars"}}


def show_lines(
    lines: Mapping[str, tuple[Any, Any]],
    title: str,
    alt: str,
    caption: str = "",
    x: str = "T, ticks",
    y: str = "",
    level: tuple[str, float] | None = None,
    log: bool = False,
    **axis: Any,
) -> Explorer:
    """A still picture of lines by code (name -> (x, y)), over a logarithmic T, with one dashed ``level``."""
    figure = go.Figure(layout=layout(height=360))
    for name, (across, up) in lines.items():
        figure.add_scatter(x=list(across), y=list(up), name=name, mode="lines+markers", **_style(name))
    if level is not None:
        ends = [min(min(a) for a, _ in lines.values()), max(max(a) for a, _ in lines.values())]
        dash = {"color": COLOURS["ink"], "dash": "dash", "width": 2}
        figure.add_scatter(x=ends, y=[level[1]] * 2, name=level[0], mode="lines", line=dash)
    ticks = sorted({float(t) for across, _ in lines.values() for t in across})
    figure.update_xaxes(title_text=x, type="log", tickvals=ticks, ticktext=[f"{t:g}" for t in ticks])
    figure.update_yaxes(title_text=y, type="log" if log else "linear", **axis)
    shown = {"drawn": np.array([len(lines)])}
    return Explorer(lambda: shown, lambda _: figure, title=title, alt=alt, caption=caption)
