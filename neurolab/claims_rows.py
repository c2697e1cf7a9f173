"""The rows behind a verdict: which ones decided it, how the rule read them, and who made them.

`claims.evidence` gives them for one claim or for all; the book has them on a page of its own, where each
claim's part is the anchor ``rows-A6`` that the ledger's verdicts link to.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from neurolab.claim_rules import Figure, Rule, Verdict
from neurolab.claims_cells import cell_link, cell_text, rows_anchor
from neurolab.claims_page import SIGNS
from neurolab.measurements import Measurement
from neurolab.paths import static

DASH = "\u2013"
STYLE = """<style>
.neurolab-rows section{border-top:1px solid rgba(128,128,128,.45);padding:.6rem 0;scroll-margin-top:4rem}
.neurolab-rows h2,.neurolab-rows h3{margin:.2rem 0;font-size:1.1rem;border:0}.neurolab-rows p{margin:.3rem 0}
.neurolab-rows .wide{overflow-x:auto;max-width:100%}
.neurolab-rows table{border-collapse:collapse;font-size:.85rem;margin:.4rem 0;width:auto}
.neurolab-rows th,.neurolab-rows td{text-align:left!important;vertical-align:top;padding:.3rem .5rem;
 border-bottom:1px solid rgba(128,128,128,.35);background:transparent;color:inherit;line-height:1.4;
 white-space:normal;max-width:20rem;overflow-wrap:break-word}
.neurolab-rows thead th{overflow-wrap:normal}
.neurolab-rows .made thead th{overflow-wrap:anywhere;min-width:4.8rem}
.neurolab-rows td:first-child{min-width:12rem}
.neurolab-rows td:last-child{min-width:3.5rem}.neurolab-rows .made td:last-child{min-width:9rem}
.neurolab-rows small{display:block;font-size:.8rem}
@media (max-width:640px){.neurolab-rows td:first-child{min-width:9rem}}
.neurolab-rows code{background:transparent;color:inherit;padding:0;border:0;white-space:normal;
 overflow-wrap:anywhere}
.neurolab-rows summary{cursor:pointer;display:list-item!important;padding:.3rem 0;
 list-style:disclosure-closed inside!important}
.neurolab-rows details[open]>summary{list-style-type:disclosure-open!important}
</style>"""


@dataclass(frozen=True)
class Reading:
    """One figure of a rule beside what the rows gave. name: as the rows call it.  about, unit: in words.
    asked: what the rule asks.  value: None without rows.  held: whether it holds, None where nothing is
    asked or there.  take: median, min or max.  count: of rows."""

    name: str
    about: str
    unit: str
    asked: str
    value: float | None
    held: bool | None
    take: str
    count: int

    @property
    def found(self) -> str:
        """The value with its unit, and over how many rows it was taken."""
        if self.value is None:
            return DASH
        rows = "1 row" if self.count == 1 else f"{self.take} of {self.count} rows"
        return f"{self.value:.4g}{' ' + self.unit if self.unit else ''} ({rows})"

    @property
    def holds(self) -> str:
        """Yes, no, or a dash."""
        return {True: "\u2713 yes", False: "\u2717 no", None: DASH}[self.held]


@dataclass(frozen=True)
class Column:
    """A figure to show of each row, over another one where the rule divides."""

    figure: str
    over: str | None

    @property
    def head(self) -> str:
        """What stands above it."""
        return f"{self.figure} / {self.over}" if self.over else self.figure

    def of(self, row: Measurement) -> str:
        """The row's figure, or a dash where it has none."""
        matching = Figure(row.name, self.figure, "", {}, self.over)
        return f"{matching.value([row]):.4g}" if matching.matching([row]) else DASH


@dataclass(frozen=True)
class Proof:
    """A claim with what decided it. readings: one a figure of its rule; rows: those read, oldest first."""

    id: str
    claim: str
    verdict: Verdict
    readings: tuple[Reading, ...]
    columns: tuple[Column, ...]
    rows: tuple[Measurement, ...]


def proof(name: str, claim: str, rule: Rule, verdict: Verdict, rows: Iterable[Measurement]) -> Proof:
    """How `verdict` came about. While it is open, the rows that are there already are shown."""
    usable = [row for row in rows if row.kind in rule.evidence]
    readings: list[Reading] = []
    columns: dict[str, Column] = {}
    read: list[Measurement] = []
    for figure, test in rule.read():
        matching = figure.matching(usable)
        value = figure.value(matching) if matching else None
        column = Column(figure.figure, figure.over)
        columns[column.head] = column
        readings.append(
            Reading(
                f"{figure.row}, {column.head}",
                figure.about,
                figure.unit,
                test.limit() if test else "nothing: the nearest that can be measured",
                value,
                test.holds(value) if test and value is not None else None,
                figure.take,
                len(matching),
            )
        )
        read += [row for row in matching if row not in read]
    read.sort(key=lambda row: str(row.provenance.get("date", "")))
    return Proof(name, claim, verdict, tuple(readings), tuple(columns.values()), tuple(read))


def setting_text(row: Measurement) -> str:
    """A row's setting without its seed: 'bits 8, method rtn'."""
    parts = [f"{key} {_plain(value)}" for key, value in row.setting.items() if key != "seed"]
    return ", ".join(parts) or "nothing was varied"


def seed_text(row: Measurement) -> str:
    """A row's seed, or a dash."""
    return str(row.setting.get("seed", DASH))


def machine_text(row: Measurement) -> str:
    """The machine of a row: its processor, behind a phone's name where it is one."""
    processor = str(row.provenance.get("processor", "unknown"))
    return f"{row.setting['device']} ({processor})" if "device" in row.setting else processor


def made_text(row: Measurement) -> str:
    """When a row was made, and from which state of the course."""
    date = str(row.provenance.get("date", "date unknown"))[:16].replace("T", " ")
    return f"{date}, commit {row.provenance.get('commit', 'unknown')}"


def command_text(row: Measurement) -> str:
    """The command that makes the row again."""
    return str(row.provenance.get("command", "unknown"))


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Evidence:
    """Proofs as tables: what the rule asked, then the rows, folded where there are several claims."""

    proofs: Sequence[Proof]

    def _repr_html_(self) -> str:
        return f'{STYLE}<div class="neurolab-rows">{"".join(map(self._part, self.proofs))}</div>'

    def _part(self, proof: Proof) -> str:
        several, word = len(self.proofs) > 1, proof.verdict.verdict
        level = "h2" if several else "h3"
        head = (
            f'<{level}>{proof.id}: <span aria-hidden="true">{SIGNS[word]}</span> {word}</{level}>'
            f"<p>{escape(proof.claim, quote=False)}</p>"
        )
        rows = f"<p>{_sentence(proof.verdict.why)}</p>"
        if proof.rows:
            rows = _rows(proof)
            count = f"{len(proof.rows)} row{'s' if len(proof.rows) > 1 else ''}"
            rows = f"<details><summary>{count}</summary>{rows}</details>" if several else rows
        shown = cell_link(proof.id, "Shown in ")
        anchor = f' id="{rows_anchor(proof.id)}"' if several and static() else ""
        return f"<section{anchor}>{head}{_tests(proof)}{rows}{f'<p>{shown}.</p>' if shown else ''}</section>"

    def _repr_markdown_(self) -> str:
        return "\n\n".join(f"```\n{_text(proof)}\n```" for proof in self.proofs)

    def __repr__(self) -> str:
        return "\n\n".join(map(_text, self.proofs))


def _sentence(text: str) -> str:
    return escape(f"{text[:1].upper()}{text[1:]}.".replace("..", "."), quote=False)


def _tests(proof: Proof) -> str:
    rows = [
        [
            f"{escape(r.about, quote=False)}<small><code>{r.name}</code></small>",
            escape(r.asked, quote=False),
            escape(r.found, quote=False),
            r.holds,
        ]
        for r in proof.readings
    ]
    return _table(("Figure", "Asked", "Found", "Holds"), rows, f"{proof.id}: what the rule asks")


def _rows(proof: Proof) -> str:
    heads = ("Row", "Seed", *(column.head for column in proof.columns), "Kind", "Machine", "Made")
    rows = [
        [
            f"<code>{row.name}</code><small>{escape(setting_text(row), quote=False)}</small>",
            escape(seed_text(row), quote=False),
            *(column.of(row) for column in proof.columns),
            row.kind,
            escape(machine_text(row), quote=False),
            f"{escape(made_text(row), quote=False)}"
            f"<small><code>{escape(command_text(row), quote=False)}</code></small>",
        ]
        for row in proof.rows
    ]
    return _table(heads, rows, f"{proof.id}: its rows", "wide made")


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], about: str, kind: str = "wide") -> str:
    head = "".join(f'<th scope="col">{escape(head, quote=False)}</th>' for head in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="{kind}" role="region" tabindex="0" aria-label="{escape(about)}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _text(proof: Proof) -> str:
    lines = [f"{proof.id} {proof.verdict.verdict}: {proof.claim}"]
    lines += [f"  {r.about}: {r.found}; asked {r.asked}; {r.holds}" for r in proof.readings]
    for row in proof.rows:
        figures = ", ".join(f"{c.head} {c.of(row)}" for c in proof.columns if c.of(row) != DASH)
        lines.append(
            f"  - {row.name} ({setting_text(row)}; seed {seed_text(row)}): {figures}; {row.kind}; "
            f"{machine_text(row)}; {made_text(row)}; {command_text(row)}"
        )
    if not proof.rows:
        lines.append(f"  {proof.verdict.why}")
    if shown := cell_text(proof.id):
        lines.append(f"  shown in {shown}")
    return "\n".join(lines)
