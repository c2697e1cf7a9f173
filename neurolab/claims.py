"""The ledger: the articles' claims, and a verdict on each that is computed from measured rows.

``data/claims.json`` holds every claim with its rule, committed before the rows existed. A rule names rows,
figures and thresholds; nobody types a verdict. `claim_rules` tells how a rule is read, `claims_page`
how the ledger looks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from neurolab.claim_rules import Rule, Verdict, judge
from neurolab.claims_page import Ledger
from neurolab.measurements import Measurement, read
from neurolab.paths import DATA

__all__ = ["Claim", "Verdict", "as_json", "claims", "load", "show", "sources", "verdicts"]


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
    return [judge(claim.id, claim.rule, rows) for claim in claims(chapter)]


def as_json(chapter: int | None = None, rows: Iterable[Measurement] | None = None) -> list[dict[str, Any]]:
    """What ``neurolab claims --json`` prints: id, chapter, claim, sources, verdict, figure, unit, why."""
    return [
        {
            "id": claim.id,
            "chapter": claim.chapter,
            "claim": claim.claim,
            "sources": list(claim.sources),
            "verdict": verdict.verdict,
            "figure": verdict.figure,
            "unit": verdict.unit,
            "why": verdict.why,
        }
        for claim, verdict in zip(claims(chapter), verdicts(chapter, rows), strict=True)
    ]


def show(chapter: int | None = None, rows: Iterable[Measurement] | None = None) -> Ledger:
    """The ledger (of a chapter) as a table for notebook and book; without a chapter, folded by chapters."""
    return Ledger(as_json(chapter, rows), sources(), folded=chapter is None)
