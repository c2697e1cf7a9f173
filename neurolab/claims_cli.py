"""What ``neurolab claims`` prints: the ledger, or the rows behind one verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from neurolab import claims, measurements
from neurolab.claims_page import figure_text, why_text

if TYPE_CHECKING:
    from rich.table import Table


def rows(own: bool) -> list[measurements.Measurement]:
    """The shipped rows; with `own`, the reader's take the place of those of the same name and setting."""
    shipped = measurements.read()
    if not own:
        return shipped
    return measurements.newest([*shipped, *measurements.read(store=measurements.own())])


def entries(chapter: int | None, own: bool) -> list[dict[str, Any]]:
    """The ledger (of a chapter), as `claims.as_json` gives it."""
    return claims.as_json(chapter, rows(own))


def table(found: list[dict[str, Any]]) -> Table:
    """The ledger as a table for a terminal."""
    from rich.markup import escape
    from rich.table import Table

    made = Table("claim", "what is claimed (article)", "verdict", "figure", "what decides", show_lines=True)
    for entry in found:
        decides = f"{why_text(entry)}. {_first_up(entry['cell'])}" if entry["cell"] else why_text(entry)
        claim = f"{entry['claim']} ({', '.join(entry['sources'])})"
        kinds = f" {' and '.join(entry['kinds'])}" if entry["kinds"] else ""
        made.add_row(
            *map(escape, (entry["id"], claim, entry["verdict"], figure_text(entry) + kinds, decides))
        )
    return made


def closing(found: list[dict[str, Any]]) -> str:
    """One line under the table: the counts, and how to see rows."""
    first = next((entry["id"] for entry in found if entry["rows"]), found[0]["id"] if found else "A6")
    said = claims.Ledger.counts(found)
    many = "1 claim" if len(found) == 1 else f"{len(found)} claims"
    return f"{many}: {said}. The rows behind a verdict: neurolab claims --rows {first}"


def proof(claim: str, own: bool) -> str:
    """The rows behind one verdict, as text. ValueError where the claim is unknown."""
    return repr(claims.evidence(claim, rows(own)))


def _first_up(text: str) -> str:
    return text[:1].upper() + text[1:]
