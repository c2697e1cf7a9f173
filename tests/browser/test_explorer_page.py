"""The explorer on a static page, in a real Chromium: no kernel, no network, one file folder."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from neurolab.bench.slider import write_page
from neurolab.explore import STATIC
from neurolab.grids import pack, unpack
from tests.browser import explorers

LINES = """() => {
  const lines = document.querySelector(".nl-explorer").querySelectorAll(".scatterlayer .js-line");
  return [...lines].map((line) => line.getAttribute("d"));
}"""


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(
        tmp_path_factory.mktemp("site"), explorers.fine, explorers.heatmap, explorers.bars, explorers.lines
    )


@pytest.fixture
def opened(watched: Any, page_file: Path) -> Any:
    def open_at(width: int = 1280, **more: Any) -> Any:
        found = watched(width, **more)
        found.page.goto(page_file.as_uri())
        found.page.wait_for_function(
            "() => document.querySelectorAll('.nl-explorer[data-drawn]').length === 4"
        )
        return found

    return open_at


def test_slider_moves_the_figure_without_any_request_outside(opened: Any) -> None:
    found = opened()
    page = found.page
    before = page.evaluate(LINES)
    box = page.locator(".nl-range").first.bounding_box()
    page.mouse.move(box["x"] + 10, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 1, box["y"] + box["height"] / 2, steps=6)
    page.mouse.up()
    page.wait_for_function("() => JSON.parse(document.querySelector('.nl-explorer').dataset.drawn).T === 12")
    after = page.evaluate(LINES)
    assert len(before) == len(after) == 2
    assert all(old != new for old, new in zip(before, after, strict=True))
    assert page.locator(".nl-sentence").first.text_content() == "With T = 12 the largest error is 0.144."
    assert page.locator(".nl-value").first.text_content() == "12\u00a0ticks"
    assert page.locator(".gtitle").first.text_content() == "T = 12"
    assert (found.outside, found.errors) == ([], [])


def test_keyboard_choice_and_spoken_sentence(opened: Any) -> None:
    page = opened().page
    slider = page.get_by_label("Window T")
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == "6\u00a0ticks"
    page.get_by_role("radio", name="round").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "(drawn) => document.querySelector('.nl-explorer').dataset.drawn === drawn",
        arg='{"T":6,"shape":"peaked","noise":0.2}',
    )
    page.wait_for_function(
        "() => document.querySelector('.nl-spoken').textContent === 'With T = 6 the largest error is 0.083.'"
    )
    figure = page.locator(".nl-figure").first
    assert figure.get_attribute("role") == "img"
    assert figure.get_attribute("aria-label").startswith("The error of a rate code")
    caption = page.locator(f"#{figure.get_attribute('aria-describedby')}")
    assert caption.text_content().startswith("Drag T to 16")


def test_a_result_may_change_its_shape(opened: Any) -> None:
    page = opened().page
    heat = page.locator(".nl-explorer").nth(1)
    heat.locator("input").focus()
    page.keyboard.press("End")
    page.wait_for_function(
        "() => document.querySelectorAll('.nl-explorer')[1].dataset.drawn === '{\"row\":7}'"
    )
    size = page.evaluate(
        """() => {
          const { z, x } = document.querySelectorAll(".nl-figure")[1]._fullData[0];
          return [z.length, x[7]];
        }"""
    )
    assert size == [9, "r7c7"]


def test_a_phone_scrolls_down_only(opened: Any) -> None:
    page = opened(390).page
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    widths = page.evaluate(
        "() => [...document.querySelectorAll('.main-svg')].map(s => s.getBoundingClientRect().right)"
    )
    assert max(widths) <= 390


def test_dark_mode_follows_the_switch(opened: Any) -> None:
    page = opened().page
    ink = """() => {
      const line = document.querySelectorAll(".scatterlayer .js-line")[1];
      return [getComputedStyle(line).stroke, document.querySelector(".ytick text").style.fill];
    }"""
    light = page.evaluate(ink)
    page.evaluate("() => { document.documentElement.dataset.theme = 'dark'; }")
    page.wait_for_function(
        "(old) => getComputedStyle(document.querySelectorAll('.scatterlayer .js-line')[1]).stroke !== old",
        arg=light[0],
    )
    dark = page.evaluate(ink)
    assert light[0] == "rgb(31, 35, 40)"
    assert dark[0] == "rgb(230, 233, 237)"
    assert light[1] != dark[1]


def test_a_sketch_is_what_plotly_draws(opened: Any) -> None:
    """While the slider moves lines are stroked at once; Plotly, taking over, puts them at the same places."""
    page = opened().page
    shapes = page.evaluate(
        """async () => {
          const figure = document.querySelectorAll(".nl-figure")[3];
          const at = () => [...figure.querySelectorAll(".scatterlayer .js-line")].map((line) => {
            const length = line.getTotalLength();
            const points = Array.from({ length: 51 }, (_, i) => line.getPointAtLength(length * i / 50));
            return points.map((point) => [point.x, point.y]);
          });
          const slider = figure.closest(".nl-explorer").querySelector(".nl-range");
          const before = at(), old = figure._fullData[0].y[100];
          slider.value = 9;
          slider.dispatchEvent(new Event("input"));
          const sketched = at(), plotlyKnew = figure._fullData[0].y[100] !== old;
          await new Promise((resolve) => setTimeout(resolve, 1500));
          return [before, sketched, at(), plotlyKnew, figure._fullData[0].y[100] !== old];
        }"""
    )
    before, sketched, settled, knew, knows = shapes
    assert (knew, knows) == (False, True), "the sketch came first, then Plotly"
    assert np.abs(np.array(before) - np.array(sketched)).max() > 20
    np.testing.assert_allclose(
        sketched, settled, atol=1.5
    )  # Plotly leaves out points that a line does not need


def test_without_motion_when_asked(opened: Any) -> None:
    page = opened(reduced_motion="reduce").page
    assert (
        page.evaluate("() => getComputedStyle(document.querySelector('.nl-figure')).transitionDuration")
        == "0s"
    )


# The decoder --------------------------------------------------------------------------------------

whole = st.integers(-40_000, 70_000)
real = st.floats(-1e6, 1e6, allow_nan=False, width=32)
wide = st.floats(1e-6, 1e3)


@st.composite
def grids(draw: Any) -> list[dict[str, Any]]:
    """Results of one key for several settings: numbers of a kind, shapes equal or not, holes, words."""
    count = draw(st.integers(1, 5))
    numbers = draw(st.sampled_from([whole, real, wide]))
    lengths = (
        [draw(st.integers(0, 6))] * count
        if draw(st.booleans())
        else draw(st.lists(st.integers(0, 6), min_size=count, max_size=count))
    )
    results = []
    for length in lengths:
        array = np.array(draw(st.lists(numbers, min_size=2 * length, max_size=2 * length)), float)
        if draw(st.booleans()) and length:
            array[draw(st.integers(0, 2 * length - 1))] = np.nan
        results.append(
            {"a": array.reshape(length, 2) if draw(st.booleans()) else array, "s": draw(st.text(max_size=4))}
        )
    if len({r["a"].ndim for r in results}) > 1:
        results = [{**r, "a": r["a"].ravel()} for r in results]
    return results


def test_browser_decodes_what_python_packs(chromium: Any) -> None:
    """The page's decoder gives what compute gave: whole numbers and words exactly, others within half a
    step."""
    page = chromium.new_page()
    source = json.dumps((STATIC / "explorer.mjs").read_text(encoding="utf-8"))
    page.evaluate(
        f"""async () => {{
          const url = URL.createObjectURL(new Blob([{source}], {{ type: "text/javascript" }}));
          window.decodeGrid = (await import(url)).decodeGrid;
        }}"""
    )
    decode = """async (packed) => {
      const grid = await window.decodeGrid(packed);
      const plain = (a) => ArrayBuffer.isView(a) || Array.isArray(a)
        ? Array.from(a, (one) => typeof one === "number" ? (Number.isNaN(one) ? null : one) : plain(one)) : a;
      return Array.from({ length: grid.count }, (_, i) => {
        const { a, s } = grid.at(i);
        return { a: plain(a), s };
      });
    }"""

    @settings(
        max_examples=60, deadline=None, database=None, derandomize=True,
        phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(grids())
    def check(results: list[dict[str, Any]]) -> None:
        packed = pack(results, ["a", "s"])
        for got, mine, want in zip(page.evaluate(decode, packed), unpack(packed), results, strict=True):
            shown = np.array(
                [np.nan if one is None else one for one in np.ravel(np.array(got["a"], object))], float
            )
            np.testing.assert_array_equal(shown, mine["a"].ravel())
            assert got["s"] == mine["s"] == want["s"]

    check()
    page.close()


def test_play_moves_the_slider_round_until_it_is_stopped(opened: Any) -> None:
    found = opened()
    page = found.page
    button = page.get_by_role("button", name="Play")
    assert button.count() == 1  # only where the control asks for it
    seen = """() => {
      const root = document.querySelectorAll(".nl-explorer")[1];
      (window.rows ??= new Set()).add(JSON.parse(root.dataset.drawn).row);
      return window.rows.size;
    }"""
    assert page.evaluate(seen) == 1
    button.click()
    page.wait_for_function(f"() => ({seen})() === 8")  # all of them: from the end it starts again
    page.get_by_role("button", name="Stop").click()
    assert button.count() == 1
    drawn = page.locator(".nl-explorer").nth(1).get_attribute("data-drawn")
    page.wait_for_timeout(300)
    assert page.locator(".nl-explorer").nth(1).get_attribute("data-drawn") == drawn
    button.click()
    page.get_by_role("slider", name="row").press("Home")  # whoever takes the slider stops it
    assert button.count() == 1
    assert found.errors == []


def test_every_setting_of_a_page_is_what_compute_gives(opened: Any, page_file: Path) -> None:
    """Each setting of the page's first explorer, as Plotly holds it after the move, against compute."""
    page = opened().page
    shown = page.evaluate(
        """async () => {
          const root = document.querySelector(".nl-explorer");
          const [sliders, radios] = [".nl-range", "[type=radio]"].map((name) => root.querySelectorAll(name));
          const seen = [];
          for (const radio of radios) for (let T = 0; T < 12; T += 3) for (let n = 0; n < 5; n += 2) {
            radio.click();
            [T, n].forEach((value, k) => {
              sliders[k].value = value;
              sliders[k].dispatchEvent(new Event("input"));
            });
            await new Promise((resolve) => setTimeout(resolve));
            const data = root.querySelector(".nl-figure").data;
            seen.push([root.dataset.drawn, ...data.map((trace) => Array.from(trace.y))]);
          }
          return seen;
        }"""
    )
    assert len(shown) == 24
    for drawn, measured, theory in shown:
        want = explorers.waves(**json.loads(drawn))
        # Rounded to a decimal step of at most 1/4,000 of the key's range over the whole grid (0.7 at most).
        np.testing.assert_allclose(measured, want["measured"], atol=0.7 / 4000)
        np.testing.assert_allclose(theory, want["theory"], atol=0.7 / 4000)
