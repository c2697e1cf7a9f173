"""How long from a slider's move to the redrawn figure: ``neurolab bench slider``.

A real Chromium drags real sliders with the mouse, in JupyterLab on the loopback address. Three widgets stand
in one notebook with one kernel and draw the same 600 x 400 picture of two lines with 1,000 points each:

- the course's explorer,
- ``ipywidgets.interact`` with matplotlib,
- a bare canvas: the least that an anywidget can do (the kernel sends bytes, the browser strokes two lines).

They take turns, a dozen moves each, so that a disturbance hits all alike. **One move** is one mouse event
with the button held, to a new position; the next one is made only after the figure has been redrawn. **Time**
runs from the mouse event's own time stamp to the first task after the animation frame that follows the
redraw. **Redrawn** means, for the explorer and the canvas, that the widget has finished drawing and names the
slider's value as drawn; for matplotlib, that its output holds a new image and the browser has decoded it (one
move is under way, so it is the move's image). Everything is observed in the page by one script, the same for
all three. (The explorer strokes plain lines on fixed axes at once, and has Plotly lay the figure out anew
when the slider has rested for 250 ms; that work falls between the drags here, as it does for a reader.)

In the static page the explorer is dragged in the same way, and then Plotly alone redraws the same figure with
the same arrays: the difference of the 95th percentiles, in frames of the screen, is what the explorer adds.
"""

from __future__ import annotations

import gzip
import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from neurolab.benchmark import Finding, Goal
from neurolab.browser import Lab, browser

GOALS = [
    Goal("slider.median_vs_interact", 5.0, "higher", "x", "interact + matplotlib over explorer, median"),
    Goal("slider.p95_vs_interact", 5.0, "higher", "x", "interact + matplotlib over explorer, p95"),
    Goal("slider.median_vs_canvas", 1.5, "lower", "x", "explorer over a bare canvas, median"),
    Goal("slider.p95_vs_canvas", 1.5, "lower", "x", "explorer over a bare canvas, p95"),
    Goal("slider.static_over_plotly", 2.0, "lower", "frames", "static page: p95 beyond Plotly's own redraw"),
    Goal("slider.reopens", 1.0, "higher", "", "reopened with its kernel alive, it is live"),
    Goal("slider.page_bytes", 1e6, "lower", "bytes", "a page with a grid of 1,000 points, gzipped"),
]  # fmt: skip

POINTS = 1000
TOP = 64
WIDTH, HEIGHT = 600, 400
MOVES_A_TURN = 12


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

PROBE = """
() => { window.neurolabProbe = (kind) => {
  const [root, input] = {
    explorer: () => [document.querySelector(".nl-explorer"), document.querySelector(".nl-range")],
    canvas: () => [document.querySelector(".bare"), document.querySelector(".bare input")],
    interact: () => [document.querySelector(".widget-interact"), null],
  }[kind]();
  const image = () => root.querySelector("img")?.src;
  const before = kind === "interact" ? image() : undefined;
  const done = async () => {
    if (kind === "interact") {
      if (!image() || image() === before) return false;
      await root.querySelector("img").decode();
      return true;
    }
    const shown = root.dataset.drawn ?? "";
    const value = kind === "explorer" ? Number(input.value) + 1 : Number(input.value);
    return (kind === "explorer" ? JSON.parse(shown || "{}").T : Number(shown)) === value;
  };
  window.neurolabTime = new Promise((resolve) => {
    let start;
    const move = (event) => { start ??= event.timeStamp; };
    addEventListener("pointermove", move, { capture: true });
    const watch = new MutationObserver(async () => {
      if (start === undefined || !(await done())) return;
      watch.disconnect();
      removeEventListener("pointermove", move, { capture: true });
      requestAnimationFrame(() => {
        const channel = new MessageChannel();
        channel.port1.onmessage = () => resolve(performance.now() - start);
        channel.port2.postMessage(0);
      });
    });
    const filter = ["data-drawn", "src"];
    watch.observe(root, { attributes: true, childList: true, subtree: true, attributeFilter: filter });
  });
}; }
"""

PLOTLY_ALONE = """
async (moves) => {
  const figure = document.querySelector(".nl-figure");
  const grids = figure.data.map((trace) => Array.from(trace.y));
  const times = [];
  for (let i = 0; i < moves; i++) {
    await new Promise((resolve) => setTimeout(resolve, 40));
    figure.data.forEach((trace, k) => {
      trace.y = Float64Array.from(grids[k], (y, x) => y * Math.cos(i + x / 300));
    });
    await new Promise((resolve) => requestAnimationFrame(resolve));
    const start = performance.now();
    await Plotly.react(figure, figure.data, figure.layout);
    await new Promise((resolve) => requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = resolve;
      channel.port2.postMessage(0);
    }));
    times.push(performance.now() - start);
  }
  return times;
}
"""

FRAME = """
async () => {
  const times = [];
  for (let i = 0; i < 40; i++) times.push(await new Promise(requestAnimationFrame));
  return times.slice(1).map((time, i) => time - times[i]);
}
"""


def run(quick: bool = False, progress: Callable[[str], Any] | None = None) -> list[Finding]:
    """Measure everything; ``quick`` makes 24 moves a widget instead of 120.

    Raises `neurolab.browser.BrowserError` without Chromium.
    """
    say = progress or (lambda _line: None)
    turns = 2 if quick else 10
    with tempfile.TemporaryDirectory() as folder, browser() as chromium:
        say("JupyterLab: the three sliders take turns")
        with Lab(Path(folder)) as lab:
            times, reopened = _notebook(lab, chromium, turns)
        say("The static page")
        static, alone, frame = _static(Path(folder), chromium, turns)
    say("A page with a grid of 1,000 points")
    size = page_bytes()
    setting = {"moves": turns * MOVES_A_TURN, "points": POINTS, "width": WIDTH, "height": HEIGHT}
    findings = [
        _compare("slider.median_vs_interact", times["interact"], times["explorer"], 50, setting),
        _compare("slider.p95_vs_interact", times["interact"], times["explorer"], 95, setting),
        _compare("slider.median_vs_canvas", times["explorer"], times["canvas"], 50, setting),
        _compare("slider.p95_vs_canvas", times["explorer"], times["canvas"], 95, setting),
    ]
    over = [
        (np.percentile(a, 95) - np.percentile(b, 95)) / frame for a, b in _resampled(_flat(static), alone)
    ]
    latency = {
        "p95_ms": _percentile(static, 95),
        "plotly_p95_ms": float(np.percentile(alone, 95)),
        "frame_ms": frame,
    }
    value = (latency["p95_ms"] - latency["plotly_p95_ms"]) / frame
    findings.append(
        Finding("slider.static_over_plotly", value, _ends(over), setting=setting, figures=latency)
    )
    findings.append(Finding("slider.reopens", float(reopened)))
    findings.append(
        Finding("slider.page_bytes", float(size), setting={"grid": 1000, "points": POINTS, "lines": 2})
    )
    for kind, turns_of in times.items():
        both = {"median_ms": _percentile(turns_of, 50), "p95_ms": _percentile(turns_of, 95)}
        findings.append(
            Finding(None, setting=setting | {"widget": kind}, figures=both, name="slider.latency")
        )
    return findings


def _notebook(lab: Lab, chromium: Any, turns: int) -> tuple[dict[str, list[list[float]]], bool]:
    head = "from neurolab.bench import slider\n"
    lab.write("sliders.ipynb", [f"{head}slider.{name}()" for name in ("explorer", "interact", "canvas")])
    page = chromium.new_page(viewport={"width": 1280, "height": 2200})
    page.set_default_timeout(120_000)
    lab.open(page, "sliders.ipynb")
    lab.run(page, ".nl-explorer[data-drawn]")
    page.add_style_tag(content=f".nl-explorer {{ max-width: {WIDTH + 42}px !important }}")
    page.wait_for_selector(".widget-interact img")
    page.wait_for_selector(".bare[data-drawn]")
    page.wait_for_timeout(1500)
    page.evaluate(PROBE)
    sliders = {
        "explorer": ".nl-range",
        "interact": ".widget-interact .noUi-connects",
        "canvas": ".bare input",
    }
    for kind, slider in sliders.items():  # a first turn each, not counted
        _turn(page, kind, slider, 0)
    times: dict[str, list[list[float]]] = {kind: [] for kind in sliders}
    for turn in range(turns):
        for kind, slider in sliders.items():
            times[kind].append(_turn(page, kind, slider, turn + 1))
    lab.save(page)
    page.close()
    return times, _reopens(lab, chromium)


def _turn(page: Any, kind: str, slider: str, turn: int) -> list[float]:
    """A dozen moves of one drag; each waits for its redraw. Milliseconds."""
    handle = page.locator(slider).first
    handle.scroll_into_view_if_needed()
    box = handle.bounding_box()
    inset = 0 if kind == "interact" else 8  # half a native slider's thumb
    y = box["y"] + box["height"] / 2

    def place(step: int) -> float:
        value = (turn * 7 + step * 5) % TOP  # neighbours differ by five steps: always a new value
        return box["x"] + inset + (box["width"] - 2 * inset) * value / (TOP - 1)

    if kind == "interact":  # this slider is dragged by its handle only
        grip = page.locator(".widget-interact .noUi-handle").first.bounding_box()
        page.mouse.move(grip["x"] + grip["width"] / 2, grip["y"] + grip["height"] / 2)
        page.mouse.down()
        page.mouse.move(place(0), y)
    else:
        page.mouse.move(place(0), y)
        page.mouse.down()
    page.wait_for_timeout(800)  # pressing moved the slider: let that settle
    times = []
    for step in range(1, MOVES_A_TURN + 1):
        page.evaluate("(kind) => window.neurolabProbe(kind)", kind)
        page.mouse.move(place(step), y)
        times.append(page.evaluate("() => window.neurolabTime"))
        page.wait_for_timeout(30 + 7 * (step % 3))
    page.mouse.up()
    page.wait_for_timeout(200)
    return times


def _reopens(lab: Lab, chromium: Any) -> bool:
    """Open the saved notebook in a new page while its kernel runs, and move the slider with the keyboard."""
    from playwright.sync_api import TimeoutError as Late

    page = chromium.new_page(viewport={"width": 1280, "height": 1200})
    page.set_default_timeout(60_000)
    try:
        lab.open(page, "sliders.ipynb")
        page.wait_for_selector(".nl-explorer[data-drawn]")
        page.evaluate(PROBE)
        page.focus(".nl-range")
        before = page.get_attribute(".nl-explorer", "data-drawn")
        page.keyboard.press("End" if before != f'{{"T":{TOP}}}' else "Home")
        page.wait_for_function(
            "(old) => document.querySelector('.nl-explorer').dataset.drawn !== old",
            arg=before,
            timeout=30_000,
        )
    except Late:
        return False
    finally:
        page.close()
    return True


def _static(folder: Path, chromium: Any, turns: int) -> tuple[list[list[float]], list[float], float]:
    write_page(folder / "site", explorer)
    page = chromium.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(120_000)
    page.goto((folder / "site" / "index.html").as_uri())
    page.wait_for_selector(".nl-explorer[data-drawn]")
    page.add_style_tag(content=f".nl-explorer {{ max-width: {WIDTH + 42}px !important }}")
    page.wait_for_timeout(500)
    page.evaluate(PROBE)
    frame = statistics.median(page.evaluate(FRAME))
    _turn(page, "explorer", ".nl-range", 0)
    page.evaluate(PLOTLY_ALONE, 4)
    times: list[list[float]] = []
    alone: list[float] = []
    for turn in range(turns):
        times.append(_turn(page, "explorer", ".nl-range", turn + 1))
        alone += page.evaluate(PLOTLY_ALONE, MOVES_A_TURN)
    page.close()
    return times, alone, frame


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


def _flat(turns: list[list[float]]) -> list[float]:
    return [time for turn in turns for time in turn]


def _percentile(turns: list[list[float]], which: float) -> float:
    return float(np.percentile(_flat(turns), which))


def _resampled(a: list[float], b: list[float], times: int = 400) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [(rng.choice(a, len(a)), rng.choice(b, len(b))) for _ in range(times)]


def _ends(values: list[float]) -> tuple[float, float]:
    """Where 90 % of the resampled values lie."""
    return float(np.percentile(values, 5)), float(np.percentile(values, 95))


def _compare(
    goal: str, a: list[list[float]], b: list[list[float]], which: float, setting: dict[str, Any]
) -> Finding:
    """The ratio of two widgets' percentiles; its spread from resampled moves (bootstrap, 90 %)."""
    ratios = [
        float(np.percentile(one, which) / np.percentile(two, which))
        for one, two in _resampled(_flat(a), _flat(b))
    ]
    figures = {"a_ms": _percentile(a, which), "b_ms": _percentile(b, which)}
    return Finding(goal, figures["a_ms"] / figures["b_ms"], _ends(ratios), setting=setting, figures=figures)
