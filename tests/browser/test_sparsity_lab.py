"""Chapter 6 in a real JupyterLab: the scene plays, and the button measures on this machine."""

import json
from pathlib import Path
from typing import Any

import pytest

from neurolab.browser import Lab

ROOT = Path(__file__).resolve().parents[2]
HEAD = f"""import sys; sys.path.insert(0, {str(ROOT)!r})
import torch; torch.set_num_threads(1)
from neurolab import sparsity_explorers as ex, sparsity_map, sparsity_pictures as pictures, video_net
from neurolab.explore import Choice, Explorer, Steps
net = video_net.VideoTransformer(video_net.VideoConfig(width=32, layers=1, heads=2, hidden=32)).eval()
ex.net = lambda name: net
Explorer(ex.watched, pictures.watch, {{"t": Steps(0, 23, play=12), "scene": Choice(*list(ex.VARIANTS)[:2]),
         "way": Choice(*ex.WAYS)}}, pictures.WATCH_CHANGES, alt="A digit moves.")"""
MAP = """sparsity_map.shipped = dict
sparsity_map.QUICK_SIZES, sparsity_map.QUICK_DENSITIES = (128, 256), (0.1, 1.0)
sparsity_map.kernel_map()"""


@pytest.fixture(scope="module")
def notebook(lab: Lab) -> str:
    lab.write("sparsity.ipynb", [HEAD, MAP])
    return "sparsity.ipynb"


def test_the_scene_plays_and_the_button_measures(lab: Lab, notebook: str, watched: Any) -> None:
    found = watched(1280, 2400)
    page = found.page
    lab.open(page, notebook)
    lab.run(page, ".nl-explorer[data-drawn] >> nth=1")

    first, second = page.locator(".nl-explorer").nth(0), page.locator(".nl-explorer").nth(1)
    assert json.loads(first.get_attribute("data-drawn"))["t"] == 0
    page.get_by_role("button", name="Play").click()
    page.wait_for_function(
        "() => JSON.parse(document.querySelector('.nl-explorer').dataset.drawn).t >= 3"  # drawn by the kernel
    )
    page.get_by_role("button", name="Stop").click()

    assert "Nothing measured here yet" in second.locator(".nl-sentence").text_content()
    page.get_by_role("button", name="Measure it here").click()
    page.get_by_text("done", exact=True).wait_for()
    second.locator(".nl-sentence", has_text="On your machine, zeros in blocks").wait_for()
    assert "of 4 fields" in second.locator(".nl-sentence").text_content()
    bar = page.locator(".progress-bar").first
    assert bar.evaluate("e => e.style.width") == "100%"
    assert (found.outside, found.errors) == ([], [])
