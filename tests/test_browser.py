"""Finding Chromium: the usual names, the environment's choice, and words that help when there is none."""

import pytest

from neurolab.browser import BrowserError, chromium


def test_without_chromium_the_message_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEUROLAB_CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BrowserError, match=r"Install the package 'chromium'.*NEUROLAB_CHROMIUM"):
        chromium()


def test_a_wrong_choice_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEUROLAB_CHROMIUM", "no-such-browser")
    with pytest.raises(BrowserError, match="NEUROLAB_CHROMIUM=no-such-browser is no program"):
        chromium()
