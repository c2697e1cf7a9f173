"""The files of the phone page: models packed for the way, the list of them, and the page put together.

    make()      book/phone/models/: NAME.onnx.gz, tokenizer.json.gz, compressed files, and models.json
    assemble()  one folder with page, runtime, models and fonts, ready for any static host

The page unpacks .gz itself (DecompressionStream), so a host needs to do nothing. models.json names every
large file with its SHA-256; the service worker gets those of the small ones.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import importlib.metadata
import json
import random
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from neurolab import __version__, assistant, compressed, facts, paths
from neurolab.assistant import Assistant
from neurolab.export.decoder import Decoder, answers, torch_step
from neurolab.export.phone_offers import CHIPS, OFFERS, Offer
from neurolab.provenance import commit
from neurolab.transformer import Config

FORMAT = 1
"""The version of models.json; the page reads no newer one (loader.mjs)."""
PAGE = paths.ROOT / "book" / "phone"
MODELS, LIST, WORKER = "models", "models.json", "sw.js"
ORT_WEB = "1.30.0"
"""The version of onnxruntime-web in book/phone/vendor."""
RUNTIME = "vendor/ort-wasm-simd-threaded.wasm.gz"
RUNTIME_SHA256 = "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2"
"""Of the unpacked runtime: the npm package's file, byte for byte."""
FONTS = (
    "source-serif-4-latin-wght-normal.woff2",
    "noto-serif-thai-thai-400-normal.woff2",
    "noto-serif-thai-thai-600-normal.woff2",
    "ibm-plex-sans-thai-looped-latin-400-normal.woff2",
    "ibm-plex-sans-thai-looped-latin-600-normal.woff2",
    "ibm-plex-sans-thai-looped-thai-400-normal.woff2",
    "ibm-plex-sans-thai-looped-thai-600-normal.woff2",
)
"""Those of the book's fonts that phone.css names; their licences go with them."""
BUDGET = 6_000_000
"""Bytes that a first visit may transfer, the first model included."""
EXAMPLES = 24
"""Held-out questions that the benchmark asks, with the answers that Python gives."""


def packed(data: bytes) -> bytes:
    """gzip at its best, the same bytes for the same data."""
    return gzip.compress(data, 9, mtime=0)


def entry(path: str, data: bytes, unpacked: bytes | None = None) -> dict[str, Any]:
    """What models.json says of a file: path below the page, bytes and SHA-256 as shipped, and unpacked."""
    found: dict[str, Any] = {"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    if unpacked is not None:
        found |= {"unpacked_bytes": len(unpacked), "unpacked_sha256": hashlib.sha256(unpacked).hexdigest()}
    return found


def examples() -> list[str]:
    """The benchmark's questions: drawn once from those held out, half of them Thai."""
    draw = random.Random(7)
    found = [q for lang in ("th", "en") for q in draw.sample(facts.split("held_out", lang), EXAMPLES // 2)]
    draw.shuffle(found)
    return [q.text for q in found]


def make(folder: Path | None = None, *, say: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Make the models' folder (default: book/phone/models) where it is not up to date; gives models.json.

    Raises what `assistant.load` and `compressed.load` raise for damaged weights.
    """
    folder = folder or PAGE / MODELS
    key = _made_from()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        there = _there(folder, key)
        if there is not None:
            return there
        say("Packing the models for the phone page")
        return _made(folder, key)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder against another process that makes it too, where the system can (not on Windows)."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with (folder.parent / f".{folder.name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _made(folder: Path, key: str) -> dict[str, Any]:
    """Make the models in a room of their own, and put it in the folder's place."""
    room = Path(tempfile.mkdtemp(prefix=".models.", dir=folder.parent))
    try:
        made = _make(room, key)
        shutil.rmtree(folder, ignore_errors=True)
        room.chmod(0o755)
        room.rename(folder)
    finally:
        shutil.rmtree(room, ignore_errors=True)
    return made


def _made_from() -> str:
    """What the models depend on: weights, code, packages."""
    found = hashlib.sha256()
    here = Path(__file__).parent
    names = ("phone_files", "phone_offers", "decoder", "graph_only")
    code = [*(here / f"{name}.py" for name in names), *sorted(here.glob("onnx_*.py"))]
    code += [here / "graph_builder.py", here / "sources.py", *sorted(here.glob("spiking_*.py"))]
    data = [assistant.FOLDER / assistant.CARD, *(_source(offer) for offer in OFFERS if offer.source)]
    data += sorted((paths.DATA / "spiking").glob("*.json"))
    for path in [*code, *data]:
        found.update(path.name.encode() + (path.read_bytes() if path.is_file() else b"none"))
    for package in ("torch", "onnx", "onnxscript", "onnxruntime"):
        found.update(importlib.metadata.version(package).encode())
    return found.hexdigest()


def _there(folder: Path, key: str) -> dict[str, Any] | None:
    """models.json of a folder made from the same things with all its files whole; else None."""
    try:
        told: dict[str, Any] = json.loads((folder / LIST).read_text(encoding="utf-8"))
        files = [f for m in told["models"] for f in m["files"].values()] + [told["tokenizer"]]
        whole = told["made_from"] == key and all(_is(folder.parent / f["path"], f["sha256"]) for f in files)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return told if whole else None


def _is(path: Path, digest: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest


def _source(offer: Offer) -> Path:
    return paths.DATA / "compressed" / offer.source


def _make(room: Path, key: str) -> dict[str, Any]:
    whole = assistant.load()
    asked = [*CHIPS, *examples()]
    told: dict[str, dict[str, str]] = {question: {} for question in asked}
    models = []
    for offer in OFFERS:
        about, said = _offered(offer, room, whole, asked)
        models.append(about)
        for question, answer in zip(asked, said, strict=True):
            told[question][offer.name] = answer
    words = (assistant.FOLDER / assistant.TOKENIZER).read_bytes()
    runtime = (PAGE / RUNTIME).read_bytes()
    listed = {
        "format": FORMAT,
        "made_from": key,
        "versions": {"neurolab": __version__, "onnxruntime-web": ORT_WEB, "commit": commit()},
        "runtime": entry(RUNTIME, runtime, gzip.decompress(runtime)),
        "tokenizer": _write(room, "tokenizer.json.gz", words),
        "models": models,
        "chips": list(CHIPS),
        "examples": [{"question": q, "answers": told[q]} for q in asked[len(CHIPS) :]],
    }
    (room / LIST).write_text(json.dumps(listed, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return listed


def _write(room: Path, name: str, data: bytes) -> dict[str, Any]:
    """Write a file into the models' folder, packed where the name says so; gives its entry."""
    shipped = packed(data) if name.endswith(".gz") else data
    (room / name).write_bytes(shipped)
    return entry(f"{MODELS}/{name}", shipped, data if name.endswith(".gz") else None)


def _offered(
    offer: Offer, room: Path, whole: Assistant, asked: list[str]
) -> tuple[dict[str, Any], list[str]]:
    """What models.json says of one offer, and Python's answers, one question a call (as the page asks)."""
    from neurolab.export import export, graph_only, onnx_file

    if offer.kind == "nlab":
        model = compressed.load(_source(offer)).model().eval()
        files = {
            "graph": _write(room, f"{offer.name}.graph.onnx.gz", graph_only.graph(model)),
            "weights": _write(room, offer.source, _source(offer).read_bytes()),
        }
        config, step = model.config, torch_step(Decoder(model))
    else:
        with tempfile.TemporaryDirectory() as folder:
            made = export("onnx", offer.precision, Path(folder) / offer.name, name=offer.network)
            data = (made.folder / onnx_file.FILE).read_bytes()
        files = {"model": _write(room, f"{offer.name}.onnx.gz", data)}
        config, step = made.config, onnx_file.step_of(onnx_file.session(data))
    about = {
        "name": offer.name,
        "format": FORMAT,
        "precision": offer.precision,
        "kind": offer.kind,
        "label": offer.label,
        "about": offer.about,
        "config": _sizes(config),
        "files": files,
    }
    return about, answers(step, config, whole.tokenizer, asked, batch=1)


def _sizes(config: Config) -> dict[str, int]:
    """The sizes that the page needs: those of the cache, and how much can be read."""
    sizes = {name: getattr(config, name) for name in ("vocabulary", "context", "layers", "heads")}
    return sizes | {"head": config.head_size}


# --- the page put together ---


def shell(folder: Path) -> dict[str, str]:
    """The small files of a page, path -> SHA-256: what the service worker keeps. No large ones."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        large = name.startswith(f"{MODELS}/") and name != f"{MODELS}/{LIST}"
        if path.is_file() and not large and not name.endswith((".gz", ".md", ".txt", "LICENSE", WORKER)):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def assemble(
    out: Path, *, book: str | None = None, say: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Put page, runtime, models and fonts into the folder `out`, replacing an older page. Gives models.json.

    book: address of the book's first page as seen from there, or None where there is no book beside it.
    Raises ValueError where `out` holds something other than an older page.
    """
    if out.exists() and any(out.iterdir()) and not (out / WORKER).is_file():
        raise ValueError(f"out {out}: holds something other than a phone page; name an empty or a new folder")
    if not (PAGE / "index.html").is_file():
        raise ValueError(f"{PAGE}: there is no phone page; it comes with the course's checkout")
    listed = make(say=say)
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(PAGE, out, ignore=_private)
    (out / "fonts").mkdir()
    for path in _fonts():
        shutil.copyfile(path, out / "fonts" / path.name)
    listed = listed | {"book": book, "versions": listed["versions"] | {"commit": commit()}}
    text = json.dumps(listed, ensure_ascii=False, separators=(",", ":"))
    (out / MODELS / LIST).write_text(text + "\n", encoding="utf-8")
    script = (out / WORKER).read_text(encoding="utf-8")
    empty = "const SHELL = {};"
    if empty not in script:
        raise ValueError(f"{PAGE / WORKER}: {empty!r} is not in it, so its files cannot be filled in")
    filled = json.dumps(shell(out), indent=1)
    (out / WORKER).write_text(script.replace(empty, f"const SHELL = {filled};"), encoding="utf-8")
    return listed


def _private(folder: str, names: list[str]) -> Iterable[str]:
    """What stays behind: rooms that `make` is filling, and what editors leave."""
    return [name for name in names if name.startswith(".")]


def _fonts() -> list[Path]:
    folder = paths.ROOT / "book" / "static" / "fonts"
    return [*(folder / name for name in FONTS), *sorted(folder.glob("LICENSE-*"))]


def first_visit(listed: dict[str, Any], folder: Path) -> int:
    """Bytes of all files that a first visit fetches: the small ones, runtime, tokenizer, the first model."""
    large = [listed["runtime"], listed["tokenizer"], *listed["models"][0]["files"].values()]
    small = [*shell(folder), WORKER]
    return sum(f["bytes"] for f in large) + sum((folder / name).stat().st_size for name in small)
