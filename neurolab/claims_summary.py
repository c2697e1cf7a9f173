"""The ledger in short, for the front page: how many claims have which verdict, article by article."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from neurolab.claims_page import SIGNS

_FILL = {
    "confirmed": "#009E73",
    "partly": "repeating-linear-gradient(45deg,#E69F00 0 6px,#b87e00 6px 12px)",
    "not reproduced": "#D55E00",
    "not measurable here": "repeating-linear-gradient(90deg,#808080 0 4px,transparent 4px 8px)",
    "open": "transparent",
}
STYLE = """<style>
.neurolab-summary .bar{display:flex;height:1.1rem;border:1px solid rgba(128,128,128,.6);border-radius:.3rem;
 overflow:hidden;margin:.6rem 0}
.neurolab-summary .bar span{display:block;border-right:2px solid Canvas}
.neurolab-summary ul{display:flex;flex-wrap:wrap;gap:.3rem 1.4rem;list-style:none;padding:0;margin:.4rem 0}
.neurolab-summary li{margin:0}.neurolab-summary li b{font-size:1.3rem;margin-right:.25rem}
.neurolab-summary .swatch{display:inline-block;width:.8rem;height:.8rem;margin-right:.35rem;
 border:1px solid rgba(128,128,128,.8);border-radius:.15rem}
.neurolab-summary .wide{overflow-x:auto}
.neurolab-summary table{border-collapse:collapse;font-size:.88rem;margin:.6rem 0;width:100%}
.neurolab-summary th,.neurolab-summary td{text-align:left!important;padding:.3rem .5rem;vertical-align:top;
 border-bottom:1px solid rgba(128,128,128,.4);background:transparent;color:inherit;line-height:1.4}
.neurolab-summary td{white-space:nowrap}.neurolab-summary th{overflow-wrap:break-word}
.neurolab-summary th:first-child{min-width:12rem;font-weight:400}
</style>"""


@dataclass(frozen=True)
class Summary:
    """Entries of `claims.as_json`, counted. titles: letter -> title of the article."""

    entries: Sequence[dict[str, Any]]
    titles: dict[str, str]

    def counts(self, source: str | None = None) -> dict[str, int]:
        """Verdict -> how many claims (of an article); verdicts that no claim has are left out."""
        found = Counter(e["verdict"] for e in self.entries if source is None or source in e["sources"])
        return {word: found[word] for word in SIGNS if found[word]}

    def sentence(self) -> str:
        """The counts in words."""
        said = ", ".join(f"{count} {word}" for word, count in self.counts().items())
        return f"The articles make {len(self.entries)} claims that a figure can settle: {said}."

    def _repr_html_(self) -> str:
        found = self.counts()
        bar = "".join(
            f'<span style="flex:{count};background:{_FILL[word]}"></span>' for word, count in found.items()
        )
        items = "".join(
            f'<li><span class="swatch" style="background:{_FILL[word]}"></span>'
            f"<b>{count}</b>{SIGNS[word]} {word}</li>"
            for word, count in found.items()
        )
        heads = "".join(f'<th scope="col">{SIGNS[word]} {word}</th>' for word in found)
        rows = "".join(
            f'<tr><th scope="row">{letter}: {escape(title, quote=False)}</th>'
            + "".join(f"<td>{self.counts(letter).get(word, 0)}</td>" for word in found)
            + "</tr>"
            for letter, title in self.titles.items()
        )
        table = (
            '<div class="wide" role="region" tabindex="0" aria-label="Verdicts by article"><table><thead><tr>'
            f'<th scope="col">Article</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
        )
        return (
            f'{STYLE}<div class="neurolab-summary"><div class="bar" role="img" '
            f'aria-label="{escape(self.sentence())}">{bar}</div><ul>{items}</ul>'
            f"<details><summary>Article by article</summary>{table}"
            "<small>A claim that two articles make is counted with both.</small></details></div>"
        )

    def _repr_markdown_(self) -> str:
        found = self.counts()
        lines = ["| article | " + " | ".join(f"{SIGNS[w]} {w}" for w in found) + " |"]
        lines.append("|---" * (len(found) + 1) + "|")
        for letter, title in self.titles.items():
            own = self.counts(letter)
            lines.append(f"| {letter}: {title} | " + " | ".join(str(own.get(w, 0)) for w in found) + " |")
        return f"{self.sentence()}\n\n" + "\n".join(lines)

    def __repr__(self) -> str:
        return self.sentence()
