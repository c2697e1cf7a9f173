"""What the book adds to Sphinx: Thai beside English in the search, ``lang`` on Thai words, the download
bar under each chapter's title, the explorer's scripts on the pages that use them, the ledger's links and the
anchors of the cells that it links to, and nothing from other hosts. Loaded by ``book/_config.yml``.
"""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.search import SearchEnglish, languages
from sphinx.transforms.post_transforms import SphinxPostTransform

from neurolab.claims_cells import anchor, tagged
from neurolab.road import ROAD

THAI = "\u0e00-\u0e7f"
"""The Unicode block of the Thai script, vowel and tone marks included, for a character class."""

_WORDS = re.compile(rf"[{THAI}]+|[^\W{THAI}]+")
_THAI_RUN = re.compile(rf"[{THAI}]+(?:[ \u00a0]+[{THAI}]+)*")


class SearchThaiEnglish(SearchEnglish):
    """Index Thai runs whole and English words by their stems.

    Thai writes no spaces between words, so a run of Thai letters goes into the index as it stands. The
    browser cuts the *question* into words (``Intl.Segmenter``) and Sphinx's search finds each of them
    inside the runs. Letters of the two scripts never share a term: "INT8แบบ" is two.
    """

    lang = "thai-english"
    language_name = "Thai and English"

    js_splitter_code = (Path(__file__).parent / "static" / "search_split.js").read_text(encoding="utf-8")

    def split(self, input: str) -> list[str]:
        """Thai runs and other words, in the order of the text."""
        return _WORDS.findall(input)

    def stem(self, word: str) -> str:
        """English words by Porter's rules, as the browser does; Thai as it is."""
        return word if word[:1] > "\u0dff" else super().stem(word)


class thai(nodes.inline):
    """Thai words inside other text: ``<span lang="th">``, for screen readers, fonts and line breaks."""


def _open(translator: Any, node: nodes.Element) -> None:
    translator.body.append('<span lang="th">')


def _close(translator: Any, node: nodes.Element) -> None:
    translator.body.append("</span>")


def _pass(translator: Any, node: nodes.Element) -> None:
    """Other writers show the words alone."""


class MarkThai(SphinxPostTransform):
    """Wrap Thai words in `thai` nodes, everywhere but in code and mathematics."""

    default_priority = 900

    def run(self, **kwargs: Any) -> None:
        keep = (
            nodes.literal,
            nodes.literal_block,
            nodes.math,
            nodes.math_block,
            nodes.raw,
            nodes.comment,
            thai,
        )
        for text in list(self.document.findall(nodes.Text)):
            if not _THAI_RUN.search(text) or isinstance(text.parent, keep):
                continue
            parts: list[nodes.Node] = []
            at = 0
            for run in _THAI_RUN.finditer(text):
                if run.start() > at:
                    parts.append(nodes.Text(text[at : run.start()]))
                parts.append(thai("", run.group()))
                at = run.end()
            if at < len(text):
                parts.append(nodes.Text(text[at:]))
            text.parent.replace(text, parts)


def _page(
    app: Sphinx, name: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Finish one page: its scripts, and the bar with the notebook to download under a chapter's title."""
    context["script_files"] = [js for js in context.get("script_files", []) if "thebe" not in str(js)]
    context["css_files"] = [css for css in context.get("css_files", []) if "thebe" not in str(css)]
    body = context.get("body", "")
    if 'class="nl-explorer"' in body:
        style, script = (
            context["pathto"](f"_static/explorer/explorer.{kind}", resource=True) for kind in ("css", "js")
        )
        context["metatags"] = (
            f'{context.get("metatags", "")}\n<link rel="stylesheet" href="{style}" />\n'
            f'<script defer src="{script}"></script>'
        )
    if name.startswith("chapters/"):
        stem = name.removeprefix("chapters/")
        link = context["pathto"](f"downloads/{stem}.ipynb", resource=True)
        bar = (
            f'<p class="chapter-bar"><a href="{link}" download="{stem}.ipynb">Download this chapter as a '
            "notebook</a> <span>(.ipynb, for JupyterLab, Colab or VS Code)</span></p>"
        )
        number = f'<p class="chapter-number">Chapter {int(stem.split("_")[0])}</p>\n'
        body = body.replace("<h1>", number + "<h1>", 1).replace("</h1>", "</h1>\n" + bar, 1)
    # Sphinx calls the bibliography a list of things that are no list items.
    body = body.replace('<div role="list" class="citation-list">', '<div class="citation-list">')
    body = body.replace('<div id="book-road"></div>', _road(context, app.env.found_docs))
    context["body"] = _own_links(context, app.env.found_docs, body)


def _mark_cells(app: Sphinx, doctree: nodes.document) -> None:
    """Give each cell that carries a tag such as ``claim-A6`` the id that the ledger links to."""
    for cell in doctree.findall(nodes.container):
        if cell.get("nb_element") == "cell_code":
            cell["ids"] += [anchor(claim) for claim in tagged(cell["cell_metadata"].get("tags", []))]


def _own_links(context: dict[str, Any], pages: set[str], body: str) -> str:
    """Turn ``href="book:page#anchor"`` (what a cell's output says, which cannot know its own page) into a
    link from this page; where the book has no such page, the words stay and the link goes."""

    def link(found: re.Match[str]) -> str:
        page, place = found["page"], found["place"] or ""
        if page not in pages:
            return ""
        to = context["pathto"](page)  # "#" for the page itself
        return f'href="{to.removesuffix("#") + place if place else to}"'

    return re.sub(r'href="book:(?P<page>[\w/]+)(?P<place>#[\w-]+)?"', link, body)


def _road(context: dict[str, Any], chapters: set[str]) -> str:
    """The nine chapters as a list; those that are in this book are links."""
    items = []
    for number, file, title, question in ROAD:
        page = f"chapters/{number:02d}_{file}"
        words = (
            f'<span class="road-title">{escape(title)}</span>'
            f'<span class="road-question">{escape(question)}</span>'
        )
        if page in chapters:
            words = f'<a href="{context["pathto"](page)}">{words}</a>'
        else:
            words = f'<div>{words}<span class="road-later">to come</span></div>'
        items.append(f'<li value="{number}">{words}</li>')
    return f'<ol class="book-road" start="0">{"".join(items)}</ol>'


def setup(app: Sphinx) -> dict[str, Any]:
    """Register everything with Sphinx."""
    languages[SearchThaiEnglish.lang] = SearchThaiEnglish
    app.add_node(thai, html=(_open, _close), text=(_pass, _pass), gettext=(_pass, _pass))
    app.add_post_transform(MarkThai)
    app.connect("doctree-read", _mark_cells)
    app.connect("html-page-context", _page, priority=900)
    return {
        "parallel_read_safe": True,
        "parallel_write_safe": True,
        "version": str(Path(__file__).stat().st_mtime_ns),
    }
