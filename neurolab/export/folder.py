"""An export is a folder that stands alone: model, tokenizer, sizes, licence and card.

    model.onnx (or model.ort, model.pte, ...)   what the runtime reads; some formats are several files
    tokenizer.json                              text to ids and back (Hugging Face `tokenizers`)
    config.json                                 what it is: see `Config`'s sizes and the keys below
    LICENSE, README.md                          the licence and the card

config.json: format (FORMAT), runtime, precision, model (the name), config (sizes of the network), cache
("growing": any length, or "fixed": the file's cache always holds `context`), files {name: {bytes, sha256}} of
everything but itself, and what else the runtime noted under "notes".
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from neurolab.paths import ROOT
from neurolab.tokens import load_tokenizer
from neurolab.transformer import Config

FORMAT = 1
"""The version of config.json that this course writes; it reads no newer one."""
CONFIG, TOKENIZER, LICENSE, CARD = "config.json", "tokenizer.json", "LICENSE", "README.md"
OURS = (CONFIG, TOKENIZER, LICENSE, CARD)
CACHES = ("growing", "fixed")


class ExportError(ValueError):
    """An export's folder is missing, damaged or of another version; the message names the file and why."""


@dataclass(frozen=True)
class Exported:
    """A folder that was read and checked.

    files: bytes of each of the runtime's own files, by name.  notes: what the runtime noted (JSON).
    """

    folder: Path
    runtime: str
    precision: str
    model: str
    config: Config
    cache: str
    files: dict[str, int]
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        """Bytes of the runtime's own files: the model, without tokenizer, card and licence."""
        return sum(self.files.values())

    def tokenizer(self) -> Tokenizer:
        """The folder's tokenizer."""
        return load_tokenizer(self.folder / TOKENIZER)


def files_below(folder: Path) -> list[str]:
    """The names of all files below `folder`, sorted, with / between their parts."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def finish(
    folder: Path,
    tokenizer: Tokenizer,
    config: Config,
    *,
    runtime: str,
    precision: str,
    model: str,
    cache: str = "growing",
    notes: dict[str, Any] | None = None,
    about: str = "",
) -> Exported:
    """Put tokenizer, licence, card and config.json beside the runtime's own files, which lie in `folder`.

    about: a sentence or more for the card. Raises ValueError for an empty folder or an unknown cache.
    """
    if cache not in CACHES:
        raise ValueError(f"cache {cache!r}: must be one of {', '.join(CACHES)}")
    own = [name for name in files_below(folder) if name not in OURS]
    if not own:
        raise ValueError(f"folder {folder}: holds no file of the runtime")
    tokenizer.save(str(folder / TOKENIZER))
    shutil.copyfile(ROOT / "LICENSE", folder / LICENSE)
    size = sum((folder / name).stat().st_size for name in own)
    (folder / CARD).write_text(_card(runtime, precision, model, config, size, cache, about), encoding="utf-8")
    hashes = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": _sha256(folder / name)}
        for name in (*own, TOKENIZER, LICENSE, CARD)
    }
    written = {
        "format": FORMAT,
        "runtime": runtime,
        "precision": precision,
        "model": model,
        "config": asdict(config),
        "cache": cache,
        "notes": notes or {},
        "files": hashes,
    }
    (folder / CONFIG).write_text(json.dumps(written, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return read(folder)


class Writing:
    """A folder that appears whole or not at all: `with Writing(folder) as made: ...` fills it, then it moves.

    Raises ValueError if something other than an export of ours stands there; an old export is replaced.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if folder.exists() and not (folder.is_dir() and (not any(folder.iterdir()) or _is_ours(folder))):
            raise ValueError(f"folder {folder}: holds other things; name an empty or a new one")

    def __enter__(self) -> Path:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self.made = Path(tempfile.mkdtemp(prefix=f".{self.folder.name}.", dir=self.folder.parent))
        os.chmod(self.made, 0o755)
        return self.made

    def __exit__(self, kind: Any, *rest: Any) -> None:
        if kind is None:
            if self.folder.exists():
                shutil.rmtree(self.folder)
            self.made.rename(self.folder)
        else:
            shutil.rmtree(self.made, ignore_errors=True)


def read(folder: Path | str) -> Exported:
    """Read config.json and check every file that it names.

    Raises ExportError that names the file: missing, not config.json of ours, of a newer format, truncated,
    changed.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ExportError(f"{folder}: no such folder; `neurolab export RUNTIME --out FOLDER` makes one")
    path = folder / CONFIG
    if not path.is_file():
        raise ExportError(f"{path}: missing, so {folder} is no export")
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        version = told["format"]
        if isinstance(version, bool) or not isinstance(version, int) or version < 1:
            raise ValueError(f"format {version!r} is no version")
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{path}: not the config.json of an export ({error!r})") from error
    if version > FORMAT:
        raise ExportError(f"{path}: format {version}, too new: this course reads up to {FORMAT}; update it")
    try:
        config = Config(**told["config"])
        names = ("runtime", "precision", "model", "cache")
        texts = {name: told[name] for name in names}
        if not all(isinstance(text, str) for text in texts.values()) or texts["cache"] not in CACHES:
            raise ValueError(f"{', '.join(names)} must be text, and cache one of {', '.join(CACHES)}")
        listed = {str(name): (int(f["bytes"]), str(f["sha256"])) for name, f in told["files"].items()}
        if not listed.keys() >= {TOKENIZER, LICENSE, CARD} or not listed.keys() - set(OURS):
            raise ValueError("files must name the model, tokenizer, licence and card")
        if any(Path(name).is_absolute() or ".." in Path(name).parts for name in listed):
            raise ValueError("a file outside the folder")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExportError(f"{path}: not the config.json of an export ({error!r})") from error
    for name, (size, digest) in listed.items():
        _check(folder / name, size, digest)
    files = {name: size for name, (size, _) in listed.items() if name not in OURS}
    return Exported(folder, config=config, files=files, notes=dict(told.get("notes") or {}), **texts)


def _check(path: Path, size: int, digest: str) -> None:
    if not path.is_file():
        raise ExportError(f"{path}: missing; export it again")
    found = path.stat().st_size
    if found != size:
        what = "truncated" if found < size else "too long"
        raise ExportError(f"{path}: {what}: {found:,} bytes, {CONFIG} says {size:,}; export it again")
    if _sha256(path) != digest:
        raise ExportError(f"{path}: changed: its SHA-256 is not the one in {CONFIG}; export it again")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _is_ours(folder: Path) -> bool:
    """Whether `folder` is an export, be it a damaged one: its config.json has our keys."""
    try:
        told = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(told, dict) and {"format", "runtime", "precision", "files"} <= told.keys()


def _card(runtime: str, precision: str, model: str, config: Config, size: int, cache: str, about: str) -> str:
    lines = [
        f"# The neurolab assistant ({model}) for {runtime}, {precision}",
        "",
        "A small language model that answers questions about territories, languages, scripts, currencies, "
        "cities and units, in Thai and English. It knows facts of the Unicode CLDR and nothing else; asked "
        "about anything else it is wrong, or says that it does not know.",
        "",
        f"- model: {size:,} bytes; sizes and SHA-256 in `{CONFIG}`",
        f"- vocabulary {config.vocabulary}, context {config.context} tokens, width {config.width}, "
        f"{config.layers} layers, {config.heads} heads of {config.head_size}, hidden {config.hidden}",
        f"- cache of keys and values: {cache}",
        "- inputs `ids` (batch, n) int64, `cache` (layers, 2, batch, heads, past, head width) float32; "
        "outputs `logits` (batch, vocabulary) of the last token, `new_cache` with past + n",
        f"- text to ids: `{TOKENIZER}`, then id 1 (answer); the answer ends at id 2",
        "- licence: MIT, in `LICENSE`; the facts come from Unicode CLDR, under the Unicode License v3 "
        "(https://www.unicode.org/license.txt)",
        *(["", about] if about else []),
    ]
    return "\n".join(lines) + "\n"
