"""Links of the ledger: to a claim's rows, and to the cell of a chapter that makes or shows them.

A chapter marks that cell itself by the tag ``claim-A6`` (``:tags: [hide-input, claim-A6]``), so that the mark
moves with the cell; one cell may carry several. The book turns the tag into an anchor, and the addresses made
here (``book:page#anchor``) into links (`neurolab.book_sphinx`). In JupyterLab a link leads to the chapter's
file, at the heading above the cell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from pathlib import Path

from neurolab import paths

TAG = re.compile(r"claim-([A-E]\d+)")
ROWS_PAGE = "ledger_rows"
"""The book's page of rows, one part a claim."""
_PARTS = re.compile(
    r"^```\{code-cell\}[^\n]*\n(?P<cell>.*?)^```\s*$"
    r"|^(?:```|~~~).*?^(?:```|~~~)\s*$"
    r"|^#{1,6} +(?P<heading>[^\n]+)$",
    re.MULTILINE | re.DOTALL,
)
_TAGS = re.compile(r"\A(?::[\w-]+:[^\n]*\n)*?:tags: *\[(?P<tags>[^\]\n]*)\]")


@dataclass(frozen=True)
class Cell:
    """A tagged cell. claim: its id.  chapter: the file's stem (``04_quantization``).  heading: above it."""

    claim: str
    chapter: str
    heading: str

    @property
    def number(self) -> int:
        """The chapter's number."""
        return int(self.chapter.split("_")[0])

    @property
    def in_book(self) -> str:
        """The link in the book, before its page is known: see `neurolab.book_sphinx`."""
        return f"book:chapters/{self.chapter}#{anchor(self.claim)}"

    @property
    def in_lab(self) -> str:
        """The link in JupyterLab: the chapter's file in the reader's folder, at the heading."""
        return f"{self.chapter}.md#{self.heading.replace(' ', '-')}"


def anchor(claim: str) -> str:
    """The id that the book gives to the cell."""
    return f"cell-{claim}"


def rows_anchor(claim: str) -> str:
    """The id of a claim's part on the page of rows."""
    return f"rows-{claim}"


def tagged(tags: Iterable[str]) -> list[str]:
    """The claims among a cell's tags."""
    return [found[1] for tag in tags if (found := TAG.fullmatch(tag.strip()))]


@lru_cache(maxsize=4)
def cells(folder: Path = paths.NOTEBOOKS) -> dict[str, Cell]:
    """Claim -> the cell that shows its rows, of all chapters in `folder`; claims without a tag are left out.

    ValueError where two cells carry the same claim: there must be one place to look.
    """
    found: dict[str, Cell] = {}
    for path in sorted(Path(folder).glob("[0-9][0-9]_*.md")):
        heading = ""
        for part in _PARTS.finditer(path.read_text(encoding="utf-8")):
            if part["heading"]:
                heading = re.sub(r"[*`]", "", part["heading"]).strip()
            tags = _TAGS.match(part["cell"] or "")
            for claim in tagged(tags["tags"].split(",")) if tags else []:
                if claim in found:
                    other = found[claim].chapter
                    raise ValueError(
                        f"claim {claim} is tagged in two cells: {other} and {path.stem}; keep one"
                    )
                found[claim] = Cell(claim, path.stem, heading)
    return found


def cell_link(claim: str, before: str = "") -> str:
    """The cell as a link (HTML), `before` in front of it; nothing where no chapter shows the rows yet."""
    found = cells().get(claim)
    if found is None:
        return ""
    words = f"chapter {found.number}, {escape(found.heading, quote=False)}"
    href = found.in_book if paths.static() else found.in_lab
    return f'{before}<a href="{escape(href)}">{words}</a>'


def cell_text(claim: str) -> str:
    """The cell in words, for a terminal: 'chapter 4, One file', or nothing."""
    found = cells().get(claim)
    return f"chapter {found.number}, {found.heading}" if found else ""


def rows_link(claim: str, count: int) -> str:
    """How to come to the rows (HTML): a link in the book, the command in a notebook."""
    if paths.static():
        words = f"{count} row{'' if count == 1 else 's'}" if count else "what it asks"
        return f'<a href="book:{ROWS_PAGE}#{rows_anchor(claim)}">{words}</a>'
    rows = f"{count} row{'' if count == 1 else 's'}: " if count else ""
    return f"{rows}<code>claims.evidence(&quot;{claim}&quot;)</code>"
