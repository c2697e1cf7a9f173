"""The explorer in a real JupyterLab, driven in a real Chromium."""

import json
from pathlib import Path
from typing import Any

import pytest

from neurolab.browser import Lab

ROOT = Path(__file__).resolve().parents[2]
HEAD = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom tests.browser import explorers\n"
DRAWN = "() => [...document.querySelectorAll('.nl-explorer')].map(e => JSON.parse(e.dataset.drawn ?? 'null'))"
LINE = "() => document.querySelector('.nl-explorer .scatterlayer .js-line').getAttribute('d')"


def drawn_is(page: Any, which: int, **values: Any) -> None:
    """Wait until explorer number `which` shows these values."""
    page.wait_for_function(
        """([which, wanted]) => {
          const shown = JSON.parse(document.querySelectorAll('.nl-explorer')[which]?.dataset.drawn ?? '{}');
          return Object.entries(wanted).every(([name, value]) => shown[name] === value);
        }""",
        arg=[which, values],
    )


@pytest.fixture(scope="module")
def notebook(lab: Lab) -> str:
    log = lab.folder / "moves.txt"
    lab.write(
        "two.ipynb",
        [
            HEAD + "first = explorers.explorer(); first",
            HEAD + "import functools\n"
            f"second = explorers.explorer(functools.partial(explorers.logged, log={str(log)!r})); second",
        ],
    )
    return "two.ipynb"


@pytest.fixture
def running(lab: Lab, notebook: str, watched: Any) -> Any:
    """The notebook with two explorers, freshly run."""
    found = watched(1280, 1600)
    lab.open(found.page, notebook)
    lab.run(found.page, ".nl-explorer[data-drawn]")
    found.page.wait_for_function("() => document.querySelectorAll('.nl-explorer[data-drawn]').length === 2")
    return found


def test_drag_keyboard_error_recovery_and_reopening(
    running: Any, lab: Lab, notebook: str, watched: Any
) -> None:
    page = running.page
    before = page.evaluate(LINE)
    slider = page.locator(".nl-range").first
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.53 * box["width"], box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    drawn_is(page, 0, T=9)
    assert page.evaluate(LINE) != before
    assert page.locator(".nl-sentence").first.text_content() == "With T = 9 the largest error is 0.167."

    # Keys move the slider and not JupyterLab's cells; compute fails at 13, the next move recovers.
    slider.focus()
    for _ in range(4):
        page.keyboard.press("ArrowUp")
    message = page.locator(".nl-message").first
    message.wait_for(state="visible")
    assert message.text_content() == "RuntimeError: thirteen is unlucky <b>here</b>"
    assert message.get_attribute("role") == "alert"
    page.keyboard.press("ArrowUp")
    drawn_is(page, 0, T=14)
    message.wait_for(state="hidden")
    assert page.evaluate(DRAWN)[1]["T"] == 4, "the second explorer stays where it is"
    assert page.evaluate("() => document.activeElement.className") == "nl-range"

    # Reopened with its kernel alive: the last position, live. On a busy machine anywidget's two seconds run
    # out before its module is there; this page has no patience at all, which is that case made certain.
    lab.save(page)
    page.wait_for_timeout(300)
    page.close()
    again = watched(1280, 1600)
    again.page.add_init_script(
        "const patience = AbortSignal.timeout.bind(AbortSignal);"
        "AbortSignal.timeout = (ms) => patience(ms === 2000 ? 0 : ms);"
    )
    lab.open(again.page, notebook)
    drawn_is(again.page, 0, T=14)
    again.page.locator(".nl-range").first.focus()
    again.page.keyboard.press("ArrowUp")
    drawn_is(again.page, 0, T=15)
    assert running.outside == again.outside == []


def test_last_position_wins_and_nothing_queues(running: Any, lab: Lab) -> None:
    page = running.page
    log = lab.folder / "moves.txt"
    asked_before = len(log.read_text().split())
    slider = page.locator(".nl-explorer").nth(1).locator(".nl-range").first
    slider.scroll_into_view_if_needed()
    slider.evaluate(
        """async (input) => {
          for (let i = 0; i < 60; i++) {
            input.value = i === 59 ? 10 : i % 16;
            input.dispatchEvent(new Event("input"));
            await new Promise((resolve) => setTimeout(resolve, 4));
          }
        }"""
    )
    drawn_is(page, 1, T=11)
    page.wait_for_timeout(500)
    assert page.evaluate(DRAWN)[1]["T"] == 11
    asked = log.read_text().split()[asked_before:]
    assert asked[-1] == "11"
    assert len(asked) < 40, "60 quick moves ask the slow kernel a few times, not 60"


def test_python_and_widgets_move_it(lab: Lab, watched: Any) -> None:
    lab.write(
        "linked.ipynb",
        [
            HEAD + "import ipywidgets\n"
            "ex = explorers.explorer(); box = ipywidgets.IntText(4)\n"
            "ex.link('T', box); ipywidgets.VBox([ex, box])",
            "ex.set(T=8)",
        ],
    )
    found = watched(1280, 1000)
    page = found.page
    lab.open(page, "linked.ipynb")
    lab.run(page, ".nl-explorer[data-drawn]")
    drawn_is(page, 0, T=8)
    assert page.locator(".nl-value").first.text_content() == "8\u00a0ticks"
    page.locator(".nl-range").first.focus()
    page.keyboard.press("End")
    drawn_is(page, 0, T=16)
    page.wait_for_function("() => document.querySelector('.widget-text input').value === '16'")
    number = page.locator(".widget-text input")
    number.fill("3")
    number.press("Enter")
    drawn_is(page, 0, T=3)
    assert json.loads(page.locator(".nl-explorer").get_attribute("data-drawn"))["shape"] == "round"
    assert found.outside == []
