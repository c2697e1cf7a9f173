"""The row that flows through the course: one measurement, one JSON object, one line.

Sweeps append rows; tables, sentences, explorers and the claims ledger read them. Rows live in
``<store>/<first part of the name>.jsonl``, for instance ``lif.tbptt`` in ``lif.jsonl``.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import string
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from neurolab.paths import DATA, reader_folder
from neurolab.provenance import commit, processor, versions

KINDS = ("measured", "simulated", "cited")
CHAPTERS = range(9)
_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z0-9_]+)+")


class BrokenRow(ValueError):
    """A line of a store that is no measurement; the text names the file and the line."""


@dataclass(frozen=True)
class Measurement:
    """One result.

    name: dotted, lower case (``encoding.window_error``).  chapter: 0..8.
    kind: ``measured`` | ``simulated`` (an energy model, say) | ``cited`` (somebody else's figure).
    setting: what was varied or fixed; figures: what came out (finite numbers, text, or lists of them).
    provenance: command, versions, processor, date, commit.
    Raises ValueError where a field is not of that form; NaN and infinity are refused.
    """

    name: str
    chapter: int
    kind: str
    setting: dict[str, Any]
    figures: dict[str, Any]
    provenance: dict[str, Any]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise ValueError(
                f"name is {self.name!r}; a row's name is dotted and lower case, like 'lif.tbptt'"
            )
        if (
            isinstance(self.chapter, bool)
            or not isinstance(self.chapter, int)
            or self.chapter not in CHAPTERS
        ):
            raise ValueError(f"chapter is {self.chapter!r}; it must be a whole number from 0 to 8")
        if self.kind not in KINDS:
            raise ValueError(f"kind is {self.kind!r}; it must be one of {', '.join(KINDS)}")
        for field in ("setting", "figures", "provenance"):
            value = getattr(self, field)
            if not isinstance(value, Mapping):
                raise ValueError(f"{field} is {value!r}; it must be a dictionary")
            object.__setattr__(self, field, _plain(value, field))
        if not self.figures:
            raise ValueError("figures is empty; a measurement holds at least one figure")

    def line(self) -> str:
        """The row as one line of JSON, with its newline."""
        return json.dumps(asdict(self), ensure_ascii=False, allow_nan=False, separators=(", ", ": ")) + "\n"


def _plain(value: Any, where: str) -> Any:
    """`value` with NumPy and torch scalars and arrays made plain; ValueError where JSON can't hold it."""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ValueError(f"{where} has the key {key!r}; keys must be text")
        return {key: _plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if hasattr(value, "tolist"):
        return _plain(value.tolist(), where)
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(
                f"{where} is {value}; only finite numbers are kept (leave out what was not measured)"
            )
        return value
    raise ValueError(
        f"{where} is a {type(value).__name__}; allowed are numbers, text, truth values and lists"
    )


def row(
    name: str,
    chapter: int,
    setting: Mapping[str, Any],
    figures: Mapping[str, Any],
    *,
    kind: str = "measured",
    command: str,
) -> Measurement:
    """A measurement made now, on this machine, by `command` (what a reader types to make the row again)."""
    if not isinstance(command, str) or not command.strip():
        raise ValueError(f"command is {command!r}; name the command that makes this row again")
    provenance = {
        "command": command,
        "versions": versions(),
        "processor": processor(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
    }
    return Measurement(name, chapter, kind, dict(setting), dict(figures), provenance)


def shipped() -> Path:
    """The store that comes with the course."""
    return DATA / "measurements"


def own() -> Path:
    """The reader's own store, the default of `append`."""
    return reader_folder() / "measurements"


@contextlib.contextmanager
def _locked(handle: IO[bytes]) -> Iterator[None]:
    """Hold the file against other writers where the system can (not on Windows)."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(handle, fcntl.LOCK_UN)


def append(rows: Measurement | Iterable[Measurement], store: Path | str | None = None) -> list[Path]:
    """Add rows to a store (default: the reader's own) and give back the files written.

    All rows of one file go out in one write that is flushed to the disk. What an earlier crash left at the
    end (a line without its newline that is no row) is cut off first, so that it can't spoil the new line.
    Raises ValueError, before anything is written, where an item is no Measurement.
    """
    rows = [rows] if isinstance(rows, Measurement) else list(rows)
    for item in rows:
        if not isinstance(item, Measurement):
            raise ValueError(
                f"rows holds a {type(item).__name__}; append takes Measurements (make them with row())"
            )
    folder = Path(store) if store is not None else own()
    by_file: dict[Path, list[str]] = {}
    for item in rows:
        by_file.setdefault(folder / f"{item.name.split('.')[0]}.jsonl", []).append(item.line())
    for path, lines in by_file.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a+b", buffering=0) as handle, _locked(handle):
            handle.seek(0)
            end = _sound_end(handle.read(), path)
            handle.truncate(len(end))
            glue = b"" if not end or end.endswith(b"\n") else b"\n"
            handle.seek(0, os.SEEK_END)
            handle.write(glue + "".join(lines).encode())
            os.fsync(handle.fileno())
    return list(by_file)


def _sound_end(content: bytes, path: Path) -> bytes:
    """`content` without an unfinished last line."""
    whole, newline, last = content.rpartition(b"\n")
    if not last:
        return content
    try:
        _parse(last, path, content.count(b"\n") + 1)
    except BrokenRow:
        return whole + newline
    return content


def _parse(line: bytes, path: Path, number: int) -> Measurement:
    try:
        fields = json.loads(line)
        if not isinstance(fields, dict):
            raise ValueError("it is no JSON object")
        expected = set(Measurement.__dataclass_fields__)
        if set(fields) != expected:
            raise ValueError(f"its fields are {sorted(fields)}, not {sorted(expected)}")
        return Measurement(**fields)
    except ValueError as error:
        raise BrokenRow(f"{path}, line {number}: not a measurement ({error})") from error


def read(
    name: str | None = None, *, store: Path | str | None = None, history: bool = False, **setting: Any
) -> list[Measurement]:
    """Rows of a store (default: the shipped ones), oldest first.

    name: only rows of that name.  setting: only rows whose setting holds these values.
    Of rows with the same name and setting only the newest stays, unless `history` is true.
    Raises BrokenRow for a line that is no measurement. An unfinished last line (what a crash in the
    middle of an append leaves) is left out with a warning.
    """
    folder = Path(store) if store is not None else shipped()
    files = [folder / f"{name.split('.')[0]}.jsonl"] if name is not None else sorted(folder.glob("*.jsonl"))
    found = [item for path in files if path.is_file() for item in _rows(path)]
    if name is not None:
        found = [item for item in found if item.name == name]
    found = [
        item for item in found if all(k in item.setting and item.setting[k] == v for k, v in setting.items())
    ]
    return found if history else newest(found)


def _rows(path: Path) -> Iterator[Measurement]:
    content = path.read_bytes()
    lines = content.split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield _parse(line, path, number)
        except BrokenRow:
            if number != len(lines):
                raise
            warnings.warn(
                f"{path}, line {number}: unfinished, left out (a crash while it was written?)", stacklevel=3
            )


def newest(rows: Iterable[Measurement]) -> list[Measurement]:
    """The last row of each name and setting, in the order in which they stand."""
    last: dict[str, Measurement] = {}
    for item in rows:
        key = item.name + json.dumps(item.setting, sort_keys=True)
        last.pop(key, None)
        last[key] = item
    return list(last.values())


def sentence(template: str, *rows: Measurement, kind: str | None = None, **figures: Any) -> Any:
    """A sentence with its numbers put in, and how they came about in italics behind it.

    template: text with format fields, ``"{bits} bits cost {drop:.1f} points."``.  rows: their kinds are named
    behind the sentence, and their settings and figures may be used as fields (the last row wins).
    figures: further fields, which win over those of the rows.
    Gives an IPython Markdown display, which reads the same in JupyterLab and in the book.
    Raises ValueError for a field that nobody gave.
    """
    from IPython.display import Markdown

    fields: dict[str, Any] = {}
    for item in rows:
        fields |= {**item.setting, **item.figures}
    fields |= figures
    for _, field, _, _ in string.Formatter().parse(template):
        if field is not None and re.split(r"[.\[]", field)[0] not in fields:
            raise ValueError(
                f"the sentence wants {field!r}; it was given {', '.join(sorted(fields)) or 'nothing'}"
            )
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; it must be one of {', '.join(KINDS)}")
    kinds = [kind] if kind else [k for k in KINDS if any(item.kind == k for item in rows)] or ["measured"]
    return Markdown(f"{template.format(**fields)} *({' and '.join(kinds)})*")
