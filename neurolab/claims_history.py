"""Has a rule changed since it was committed? ``data/claims_first.json`` holds the first rules' fingerprints.

A rule is not changed after its rows are seen. Where it must be (it asked for something that cannot be, say),
an entry in ``changed`` tells claim, date, reason, the rule as it was and the fingerprint of the new one; the
ledger's page shows it. A change without such an entry is found by `unnoted`, and a test fails.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from neurolab.paths import DATA

FIRST = Path(DATA) / "claims_first.json"
FIELDS = ("claim", "date", "reason", "was", "now")


@dataclass(frozen=True)
class Change:
    """A rule's change. claim: its id.  date: YYYY-MM-DD.  reason: a sentence.  was: the rule before, as in
    ``claims.json``.  now: the fingerprint of the rule after it."""

    claim: str
    date: str
    reason: str
    was: Mapping[str, Any]
    now: str


@dataclass(frozen=True)
class History:
    """What was committed first. committed: date and time; commit: git's; rules: id -> fingerprint."""

    committed: str
    commit: str
    rules: Mapping[str, str]
    changed: tuple[Change, ...]


def fingerprint(rule: Mapping[str, Any]) -> str:
    """16 hex digits of a rule's JSON (SHA-256): another rule, another fingerprint; order does not count."""
    text = json.dumps(rule, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read(path: Path | str = FIRST) -> History:
    """The history in a file. ValueError names a change that lacks a field or its reason."""
    found = json.loads(Path(path).read_text(encoding="utf-8"))
    changed = []
    for fields in found["changed"]:
        name = fields.get("claim", "without id")
        if set(fields) != set(FIELDS):
            raise ValueError(f"change of claim {name}: fields are {sorted(fields)}, not {sorted(FIELDS)}")
        if not str(fields["reason"]).strip():
            raise ValueError(f"change of claim {name}: reason is empty; say why the rule was changed")
        if name not in found["rules"]:
            raise ValueError(f"change of claim {name}: there is no such claim")
        changed.append(Change(**fields))
    return History(found["committed"], found["commit"], found["rules"], tuple(changed))


def unnoted(history: History, rules: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Ids of the claims whose rule (as in ``claims.json``) is neither the first nor the last noted one."""
    known = dict(history.rules) | {change.claim: change.now for change in history.changed}
    lacking = set(known) ^ set(rules)
    return sorted(lacking | {name for name in rules if fingerprint(rules[name]) != known.get(name)})


@dataclass(frozen=True)
class Changes:
    """The history as something to show. unnoted: claims whose rule was changed without an entry.
    first_row: date of the first measured row that a rule read, or None."""

    history: History
    unnoted: Sequence[str]
    first_row: str | None = None

    def _lines(self) -> list[str]:
        history = self.history
        many = len(history.rules)
        when = f"{_minute(history.committed)} (commit {history.commit})"
        lines = [f"The {many} rules were committed on {when}."]
        if self.first_row:
            lines[0] += f" The first row that one of them reads was measured on {_minute(self.first_row)}."
        if not history.changed and not self.unnoted:
            lines.append("None has been changed since.")
        lines += [
            f"{change.claim}, changed on {change.date}: {change.reason} "
            f"Before: {json.dumps(change.was, ensure_ascii=False)}"
            for change in history.changed
        ]
        if self.unnoted:
            lines.append(f"Changed with no reason given: {', '.join(self.unnoted)}.")
        return lines

    def _repr_html_(self) -> str:
        first, *rest = (escape(line, quote=False) for line in self._lines())
        noted = self.history.changed or self.unnoted
        if not noted:
            return f"<p>{first} {' '.join(rest)}</p>"
        return f"<p>{first}</p><ul>{''.join(f'<li>{line}</li>' for line in rest)}</ul>"

    def _repr_markdown_(self) -> str:
        first, *rest = self._lines()
        if not self.history.changed and not self.unnoted:
            return " ".join([first, *rest])
        return "\n".join([first, "", *(f"- {line}" for line in rest)])

    def __repr__(self) -> str:
        return "\n".join(self._lines())


def _minute(date: str) -> str:
    """An ISO date to the minute, for a reader."""
    return date[:16].replace("T", " ")
