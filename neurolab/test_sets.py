"""Read the articles' test sets, from a folder or, when asked to, from the Hugging Face hub (extra `sets`).

Nothing is fetched unless the caller says `download`. A folder of the reader's own will do just as well: files
of the same fields, named after their part (``validation.jsonl``, ``test-00000-of-00001.parquet``,
``test/a.csv``), or what `datasets` saved. JSON lines and rows in a list need no extra at all. Fields and
labels are checked as they are read. The sets are described in `neurolab.set_cards`.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurolab.export import ExtraMissing
from neurolab.set_cards import CARDS, Card, card

EXTRA = "pip install -c constraints.txt -e '.[sets]'"
KINDS = {".jsonl": "json", ".parquet": "parquet", ".csv": "csv"}
"""Endings of files that are read, and what `datasets` calls them."""

Truth = int | float | tuple[str, ...]
"""A label's number, a score, or the right answers."""


@dataclass(frozen=True)
class Example:
    """One question. texts: what is read, in the card's order."""

    id: str
    texts: tuple[str, ...]
    truth: Truth


def load(
    name: str,
    source: Path | str | Iterable[Mapping[str, Any]] | None = None,
    *,
    limit: int | None = None,
    split: str | None = None,
    download: bool = False,
) -> list[Example]:
    """The examples of a set, in its own order: the first `limit` of them, or all.

    source: a folder of files, or rows.  split: another part than the card's.  download: fetch the set from
    the hub. Raises ValueError for an unknown set, without a source or the word to download, for fields or
    labels that are not the set's and for a part without right answers; ExtraMissing without the extra `sets`.
    """
    wanted = card(name)
    part = split or wanted.split
    if limit is not None and limit < 1:
        raise ValueError(f"limit is {limit}; ask at least one question, or leave it out for all")
    if (source is None) != download:
        raise ValueError(
            f"{name} is fetched only when asked to: give either a folder with its files, or the word to "
            f"download {wanted.hub} ({wanted.licence}) from the Hugging Face hub"
        )
    if source is None:
        rows = _from_hub(wanted, part)
    elif isinstance(source, str | Path):
        rows = _from_folder(Path(source), part, wanted)
    else:
        rows = iter(source)
    found = []
    for number, row in enumerate(rows):
        if limit is not None and number == limit:
            break
        found.append(_example(wanted, row, number))
    if not found:
        raise ValueError(f"the part {part!r} of {name} is empty")
    return found


def glue_average(scores: Mapping[str, Mapping[str, float]]) -> float:
    """GLUE's one number: the mean over its tasks of each task's mean figure, MNLI's two parts being one task.

    scores: figures by the set's name. WNLI counts only where it is given (many leave it out). Raises
    ValueError that names the missing tasks.
    """
    needed = [name for name in CARDS if name.startswith("glue_") and name != "glue_wnli"]
    if lacking := [name for name in needed if name not in scores]:
        raise ValueError(f"GLUE's average lacks {', '.join(lacking)}")
    means = {name: sum(given.values()) / len(given) for name, given in scores.items()}
    tasks = [means[name] for name in (*needed, "glue_wnli") if name in means and "mnli" not in name]
    tasks.append((means["glue_mnli"] + means["glue_mnli_mismatched"]) / 2)
    return sum(tasks) / len(tasks)


def _example(card: Card, row: Mapping[str, Any], number: int) -> Example:
    where = f"row {number} of {card.name}"
    for field in (*card.texts, card.truth):
        if field not in row:
            raise ValueError(f"{where} has no field {field!r}; it has {', '.join(map(str, row))}")
    texts = tuple(row[field] for field in card.texts)
    for field, text in zip(card.texts, texts, strict=True):
        if not isinstance(text, str):
            raise ValueError(f"{where}: {field} is {text!r}; it must be text")
    return Example(str(row.get(card.identity, number)), texts, _truth(card, row[card.truth], where))


def _truth(card: Card, value: Any, where: str) -> Truth:
    if card.task == "answers":
        return _answers(value, where)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if card.task == "score":
        if number and 0 <= value <= 5:
            return float(value)
        raise ValueError(f"{where}: the score is {value!r}; it must be a number from 0 to 5")
    if isinstance(value, str) and value in card.labels:
        return card.labels.index(value)
    if number and value in range(len(card.labels)):
        return int(value)
    why = " (-1 stands where the right answers are kept back)" if value == -1 else ""
    raise ValueError(
        f"{where}: the label is {value!r}{why}; it must be 0 to {len(card.labels) - 1} or one of "
        f"{', '.join(card.labels)}"
    )


def _answers(value: Any, where: str) -> tuple[str, ...]:
    """Right answers, as ``{"text": [...]}`` or as ``[{"text": ...}, ...]``: `datasets` has given both."""
    if isinstance(value, Mapping):
        texts = value.get("text")
    elif isinstance(value, Sequence) and all(isinstance(one, Mapping) for one in value):
        texts = [one.get("text") for one in value]
    else:
        texts = None
    if not texts or isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{where}: answers is {value!r}; it must hold at least one text under 'text'")
    return tuple(texts)


def _library() -> Any:
    """The package `datasets`, told to send nothing about its use."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        import datasets
    except ImportError as error:
        raise ExtraMissing(
            f"this needs the package datasets, the extra 'sets'; in the course's folder: {EXTRA}"
        ) from error
    return datasets


def _from_hub(card: Card, part: str) -> Iterator[Mapping[str, Any]]:
    library = _library()
    if card.converted:
        files = f"hf://datasets/{card.hub}@refs/convert/parquet/{card.config}/{part}/*.parquet"
        return _checked(library.load_dataset("parquet", data_files={part: files}, split=part), card)
    return _checked(library.load_dataset(card.hub, card.config, split=part), card)


def _from_folder(folder: Path, part: str, card: Card) -> Iterator[Mapping[str, Any]]:
    if not folder.is_dir():
        raise ValueError(
            f"source is {folder}, where there is no folder; give one with the files of {card.name}"
        )
    if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
        yield from _saved(folder, part, card)
        return
    places = [p for pattern in ("{}.*", "{}-*", "{}/*") for p in folder.glob(pattern.format(part))]
    files = sorted(p for p in places if p.is_file() and p.suffix in KINDS)
    endings = {p.suffix for p in files}
    if len(endings) != 1:
        raise ValueError(
            f"{folder} has {', '.join(p.name for p in files) or 'no file'} for the part {part!r}; name one "
            f"kind of file after it: {', '.join(part + ending for ending in KINDS)}"
        )
    if endings == {".jsonl"}:
        yield from _lines(files)
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as cache:
        yield from _checked(
            _library().load_dataset(
                KINDS[files[0].suffix],
                data_files={part: [str(p) for p in files]},
                split=part,
                cache_dir=cache,
            ),
            card,
        )


def _saved(folder: Path, part: str, card: Card) -> Iterator[Mapping[str, Any]]:
    """What ``Dataset.save_to_disk`` or ``DatasetDict.save_to_disk`` wrote."""
    saved = _library().load_from_disk(str(folder))
    if (folder / "dataset_dict.json").is_file():
        if part not in saved:
            raise ValueError(f"{folder} has the parts {', '.join(saved)}, and no {part!r}")
        saved = saved[part]
    yield from _checked(saved, card)


def _lines(files: Sequence[Path]) -> Iterator[Mapping[str, Any]]:
    for path in files:
        with open(path, encoding="utf-8-sig") as handle:
            for number, line in enumerate(handle, start=1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except json.JSONDecodeError as error:
                    raise ValueError(f"{path}, line {number}: no JSON ({error.msg})") from error
                if not isinstance(row, dict):
                    raise ValueError(
                        f"{path}, line {number}: {type(row).__name__}, not an object with fields"
                    )
                yield row


def _checked(found: Any, card: Card) -> Iterator[Mapping[str, Any]]:
    """The rows, once it is clear that the file's own names of its labels are the card's, in its order."""
    names = getattr(found.features.get(card.truth), "names", None)
    if card.labels and names is not None and tuple(names) != card.labels:
        raise ValueError(
            f"the file calls its labels {', '.join(names)}; those of {card.name} are {', '.join(card.labels)}"
        )
    yield from found
