"""The ledger: the articles' claims, and a verdict on each that is computed from measured rows.

``data/claims.json`` holds every claim with its rule, committed before the rows existed. A rule names rows,
figures and thresholds; nobody types a verdict. `claim_rules` tells how a rule is read, `claims_page`
how the ledger looks.

For a notebook and the book:

    claims.show()                the ledger, folded by chapters; claims.show(8): the claims of chapter 8;
                                 claims.show(only=["A1", "A2"]): these, in this order
    claims.summary()             how many claims have which verdict, and article by article (front page)
    claims.counts()              the same as a dict: verdict -> how many
    claims.evidence("A6")        the rows that decided a claim, and how the rule read them; evidence(): of all
    claims.history()             which rules were changed since they were committed, and why

Each takes ``rows=`` (default: the shipped ones; `measurements.read(store=...)` gives others). A chapter marks
the cell that makes or shows a claim's rows by the tag ``claim-A6``: see `claims_cells`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from neurolab.claim_rules import VERDICTS, Rule, Verdict, judge
from neurolab.claims_cells import cell_text
from neurolab.claims_history import Changes, unnoted
from neurolab.claims_history import read as read_history
from neurolab.claims_page import Ledger
from neurolab.claims_rows import Evidence, proof
from neurolab.claims_summary import Summary
from neurolab.decisions_found import in_browser
from neurolab.measurements import KINDS, Measurement, read
from neurolab.paths import DATA

__all__ = [
    "Claim",
    "Ledger",
    "Verdict",
    "as_json",
    "claims",
    "counts",
    "evidence",
    "history",
    "load",
    "show",
    "sources",
    "summary",
    "verdicts",
]


HOW = "neurolab phone --lan, neurolab measurements add, neurolab claims --own"
"""How a phone's rows come into the ledger."""


@dataclass(frozen=True)
class Claim:
    """One claim. id: A1..E1.  chapter: where it is settled; also: further chapters that show it.
    claim: in the course's words.  sources: letters of `sources`.  rule: how the verdict is found."""

    id: str
    chapter: int
    also: tuple[int, ...]
    claim: str
    sources: tuple[str, ...]
    rule: Rule


def load(path: Path | str) -> tuple[dict[str, str], list[Claim]]:
    """Articles' titles and the claims from a file; ValueError names the claim and what is wrong with it."""
    found = json.loads(Path(path).read_text(encoding="utf-8"))
    titles: dict[str, str] = found["sources"]
    made, seen = [], set()
    for fields in found["claims"]:
        name = fields.get("id", "without id")
        extra = set(fields) - {"id", "chapter", "also", "claim", "sources", "rule"}
        if extra or not {"id", "chapter", "claim", "sources", "rule"} <= set(fields):
            raise ValueError(f"claim {name}: fields are {sorted(fields)}")
        if name in seen:
            raise ValueError(f"claim {name} stands twice in the ledger")
        seen.add(name)
        chapters = [fields["chapter"], *fields.get("also", [])]
        if not all(isinstance(item, int) and item in range(9) for item in chapters):
            raise ValueError(f"claim {name}: chapters are {chapters}; whole numbers from 0 to 8 are allowed")
        if not fields["sources"] or not set(fields["sources"]) <= set(titles):
            raise ValueError(f"claim {name}: sources are {fields['sources']}; allowed are {sorted(titles)}")
        rule = Rule.of(name, fields["rule"])
        also = tuple(fields.get("also", []))
        made.append(Claim(name, fields["chapter"], also, fields["claim"], tuple(fields["sources"]), rule))
    return titles, made


@lru_cache(maxsize=1)
def _ledger() -> tuple[dict[str, str], list[Claim]]:
    return load(Path(DATA) / "claims.json")


def claims(chapter: int | None = None) -> list[Claim]:
    """All claims, or those that a chapter (0..8) shows."""
    if chapter is not None and chapter not in range(9):
        raise ValueError(f"chapter is {chapter!r}; it must be a whole number from 0 to 8")
    return [c for c in _ledger()[1] if chapter is None or c.chapter == chapter or chapter in c.also]


def sources() -> dict[str, str]:
    """Letter -> title of the article."""
    return dict(_ledger()[0])


def verdicts(chapter: int | None = None, rows: Iterable[Measurement] | None = None) -> list[Verdict]:
    """The verdict on every claim (of a chapter), from `rows` (default: the shipped ones)."""
    rows = read() if rows is None else list(rows)
    return [_judged(claim, rows) for claim in claims(chapter)]


def _judged(claim: Claim, rows: list[Measurement]) -> Verdict:
    """The verdict on one claim. No phone's rows are shipped: where it waits for them, it says whose they are
    and what stands nearest."""
    verdict = judge(claim.id, claim.rule, rows)
    waits = {figure.row for figure, _ in claim.rule.read()}
    if verdict.verdict != "open" or waits != {"phone.latency"}:
        return verdict
    nearest = in_browser(rows)
    near = f". Nearest: {nearest.why.removesuffix('.')}" if nearest else ""
    return replace(verdict, why=f"{verdict.why}, which a reader's own phone gives ({HOW}){near}")


def as_json(
    chapter: int | None = None,
    rows: Iterable[Measurement] | None = None,
    only: Sequence[str] | None = None,
) -> list[dict[str, Any]]:
    """What ``neurolab claims --json`` prints: id, chapter, claim, sources, asks (the test in words), verdict,
    figure, unit, why, rows (how many it rests on), kinds (of them), cell (where a chapter shows them).

    only: these claims, in this order; ValueError where one of them is unknown.
    """
    asked = _only(only, chapter)
    rows = read() if rows is None else list(rows)
    return [_entry(claim, _judged(claim, rows)) for claim in asked]


def _entry(claim: Claim, verdict: Verdict) -> dict[str, Any]:
    kinds = {row.kind for row in verdict.rows}
    return {
        "id": claim.id,
        "chapter": claim.chapter,
        "claim": claim.claim,
        "sources": list(claim.sources),
        "asks": claim.rule.asks(),
        "verdict": verdict.verdict,
        "figure": verdict.figure,
        "unit": verdict.unit,
        "why": verdict.why,
        "rows": len(verdict.rows),
        "kinds": [kind for kind in KINDS if kind in kinds],
        "cell": cell_text(claim.id),
    }


def _only(only: Sequence[str] | None, chapter: int | None = None) -> list[Claim]:
    found = {claim.id: claim for claim in claims(chapter)}
    if only is None:
        return list(found.values())
    if unknown := [name for name in only if name not in found]:
        raise ValueError(f"claim {unknown[0]!r} is unknown; allowed are {', '.join(found)}")
    return [found[name] for name in only]


def show(
    chapter: int | None = None,
    rows: Iterable[Measurement] | None = None,
    only: Sequence[str] | None = None,
) -> Ledger:
    """The ledger (of a chapter, or `only` some claims) as a table for notebook and book; all of it is
    folded by chapters."""
    return Ledger(as_json(chapter, rows, only), sources(), folded=chapter is None and only is None)


def counts(rows: Iterable[Measurement] | None = None) -> dict[str, int]:
    """How many claims have which verdict; every verdict has its number, 0 included."""
    found = Counter(verdict.verdict for verdict in verdicts(rows=rows))
    return {word: found[word] for word in VERDICTS}


def summary(rows: Iterable[Measurement] | None = None) -> Summary:
    """The counts of the verdicts, all together and article by article, for the front page."""
    return Summary(as_json(rows=rows), sources())


def evidence(claim: str | None = None, rows: Iterable[Measurement] | None = None) -> Evidence:
    """The rows that decided a claim (default: all claims) and how the rule read them.

    ValueError where the claim is unknown.
    """
    rows = read() if rows is None else list(rows)
    asked = _only(None if claim is None else [claim])
    return Evidence([proof(c.id, c.claim, c.rule, _judged(c, rows), rows) for c in asked])


def history(rows: Iterable[Measurement] | None = None) -> Changes:
    """The rules that were changed since they were committed, each with its reason, as something to show."""
    measured = None if rows is None else list(rows)
    found = read_history()
    rules = json.loads((Path(DATA) / "claims.json").read_text(encoding="utf-8"))["claims"]
    dates = [
        str(row.provenance.get("date", ""))
        for verdict in verdicts(rows=measured)
        for row in verdict.rows
        if row.kind != "cited"
    ]
    missing = unnoted(found, {fields["id"]: fields["rule"] for fields in rules})
    return Changes(found, missing, min(filter(None, dates), default=None))
