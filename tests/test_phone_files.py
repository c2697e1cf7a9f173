"""The phone page's files: packed, listed and put together; and the server that shows them."""

import gzip
import hashlib
import http.client
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from neurolab import facts
from neurolab.export import phone_files, phone_server
from neurolab.export.phone_offers import CHIPS, OFFERS
from neurolab.paths import ROOT


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The page put together, and its models.json."""
    folder = tmp_path_factory.mktemp("phone") / "page"
    return folder, phone_files.assemble(folder)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def large(listed: dict[str, Any]) -> list[dict[str, Any]]:
    files = [file for model in listed["models"] for file in model["files"].values()]
    return [listed["runtime"], listed["tokenizer"], *files]


def test_models_json_tells_the_truth(page: tuple[Path, dict[str, Any]]) -> None:
    folder, listed = page
    assert listed == json.loads((folder / "models" / "models.json").read_text(encoding="utf-8"))
    assert listed["format"] == phone_files.FORMAT
    assert [model["name"] for model in listed["models"]] == [offer.name for offer in OFFERS]
    for file in large(listed):
        path = folder / file["path"]
        assert (path.stat().st_size, digest(path)) == (file["bytes"], file["sha256"])
        if path.suffix == ".gz":
            unpacked = gzip.decompress(path.read_bytes())
            told = (file["unpacked_bytes"], file["unpacked_sha256"])
            assert told == (len(unpacked), hashlib.sha256(unpacked).hexdigest())
        else:
            assert "unpacked_bytes" not in file


def test_the_runtime_is_the_packages_file() -> None:
    unpacked = gzip.decompress((phone_files.PAGE / phone_files.RUNTIME).read_bytes())
    assert hashlib.sha256(unpacked).hexdigest() == phone_files.RUNTIME_SHA256
    script = (phone_files.PAGE / "vendor" / "ort.wasm.bundle.min.mjs").read_text(encoding="utf-8")
    assert f"ONNX Runtime Web v{phone_files.ORT_WEB}" in script
    assert "sourceMappingURL" not in script
    assert "Microsoft" in (phone_files.PAGE / "vendor" / "LICENSE").read_text(encoding="utf-8")


def test_a_first_visit_stays_in_its_budget(page: tuple[Path, dict[str, Any]]) -> None:
    folder, listed = page
    assert listed["models"][0]["name"] == "int8"
    assert 4_000_000 < phone_files.first_visit(listed, folder) <= phone_files.BUDGET


def test_compressed_models_are_ten_times_smaller(page: tuple[Path, dict[str, Any]]) -> None:
    sizes = {m["name"]: sum(f["bytes"] for f in m["files"].values()) for m in page[1]["models"]}
    assert sizes["fp32"] >= 10 * sizes["ptq12"] >= 10 * sizes["qat18"]
    unpacked = {m["name"]: m["files"]["model"]["unpacked_bytes"] for m in page[1]["models"][:2]}
    assert unpacked["fp32"] >= 3.7 * unpacked["int8"]


def test_examples_are_held_out_and_answered_by_every_model(page: tuple[Path, dict[str, Any]]) -> None:
    listed = page[1]
    held_out = {q.text: q for q in facts.split("held_out")}
    names = {model["name"] for model in listed["models"]}
    asked = [held_out[one["question"]] for one in listed["examples"]]
    assert len({q.text for q in asked}) == phone_files.EXAMPLES == 2 * sum(q.language == "th" for q in asked)
    for example in listed["examples"]:
        assert example["answers"].keys() == names
        assert all(example["answers"].values())
    assert listed["chips"] == list(CHIPS)
    assert all(chip in held_out for chip in CHIPS)


def test_the_worker_knows_every_small_file(page: tuple[Path, dict[str, Any]]) -> None:
    folder, listed = page
    script = (folder / "sw.js").read_text(encoding="utf-8")
    shell = json.loads(re.search(r"const SHELL = (\{.*?\});", script, re.DOTALL)[1])  # type: ignore[index]
    known = set(shell) | {file["path"] for file in large(listed)} | {"sw.js"}
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert {name for name in there - known if not name.endswith((".md", ".txt", "LICENSE"))} == set()
    assert all(digest(folder / name) == wanted for name, wanted in shell.items())
    assert "models/models.json" in shell
    assert not any(name.endswith((".gz", ".nlab")) for name in shell)


def test_everything_that_the_page_names_is_there(page: tuple[Path, dict[str, Any]]) -> None:
    folder = page[0]
    html = (folder / "index.html").read_text(encoding="utf-8")
    css = (folder / "phone.css").read_text(encoding="utf-8")
    named = set(re.findall(r'(?:href|src)="([^"#:]+)"', html)) - {"../index.html"}
    named |= set(re.findall(r'url\("([^"]+)"\)', css))
    manifest = json.loads((folder / "manifest.webmanifest").read_text(encoding="utf-8"))
    named |= {icon["src"] for icon in manifest["icons"]}
    assert len(named) >= 15
    assert [name for name in named if not (folder / name).is_file()] == []
    scripts = [*folder.glob("*.mjs"), folder / "sw.js", folder / "phone.css", folder / "index.html"]
    outside = [p.name for p in scripts if re.search(r"""["'(]\s*(https?:)?//""", p.read_text("utf-8"))]
    assert outside == []
    assert phone_server.POLICY in html


def test_both_languages_say_everything() -> None:
    source = (phone_files.PAGE / "words.mjs").read_text(encoding="utf-8")
    english, thai = source.split("\n  th: {\n")
    keys = [set(re.findall(r"^    {1,3}(\w+):", part, re.MULTILINE)) for part in (english, thai)]
    troubles = [set(re.findall(r"^      (\w+): \(", part, re.MULTILINE)) for part in (english, thai)]
    assert keys[0] == keys[1]
    assert troubles[0] == troubles[1]
    assert len(keys[0]) > 40
    assert len(troubles[0]) > 15
    html = (phone_files.PAGE / "index.html").read_text(encoding="utf-8")
    assert set(re.findall(r'data-t="(\w+)"', html)) <= keys[0]
    raised = {
        code
        for path in phone_files.PAGE.glob("*.mjs")
        for code in re.findall(r'new Trouble\("(\w+)"|asTrouble\(error, "(\w+)"', path.read_text("utf-8"))
        for code in code
        if code
    }
    assert raised <= troubles[0]


def test_making_again_keeps_what_is_right_and_mends_what_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    folder = tmp_path / "models"

    def fake(room: Path, key: str) -> dict[str, Any]:
        made.append(key)
        listed = {
            "made_from": key,
            "tokenizer": phone_files._write(room, "tokenizer.json.gz", b"{}"),
            "models": [],
        }
        (room / "models.json").write_text(json.dumps(listed), encoding="utf-8")
        return listed

    monkeypatch.setattr(phone_files, "_make", fake)
    said: list[str] = []
    first = phone_files.make(folder, say=said.append)
    assert phone_files.make(folder, say=said.append) == first
    assert len(made) == len(said) == 1
    (folder / "tokenizer.json.gz").write_bytes(b"damaged")
    assert phone_files.make(folder) == first
    assert len(made) == 2
    monkeypatch.setattr(phone_files, "_made_from", lambda: "other code")
    assert phone_files.make(folder)["made_from"] == "other code"
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.endswith(".lock")) == ["models"]


def test_assemble_replaces_pages_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match=r"out .*something other than a phone page"):
        phone_files.assemble(tmp_path)
    assert (tmp_path / "letter.txt").read_text(encoding="utf-8") == "mine"


# --- the server ---


@pytest.fixture
def served(tmp_path: Path) -> Iterator[http.client.HTTPConnection]:
    """A small folder, served as `neurolab phone` serves the page."""
    folder = tmp_path / "page"
    (folder / "inner").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html>", encoding="utf-8")
    (folder / "a.mjs").write_text("export {};", encoding="utf-8")
    (folder / "m.gz").write_bytes(b"\x1f\x8b")
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    (folder / "link").symlink_to(tmp_path / "secret")
    with phone_server.server(folder, port=0) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        connection = http.client.HTTPConnection("127.0.0.1", serving.server_port, timeout=30)
        yield connection
        connection.close()
        serving.shutdown()


def ask(connection: http.client.HTTPConnection, path: str, **headers: str) -> http.client.HTTPResponse:
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    answer.read()
    return answer


def test_the_server_gives_types_and_says_what_to_keep(served: http.client.HTTPConnection) -> None:
    script = ask(served, "/a.mjs")
    assert script.getheader("Content-Type") == "text/javascript; charset=utf-8"
    assert script.getheader("Cache-Control") == "no-cache"
    assert "'self'" in (script.getheader("Content-Security-Policy") or "")
    again = ask(served, "/a.mjs", **{"If-Modified-Since": script.getheader("Last-Modified") or ""})
    assert again.status == 304
    packed = ask(served, "/m.gz?v=0123456789abcdef")
    assert packed.getheader("Content-Type") == "application/octet-stream"
    assert packed.getheader("Content-Encoding") is None
    assert "immutable" in (packed.getheader("Cache-Control") or "")
    assert ask(served, "/none.gz?v=0123456789abcdef").getheader("Cache-Control") == "no-cache"
    assert ask(served, "/").getheader("Content-Type") == "text/html; charset=utf-8"


@pytest.mark.parametrize("path", ["/link", "/inner/", "/../secret", "/%2e%2e/secret", "/none"])
def test_the_server_gives_nothing_else(served: http.client.HTTPConnection, path: str) -> None:
    assert ask(served, path).status == 404


def test_it_listens_on_this_computer_alone_unless_asked(tmp_path: Path) -> None:
    with phone_server.server(tmp_path, port=0) as quiet:
        assert quiet.server_address[0] == "127.0.0.1"
        with pytest.raises(ValueError, match=rf"port {quiet.server_port}: cannot be used .*--port"):
            phone_server.server(tmp_path, port=quiet.server_port)


def test_the_terminal_shows_the_address_and_on_request_a_code() -> None:
    address = "http://192.168.1.20:8640/"
    assert address in phone_server.words(address, lan=False)
    assert "--lan" in phone_server.words(address, lan=False)
    shown = phone_server.words(address, lan=True)
    assert phone_server.qr(address) in shown
    assert "Everyone in this network" in shown
    assert phone_server.qr(address) != phone_server.qr("http://192.168.1.21:8640/")
    assert len(phone_server.qr(address).splitlines()) > 12


def test_lan_without_a_network_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(phone_server, "lan_address", lambda: None)
    with pytest.raises(ValueError, match="--lan: this computer has no address"):
        phone_server.run(lan=True)


def test_the_page_is_linked_from_the_book() -> None:
    assert "phone/index.html" in (ROOT / "book" / "index.md").read_text(encoding="utf-8")
