"""How the ledger looks: a table that folds into cards on a phone, in light and dark, in notebook and book."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from neurolab.claims_cells import cell_link, cell_text, rows_link
from neurolab.exercise_cards import FOLDS
from neurolab.road import ROAD

CHAPTERS = {number: title for number, _, title, _ in ROAD}
SIGNS = {
    "confirmed": "\u2713",
    "partly": "\u25d0",
    "not reproduced": "\u2717",
    "not measurable here": "\u2013",
    "open": "\u2026",
}
_EDGE = {
    "confirmed": "solid #009E73",
    "partly": "dashed #E69F00",
    "not reproduced": "double #D55E00",
    "not measurable here": "dotted #808080",
    "open": "dotted #808080",
}
STYLE = """<style>
.neurolab-ledger table{width:100%;border-collapse:collapse;font-size:.9rem;table-layout:auto;margin:.4rem 0}
.neurolab-ledger th,.neurolab-ledger td{text-align:left!important;vertical-align:top;padding:.4rem .5rem;
 border-bottom:1px solid rgba(128,128,128,.45);background:transparent;color:inherit;white-space:normal;
 overflow-wrap:break-word;line-height:1.45}
.neurolab-ledger thead th,.neurolab-ledger .id{white-space:nowrap}
.neurolab-ledger .narrow{display:none}
.neurolab-ledger .verdict{white-space:nowrap;border-left-width:.3rem;padding-left:.4rem;font-weight:600}
.neurolab-ledger small{display:block;font-size:.82rem}
.neurolab-ledger summary{padding:.3rem 0}
@media (max-width:640px){.neurolab-ledger thead{position:absolute;width:1px;height:1px;overflow:hidden;
 clip-path:inset(50%)}
.neurolab-ledger table,.neurolab-ledger tbody,.neurolab-ledger tr,.neurolab-ledger td,
.neurolab-ledger tbody th{display:block;width:auto}
.neurolab-ledger td,.neurolab-ledger tbody th{border-bottom:0;padding:.15rem 0}
.neurolab-ledger tr{border-bottom:1px solid rgba(128,128,128,.45);padding:.5rem 0}
.neurolab-ledger .verdict{white-space:normal}
.neurolab-ledger .narrow{display:inline}}
</style>"""


def figure_text(entry: dict[str, Any]) -> str:
    """The figure with its unit, or a dash. It is the nearest one's where the claim can't be measured."""
    if entry["figure"] is None:
        return "\u2013"
    return f"{entry['figure']:.3g}{' ' + entry['unit'] if entry['unit'] else ''}"


def why_text(entry: dict[str, Any]) -> str:
    """What the verdict rests on; what is asked as well, while nothing has answered."""
    return f"{entry['why']}. Asked: {entry['asks']}" if entry["verdict"] == "open" else entry["why"]


def verdict_words(word: str) -> str:
    """A verdict with its sign and edge (HTML)."""
    return (
        f'<span class="verdict" style="border-left:.3rem {_EDGE[word]}">'
        f'<span aria-hidden="true">{SIGNS[word]}</span> {word}</span>'
    )


@dataclass(frozen=True)
class Ledger:
    """Entries of `claims.as_json` as a table. folded: one foldable part a chapter, counts in its head."""

    entries: Sequence[dict[str, Any]]
    titles: dict[str, str]
    folded: bool = False

    def _repr_html_(self) -> str:
        return f'{FOLDS}{STYLE}<div class="neurolab-ledger">{self._body()}{self._sources()}</div>'

    def _body(self) -> str:
        if not self.folded:
            return self._table(self.entries)
        parts = []
        for chapter in sorted({entry["chapter"] for entry in self.entries}):
            own = [entry for entry in self.entries if entry["chapter"] == chapter]
            head = f"Chapter {chapter}, {CHAPTERS[chapter]}: {self.counts(own)}"
            parts.append(f"<details><summary>{escape(head)}</summary>{self._table(own)}</details>")
        return "".join(parts)

    @staticmethod
    def counts(entries: Sequence[dict[str, Any]]) -> str:
        """How many claims have which verdict, in words."""
        found = Counter(entry["verdict"] for entry in entries)
        return ", ".join(f"{found[word]} {word}" for word in SIGNS if found[word]) or "no claims"

    def _table(self, entries: Sequence[dict[str, Any]]) -> str:
        rows = "".join(
            f'<tr><th scope="row" class="id">{entry["id"]}</th><td>{escape(entry["claim"], quote=False)} '
            f"<small>Article {', '.join(entry['sources'])}</small></td>"
            f"<td>{verdict_words(entry['verdict'])}</td>"
            f"<td>{self._figure(entry)}<small>{escape(why_text(entry), quote=False)}</small>"
            f"<small>{self._links(entry)}</small></td></tr>"
            for entry in entries
        )
        heads = "".join(
            f'<th scope="col">{head}</th>' for head in ("Claim", "What it says", "Verdict", "Measured")
        )
        return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"

    @staticmethod
    def _figure(entry: dict[str, Any]) -> str:
        kinds = f" <em>({' and '.join(entry['kinds'])})</em>" if entry["kinds"] else ""
        return f"{escape(figure_text(entry))}{kinds}"

    @staticmethod
    def _links(entry: dict[str, Any]) -> str:
        return rows_link(entry["id"], entry["rows"]) + cell_link(entry["id"], "; ")

    def _sources(self) -> str:
        used = sorted({letter for entry in self.entries for letter in entry["sources"]})
        items = "".join(
            f"<small>Article {letter}: {escape(self.titles[letter], quote=False)}</small>" for letter in used
        )
        return f"<div>{items}</div>"

    def _repr_markdown_(self) -> str:
        lines = ["| claim | what it says | verdict | measured |", "|---|---|---|---|"]
        for entry in self.entries:
            cells = [
                entry["id"],
                f"{entry['claim']} (article {', '.join(entry['sources'])})",
                f"{SIGNS[entry['verdict']]} {entry['verdict']}",
                "; ".join(filter(None, (f"{figure_text(entry)}: {why_text(entry)}", cell_text(entry["id"])))),
            ]
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        return "\n".join(lines)

    def __repr__(self) -> str:
        lines = [f"{self.counts(self.entries)}"]
        for entry in self.entries:
            lines.append(
                f"{entry['id']:>4}  {entry['verdict']:<20} {figure_text(entry):>12}  {entry['claim']}"
            )
        return "\n".join(lines)
