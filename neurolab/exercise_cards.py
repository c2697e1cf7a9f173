"""How tasks, hints, solutions and results look: HTML for notebook and book, plain text for a terminal.

Colours are the page's own (`currentColor`) but for the edge of a card, so dark mode needs nothing extra.
A result is told by a word and a sign, never by colour alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from typing import Any

_EDGE = {"passed": "#009E73", "wrong": "#D55E00", "error": "#D55E00", "not yet": "#0072B2"}
_WORD = {
    "passed": "\u2713 Right",
    "wrong": "\u2717 Not yet right",
    "error": "\u2717 Stopped",
    "not yet": "\u25cb Not yet",
}
_BOX = (
    "border-left:.3rem solid {edge};padding:.5rem .8rem;margin:.6rem 0;"
    "overflow-wrap:anywhere;max-width:46rem;line-height:1.5"
)
_PRE = (
    "white-space:pre-wrap;overflow-wrap:anywhere;font-size:.85rem;padding:.5rem;margin:.4rem 0;"
    "background:transparent;border:1px solid currentColor;border-radius:.3rem"
)

FOLDS = (
    "<style>.neurolab-card summary,.neurolab-ledger summary{cursor:pointer;display:list-item!important;"
    "list-style:disclosure-closed inside!important}.neurolab-card details[open]>summary,"
    ".neurolab-ledger details[open]>summary{list-style-type:disclosure-open!important}</style>"
)
"""The triangle of a fold, which JupyterLab's own style takes away."""


@dataclass(frozen=True)
class Card:
    """Something to read, as HTML and as text."""

    html: str
    text: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return self.text


def prose(text: str) -> str:
    """A little Markdown as HTML: `code`, **bold**, *italics*, paragraphs at empty lines."""
    out = escape(text.strip(), quote=False)
    out = re.sub(r"`([^`]+)`", r"<code>\1</code>", out)
    out = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", out)
    out = re.sub(r"(?<!\*)\*([^*\n]+)\*(?!\*)", r"<em>\1</em>", out)
    return "".join(f'<p style="margin:.3rem 0">{part}</p>' for part in re.split(r"\n\s*\n", out))


def box(head: str, body: str, edge: str) -> str:
    """A card: a head line in bold, and what is under it (HTML)."""
    return f'<div class="neurolab-card" style="{_BOX.format(edge=edge)}"><strong>{head}</strong>{body}</div>'


def result(name: str, status: str, message: str) -> str:
    """The HTML of a check's result; a screen reader is told of it."""
    head = f"{_WORD[status]} <code>{escape(name)}</code>"
    return f'<div role="status">{box(head, prose(message), _EDGE[status])}</div>'


def note(head: str, text: str) -> Card:
    """One hint."""
    return Card(box(escape(head), prose(text), "#0072B2"), f"{head}: {text}")


def _fold(head: str, text: str, code: bool) -> str:
    body = prose(text)
    if code:
        shown = escape(text.strip(), quote=False)
        body = f'<pre tabindex="0" style="{_PRE}"><code>{shown}</code></pre>'
    summary = f"<summary>{escape(head)}</summary>"
    return f'<details style="margin:.3rem 0">{summary}{body}</details>'


def folded(parts: list[tuple[str, str]], code: bool = False) -> Card:
    """Heads with folded texts under them."""
    html = "".join(_fold(head, text, code) for head, text in parts)
    return Card(
        f'{FOLDS}<div class="neurolab-card">{html}</div>',
        "\n".join(f"{head}:\n{text}" for head, text in parts),
    )


def task(exercise: Any, hints: list[tuple[str, str]], source: str) -> Card:
    """The head of an exercise: task, minutes, difficulty, folded hints and solution."""
    head = f"Exercise <code>{escape(exercise.name)}</code>"
    about = f" <span>({exercise.minutes} min, {exercise.difficulty})</span>"
    body = (
        about
        + prose(exercise.task)
        + "".join(_fold(h, t, False) for h, t in hints)
        + _fold("Solution", source, True)
    )
    text = (
        f"Exercise {exercise.name} ({exercise.minutes} min, {exercise.difficulty})\n{exercise.task}\n"
        f"hint({exercise.name!r}) gives the next hint, solution({exercise.name!r}) the solution."
    )
    return Card(FOLDS + box(head, body, "#CC79A7"), text)
