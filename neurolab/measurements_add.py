"""A phone's rows: read what the phone page wrote, check it, and add it to the reader's own measurements.

The form is ``data/phone_row.schema.json`` (JSON Schema, draft 2020-12). Beyond the form, a file must agree
with itself: percentiles, ratios and counts are computed again from the raw times that it carries. So a typing
error, a file cut short on its way, or a made-up figure is refused, and the store stays as it was.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from neurolab import measurements
from neurolab.benchmark import percentile
from neurolab.measurements import Measurement
from neurolab.paths import DATA

LARGEST = 4 * 2**20
"""Bytes of a file at most: twelve rows of a thousand iterations take less than a quarter of it."""
BASELINES = ("fp32", "int8")
"""The models that others are compared with; their own rows carry no ratios."""


@dataclass(frozen=True)
class Added:
    """What `add` did. rows: those added; known: models that were there before; file: the store's."""

    rows: tuple[Measurement, ...]
    known: tuple[str, ...]
    file: Path

    def sentence(self) -> str:
        """What happened, for the reader."""
        times = ", ".join(f"{r.setting['model']} {r.figures['p50_ms']:.3g} ms per token" for r in self.rows)
        device, browser = (self.rows[0].setting[key] for key in ("device", "browser"))
        known = f" There before: {', '.join(self.known)}." if self.known else ""
        return f"{device}, {browser}: {times}. {len(self.rows)} added to {self.file}.{known}"


@lru_cache(maxsize=1)
def schema() -> dict[str, Any]:
    """The form of a phone's rows, as JSON Schema."""
    found: dict[str, Any] = json.loads((DATA / "phone_row.schema.json").read_text(encoding="utf-8"))
    return found


def load(path: Path | str) -> list[Measurement]:
    """The rows of a file that the phone page wrote, checked. ValueError says what is wrong and where.

    A byte-order mark and blank lines around the text are no fault: mail and messengers add them.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"file is {path}, where there is none; give the file that the phone page saved")
    if path.stat().st_size > LARGEST:
        raise ValueError(f"{path} has {path.stat().st_size:,} bytes; a phone's rows have {LARGEST:,} at most")
    try:
        return check(_parsed(path.read_bytes().decode("utf-8-sig")))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text in UTF-8 ({error.reason} at byte {error.start})") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _parsed(text: str) -> Any:
    """JSON, without what JSON does not have: NaN, infinities, and names given twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            raise ValueError(f"{max(names, key=names.count)!r} stands twice in one place")
        return found

    def no_number(name: str) -> Any:
        raise ValueError(f"{name} is no number that JSON has")

    try:
        return json.loads(text, object_pairs_hook=once, parse_constant=no_number)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"no JSON (line {error.lineno}, column {error.colno}: {error.msg}); was it cut short on its way?"
        ) from error
    except RecursionError as error:
        raise ValueError("no phone's rows: lists within lists without end") from error


def check(found: Any) -> list[Measurement]:
    """The rows in `found` (a list of rows, or one row), as measurements; ValueError where they are none."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import best_match

    rows = [found] if isinstance(found, dict) else found
    wrong = best_match(Draft202012Validator(schema()).iter_errors(rows))
    if wrong is not None:
        raise ValueError(_in_words(wrong))
    try:
        json.dumps(rows, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError("it holds half of a character (a lone surrogate)") from error
    _belong_together(rows)
    for row in rows:
        try:
            _agrees(row, {other["setting"]["model"]: other["figures"] for other in rows})
        except ValueError as error:
            raise ValueError(f"row {row['setting']['model']}: {error}") from error
    return [Measurement(**row) for row in rows]


def _in_words(error: Any) -> str:
    """A schema's error for somebody who never saw a schema."""
    place = _place(error.absolute_path)
    shown = json.dumps(error.instance, ensure_ascii=False)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    match error.validator:
        case "additionalProperties":
            extra = sorted(set(error.instance) - set(error.schema["properties"]))
            return f"{place} has {', '.join(extra)}; allowed are {', '.join(error.schema['properties'])}"
        case "required":
            lacking = [name for name in error.validator_value if name not in error.instance]
            return f"{place} lacks {', '.join(lacking)}"
        case "dependentRequired":
            return f"{place}: {error.message.replace(' is a dependency of ', ' has to go with ')}"
        case "const" | "enum":
            allowed = error.validator_value if error.validator == "enum" else [error.validator_value]
            return f"{place} is {shown}; allowed: {', '.join(map(str, allowed))}"
        case "type":
            return f"{place} is {shown}; it must be of type {error.validator_value}"
        case "minItems" | "maxItems":
            number, least = len(error.instance), error.validator == "minItems"
            bound = f"at {'least' if least else 'most'} {error.validator_value}"
            return f"{place} has {number} entries; {bound} are allowed"
    why = error.message.removeprefix(repr(error.instance)).strip()
    return f"{place} is {shown}, which is not allowed ({why}). {error.schema.get('description', '')}".strip()


def _place(path: Sequence[str | int]) -> str:
    """Where in the file: 'row 2, figures.token_ms[3]' (rows counted from 1, entries from 0, as in JSON)."""
    if not path:
        return "the file"
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in [*path][1:])
    return f"row {int(path[0]) + 1}" + (f", {text.lstrip('.')}" if text else "")


def _belong_together(rows: Sequence[Mapping[str, Any]]) -> None:
    """ValueError unless the rows are those of one run on one device."""
    first = rows[0]
    models = [row["setting"]["model"] for row in rows]
    if len(set(models)) != len(models):
        raise ValueError(
            f"the model {max(models, key=models.count)} stands in it twice; a run has one row a model"
        )
    for row in rows[1:]:
        for what in ("name", "provenance"):
            if row[what] != first[what]:
                raise ValueError(f"its rows differ in {what}; a file holds the rows of one run")
        if {**row["setting"], "model": ""} != {**first["setting"], "model": ""}:
            raise ValueError(
                "its rows differ in setting by more than the model; a file holds the rows of one run"
            )
    phone = first["setting"]["form"] != "computer"
    wanted = "phone.latency" if phone else "computer.latency"
    if first["name"] != wanted:
        raise ValueError(f"name is {first['name']}; made on a {first['setting']['form']} it must be {wanted}")
    try:
        date = datetime.fromisoformat(first["provenance"]["date"])
    except ValueError as error:
        raise ValueError(f"date is {first['provenance']['date']}; there is no such day ({error})") from error
    if date > datetime.now(UTC) + timedelta(days=1):
        raise ValueError(f"date is {first['provenance']['date']}; that is still to come")


def _agrees(row: Mapping[str, Any], others: Mapping[str, Mapping[str, Any]]) -> None:
    """ValueError unless the figures are what the raw times give. others: figures of each model of the run."""
    figures, model = row["figures"], row["setting"]["model"]
    times = figures["token_ms"]
    if figures["iterations"] != len(times):
        raise ValueError(f"iterations is {figures['iterations']}, but token_ms has {len(times)} entries")
    if figures["tokens"] < 2 * len(times):
        raise ValueError(f"tokens is {figures['tokens']}; {len(times)} iterations write two each, at least")
    if len(set(times)) == 1:
        raise ValueError("token_ms is the same number throughout; no clock measures that")
    for percent in (50, 95):
        _near(figures, f"p{percent}_ms", percentile(times, percent), 6e-4)
    _near(figures, "tokens_per_second", 1000 / figures["p50_ms"], 0.06)
    if figures.get("first_token_p95_ms", math.inf) < figures.get("first_token_p50_ms", 0):
        raise ValueError("first_token_p95_ms is under first_token_p50_ms; a percentile does not fall")
    for base in BASELINES:
        name = f"ratio_vs_{base}"
        if (name in figures) != (base in others and model not in BASELINES):
            reason = (
                "a row of a compressed model has it where the file has the row compared with, and only there"
            )
            raise ValueError(f"{name} is {'there' if name in figures else 'missing'}; {reason}")
        if name in figures:
            _near(figures, name, others[base]["p50_ms"] / figures["p50_ms"], 6e-4)
    if figures.get("answers_equal", 0) > figures.get("answers_asked", 0):
        raise ValueError(f"answers_equal is {figures['answers_equal']} of {figures['answers_asked']} asked")
    if not figures.get("battery_charging", True):
        for what in ("battery", "idle"):
            if figures.get(f"{what}_end", 0) > figures.get(f"{what}_start", 1):
                raise ValueError(f"{what}_end is over {what}_start, but battery_charging is false")


def _near(figures: Mapping[str, Any], name: str, wanted: float, rounding: float) -> None:
    """ValueError unless the figure is `wanted`, but for `rounding` and what rounded times leave open."""
    if abs(figures[name] - wanted) > rounding + 1e-3 * wanted:
        raise ValueError(f"{name} is {figures[name]}, but the times in the file give {wanted:.6g}")


def add(path: Path | str, store: Path | str | None = None) -> Added:
    """Check a phone's file and add its rows to a store (default: the reader's own), all in one write.

    Raises ValueError, and adds nothing, where the file is wrong, was made by a browser that a program drives,
    or is there already (the same run, or the same times under another name). What a crash kept of a run from
    being added is added by the next call.
    """
    rows = load(path)
    if rows[0].provenance["automated"]:
        raise ValueError(f"{path}: made by a browser that a program drives; a phone's row is a person's")
    folder = Path(store) if store is not None else measurements.own()
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "adding.lock", "ab") as handle, measurements._locked(handle):
        there = [
            known
            for place in {folder.resolve(), measurements.shipped().resolve()}
            for known in measurements.read(rows[0].name, store=place, history=True)
        ]
        new = [row for row in rows if not any(_same(row, known) for known in there)]
        if not new:
            raise ValueError(f"{path}: its rows are in {folder} already")
        (file,) = measurements.append(new, folder)
    known_models = tuple(row.setting["model"] for row in rows if row not in new)
    return Added(tuple(new), known_models, file)


def _same(row: Measurement, known: Measurement) -> bool:
    """Whether the row is there: the same model of the same run, or the very same times."""
    with contextlib.suppress(KeyError):
        if row.figures["token_ms"] == known.figures["token_ms"]:
            return True
        runs = row.provenance["run"] == known.provenance["run"]
        return bool(runs and row.setting["model"] == known.setting["model"])
    return False
