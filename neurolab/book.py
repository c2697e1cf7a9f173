"""Build the static book: ``neurolab book``.

The chapters are executed (`neurolab.chapters.executed`), laid beside the files of ``book/`` in
``build/book-source``, and turned into plain HTML by Jupyter Book 1.x. The site asks no other host for
anything, needs no kernel, and every page works from any web server or straight from the disk.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat

from neurolab import chapters, explore, paths

SITE = paths.ROOT / "build" / "site"
"""Where the finished site goes when nothing else is said."""

COURSE_FILES = (
    "neurolab",
    "data",
    "notebooks",
    "pyproject.toml",
    "constraints.txt",
    "environment.yml",
    "README.md",
    "LICENSE",
    "LICENSE-TEXT",
)
"""What ``neurolab-course.zip`` carries: enough to run any chapter elsewhere."""

_ASSET = re.compile(
    r"""(?:<(?:script|img|iframe|source|video|audio|embed)\b[^>]*?\ssrc\s*=\s*["']?
                        |<link\b(?![^>]*rel=["'](?:canonical|next|prev|author|license))[^>]*?\shref\s*=\s*["']?
                        |url\(\s*["']?|@import\s+["'])(?P<address>(?:https?:)?//[^"'\s)>]+)""",
    re.VERBOSE | re.IGNORECASE,
)


class BookError(RuntimeError):
    """The book could not be built; the message says what to mend."""


def build(
    out: Path | str | None = None,
    *,
    strict: bool = True,
    notebooks: Path | str = paths.NOTEBOOKS,
    cache: Path | str = chapters.CACHE,
    work: Path | str | None = None,
    say: Callable[[str], None] = print,
) -> Path:
    """Build the site and return its folder (it holds ``index.html``).

    Args:
        out: folder of the finished site; default ``build/site``. What was there before is replaced, and only
            when the build has succeeded.
        strict: a warning of Sphinx (a broken reference, a missing image, ...) is an error.
        notebooks: folder of the chapters.
        cache: folder of executed chapters.
        work: folder for sources and intermediate files; default ``build/book-source`` and beside it.
        say: called with one line for each step.

    Raises:
        neurolab.chapters.ChapterError: a chapter failed; names chapter and cell.
        BookError: Sphinx failed or warned, or a page would load something from another host.
    """
    site = Path(out) if out is not None else SITE
    if (site / ".git").exists() or site.resolve() in (paths.ROOT, *paths.ROOT.parents):
        raise ValueError(f"out: {site} holds the course itself; name a folder that may be replaced")
    if site.exists() and not ((site / "index.html").exists() or (site.is_dir() and not any(site.iterdir()))):
        raise ValueError(
            f"out: {site} is no book (no index.html in it); name an empty folder or an older book"
        )
    room = Path(work) if work is not None else paths.ROOT / "build" / "book-source"
    source = _assemble(room, Path(notebooks), Path(cache), say)
    say("Writing the pages")
    html = _sphinx(source, room.with_name(room.name + "-output"), strict)
    _downloads(html, Path(notebooks))
    _tidy(html)
    from neurolab.export import phone_files  # imports torch, which reading this module should not cost

    phone_files.assemble(html / "phone", book="../index.html", say=say)
    outside = outside_assets(html)
    if outside:
        raise BookError("these pages load something from another host:\n  " + "\n  ".join(outside))
    site.parent.mkdir(parents=True, exist_ok=True)
    if site.exists():
        shutil.rmtree(site)
    shutil.move(html, site)
    say(f"The book is ready: {site / 'index.html'}")
    return site


def _assemble(room: Path, notebooks: Path, cache: Path, say: Callable[[str], None]) -> Path:
    """Lay out the sources: ``book/``, the executed chapters, the explorer's files. Returns the folder."""
    if room.exists():
        shutil.rmtree(room)
    unused = shutil.ignore_patterns("_build", "__pycache__", "phone")
    shutil.copytree(paths.ROOT / "book", room, ignore=unused)
    (room / "chapters").mkdir()
    (room / "static" / "explorer").mkdir()
    for name, content in explore.static_files().items():
        (room / "static" / "explorer" / name).write_bytes(content)
    own = [
        path for path in sorted(room.glob("*.md")) if "kernelspec:" in path.read_text(encoding="utf-8")[:400]
    ]
    found = [chapter.path for chapter in chapters.chapters(notebooks)]
    state = chapters.fingerprint()

    def run(path: Path) -> None:
        book = chapters.executed(path, cache=cache, state=state)
        folder = room if path in own else room / "chapters"
        nbformat.write(book, folder / f"{path.stem}.ipynb")
        say(f"Executed {path.stem} ({book.metadata['neurolab']['seconds']:.0f} s)")

    with ThreadPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as pool:
        list(pool.map(run, found + own))
    for path in own:
        path.unlink()
    return room


def _sphinx(source: Path, output: Path, strict: bool) -> Path:
    """Run Jupyter Book in its own process; returns the folder of pages."""
    if output.exists():
        shutil.rmtree(output)
    command = [
        sys.executable,
        "-c",
        "from jupyter_book.cli.main import main; main()",
        "build",
        str(source),
        "--path-output",
        str(output),
        "-q",
        "--keep-going",
        *(["-W"] if strict else []),
    ]
    environment = os.environ | {"NEUROLAB_STATIC": "1", "PYTHONHASHSEED": "0", "PYTHONPATH": str(paths.ROOT)}
    environment["NO_COLOR"] = "1"
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    html = output / "_build" / "html"
    lines = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr).strip().splitlines()
    said = [line for line in lines if re.search(r"WARNING|ERROR|rror:", line)]
    if done.returncode or not (html / "index.html").exists() or (strict and "WARNING" in done.stderr):
        raise BookError("Jupyter Book could not build the site:\n  " + "\n  ".join(said or lines[-15:]))
    return html


def _downloads(html: Path, notebooks: Path) -> None:
    """Put each chapter as a notebook, and the course as one archive, into ``downloads/``."""
    folder = html / "downloads"
    folder.mkdir(exist_ok=True)
    for chapter in chapters.chapters(notebooks):
        nbformat.write(chapters.download(chapter.path), folder / f"{chapter.name}.ipynb")
    with zipfile.ZipFile(folder / "neurolab-course.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in _course_files():
            entry = zipfile.ZipInfo(
                f"neurolab-course/{path.relative_to(paths.ROOT).as_posix()}", (2026, 1, 1, 0, 0, 0)
            )
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, path.read_bytes())


def _course_files() -> list[Path]:
    """Files for the archive, in a fixed order, without what Python leaves behind."""
    found: list[Path] = []
    for name in COURSE_FILES:
        path = paths.ROOT / name
        inside = path.rglob("*") if path.is_dir() else [path]
        found += [
            file
            for file in inside
            if file.is_file() and "__pycache__" not in file.parts and ".ipynb_checkpoints" not in file.parts
        ]
    return sorted(found)


def _tidy(html: Path) -> None:
    """Remove what no page uses: source maps, fonts in old formats, Sphinx's own records."""
    for pattern in ("**/*.map", "**/*.ttf", ".buildinfo", "objects.inv", "_static/**/*thebe*"):
        for path in html.glob(pattern):
            if path.is_file():
                path.unlink()


def outside_assets(html: Path) -> list[str]:
    """``page: address`` for all that a page or style sheet below ``html`` would load from another host.

    Plain links (``<a href>``) are the reader's choice, and do not count.
    """
    found = []
    for path in sorted([*html.rglob("*.html"), *html.rglob("*.css")]):
        for match in _ASSET.finditer(path.read_text(encoding="utf-8", errors="replace")):
            found.append(f"{path.relative_to(html)}: {match['address']}")
    return found
