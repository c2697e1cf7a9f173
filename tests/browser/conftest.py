"""A real Chromium for the tests in this folder. Without one they fail and say which package to install."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from neurolab import book
from neurolab.browser import BrowserError, Lab, browser

WAIT = 120_000
"""Milliseconds that a page may take for one step: a budget against hanging, not a measure."""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Playwright's Browser on the Chromium of this machine."""
    with contextlib.ExitStack() as stack:
        try:
            running = stack.enter_context(browser())
        except BrowserError as error:
            pytest.fail(str(error), pytrace=False)
        yield running


@dataclass
class Watched:
    """A page that cannot reach anything but this machine, and what it tried and said."""

    page: Any
    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


@pytest.fixture
def watched(chromium: Any) -> Iterator[Any]:
    """A function that opens a `Watched` page of a given width; every outside request is blocked and kept."""
    contexts = []

    def open_page(width: int = 1280, height: int = 900, **more: Any) -> Watched:
        context = chromium.new_context(viewport={"width": width, "height": height}, **more)
        context.set_default_timeout(WAIT)
        contexts.append(context)
        found = Watched(context.new_page())

        def judge(route: Any) -> None:
            place = urlsplit(route.request.url)
            if place.scheme in ("file", "data", "blob") or place.hostname == "127.0.0.1":
                route.continue_()
            else:
                found.outside.append(route.request.url)
                route.abort()

        context.route("**/*", judge)
        found.page.on("pageerror", lambda error: found.errors.append(str(error)))
        return found

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab of its own on the loopback address, with an empty folder."""
    with Lab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The course's static book, built once; NEUROLAB_SITE names one that is built already."""
    built = os.environ.get("NEUROLAB_SITE")
    if built:
        return Path(built)
    room = tmp_path_factory.mktemp("book")
    return book.build(room / "site", work=room / "source", say=lambda line: None)
