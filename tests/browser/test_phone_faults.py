"""The phone page when something is wrong: it says so in a plain sentence, and goes on once it is mended."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.phone_host import READY, Fault, Host, ask, before, changed, cut, missing

INT8 = "models/int8.onnx.gz"
THB = "สกุลเงินบาท ย่อว่าอย่างไร"


def newer(data: bytes) -> bytes:
    """A list of a format to come."""
    return json.dumps(json.loads(data) | {"format": 2}).encode()


def newer_model(data: bytes) -> bytes:
    """A list whose first model is of a format to come."""
    told = json.loads(data)
    told["models"][0]["format"] = 2
    return json.dumps(told).encode()


def newer_file(data: bytes) -> bytes:
    """A compressed file of a version to come: byte 4 is the version."""
    return data[:4] + bytes([data[4] + 1]) + data[5:]


def opened(host: tuple[Host, str], phone: Callable[..., Any], **more: Any) -> Any:
    """The page, with no service worker between it and the host."""
    page = phone(service_workers="block", **more)
    page.goto(host[1])
    return page


def told(page: Any, code: str) -> str:
    """Wait for the message of this kind; gives its sentence."""
    page.wait_for_selector(f"#notice[data-code={code}]:visible")
    return str(page.locator("#notice p").inner_text())


@pytest.mark.parametrize(
    ("path", "fault", "code", "words"),
    [
        ("models/models.json", missing, "missing", "is not on this server (answer 404)"),
        ("models/models.json", cut, "damaged", "is not the file that this page needs"),
        ("models/models.json", newer, "too_new", "newer kind (2) than this page knows (1)"),
        ("models/models.json", newer_model, "too_new", "int8 is of a newer kind"),
        (INT8, missing, "missing", "is not on this server"),
        (INT8, cut, "truncated", "came only in part"),
        (INT8, changed, "damaged", "is not the file that this page needs"),
    ],
)
def test_a_wrong_file_is_told_and_then_mended(
    path: str, fault: Fault, code: str, words: str, host: tuple[Host, str], phone: Callable[..., Any]
) -> None:
    host[0].faults[path] = fault
    page = opened(host, phone)
    assert words in told(page, code)
    del host[0].faults[path]
    if code == "too_new":
        page.reload()
    else:
        page.locator("#again").click()
    page.wait_for_selector(READY)
    assert page.locator("#notice").is_hidden()
    assert ask(page, THB) == "THB"


def test_a_connection_that_breaks_is_tried_again(host: tuple[Host, str], phone: Callable[..., Any]) -> None:
    host[0].break_off.add(INT8)
    page = opened(host, phone, locale="th-TH")
    assert told(page, "connection").startswith("การเชื่อมต่อขาด")
    host[0].break_off.clear()
    sent = host[0].bytes
    page.locator("#again").click()
    page.wait_for_selector(READY)
    assert host[0].bytes - sent < 2_000_000, "the runtime, which came whole, is not fetched again"


def test_one_bad_model_leaves_the_others(host: tuple[Host, str], phone: Callable[..., Any]) -> None:
    page = opened(host, phone)
    page.wait_for_selector(READY)
    host[0].faults["models/qat18.nlab"] = changed
    page.locator("#models input[value=qat18]").check()
    told(page, "damaged")
    page.locator("#models input[value=int8]").check()
    page.wait_for_selector("html[data-open=int8]")
    assert ask(page, THB) == "THB"


@pytest.mark.parametrize(
    ("fault", "code"),
    [(newer_file, "too_new"), (cut, "unreadable"), (lambda data: b"PK" + data, "unreadable")],
)
def test_a_compressed_file_that_is_no_such_file(
    fault: Callable[[bytes], bytes], code: str, host: tuple[Host, str], phone: Callable[..., Any]
) -> None:
    """The host has another file, and its list names it: only reading it shows what it is."""
    data = fault((host[0].folder / "models" / "qat18.nlab").read_bytes())

    def listing(old: bytes) -> bytes:
        found = json.loads(old)
        entry = next(m for m in found["models"] if m["name"] == "qat18")["files"]["weights"]
        entry |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        return json.dumps(found).encode()

    host[0].faults |= {"models/models.json": listing, "models/qat18.nlab": lambda _: data}
    page = opened(host, phone)
    page.wait_for_selector(READY)
    page.locator("#models input[value=qat18]").check()
    assert "qat18.nlab" in told(page, code)


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        ("WebAssembly.validate = () => false;", "no_simd", "lacks SIMD"),
        ("delete globalThis.WebAssembly;", "no_wasm", "has no WebAssembly"),
        ("delete globalThis.DecompressionStream;", "no_unpacking", "cannot unpack"),
    ],
)
def test_a_browser_that_lacks_something_is_told(
    script: str, code: str, words: str, host: tuple[Host, str], phone: Callable[..., Any]
) -> None:
    host[0].faults["worker.mjs"] = before(script)
    page = opened(host, phone)
    assert words in told(page, code)
    assert all("wasm.gz" not in path for path, _, _ in host[0].sent), "nothing large is fetched in vain"
    page.locator("button[data-language=th]").click()
    assert page.locator("#models label").count() >= 4, "and the page goes on"


def test_full_storage_is_told_and_the_model_works(host: tuple[Host, str], phone: Callable[..., Any]) -> None:
    host[0].faults["worker.mjs"] = before(
        "Cache.prototype.put = () => Promise.reject(new DOMException('full', 'QuotaExceededError'));"
    )
    page = opened(host, phone)
    assert "storage is full" in told(page, "storage_full")
    page.wait_for_selector(READY)
    assert ask(page, THB) == "THB"


def test_a_host_that_unpacks_by_itself_is_no_trouble(
    host: tuple[Host, str], phone: Callable[..., Any]
) -> None:

    host[0].faults[INT8] = gzip.decompress  # as with Content-Encoding: gzip
    page = opened(host, phone)
    page.wait_for_selector(READY)
    assert ask(page, THB) == "THB"


def test_a_kept_file_that_decays_is_fetched_again(host: tuple[Host, str], phone: Callable[..., Any]) -> None:
    page = opened(host, phone)
    page.wait_for_selector(READY)
    page.evaluate(
        """async () => {
            const kept = await caches.open("neurolab-phone-files");
            const request = (await kept.keys()).find((one) => one.url.includes("int8"));
            await kept.put(request, new Response(new Uint8Array(1000)));
        }"""
    )
    page.reload()
    page.wait_for_selector(READY)
    assert page.locator("#notice").is_hidden()
    assert ask(page, THB) == "THB"


def test_opened_where_its_program_cannot_start(host: tuple[Host, str], phone: Callable[..., Any]) -> None:
    host[0].faults["phone.mjs"] = missing
    page = opened(host, phone)
    page.locator("#starting").wait_for(state="visible")
    assert "neurolab phone" in page.locator("#starting").inner_text()
