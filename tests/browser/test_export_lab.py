"""Chapter 7 in a real JupyterLab: the calls play, and the button measures on this machine."""

import json
from pathlib import Path
from typing import Any

import pytest

from neurolab.browser import Lab

ROOT = Path(__file__).resolve().parents[2]
HEAD = f"""import sys; sys.path.insert(0, {str(ROOT)!r})
import torch; torch.set_num_threads(1)
from neurolab import export_explorers as explorers, export_live as live, export_pictures as pictures
from neurolab.explore import Choice, Explorer, Steps
Explorer(live.stepped, pictures.step, {{"question": Choice(*live.QUESTIONS), "call": Steps(0, 11, play=12)}},
         pictures.STEP_CHANGES, lambda r: r["words"], alt="One call after the other.")"""
BUTTON = """explorers.known = dict
live.here = lambda: [("onnx", "fp32"), ("onnx", "int8")]
live.ASKED = 20
explorers.runtimes_explorer()"""


@pytest.fixture(scope="module")
def notebook(lab: Lab) -> str:
    lab.write("export.ipynb", [HEAD, BUTTON])
    return "export.ipynb"


def test_the_calls_play_and_the_button_measures(lab: Lab, notebook: str, watched: Any) -> None:
    found = watched(1280, 2400)
    page = found.page
    lab.open(page, notebook)
    lab.run(page, ".nl-explorer[data-drawn] >> nth=1")

    first, second = page.locator(".nl-explorer").nth(0), page.locator(".nl-explorer").nth(1)
    assert json.loads(first.get_attribute("data-drawn"))["call"] == 0
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("() => JSON.parse(document.querySelector('.nl-explorer').dataset.drawn).call >= 2")
    page.get_by_role("button", name="Stop").click()

    assert "nothing measured here yet" in second.locator(".nl-sentence").text_content()
    page.get_by_role("button", name="Measure it here").click()
    page.get_by_text("done", exact=True).wait_for()
    second.locator(".nl-sentence", has_text="your machine: the smallest file here has 8 bits").wait_for()
    bar = page.locator(".progress-bar").first
    assert bar.evaluate("e => e.style.width") == "100%"
    assert (found.outside, found.errors) == ([], [])
