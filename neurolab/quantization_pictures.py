"""Chapter 4's pictures. Each function draws one result (a mapping of arrays) and changes nothing.

w weights, s step, q code, b bits. Colours are the same all through the chapter: float things grey, rounded
ones blue, what is cut off vermillion, theory green, trained networks orange.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from neurolab.explore import COLOURS, Explorer, layout

Result = Mapping[str, Any]
FLOAT, ROUNDED, CUT, THEORY = (
    "rgba(128,128,128,0.5)",
    COLOURS["blue"],
    COLOURS["vermillion"],
    COLOURS["green"],
)
TRAINED = COLOURS["orange"]
PALE = "rgba(128,128,128,0.10)"
FACTS = [[0.0, CUT], [1.0, COLOURS["sky"]]]
GREY = [[0.0, "#000000"], [1.0, "#ffffff"]]
MANY = (FLOAT, ROUNDED, TRAINED, THEORY, COLOURS["purple"], CUT, COLOURS["sky"])
MARKS = ("circle", "square", "diamond", "triangle-up", "x", "star", "cross")


def line(x: Any, y: Any, name: str, colour: str, **more: Any) -> go.Scatter:
    """A line; `dash`, `width` and `mode` may be given."""
    style = {"color": colour, "width": more.pop("width", 2), "dash": more.pop("dash", "solid")}
    return go.Scatter(
        x=np.asarray(x), y=np.asarray(y), name=name, mode=more.pop("mode", "lines"), line=style, **more
    )


def number_line(result: Result) -> go.Figure:
    """One matrix on the number line: its weights as a grey hill, the codes they are rounded to as bars."""
    figure = go.Figure(layout=layout(height=380, barmode="overlay", bargap=0))
    bar = {"color": ROUNDED, "opacity": 0.6, "line": {"width": 1, "color": ROUNDED}}
    figure.add_bar(x=result["x"], y=result["y"], width=result["width"], name="after rounding", marker=bar)
    grey = {"fill": "tozeroy", "fillcolor": PALE, "width": 2}
    fill = {"fill": grey.pop("fill"), "fillcolor": grey.pop("fillcolor")}
    figure.add_trace(line(result["float x"], result["float y"], "as trained", FLOAT, width=3).update(**fill))
    figure.add_trace(line(result["clip x"], result["clip y"], "the clip", CUT, dash="dash"))
    widest = 1.08 * float(np.max(np.abs(result["float x"])))
    figure.update_xaxes(title_text="weight w", range=[-widest, widest])
    return figure.update_yaxes(
        title_text="how many (density)", range=[0, 1.28 * float(np.max(result["float y"]))]
    )


NUMBER_LINE_CHANGES = {
    "after rounding": {"x": "x", "y": "y", "width": "width"},
    "the clip": {"x": "clip x", "y": "clip y"},
}


def falling(result: Result) -> go.Figure:
    """Facts as squares, row by row a kind of fact, Thai above and English below; fallen ones vermillion."""
    figure = make_subplots(
        rows=2, cols=1, vertical_spacing=0.07, subplot_titles=("asked in Thai", "in English")
    )
    for row, language in enumerate(("th", "en"), start=1):
        z = np.asarray(result[language], dtype=float)
        figure.add_heatmap(
            z=z, y=list(result["relations"]), name=language, colorscale=FACTS, zmin=0, zmax=1,
            showscale=False, xgap=2, ygap=2, row=row, col=1, customdata=result[f"{language} facts"],
            hovertemplate="%{customdata}<extra></extra>",
        )  # fmt: skip
    figure.update_layout(layout(height=560, margin={"l": 122, "r": 8, "t": 34, "b": 12}, showlegend=False))
    figure.update_annotations(font={"size": 14})
    figure.update_xaxes(showticklabels=False, showgrid=False, zeroline=False, ticks="")
    return figure.update_yaxes(autorange="reversed", showgrid=False, ticks="")


FALLING_CHANGES = {"th": {"z": "th"}, "en": {"z": "en"}}


def formats(result: Result) -> go.Figure:
    """Number formats as rows of ticks: `names`, and for each its numbers in the window `name x`, `name y`."""
    figure = go.Figure(layout=layout(height=460, showlegend=False, margin={"l": 84}))
    for name in result["names"]:
        figure.add_scatter(
            x=result[f"{name} x"], y=result[f"{name} y"], name=str(name), mode="markers", hoverinfo="x",
            marker={"symbol": "line-ns", "size": 15, "line": {"width": 1.3, "color": ROUNDED}},
        )  # fmt: skip
    count = len(result["names"])
    figure.update_yaxes(
        tickvals=list(range(count)), ticktext=[str(n) for n in result["names"]], range=[count - 0.4, -0.6],
        showgrid=False, zeroline=False,
    )  # fmt: skip
    return figure.update_xaxes(title_text="numbers that exist", range=list(result["window"]))


def formats_changes(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """What moves in `formats`: every row, and the window."""
    return {name: {"x": f"{name} x", "y": f"{name} y"} for name in names} | {
        "layout": {"xaxis.range": "window"}
    }


def ruler(result: Result) -> go.Figure:
    """Numbers as a hill, and the codes of a ruler below it as ticks."""
    figure = go.Figure(layout=layout(height=340))
    hill = {"fill": "tozeroy", "fillcolor": PALE}
    figure.add_trace(line(result["float x"], result["float y"], "the numbers", FLOAT, width=3).update(**hill))
    figure.add_scatter(
        x=result["ruler"], y=result["level"], name="the ruler's codes", mode="markers",
        marker={"symbol": "line-ns", "size": 22, "line": {"width": 2, "color": ROUNDED}, "color": ROUNDED},
    )  # fmt: skip
    figure.update_xaxes(title_text="number", range=list(result["window"]))
    return figure.update_yaxes(
        title_text="how many (log)", range=list(result["heights"]), showticklabels=False
    )


RULER_CHANGES = {
    "the numbers": {"x": "float x", "y": "float y"},
    "the ruler's codes": {"x": "ruler", "y": "level"},
    "layout": {"xaxis.range": "window", "yaxis.range": "heights"},
}


def clip(result: Result) -> go.Figure:
    """Above the weights with the clip; below what clipping and rounding cost for every clip, and theory."""
    figure = make_subplots(rows=2, cols=1, row_heights=[0.36, 0.64], vertical_spacing=0.13, shared_xaxes=True)
    hill = {"fill": "tozeroy", "fillcolor": PALE, "showlegend": False}
    figure.add_trace(line(result["float x"], result["float y"], "|w|", FLOAT).update(**hill), 1, 1)
    figure.add_trace(
        line(result["clip x"], result["clip y"], "your clip", CUT, width=3, showlegend=False), 1, 1
    )
    c = result["c"]
    figure.add_trace(line(c, result["theory"], "s² / 12", THEORY, dash="dot", width=3), 2, 1)
    figure.add_trace(line(c, result["rounding"], "rounding", ROUNDED), 2, 1)
    figure.add_trace(line(c, result["clipping"], "clipping", CUT), 2, 1)
    figure.add_trace(line(c, result["total"], "both", COLOURS["ink"], width=3), 2, 1)
    ring = {"size": 15, "color": "rgba(0,0,0,0)", "line": {"width": 3, "color": CUT}}
    figure.add_scatter(
        x=result["at x"], y=result["at y"], name="your choice", mode="markers", marker=ring, row=2, col=1
    )
    figure.update_layout(layout(height=500))
    figure.update_yaxes(showticklabels=False, title_text="weights", row=1, col=1)
    figure.update_yaxes(title_text="error (share of variance)", range=list(result["range"]), row=2, col=1)
    widest = float(np.max(result["float x"]))
    return figure.update_xaxes(range=[0, 1.04 * widest]).update_xaxes(title_text="clip c", row=2, col=1)


CLIP_CHANGES = {
    "your clip": {"x": "clip x", "y": "clip y"},
    "your choice": {"x": "at x", "y": "at y"},
    "rounding": {"y": "rounding"},
    "clipping": {"y": "clipping"},
    "both": {"y": "total"},
    "s² / 12": {"y": "theory"},
    "layout": {"yaxis2.range": "range"},
}


def quantizer(result: Result) -> go.Figure:
    """Above how often each code is used; below the layer's outputs, float against rounded."""
    figure = make_subplots(rows=2, cols=1, row_heights=[0.42, 0.58], vertical_spacing=0.17)
    figure.add_bar(
        x=result["codes"], y=result["counts"], name="codes", marker={"color": ROUNDED}, row=1, col=1
    )
    ends = np.asarray(result["ends"])
    figure.add_trace(line(ends, ends, "equal", FLOAT, dash="dash"), 2, 1)
    dot = {"size": 5, "color": ROUNDED, "opacity": 0.6}
    figure.add_scatter(
        x=result["y"], y=result["y rounded"], name="outputs", mode="markers", marker=dot, row=2, col=1
    )
    figure.update_layout(layout(height=560, showlegend=False, bargap=0.12))
    figure.update_yaxes(title_text="share of weights (%)", rangemode="tozero", row=1, col=1)
    figure.update_xaxes(title_text="code q", row=1, col=1)
    figure.update_xaxes(title_text="output y of the layer, float", range=list(ends), row=2, col=1)
    return figure.update_yaxes(title_text="after rounding", range=list(ends), row=2, col=1)


QUANTIZER_CHANGES = {
    "codes": {"x": "codes", "y": "counts"},
    "outputs": {"x": "y", "y": "y rounded"},
    "equal": {"x": "ends", "y": "ends"},
    "layout": {"xaxis2.range": "ends", "yaxis2.range": "ends"},
}


def bars(result: Result) -> go.Figure:
    """Groups of upright bars: `names`, `groups`, each group's `g values`; `axis` names the upright axis."""
    figure = go.Figure(layout=layout(height=360, barmode="group"))
    for group, colour in zip(result["groups"], MANY, strict=False):
        figure.add_bar(
            x=list(result["names"]), y=result[f"{group} values"], name=str(group), marker={"color": colour}
        )
    figure.update_xaxes(type="category")
    return figure.update_yaxes(title_text=str(result["axis"]), rangemode="tozero")


def bars_changes(groups: Sequence[str]) -> dict[str, dict[str, str]]:
    """What moves in `bars`: every group's heights."""
    return {group: {"y": f"{group} values"} for group in groups}


def slopes(result: Result) -> go.Figure:
    """Above the staircase; below the slopes that training is told: in w, and in the step s."""
    figure = make_subplots(rows=2, cols=1, vertical_spacing=0.12, shared_xaxes=True)
    figure.add_trace(line(result["w"], result["w"], "w itself", FLOAT, dash="dash"), 1, 1)
    figure.add_trace(line(result["w"], result["rounded"], "rounded, s q", ROUNDED, width=3), 1, 1)
    figure.add_trace(
        line(result["w"], result["slope w"], "slope in w (straight through)", TRAINED, width=3), 2, 1
    )
    figure.add_trace(line(result["w"], result["slope s"], "slope in s (learned step)", THEORY), 2, 1)
    figure.update_layout(layout(height=480))
    figure.update_yaxes(title_text="weight in use", range=[-2.1, 2.1], row=1, col=1)
    figure.update_yaxes(title_text="slope", range=[-4.6, 4.6], row=2, col=1)
    return figure.update_xaxes(title_text="weight w", row=2, col=1)


SLOPES_CHANGES = {
    "rounded, s q": {"y": "rounded"},
    "slope in w (straight through)": {"y": "slope w"},
    "slope in s (learned step)": {"y": "slope s"},
}


def clouds(result: Result) -> go.Figure:
    """Points joined by lines, a colour a group: `groups`, each `g x`, `g y`; axes `x axis`, `y axis`.

    A group whose name starts with "=" is a level, drawn as a dashed line.
    """
    figure = go.Figure(layout=layout(height=440))
    for at, group in enumerate(result["groups"]):
        colour, mark = MANY[at % len(MANY)], MARKS[at % len(MARKS)]
        level = str(group).startswith("=")
        style = {"dash": "dash", "width": 2} if level else {"mode": "lines+markers", "width": 1.5}
        trace = line(result[f"{group} x"], result[f"{group} y"], str(group).lstrip("= "), colour, **style)
        if not level:
            trace.update(marker={"size": 9, "symbol": mark})
        figure.add_trace(trace)
    figure.update_xaxes(title_text=str(result["x axis"]))
    return figure.update_yaxes(title_text=str(result["y axis"]), range=list(result["range"]))


def clouds_changes(groups: Sequence[str]) -> dict[str, dict[str, str]]:
    """What moves in `clouds`: every group, and the upright axis."""
    moved = {str(g).lstrip("= "): {"x": f"{g} x", "y": f"{g} y"} for g in groups}
    return moved | {"layout": {"yaxis.range": "range", "yaxis.title.text": "y axis"}}


def lying(result: Result) -> go.Figure:
    """Bars that lie on their side, the first on top: `names`, `values`; `axis` names the level axis."""
    count = len(result["names"])
    figure = go.Figure(layout=layout(height=90 + 19 * count, margin={"l": 128}, showlegend=False))
    figure.add_bar(
        x=result["values"], y=list(result["names"]), orientation="h", name="bars", marker={"color": ROUNDED}
    )
    figure.update_xaxes(title_text=str(result["axis"]))
    return figure.update_yaxes(autorange="reversed", type="category", tickfont={"size": 12}, dtick=1)


LYING_CHANGES = {"bars": {"x": "values", "y": "names"}}


def photograph(result: Result) -> go.Figure:
    """Grey pictures side by side: `panels` names them, each `p z` (H, W), 0 black to 255."""
    panels = list(result["panels"])
    figure = make_subplots(rows=1, cols=len(panels), horizontal_spacing=0.02, subplot_titles=panels)
    for at, panel in enumerate(panels, start=1):
        figure.add_heatmap(
            z=result[f"{panel} z"], name=panel, colorscale=GREY, zmin=0, zmax=255, showscale=False,
            hoverinfo="skip", row=1, col=at,
        )  # fmt: skip
    figure.update_layout(layout(height=330, margin={"l": 4, "r": 4, "t": 34, "b": 8}))
    figure.update_annotations(font={"size": 13})
    hidden = {"showticklabels": False, "showgrid": False, "zeroline": False, "ticks": ""}
    figure.update_xaxes(constrain="domain", **hidden)
    figure.update_yaxes(autorange="reversed", constrain="domain", **hidden)
    for at in range(1, len(panels) + 1):
        figure.update_yaxes(scaleanchor=f"x{at if at > 1 else ''}", row=1, col=at)
    return figure


PHOTOGRAPH_CHANGES = {
    "what it makes of the photograph": {"z": "what it makes of the photograph z"},
    "off from floats, x 4": {"z": "off from floats, x 4 z"},
}


def show(
    draw: Any, result: dict[str, Any], title: str, alt: str, caption: str, gaps: Sequence[str] = ()
) -> Explorer:
    """A picture without knobs, in the house frame."""
    return Explorer(lambda: result, draw, title=title, alt=alt, caption=caption, gaps=tuple(gaps))
