"""Guess, exercise card and ledger in a real JupyterLab."""

import json
from pathlib import Path
from typing import Any

import pytest

from neurolab.browser import Lab

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def notebook(lab: Lab) -> str:
    head = f"import os, sys; sys.path.insert(0, {str(ROOT)!r})\n"
    head += f"os.environ['NEUROLAB_FOLDER'] = {str(lab.folder)!r}\n"
    lab.write(
        "guess.ipynb",
        [
            head + "from neurolab.guess import Guess\n"
            "number = Guess('trial.bits', 'How many bits?', low=0, high=8, step=0.5, unit='bits'); number",
            "number.reveal(4.5, 'Look again.')",
            "from neurolab.exercises import check, task\ntask('start.implied_bits')",
            "check('start.implied_bits', lambda size, parameters: size / parameters)",
            "from neurolab import claims\nclaims.show(1)",
        ],
    )
    return "guess.ipynb"


def test_the_guess_opens_the_answer_and_the_cards_show(lab: Lab, notebook: str, watched: Any) -> None:
    page = watched(1280, 1800).page
    lab.open(page, notebook)
    lab.run(page, ".neurolab-ledger")
    page.get_by_text("Guess first (or skip): How many bits?").wait_for()
    field = page.locator("input[type=number]").first
    field.fill("3")
    field.press("Tab")
    page.get_by_role("button", name="Keep my guess").click()
    page.get_by_text("Measured: 4.5 bits; you guessed 3 bits. Off by 1.5 bits. Look again.").wait_for()
    assert json.loads((lab.folder / "guesses.json").read_text()) == {"trial.bits": 3.0}
    assert "(2 min, easy)" in page.locator(".neurolab-card").first.inner_text()
    assert page.get_by_text("How many bits is that?").is_visible()
    assert not page.get_by_text("return size * 8 / parameters").is_visible()
    page.locator("summary", has_text="Solution").first.click()
    assert page.get_by_text("return size * 8 / parameters").is_visible()
    # JupyterLab's own style would hide the triangle of a fold and set tables flush right.
    summary, cell = page.locator(".neurolab-card summary").first, page.locator(".neurolab-ledger td").first
    assert summary.evaluate("e => getComputedStyle(e).listStyleType").startswith("disclosure")
    assert cell.evaluate("e => getComputedStyle(e).textAlign") == "left"
    assert summary.evaluate("e => getComputedStyle(e).display") == "list-item"
