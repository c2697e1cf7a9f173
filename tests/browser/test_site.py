"""The static book in a real Chromium: every page, wide and light, narrow and dark."""

import functools
import gzip
import html.parser
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urlsplit

import nbformat
import pytest

from neurolab import book, chapters
from tests.browser.site import looks, open_page, results, served

HERE = Path(__file__).parent
CHAPTERS = [f"chapters/{c.name}" for c in chapters.chapters()]
PAGES = ["index", "ledger", "ledger_rows", "references", "search", *CHAPTERS]


@pytest.fixture(scope="module")
def address(site: Path) -> Any:
    """The course's own book, served."""
    with served(site) as here:
        yield here


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A book of two short chapters, one in Thai and one in English: its folder, and its address."""
    room = tmp_path_factory.mktemp("small")
    folder = book.build(
        room / "site", notebooks=HERE / "two_pages", work=room / "source", say=lambda line: None
    )
    with served(folder) as here:
        yield folder, here


def sound(found: Any) -> list[str]:
    """What a watched page did wrong by itself."""
    return [f"asked for {url}" for url in found.outside] + found.errors


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
@pytest.mark.parametrize("name", PAGES)
def test_page_is_whole_and_readable(name: str, width: int, theme: str, address: str, watched: Any) -> None:
    found = watched(width, 844, color_scheme=theme)
    page = open_page(found, f"{address}{name}.html")
    assert page.evaluate("document.documentElement.dataset.theme") == theme
    assert looks(page) == []
    assert sound(found) == []


@pytest.mark.parametrize(("width", "theme"), [(1280, "dark"), (390, "light"), (320, "light")])
@pytest.mark.parametrize("name", ["chapters/00_thai", "chapters/01_english"])
def test_hard_pages_are_whole_and_readable(
    name: str, width: int, theme: str, small: Any, watched: Any
) -> None:
    found = watched(width, 844, color_scheme=theme)
    page = open_page(found, f"{small[1]}{name}.html")
    assert looks(page) == []
    assert sound(found) == []


def moves_of(page: Any, control: Any) -> list[Callable[[], Any]]:
    """What a reader can do with one control: press keys on a slider, pick from a list, choose."""
    handle = control.locator("input, select")
    if control.locator("input[type=range]").count():
        return [functools.partial(handle.first.press, key) for key in ("End", "Home", "ArrowRight")]
    if control.locator("select").count():
        many = handle.first.locator("option").count()
        return [functools.partial(handle.first.select_option, index=place) for place in range(many)]
    return [one.check for one in handle.all()]


def move_every_control(page: Any) -> list[str]:
    """Move each control of each explorer; the names of those that change nothing in the picture."""
    dead = []
    for explorer in page.locator(".nl-explorer").all():
        explorer.scroll_into_view_if_needed()
        figure = explorer.locator(".nl-figure")
        for control in explorer.locator(".nl-control").all():
            before, drawn = figure.inner_html(), explorer.get_attribute("data-drawn")
            for move in moves_of(page, control):
                move()
                page.evaluate("neurolabLooks.twoFrames()")
                if explorer.get_attribute("data-drawn") != drawn and figure.inner_html() != before:
                    break
            else:
                dead.append(f"{figure.get_attribute('aria-label')}: {control.inner_text()!r}")
    return dead


@pytest.mark.parametrize("name", ["index", *CHAPTERS])
def test_every_slider_changes_its_figure(name: str, address: str, watched: Any) -> None:
    found = watched(390, 844)
    page = open_page(found, f"{address}{name}.html")
    many = page.locator(".nl-explorer").count()
    assert many >= (1 if name == "index" else 2), f"{name} holds {many} explorers"
    assert move_every_control(page) == []
    assert sound(found) == []


def test_the_test_of_sliders_sees_a_dead_one(small: Any, watched: Any) -> None:
    page = open_page(watched(), f"{small[1]}chapters/00_thai.html")
    assert move_every_control(page) == []
    page.evaluate(
        "() => { const f = document.querySelector('.nl-figure'); f.replaceWith(f.cloneNode(true)); }"
    )
    assert len(move_every_control(page)) == 3


def test_pages_open_from_the_disk(small: Any, watched: Any) -> None:
    found = watched()
    page = open_page(found, (small[0] / "chapters" / "00_thai.html").as_uri())
    assert move_every_control(page) == []
    page = open_page(found, (small[0] / "chapters" / "01_english.html").as_uri())
    assert page.locator("mjx-container svg").count() >= 2
    assert len(results(page, f"{small[0].as_uri()}/", "สไปก์")) == 2
    assert sound(found) == []


def test_the_reader_switches_to_dark_and_back(address: str, watched: Any) -> None:
    page = open_page(watched(), f"{address}index.html")
    seen = set()
    for _ in range(3):
        page.locator(".theme-switch-button:visible").first.click()
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        seen.add((page.evaluate("document.documentElement.dataset.theme"), ground))
    assert {theme for theme, _ in seen} == {"light", "dark"}
    assert len({ground for _, ground in seen}) == 2


THAI = [
    "สไปก์",
    "โมเดลภาษา",
    "การควอนไทซ์",
    "ตัดแต่ง",
    "น้ำหนัก",
    "แบตเตอรี่",
    "พลังงาน",
    "โทรศัพท์มือถือ",
    "ภาษาอังกฤษ",
    "ค่าเฉลี่ย",
]
ENGLISH = [
    "leaky",
    "neurons",
    "truncated backpropagation",
    "surrogate gradients",
    "quantize",
    "Huffman",
    "phone latency",
    "three bits",
    "accuracy",
    "coding zeros",
]


def test_search_finds_thai_and_english(small: Any, watched: Any) -> None:
    page = watched().page
    missed = [q for q in THAI if "A page in Thai" not in " ".join(results(page, small[1], q))]
    missed += [q for q in ENGLISH if "A page in English" not in " ".join(results(page, small[1], q))]
    assert missed == []
    both = " ".join(results(page, small[1], "สไปก์"))
    assert "A page in English" in both, "a Thai word inside an English page is found too"
    assert "A page in Thai" in " ".join(results(page, small[1], "โมเดลภาษา สไปก์")), "two words, far apart"
    assert "A page in Thai" in " ".join(results(page, small[1], "INT8")), "scripts that touch are two words"
    assert results(page, small[1], "ช้าง") == [] == results(page, small[1], "elephants")


def test_search_of_the_course_finds_its_own_terms(address: str, watched: Any) -> None:
    page = watched().page
    assert results(page, address, "สไปก์")
    assert results(page, address, "spikes")


class Page(html.parser.HTMLParser):
    """The links and the anchors of one page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what the tag points to, and what can be pointed to."""
        values = dict(attrs)
        self.anchors |= {values[key] or "" for key in ("id", "name") if key in values}
        self.links += [values[key] or "" for key in ("href", "src") if values.get(key)]


def test_links_inside_the_site_lead_somewhere(site: Path) -> None:
    pages = {path: Page(path) for path in site.rglob("*.html") if "_static" not in path.parts}
    assert len(pages) >= len(PAGES)
    broken = []
    for path, page in pages.items():
        for link in page.links:
            place, anchor = urldefrag(link)
            if urlsplit(place).scheme:
                continue
            target = (path.parent / unquote(urlsplit(place).path)).resolve() if place else path
            if not target.is_file():
                broken.append(f"{path.relative_to(site)}: {link} (no such file)")
            elif anchor and target in pages and unquote(anchor) not in pages[target].anchors:
                broken.append(f"{path.relative_to(site)}: {link} (no such place)")
    assert broken == []


@pytest.mark.parametrize("chapter", chapters.chapters(), ids=lambda chapter: chapter.name)
def test_each_chapter_offers_a_valid_notebook(chapter: Any, site: Path, address: str, watched: Any) -> None:
    page = open_page(watched(), f"{address}chapters/{chapter.name}.html")
    with page.expect_download() as waiting:
        page.locator(".chapter-bar a[download]").click()
    taken = nbformat.read(waiting.value.path(), as_version=4)
    nbformat.validate(taken)
    code = [cell.source for cell in taken.cells if cell.cell_type == "code"]
    own = [cell.source for cell in chapters.notebook(chapter.path).cells if cell.cell_type == "code"]
    assert "neurolab-course.zip" in taken.cells[0].source
    assert code[1:] == own
    assert not any(cell.get("outputs") for cell in taken.cells)
    compile(code[0], "first cell", "exec")


def test_a_page_with_a_big_grid_stays_small(site: Path) -> None:
    for path in sorted(site.rglob("*.html")):
        assert len(gzip.compress(path.read_bytes())) < 1_000_000, f"{path.name} is over 1 MB gzipped"
