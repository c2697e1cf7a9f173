"""A real Chromium for the tests in this folder. Without one they fail and say which package to install."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from neurolab import book
from neurolab.browser import BrowserError, Lab, browser
from neurolab.export import phone_files
from tests.browser.phone_host import PHONE, Host, hosted

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


# --- the phone page ---


@pytest.fixture(scope="session")
def phone_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page put together; NEUROLAB_PHONE names one that is already."""
    if os.environ.get("NEUROLAB_PHONE"):
        return Path(os.environ["NEUROLAB_PHONE"])
    made = tmp_path_factory.mktemp("phone") / "page"
    phone_files.assemble(made)
    return made


@pytest.fixture(scope="session")
def listed(phone_folder: Path) -> dict[str, Any]:
    """Its models.json."""
    return dict(json.loads((phone_folder / "models" / "models.json").read_text(encoding="utf-8")))


@pytest.fixture
def host(phone_folder: Path) -> Iterator[tuple[Host, str]]:
    """The page, served, with an account of what was sent."""
    with hosted(phone_folder) as found:
        yield found


@pytest.fixture
def phone(chromium: Any) -> Iterator[Callable[..., Any]]:
    """A function that opens a page of a phone's kind; what goes wrong there fails the test at its end."""
    contexts, wrong = [], []

    def open_page(**more: Any) -> Any:
        context = chromium.new_context(**(PHONE | {"locale": "en-GB"} | more))
        contexts.append(context)
        context.set_default_timeout(120_000)

        def asked(request: Any) -> None:
            place = urlsplit(request.url)
            if place.scheme not in ("data", "blob") and place.hostname not in ("127.0.0.1", "phone.test"):
                wrong.append(f"asked for {request.url}")

        context.on("request", asked)
        context.on("weberror", lambda error: wrong.append(str(error.error)))
        return context.new_page()

    yield open_page
    for context in contexts:
        context.close()
    assert wrong == []
