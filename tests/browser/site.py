"""What the site's tests share: a server for a folder of pages, and checks that run inside a page."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from neurolab.paths import ROOT

AXE = ROOT / "tests" / "vendor" / "axe" / "axe.min.js"

LOOKS = Path(__file__).with_name("looks.js")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing: the tests' output is for findings."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve ``folder`` on the loopback address; yields the address, with a slash at its end."""
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def open_page(found: Any, address: str) -> Any:
    """Go to ``address`` on a watched page, keep what the console says, wait until everything is drawn."""
    page = found.page
    page.on(
        "console", lambda said: found.errors.append(said.text) if said.type in ("error", "warning") else None
    )
    page.on("response", lambda r: found.errors.append(f"{r.status} {r.url}") if r.status >= 400 else None)
    page.goto(address)
    page.add_script_tag(path=str(LOOKS))
    page.evaluate("neurolabLooks.ready()")
    return page


def looks(page: Any) -> list[str]:
    """Everything that a reader would see wrong on the page, in words."""
    page.add_script_tag(path=str(AXE))
    kinds = ("picturesWithoutWords", "badMathematics", "sticksOut", "axeFindings")
    return [one for kind in kinds for one in page.evaluate(f"neurolabLooks.{kind}()")]


def results(page: Any, address: str, question: str) -> list[str]:
    """Titles that the book's search finds for ``question``, typed into its own form."""
    page.goto(address + "search.html")
    field = page.locator("main input[name=q], .bd-article input[name=q]").first
    field.fill(question)
    field.press("Enter")
    page.wait_for_function(
        "() => /finished|did not match/.test(document.querySelector('.search-summary')?.textContent || '')"
    )
    return list(page.locator("#search-results li > a").all_text_contents())
