"""The guess on a page without a kernel, in a real Chromium: by keyboard, kept over a reload, revealed."""

import pytest

from neurolab.guess import Guess


@pytest.fixture
def address(tmp_path, monkeypatch):
    """A page that asks for a number and a choice and reveals both further down."""
    monkeypatch.setenv("NEUROLAB_STATIC", "1")
    monkeypatch.setenv("NEUROLAB_FOLDER", str(tmp_path))
    number = Guess("trial.bits", "How many bits?", low=0, high=8, step=0.5, unit="bits")
    choice = Guess("trial.language", "Which suffers more?", ["Thai", "English"])
    shown = [number, choice, number.reveal(4.5, "Look again."), choice.reveal("Thai")]
    body = "".join(item._repr_mimebundle_()["text/html"] for item in shown)
    page = tmp_path / "page.html"
    page.write_text(f"<!doctype html><html lang=en><title>x</title><body>{body}", encoding="utf-8")
    return page.as_uri()


def test_a_guess_opens_its_answer_and_outlasts_a_reload(watched, address):
    opened = watched(390)
    page = opened.page
    page.goto(address)
    answer = page.locator("#reveal-trial-bits [data-open]")
    assert not answer.is_visible()
    page.get_by_label("Number from 0 to 8 bits").focus()
    page.keyboard.type("3")
    page.keyboard.press("Enter")
    assert answer.is_visible()
    assert page.locator("#guess-trial-bits output").inner_text() == "You guessed 3 bits."
    said = "Measured: 4.5 bits. You guessed 3 bits. Off by 1.5 bits. Look again."
    assert answer.inner_text() == said
    page.reload()
    assert answer.inner_text() == said
    assert not page.locator("#reveal-trial-language [data-open]").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not opened.errors
    assert not opened.outside


def test_a_choice_can_be_right_skipped_and_guessed_again(watched, address):
    opened = watched()
    page = opened.page
    page.goto(address)
    answer = page.locator("#reveal-trial-language [data-open]")
    page.locator("#guess-trial-language").get_by_role("button", name="Skip").click()
    assert answer.inner_text() == "Measured: Thai. You skipped this one."
    page.get_by_label("Thai").check()
    page.locator("#guess-trial-language").get_by_role("button", name="Keep my guess").click()
    assert answer.inner_text() == "Measured: Thai. You guessed Thai. That was right."
    page.locator("#reveal-trial-bits").get_by_role("button", name="Show it all the same").click()
    assert page.locator("#reveal-trial-bits [data-open]").is_visible()
    assert not opened.errors


def test_a_number_out_of_range_is_not_kept(watched, address):
    page = watched().page
    page.goto(address)
    page.get_by_label("Number from 0 to 8 bits").fill("9")
    page.locator("#guess-trial-bits").get_by_role("button", name="Keep my guess").click()
    assert not page.locator("#reveal-trial-bits [data-open]").is_visible()
