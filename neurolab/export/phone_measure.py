"""The phone page measured in this machine's Chromium: what it transfers, how fast it answers, and what.

No phone: rows phone.page say what the page does on the machine that made the course. A phone's own rows come
from its reader (`neurolab measurements add`).
"""

from __future__ import annotations

import functools
import gzip
import http.server
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from neurolab import assistant, browser, compressed
from neurolab.benchmark import percentile
from neurolab.export import onnx_file
from neurolab.export.decoder import Decoder, Step, answers, torch_step
from neurolab.export.phone_files import LIST, MODELS
from neurolab.export.phone_server import Handler

CHUNK = 400
"""Questions that the page answers before it reports, so that no call takes too long."""
TIMED = 48
"""Questions whose first token and speed are timed, after as many to warm up."""
CLIENT = """async (more) => {
  const { Client } = await import("/client.mjs");
  window.client ??= new Client();
  return client.call(more.what, more);
}"""


class _Counting(Handler):
    """The server of `neurolab phone` that keeps an account of the bodies it sends: (path, bytes)."""

    def __init__(self, *args: Any, sent: list[tuple[str, int]], **more: Any) -> None:
        self.sent = sent
        super().__init__(*args, **more)

    def copyfile(self, source: Any, outputfile: Any) -> None:
        """Send a file and write down how long it is."""
        data = source.read()
        self.sent.append((self.path, len(data)))
        outputfile.write(data)


@contextmanager
def counted(folder: Path) -> Iterator[tuple[str, list[tuple[str, int]]]]:
    """Serve a page's folder on the loopback address; gives the address, and (path, bytes) of all bodies."""
    sent: list[tuple[str, int]] = []
    handler = functools.partial(_Counting, directory=str(folder), sent=sent)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", sent
    finally:
        server.shutdown()
        server.server_close()


def pythons_answers(folder: Path, model: str, questions: Sequence[str]) -> list[str]:
    """What Python answers with the very files of a page's folder, one question a call, as the page asks."""
    listed = json.loads((folder / MODELS / LIST).read_text(encoding="utf-8"))
    entry = next(one for one in listed["models"] if one["name"] == model)
    whole = assistant.load()
    step: Step
    if entry["kind"] == "nlab":
        network = compressed.load(folder / entry["files"]["weights"]["path"]).model().eval()
        config, step = network.config, torch_step(Decoder(network))
    else:
        data = gzip.decompress((folder / entry["files"]["model"]["path"]).read_bytes())
        sizes = {name: entry["config"][name] for name in ("layers", "heads", "head")}
        config, step = replace(whole.model.config, **sizes), onnx_file.step_of(onnx_file.session(data))
    return answers(step, config, whole.tokenizer, questions, batch=1)


def visit(page: Any, address: str, model: str) -> None:
    """Open the page with a model and wait until it answers and would do so without a network."""
    page.goto(f"{address}#model={model}")
    page.wait_for_selector(f"html[data-open={model}]")
    page.wait_for_selector("#offline[data-state=offline_ready]")


def measure(
    folder: Path, model: str, questions: Sequence[str], pythons: Sequence[str], timed: int = TIMED
) -> dict[str, Any]:
    """Figures of one model of a page.

    questions, pythons: what is asked, and Python's answers.  Figures: first_visit_bytes and
    second_visit_bytes (bodies of all answers), first_token_ms and first_token_p95_ms (from the question to
    its first token), tokens_per_second (median), equal_answers_percent, questions, outside_requests (to any
    host but the page's own), offline_reload (1 if it answers the first question after a reload without a
    network, else 0), browser. ValueError where the lists are empty or of two lengths; BrowserError without
    Chromium.
    """
    if not questions or len(questions) != len(pythons):
        raise ValueError(
            f"questions {len(questions)} and pythons {len(pythons)}: must be as many, and one at least"
        )
    with counted(folder) as (address, sent), browser.browser() as chromium:
        context = chromium.new_context(viewport={"width": 390, "height": 844}, locale="en-GB")
        context.set_default_timeout(600_000)
        outside: list[str] = []
        own = (address, "data:", "blob:", "about:")
        context.on("request", lambda asked: None if asked.url.startswith(own) else outside.append(asked.url))
        first = context.new_page()
        visit(first, address, model)
        first_bytes = sum(size for _, size in sent)
        first.close()
        page = context.new_page()
        visit(page, address, model)
        second_bytes = sum(size for _, size in sent) - first_bytes

        page.goto(f"{address}models/models.json")
        asked = [questions[i % len(questions)] for i in range(2 * timed)]
        times = [page.evaluate(CLIENT, {"what": "ask", "name": model, "question": q}) for q in asked][timed:]
        said: list[str] = []
        for at in range(0, len(questions), CHUNK):
            more = {"what": "answers", "name": model, "questions": list(questions[at : at + CHUNK])}
            said += page.evaluate(CLIENT, more)["answers"]
        alone = _offline(context, address, model, questions[0])
        version = chromium.version
    rates = [1000 * (t["tokens"] - 1) / (t["last"] - t["first"]) for t in times if t["last"] > t["first"]]
    equal = sum(a == b for a, b in zip(said, pythons, strict=True))
    return {
        "first_visit_bytes": first_bytes,
        "second_visit_bytes": second_bytes,
        "first_token_ms": percentile([t["first"] for t in times], 50),
        "first_token_p95_ms": percentile([t["first"] for t in times], 95),
        "tokens_per_second": percentile(rates, 50),
        "equal_answers_percent": 100 * equal / len(said),
        "questions": len(said),
        "outside_requests": len(outside),
        "offline_reload": int(alone == pythons[0]),
        "browser": f"Chromium {version}",
    }


def _offline(context: Any, address: str, model: str, question: str) -> str | None:
    """The page's answer after a reload without a network; None where it does not open or stays silent."""
    from playwright.sync_api import Error

    page = context.new_page()
    visit(page, address, model)
    context.set_offline(True)
    try:
        page.reload()
        page.wait_for_selector(f"html[data-open={model}]", timeout=60_000)
        asked = {"what": "answers", "name": model, "questions": [question]}
        return str(page.evaluate(CLIENT, asked)["answers"][0])
    except Error:
        return None
    finally:
        context.set_offline(False)
        page.close()
