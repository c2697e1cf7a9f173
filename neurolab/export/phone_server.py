"""`neurolab phone`: serve the phone page, on this computer alone or, when asked, on the local network.

Over plain HTTP on a local network browsers allow no service worker, no battery and no clipboard; the page
says so and works all the same. Only files of the page's folder are given out, and nothing is taken in.
"""

from __future__ import annotations

import functools
import http.server
import io
import socket
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO

from neurolab import paths
from neurolab.export.phone_files import assemble

FOLDER = paths.ROOT / "build" / "phone"
"""Where the page is put together."""
FIRST_PORT, PORTS = 8640, 20
"""The ports tried when none is asked for."""
TYPES = {
    ".mjs": "text/javascript; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
    ".gz": "application/octet-stream",
    ".nlab": "application/octet-stream",
}
POLICY = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; object-src 'none'; base-uri 'none'"
"""What the page may load and compute: its own files, and WebAssembly. The same stands in index.html."""


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files of one folder: no lists of folders, types that browsers insist on, and how long to keep what."""

    server_version, sys_version = "neurolab", ""
    extensions_map = TYPES | {"": "application/octet-stream"}

    def log_message(self, *_: object) -> None:
        """Say nothing: the terminal shows the address."""

    def list_directory(self, path: Any) -> None:
        """No lists."""
        self.send_error(HTTPStatus.NOT_FOUND)

    def send_head(self) -> io.BytesIO | BinaryIO | None:  # type: ignore[override]
        """As the base class, but nothing outside the folder by way of a link."""
        inside = Path(self.directory).resolve()
        if not Path(self.translate_path(self.path)).resolve().is_relative_to(inside):
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        return super().send_head()

    def send_response(self, code: int, message: str | None = None) -> None:
        """As the base class; remembers the status."""
        self.status = code
        super().send_response(code, message)

    def end_headers(self) -> None:
        """Large files carry a hash of their content in the address and are kept; of small ones ask anew."""
        lasting = "?v=" in self.path and self.status < HTTPStatus.BAD_REQUEST
        self.send_header("Cache-Control", "public, max-age=31536000, immutable" if lasting else "no-cache")
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()


def server(folder: Path, *, lan: bool = False, port: int | None = None) -> http.server.ThreadingHTTPServer:
    """A server of the folder, listening but not yet running: on the loopback address, or on all with lan.

    port: exactly this one; default: the first free from FIRST_PORT. Raises ValueError where it is taken.
    """
    host = "0.0.0.0" if lan else "127.0.0.1"
    handler = functools.partial(Handler, directory=str(folder))
    for number in [port] if port is not None else range(FIRST_PORT, FIRST_PORT + PORTS):
        try:
            return http.server.ThreadingHTTPServer((host, number), handler)
        except OSError as error:
            last = error
    which = f"port {port}" if port is not None else f"ports {FIRST_PORT} to {FIRST_PORT + PORTS - 1}"
    raise ValueError(f"{which}: cannot be used ({last}); name another with --port")


def lan_address() -> str | None:
    """This computer's address on the local network, or None where it has none.

    Opens a datagram socket towards an address kept for documentation (RFC 5737), which sends nothing.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        found = str(probe.getsockname()[0])
    return None if found.startswith(("127.", "0.")) else found


def qr(text: str) -> str:
    """A QR code of the text in block characters, dark on light in most terminals."""
    import segno

    drawn = io.StringIO()
    segno.make(text, error="m", micro=False).terminal(drawn, border=2, compact=True)
    return drawn.getvalue()


def words(address: str, lan: bool) -> str:
    """What the terminal says once the page is served."""
    if not lan:
        return (
            f"The phone page: {address}\nOnly this computer can open it; `neurolab phone --lan` shows it to "
            "the phones in your network. Ctrl-C stops it."
        )
    return (
        f"{qr(address)}\nThe phone page: {address}\nEveryone in this network can open it while this runs. It "
        "is plain HTTP: the phone keeps no copy and copies no text, all else works. Ctrl-C stops it."
    )


def run(*, lan: bool = False, port: int | None = None, say: Callable[[str], None] = print) -> None:
    """Put the page together and serve it until Ctrl-C.

    Raises ValueError where the port is taken, or for lan without a local network.
    """
    host = lan_address() if lan else "127.0.0.1"
    if host is None:
        raise ValueError("--lan: this computer has no address in a local network; join one, or leave it out")
    assemble(FOLDER, say=say)
    with server(FOLDER, lan=lan, port=port) as serving:
        say(words(f"http://{host}:{serving.server_port}/", lan))
        serving.serve_forever()


def write(out: Path, *, say: Callable[[str], None] = print) -> None:
    """Put the page together in a folder of the reader's own, for any static host."""
    listed = assemble(out, say=say)
    names = ", ".join(model["name"] for model in listed["models"])
    say(
        f"The phone page lies in {out}, with the models {names}. "
        "Any static host will do; over HTTPS it works offline too."
    )
