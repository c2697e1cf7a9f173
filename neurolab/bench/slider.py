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

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from neurolab.bench._slider_widgets import (
    HEIGHT,
    POINTS,
    TOP,
    WIDTH,
    canvas,
    explorer,
    interact,
    page_bytes,
    picture,
    write_page,
)
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

MOVES_A_TURN = 12

__all__ = ["GOALS", "canvas", "explorer", "interact", "page_bytes", "picture", "run", "write_page"]


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
