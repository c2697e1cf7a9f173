"""The book's builder without a browser: its settings, its errors, its downloads."""

import os
import zipfile
from pathlib import Path

import nbformat
import pytest
import yaml

from neurolab import book, chapters, paths
from neurolab.book_sphinx import SearchThaiEnglish
from neurolab.road import ROAD

HEAD = """---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {name: python3, display_name: Python 3}
---

"""


def chapter(folder: Path, name: str, *cells: str, title: str = "# A title") -> Path:
    """Write a chapter of code cells."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(
        HEAD + title + "\n\n" + "\n\n".join(f"```{{code-cell}}\n{cell}\n```" for cell in cells), "utf-8"
    )
    return path


def test_settings_name_no_other_host() -> None:
    text = (paths.ROOT / "book" / "_config.yml").read_text(encoding="utf-8")
    assert "http" not in text
    settings = yaml.safe_load(text)
    own = settings["sphinx"]["config"]
    assert own["nb_ipywidgets_js"] == {}
    assert (paths.ROOT / "book" / "static" / own["mathjax_path"]).is_file()
    for part in own["mathjax3_config"]["loader"]["load"]:
        assert (paths.ROOT / "book" / "static" / "mathjax" / f"{part}.js").is_file(), part


def test_styles_and_pages_name_no_other_host() -> None:
    assert book.outside_assets(paths.ROOT / "book") == []
    for path in (paths.ROOT / "book").glob("*.md"):
        assert "<script src" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "line",
    [
        '<script defer src="https://cdn.example/x.js"></script>',
        "<img alt='' src=//cdn.example/x.png>",
        '<link rel="stylesheet" href="http://cdn.example/x.css">',
        "<style>@font-face{src:url(https://cdn.example/x.woff2)}</style>",
        '<style>@import "//cdn.example/x.css";</style>',
        '<iframe title="t" src="https://cdn.example/"></iframe>',
    ],
)
def test_an_address_of_another_host_is_found(line: str, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(f"<p>{line}</p>", "utf-8")
    assert len(book.outside_assets(tmp_path)) == 1
    assert "cdn.example" in book.outside_assets(tmp_path)[0]


def test_plain_links_are_allowed(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(
        '<a href="https://doi.org/1">x</a><img src="a.png" alt="https://x">', "utf-8"
    )
    assert book.outside_assets(tmp_path) == []


def test_every_font_and_licence_is_there() -> None:
    style = (paths.ROOT / "book" / "static" / "neurolab.css").read_text(encoding="utf-8")
    fonts = {part.split('"')[0] for part in style.split('url("')[1:]}
    assert fonts == {
        f"fonts/{path.name}" for path in (paths.ROOT / "book" / "static" / "fonts").glob("*.woff2")
    }
    assert len(list((paths.ROOT / "book" / "static" / "fonts").glob("LICENSE-*.txt"))) == 3
    assert (paths.ROOT / "book" / "static" / "mathjax" / "LICENSE.txt").is_file()
    assert (paths.ROOT / "tests" / "vendor" / "axe" / "LICENSE").is_file()


def test_chapters_are_listed_in_order_and_stand_on_the_road() -> None:
    found = chapters.chapters()
    assert [one.number for one in found] == sorted(one.number for one in found)
    assert {one.name for one in found} <= {f"{number:02d}_{file}" for number, file, *_ in ROAD}


@pytest.mark.parametrize(
    ("name", "title", "word"), [("start.md", "# T", "start.md"), ("01_x.md", "text", "no title")]
)
def test_a_file_that_is_no_chapter_is_named(name: str, title: str, word: str, tmp_path: Path) -> None:
    chapter(tmp_path, name, title=title)
    with pytest.raises(ValueError, match=word):
        chapters.chapters(tmp_path)


def test_a_failing_cell_stops_the_build_with_chapter_and_cell(tmp_path: Path) -> None:
    notebooks = tmp_path / "notebooks"
    chapter(notebooks, "03_attention.md", "x = 1", "", "assert x == 2, 'x is one'", "print(x)")
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("the old book", "utf-8")
    with pytest.raises(chapters.ChapterError) as caught:
        book.build(
            site, notebooks=notebooks, work=tmp_path / "work", cache=tmp_path / "cache", say=lambda line: None
        )
    message = str(caught.value)
    assert "03_attention" in message
    assert "cell 3 of 4" in message
    assert "assert x == 2" in message
    assert "AssertionError: x is one" in message
    assert (site / "index.html").read_text("utf-8") == "the old book", (
        "a failed build leaves the old book alone"
    )


def test_a_cell_that_never_ends_and_a_kernel_that_dies_are_named(tmp_path: Path) -> None:
    slow = chapter(tmp_path, "01_slow.md", "import time", "time.sleep(60)")
    with pytest.raises(chapters.ChapterError, match=r"01_slow, code cell 2 of 2(.|\n)*longer than 2 seconds"):
        chapters.executed(slow, cache=tmp_path / "cache", timeout=2)
    dead = chapter(tmp_path, "02_dead.md", "import os", "os._exit(1)")
    with pytest.raises(chapters.ChapterError, match=r"02_dead, code cell 2 of 2(.|\n)*ended its kernel"):
        chapters.executed(dead, cache=tmp_path / "cache", timeout=20)


def test_a_chapter_runs_once_until_its_code_changes(tmp_path: Path) -> None:
    text = "import pathlib, os\nhere = list(pathlib.Path().iterdir())\n"
    text += "print(os.getpid(), os.environ['NEUROLAB_STATIC'], here)"
    path, cache = chapter(tmp_path, "01_once.md", text), tmp_path / "cache"
    first = chapters.executed(path, cache=cache, state="same")
    printed = first.cells[-1].outputs[0].text
    assert printed.endswith("1 []\n"), "static figures, an empty folder"
    path.write_text(path.read_text("utf-8").replace("# A title", "# Another title"), "utf-8")
    again = chapters.executed(path, cache=cache, state="same")
    assert again.cells[-1].outputs[0].text == printed, "prose alone does not run it again"
    assert "Another title" in again.cells[0].source
    assert chapters.executed(path, cache=cache, state="other").cells[-1].outputs[0].text != printed
    chapter(tmp_path, "01_once.md", text + "\n")
    assert len(list(cache.iterdir())) == 1, "old results do not pile up"


def test_a_broken_kept_result_is_made_again(tmp_path: Path) -> None:
    path, cache = chapter(tmp_path, "01_once.md", "print(7)"), tmp_path / "cache"
    chapters.executed(path, cache=cache, state="same")
    kept = next(cache.iterdir())
    kept.write_text(kept.read_text("utf-8")[:40], "utf-8")
    assert chapters.executed(path, cache=cache, state="same").cells[-1].outputs[0].text == "7\n"


def test_the_course_itself_is_never_replaced(tmp_path: Path) -> None:
    for place in (paths.ROOT, paths.ROOT.parent, Path("/")):
        with pytest.raises(ValueError, match="out: "):
            book.build(place, say=lambda line: None)
    mine = tmp_path / "papers"
    mine.mkdir()
    (mine / "thesis.txt").write_text("mine", "utf-8")
    with pytest.raises(ValueError, match="no book"):
        book.build(mine, say=lambda line: None)


def test_sphinx_warnings_stop_a_strict_build_only(tmp_path: Path) -> None:
    notebooks = tmp_path / "notebooks"
    chapter(notebooks, "00_start.md", "print(1)", title="# A title\n\nSee [nowhere](nowhere.md#at-all).")
    told: list[str] = []
    say = told.append
    with pytest.raises(book.BookError, match="nowhere"):
        book.build(tmp_path / "site", notebooks=notebooks, work=tmp_path / "work", say=say)
    site = book.build(tmp_path / "site", notebooks=notebooks, work=tmp_path / "work", say=say, strict=False)
    assert "A title" in (site / "chapters" / "00_start.html").read_text("utf-8")
    assert any("Executed 00_start" in line for line in told)
    archive = zipfile.ZipFile(site / "downloads" / "neurolab-course.zip")
    names = archive.namelist()
    assert {"neurolab-course/neurolab/book.py", "neurolab-course/pyproject.toml"} <= set(names)
    assert not any("__pycache__" in name or ".venv" in name for name in names)
    taken = nbformat.read(site / "downloads" / "00_start.ipynb", as_version=4)
    nbformat.validate(taken)


def test_search_words_of_two_scripts() -> None:
    words = SearchThaiEnglish({})
    assert words.split("INT8แบบสมมาตร, rate-coding 0.5 ค่า") == [
        "INT8",
        "แบบสมมาตร",
        "rate",
        "coding",
        "0",
        "5",
        "ค่า",
    ]
    assert words.stem("spikes") == "spike"
    assert words.stem("สไปก์") == "สไปก์"


def test_downloads_say_what_to_install() -> None:
    path = sorted((paths.ROOT / "book").glob("index.md"))[0]
    taken = chapters.download(path)
    nbformat.validate(taken)
    assert "neurolab-course.zip" in taken.cells[0].source
    compile(taken.cells[1].source, "first cell", "exec")
    assert os.linesep not in taken.cells[1].source or os.linesep == "\n"
