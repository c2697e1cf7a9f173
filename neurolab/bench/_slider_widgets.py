"""What the slider bench measures: three widgets that draw the same picture, and pages of explorers."""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

POINTS = 1000
TOP = 64
WIDTH, HEIGHT = 600, 400


def picture(T: int) -> dict[str, np.ndarray]:
    """The picture's two lines at window T (1 to 64): arrays of 1,000 floats in [-1, 1]."""
    x = np.arange(POINTS)
    wave = np.sin(x / 50 + T / 10) * np.exp(-x / 700)
    noisy = wave + np.random.default_rng(T).normal(0, 0.3 / np.sqrt(T), POINTS)
    return {"line": wave, "dots": np.clip(noisy, -1, 1)}


def explorer() -> Any:
    """The course's explorer on `picture`."""
    import plotly.graph_objects as go

    from neurolab.explore import Explorer, Steps, layout

    def figure(result: dict[str, Any]) -> go.Figure:
        lines = [go.Scatter(y=result[key], name=key, mode="lines") for key in ("line", "dots")]
        return go.Figure(lines, layout(height=HEIGHT, yaxis_range=[-1, 1]))

    changes: dict[Any, dict[str, str]] = {"line": {"y": "line"}, "dots": {"y": "dots"}}
    return Explorer(
        picture, figure, {"T": Steps(1, TOP)}, changes, alt="A fading wave, and the same with noise"
    )


def interact() -> Any:
    """``ipywidgets.interact`` with matplotlib on `picture`."""
    import ipywidgets
    import matplotlib.pyplot as plt

    def draw(T: int) -> None:
        result = picture(T)
        plt.figure(figsize=(WIDTH / 100, HEIGHT / 100), dpi=100)
        plt.plot(result["line"], label="line")
        plt.plot(result["dots"], label="dots")
        plt.ylim(-1, 1)
        plt.legend()
        plt.show()

    return ipywidgets.interactive(draw, T=ipywidgets.IntSlider(1, 1, TOP))


def canvas() -> Any:
    """The bare canvas: one number to the kernel, two arrays of bytes back, two strokes."""
    import anywidget
    import traitlets

    class Canvas(anywidget.AnyWidget):
        _esm = CANVAS
        T = traitlets.Int(1).tag(sync=True)
        lines = traitlets.Bytes().tag(sync=True)

        @traitlets.observe("T")
        def _move(self, _change: Any) -> None:
            result = picture(self.T)
            self.lines = np.concatenate([[self.T], result["line"], result["dots"]]).astype("<f4").tobytes()

    widget = Canvas()
    widget._move(None)
    return widget


CANVAS = """
function render({ model, el }) {
  el.innerHTML = '<div class="bare"><input type="range" min="1" max="64" value="1"><br>' +
    '<canvas width="600" height="400"></canvas></div>';
  const [box, input, canvas] = [".bare", "input", "canvas"].map((name) => el.querySelector(name));
  const context = canvas.getContext("2d");
  input.oninput = () => { model.set("T", Number(input.value)); model.save_changes(); };
  const draw = () => {
    const view = model.get("lines");
    const start = view.byteOffset;
    const [T, ...y] = new Float32Array(view.buffer.slice(start, start + view.byteLength));
    context.clearRect(0, 0, 600, 400);
    ["#0072b2", "#d55e00"].forEach((colour, k) => {
      context.strokeStyle = colour;
      context.beginPath();
      for (let i = 0; i < 1000; i++) context.lineTo(i * 0.6, 200 - 190 * y[k * 1000 + i]);
      context.stroke();
    });
    box.dataset.drawn = T;
  };
  model.on("change:lines", draw);
  draw();
}
export default { render };
"""


def write_page(folder: Path, *makers: Callable[[], Any]) -> Path:
    """Write a static page with the explorers that ``makers`` make; return its path. For this bench and
    tests."""
    from neurolab.explore import static_files

    (folder / "_static").mkdir(parents=True, exist_ok=True)
    for name, data in static_files().items():
        (folder / "_static" / name).write_bytes(data)
    before = os.environ.get("NEUROLAB_STATIC")
    os.environ["NEUROLAB_STATIC"] = "1"
    try:
        elements = "\n".join(make().html() for make in makers)
    finally:
        if before is None:
            del os.environ["NEUROLAB_STATIC"]
        else:
            os.environ["NEUROLAB_STATIC"] = before
    page = folder / "index.html"
    page.write_text(PAGE.replace("ELEMENTS", elements), encoding="utf-8")
    return page


PAGE = """<!doctype html>
<html lang="en" data-theme="light">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Explorers</title>
<link rel="stylesheet" href="_static/explorer.css">
<script defer src="_static/explorer.js"></script>
<style>
  body { max-width: 760px; margin: 0 auto; padding: 0 12px; font-family: system-ui, sans-serif }
  html[data-theme="dark"] body { background: #0f1216; color: #e6e9ed }
</style>
</head>
<body>
<main>
ELEMENTS
</main>
</body>
</html>
"""


def page_bytes() -> int:
    """Gzipped size of a page whose explorer has a grid of 1,000 points with two lines of 1,000 points
    each."""
    import plotly.graph_objects as go

    from neurolab.explore import Explorer, Range, Steps, layout

    x = np.arange(POINTS)

    def compute(T: int, leak: float) -> dict[str, Any]:
        wave = np.sin(x / 50 + T / 10) * np.exp(-leak * x / 700)
        return {"wave": wave, "envelope": np.exp(-leak * x / 700), "last": float(wave[-1])}

    def make() -> Any:
        return Explorer(
            compute,
            lambda r: go.Figure([go.Scatter(y=r[key], name=key) for key in ("wave", "envelope")], layout()),
            {"T": Steps(1, 50), "leak": Range(0.1, 2.0, 0.1)},
            {"wave": {"y": "wave"}, "envelope": {"y": "envelope"}},
            describe=lambda r: f"The wave ends at {r['last']:.3f}.",
            alt="A fading wave and its envelope",
        )

    with tempfile.TemporaryDirectory() as folder:
        return len(gzip.compress(write_page(Path(folder), make).read_bytes(), 6))
