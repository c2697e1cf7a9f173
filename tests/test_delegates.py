"""The table of delegates: every cell has a source, and every source is in the book with its address."""

import re

import pytest

from neurolab.export import delegates
from neurolab.paths import ROOT

BIBLIOGRAPHY = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")


@pytest.mark.parametrize("key", delegates.SOURCES)
def test_each_source_stands_once_in_the_book_with_this_address(key):
    entries = re.findall(rf"^@misc{{{key},\n(.*?)^}}$", BIBLIOGRAPHY, re.MULTILINE | re.DOTALL)
    assert len(entries) == 1
    assert rf"\url{{{delegates.SOURCES[key]}}}" in entries[0]


def test_every_row_is_sourced_and_every_source_is_used():
    used = set()
    for row in delegates.DELEGATES:
        assert row.runtimes
        assert row.sources
        used |= {key for _, key in row.runtimes} | set(row.sources)
    for name in delegates.HISTORY:
        assert name.sources
        used |= set(name.sources)
    assert used == set(delegates.SOURCES)


def test_the_tables_link_every_cell():
    shown = delegates.table().data
    rows = shown.split("\n\n")[0].splitlines()[2:]
    assert len(rows) == len(delegates.DELEGATES)
    for line, row in zip(rows, delegates.DELEGATES, strict=True):
        assert line.count("](https://") == len(row.runtimes) + len(row.sources)
        assert line.count("|") == 5
    older = delegates.history().data
    assert older.count("](https://") == sum(len(name.sources) for name in delegates.HISTORY)
    assert all(name in older for name in ("TorchScript", "PyTorch Mobile", "TensorFlow Lite", "NNAPI"))
    assert all("cited" in text for text in (shown, older))
    with pytest.raises(ValueError, match="source is 'nobody'"):
        delegates.link("x", "nobody")


def test_the_chapter_shows_both_and_types_neither():
    chapter = (ROOT / "notebooks" / "07_mobile_export.md").read_text(encoding="utf-8")
    assert "delegates.table()" in chapter
    assert "delegates.history()" in chapter
    assert "| hardware | the delegate |" not in chapter
