"""A host for the phone page that counts what it sends, and can be told to go wrong."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from neurolab.export.phone_server import Handler

Fault = Callable[[bytes], bytes | None]
"""What a file becomes; None: it is not there."""

PHONE = {
    "viewport": {"width": 360, "height": 740},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
    "user_agent": "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/131.0.0.0 Mobile Safari/537.36",
}
READY = "html[data-open]"
OFFLINE = "#offline[data-state=offline_ready]"


def cut(data: bytes) -> bytes:
    """Half of the file."""
    return data[: len(data) // 2]


def changed(data: bytes) -> bytes:
    """One bit turned, in the middle."""
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def missing(data: bytes) -> None:
    """Not there."""


def before(script: str) -> Fault:
    """The file with a line of JavaScript in front of it."""
    return lambda data: script.encode() + b"\n" + data


class Host:
    """faults: path -> Fault; break_off: paths whose connection ends half-way; sent: (path, status, bytes)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: dict[str, Fault] = {}
        self.break_off: set[str] = set()
        self.sent: list[tuple[str, int, int]] = []

    @property
    def bytes(self) -> int:
        """Bytes of the bodies sent so far."""
        return sum(size for _, _, size in self.sent)


class _Counting(Handler):
    def __init__(self, *args: Any, host: Host, **more: Any) -> None:
        self.host = host
        super().__init__(*args, **more)

    def do_GET(self) -> None:
        path = urlsplit(self.path).path.lstrip("/")
        if path not in self.host.faults and path not in self.host.break_off:
            super().do_GET()
            return
        file = self.host.folder / (path or "index.html")
        data: bytes | None = file.read_bytes()
        if path in self.host.faults:
            data = self.host.faults[path](file.read_bytes())
        if data is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(file)))
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if path in self.host.break_off:
            data = data[: len(data) // 2]
            self.close_connection = True
        self.wfile.write(data)

    def copyfile(self, source: Any, outputfile: Any) -> None:
        data = source.read()
        self.host.sent.append((self.path, self.status, len(data)))
        outputfile.write(data)


@contextmanager
def hosted(folder: Path) -> Iterator[tuple[Host, str]]:
    """Serve the page on the loopback address; gives the host and the address."""
    host = Host(folder)
    handler = functools.partial(_Counting, directory=str(folder), host=host)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield host, f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def ask(page: Any, question: str, answers: int = 1) -> str:
    """Type a question, wait for the answer, the newest of so many; gives its text."""
    page.locator("#question").fill(question)
    page.locator("#question").press("Enter")
    page.wait_for_selector(f"#talk[data-answers='{answers}']")
    return str(page.locator("#talk li .said").first.inner_text())
