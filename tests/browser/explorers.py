"""Explorers that the browser tests drive, in a notebook (imported there) and on a static page."""

from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go

from neurolab.explore import COLOURS, Choice, Explorer, Range, Steps, layout

X = np.linspace(0, 1, 200)


def waves(T: int, shape: str, noise: float) -> dict[str, Any]:
    """Two lines, an odd length now and then, and an error at T = 13."""
    if T == 13:
        raise RuntimeError("thirteen is unlucky <b>here</b>")
    hump = np.sqrt(X * (1 - X) / T) if shape == "round" else np.minimum(X, 1 - X) / T
    return {
        "x": X, "theory": hump, "measured": hump * (1 + noise * np.sin(40 * X)), "T": T,
        "peak": float(hump.max()), "title": f"T = {T}",
    }  # fmt: skip


def figure(result: dict[str, Any]) -> go.Figure:
    """A line, a dashed line in the theme's ink, and a title that follows T."""
    return go.Figure(
        [
            go.Scatter(x=X, y=result["measured"], name="measured", line_color=COLOURS["blue"]),
            go.Scatter(
                x=X, y=result["theory"], name="theory", line={"color": COLOURS["ink"], "dash": "dash"}
            ),
        ],
        layout(xaxis_title="pixel x", yaxis_title="error", yaxis_range=[0, 0.6]),
    )


def explorer(compute: Any = waves, top: int = 16) -> Explorer:
    """Three controls of three kinds."""
    return Explorer(
        compute,
        figure,
        {
            "T": Steps(1, top, value=4, label="Window T", unit="ticks"),
            "shape": Choice("round", "peaked", label="Shape"),
            "noise": Range(0, 0.4, 0.1, value=0.2, label="Noise"),
        },
        {"measured": {"y": "measured"}, "theory": {"y": "theory"}, "layout": {"title.text": "title"}},
        describe=lambda r: f"With T = {r['T']} the largest error is {r['peak']:.3f}.",
        caption="Drag T to 16: half the error takes four times the window.",
        alt="The error of a rate code against the pixel's value: a hump that sinks as T grows.",
        title="What a longer window buys",
    )


def fine() -> Explorer:
    """The same without the error at T = 13 (a static page computes every setting)."""
    return explorer(top=12)


def logged(T: int, shape: str, noise: float, log: str = "") -> dict[str, Any]:
    """`waves`, slow, with each call written to a file."""
    import time

    time.sleep(0.05)
    with Path(log).open("a") as lines:
        lines.write(f"{T}\n")
    return waves(T if T != 13 else 12, shape, noise) | {"T": T, "title": f"T = {T}"}


def heat(row: int) -> dict[str, Any]:
    """A matrix whose size changes, integers, and a list of words."""
    z = (np.arange((row + 2) * 8).reshape(row + 2, 8) * 7) % 17
    return {"z": z, "words": [f"r{row}c{i}" for i in range(8)]}


def heatmap() -> Explorer:
    """A heat map whose shape follows its control."""
    return Explorer(
        heat,
        lambda r: go.Figure(go.Heatmap(z=r["z"], x=r["words"], name="digit"), layout(height=300)),
        {"row": Steps(0, 7, play=12)},
        {"digit": {"z": "z", "x": "words"}},
        alt="A matrix of whole numbers",
    )


def bars() -> Explorer:
    """A plain figure."""
    return Explorer(
        lambda: {"y": np.arange(3)},
        lambda r: go.Figure(go.Bar(y=r["y"]), layout(height=240)),
        caption="No controls.",
        alt="Three bars",
    )


def lines() -> Explorer:
    """Two lines on fixed axes: what the explorer sketches while a slider moves."""
    return Explorer(
        lambda T: waves(T, "round", 0.3),
        figure,
        {"T": Steps(1, 12)},
        {"measured": {"y": "measured"}, "theory": {"y": "theory"}},
        alt="Two humps",
    )
