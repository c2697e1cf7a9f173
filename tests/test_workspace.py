"""The reader's copy: every situation of an upgrade, and that nothing of the reader's is ever lost."""

import json
import os
from pathlib import Path

import jupytext
import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat.sign import NotebookNotary

from neurolab import workspace
from neurolab.paths import NOTEBOOKS, ROOT

HEADER = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---
"""


class Course:
    """A course of one chapter with a reader's folder beside it."""

    def __init__(self, place: Path) -> None:
        self.source = place / "notebooks"
        self.folder = place / "my-course"
        self.text = self.folder / "00_start.md"
        self.notebook = self.folder / "00_start.ipynb"
        self.source.mkdir(parents=True)
        self.publish("x = 1")

    def publish(self, *cells: str) -> None:
        """The course's chapter, as a developer writes it."""
        fences = "".join(f"\n```{{code-cell}} ipython3\n{cell}\n```\n" for cell in cells)
        (self.source / "00_start.md").write_text(f"{HEADER}\n# Start\n{fences}", encoding="utf-8")

    def start(self) -> list[str]:
        """`neurolab lab`; returns what happened."""
        return [delivery.what for delivery in workspace.prepare(self.folder, self.source)]

    def cells(self, name: str = "00_start.md") -> list[str]:
        """The code cells of a file of the reader's."""
        book = jupytext.read(self.folder / name)
        return [cell.source for cell in book.cells if cell.cell_type == "code"]

    def save(self, *cells: str, output: str | None = None) -> None:
        """The reader saves the pair in JupyterLab."""
        book = jupytext.read(self.notebook)
        kept = [cell for cell in book.cells if cell.cell_type != "code"]
        book.cells = kept + [nbformat.v4.new_code_cell(cell) for cell in cells]
        if output is not None:
            book.cells[-1].outputs = [nbformat.v4.new_output("stream", text=output)]
        jupytext.write(book, self.notebook)
        jupytext.write(book, self.text, fmt="md:myst")

    def age(self, path: Path, seconds: float) -> None:
        """Make a file older than it is."""
        changed = path.stat().st_mtime - seconds
        os.utime(path, (changed, changed))


@pytest.fixture
def course(tmp_path: Path) -> Course:
    return Course(tmp_path)


def test_the_first_start_delivers_a_pair(course):
    assert course.start() == ["new"]
    assert course.cells() == course.cells("00_start.ipynb") == ["x = 1"]
    metadata = nbformat.read(course.notebook, as_version=4).metadata
    assert metadata.jupytext.formats == "ipynb,md:myst"
    assert metadata.kernelspec.name == "python3"
    assert "formats: ipynb,md:myst" in course.text.read_text(encoding="utf-8")
    assert course.start() == ["same"]


@pytest.mark.parametrize(
    "cell", ["\n\nx = 1", "x = 1\n\n", ":tags: [hide-input]\n\n\nx = 1", "%pip list", "# +++"]
)
def test_what_jupytext_changes_by_itself_is_no_edit(course, cell):
    course.publish(cell)
    course.start()
    assert course.start() == ["same"]
    book = jupytext.read(course.notebook)
    jupytext.write(book, course.notebook)
    jupytext.write(book, course.text, fmt="md:myst")
    course.publish("x = 2")
    assert course.start() == ["updated"]


def test_an_untouched_chapter_is_updated(course):
    course.start()
    course.publish("x = 2")
    assert course.start() == ["updated"]
    assert course.cells() == course.cells("00_start.ipynb") == ["x = 2"]
    assert course.start() == ["same"]


def test_a_chapter_that_was_only_run_counts_as_untouched_and_keeps_its_outputs(course):
    course.publish("x = 1", "print(x)")
    course.start()
    course.save("x = 1", "print(x)", output="1\n")
    course.publish("x = 1", "print(x)", "x + 1")
    assert course.start() == ["updated"]
    code = [cell for cell in nbformat.read(course.notebook, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.outputs[0].text if cell.outputs else None for cell in code] == [None, "1\n", None]


def test_an_update_keeps_trust_but_never_gives_it(course, tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "jupyter"))
    course.start()
    for trusted in (False, True):
        course.save("x = 1", output="1\n")
        if trusted:
            NotebookNotary().sign(nbformat.read(course.notebook, as_version=4))
        course.publish("x = 1", f"trusted = {trusted}")
        course.start()
        assert NotebookNotary().check_signature(nbformat.read(course.notebook, as_version=4)) is trusted
        course.publish("x = 1")
        course.start()


def test_an_edited_chapter_stays_while_the_course_stays(course):
    course.start()
    course.save("x = 99")
    assert course.start() == ["kept"]
    assert course.cells() == ["x = 99"]
    assert sorted(path.name for path in course.folder.glob("*.md")) == ["00_start.md"]


def test_an_edited_chapter_gets_the_new_one_beside_it_once(course):
    course.start()
    course.save("x = 99")
    course.publish("x = 2")
    deliveries = workspace.prepare(course.folder, course.source)
    assert [delivery.what for delivery in deliveries] == ["beside"]
    assert "00_start.new.md" in deliveries[0].message
    assert course.cells() == course.cells("00_start.ipynb") == ["x = 99"]
    assert course.cells("00_start.new.md") == ["x = 2"]
    (course.folder / "00_start.new.md").unlink()
    assert course.start() == ["kept"]
    assert not (course.folder / "00_start.new.md").exists()


def test_the_chapter_beside_is_replaced_until_the_reader_edits_it(course):
    course.start()
    course.save("x = 99")
    for version in ("x = 2", "x = 3"):
        course.publish(version)
        assert course.start() == ["beside"]
        assert course.cells("00_start.new.md") == [version]
    text = course.folder / "00_start.new.md"
    text.write_text(text.read_text(encoding="utf-8").replace("x = 3", "x = 33"), encoding="utf-8")
    course.publish("x = 4")
    assert course.start() == ["beside"]
    assert course.cells("00_start.new.md") == ["x = 33"]
    assert course.cells("00_start.new2.md") == ["x = 4"]


def test_a_reader_who_takes_the_new_version_over_is_up_to_date(course):
    course.start()
    course.save("x = 99")
    course.publish("x = 2")
    course.start()
    course.save("x = 2")
    assert course.start() == ["same"]


def test_a_deleted_chapter_comes_back_fresh(course):
    course.start()
    course.save("x = 99")
    course.text.unlink()
    course.notebook.unlink()
    course.publish("x = 2")
    assert course.start() == ["new"]
    assert course.cells() == ["x = 2"]


@pytest.mark.parametrize("missing", ["text", "notebook"])
def test_a_missing_half_is_made_from_the_other(course, missing):
    course.start()
    course.save("x = 99", output="1\n")
    getattr(course, missing).unlink()
    assert course.start() == ["kept"]
    assert course.cells() == course.cells("00_start.ipynb") == ["x = 99"]


def test_edits_of_the_notebook_in_another_program_are_followed(course):
    course.start()
    book = nbformat.read(course.notebook, as_version=4)
    book.cells[-1].source = "x = 55"
    nbformat.write(book, course.notebook)
    course.age(course.text, 60)
    course.publish("x = 2")
    assert course.start() == ["followed", "beside"]
    assert course.cells() == ["x = 55"]


def test_edits_of_both_halves_are_both_kept(course):
    course.start()
    course.save("x = 77")
    book = nbformat.read(course.notebook, as_version=4)
    book.cells[-1].source = "x = 55"
    nbformat.write(book, course.notebook)
    course.age(course.text, 60)
    course.start()
    assert course.cells() == ["x = 55"]
    kept = list((course.folder / ".neurolab" / "kept").iterdir())
    assert ["x = 77" in path.read_text(encoding="utf-8") for path in kept] == [True]


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff\xfe\x00", b'{"nbformat": 4}'])
def test_a_damaged_notebook_is_moved_aside_and_made_again(course, damage):
    course.start()
    course.save("x = 99")
    course.notebook.write_bytes(damage)
    assert course.start() == ["mended", "kept"]
    assert course.cells() == course.cells("00_start.ipynb") == ["x = 99"]
    kept = list((course.folder / ".neurolab" / "kept").iterdir())
    assert [path.read_bytes() for path in kept] == [damage]


def test_damaged_text_is_moved_aside_and_made_again(course):
    course.start()
    course.save("x = 99")
    course.text.write_bytes(b"---\njupytext: [\n---\n\xff")
    assert course.start() == ["mended", "kept"]
    assert course.cells() == ["x = 99"]


@pytest.mark.parametrize("broken", ["", "{", "[]", '{"chapters": {"00_start": 3}}', '{"chapters": null}'])
def test_without_its_manifest_nothing_is_overwritten(course, broken):
    course.start()
    course.save("x = 99")
    (course.folder / ".neurolab" / "manifest.json").write_text(broken, encoding="utf-8")
    course.publish("x = 2")
    assert course.start() == ["beside"]
    assert course.cells() == ["x = 99"]
    assert json.loads((course.folder / ".neurolab" / "manifest.json").read_text(encoding="utf-8"))
    assert course.start() == ["kept"]


def test_without_a_manifest_an_untouched_chapter_is_adopted(course):
    course.start()
    (course.folder / ".neurolab" / "manifest.json").unlink()
    assert course.start() == ["same"]
    course.publish("x = 2")
    assert course.start() == ["updated"]


@pytest.mark.parametrize("stop_at", range(1, 8))
def test_an_interrupted_upgrade_loses_nothing_and_is_finished_by_the_next(course, monkeypatch, stop_at):
    course.start()
    course.publish("x = 2")
    written = 0
    replace = os.replace

    def interrupted(source, target):
        nonlocal written
        written += 1
        if written == stop_at:
            raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(workspace.os, "replace", interrupted)
        try:
            course.start()
        except KeyboardInterrupt:
            assert not list(course.folder.rglob("*.part"))
    course.age(course.text, 60)  # as if the two halves had been written long apart
    course.start()
    assert course.cells() == course.cells("00_start.ipynb") == ["x = 2"]
    assert course.start() == ["same"]


ACTIONS = st.lists(
    st.sampled_from(["publish", "save", "outside", "delete text", "lose manifest"]), max_size=8
)


@settings(max_examples=40, deadline=None)
@given(actions=ACTIONS)
def test_whatever_happens_the_readers_last_edit_is_there(tmp_path_factory, actions):
    course = Course(tmp_path_factory.mktemp("course"))
    course.start()
    mine = None
    for number, action in enumerate(actions):
        if action == "publish":
            course.publish(f"course = {number}")
        elif action == "save":
            course.save(mine := f"mine = {number}")
        elif action == "outside":
            book = nbformat.read(course.notebook, as_version=4)
            book.cells[-1].source = mine = f"mine = {number}"
            nbformat.write(book, course.notebook)
            course.age(course.text, 60)
        elif action == "delete text":
            course.text.unlink()
        else:
            (course.folder / ".neurolab" / "manifest.json").unlink()
        course.start()
        if mine is not None:
            assert course.cells() == course.cells("00_start.ipynb") == [mine]
    published = (course.source / "00_start.md").read_text(encoding="utf-8")
    if mine is None:
        assert course.cells()[0] in published


def test_other_files_of_the_reader_are_left_alone(course):
    course.folder.mkdir()
    (course.folder / "notes.md").write_text("# mine\n", encoding="utf-8")
    course.start()
    assert (course.folder / "notes.md").read_text(encoding="utf-8") == "# mine\n"
    assert not (course.folder / "notes.ipynb").exists()


@pytest.mark.parametrize("folder", [NOTEBOOKS, ROOT])
def test_the_course_itself_is_no_readers_folder(folder):
    with pytest.raises(ValueError, match="is the course itself"):
        workspace.prepare(folder)


def test_bad_folders_are_named(course, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="is a file"):
        workspace.prepare(tmp_path / "file", course.source)
    with pytest.raises(ValueError, match="no chapters in"):
        workspace.prepare(tmp_path / "my-course", tmp_path)


def test_the_courses_own_chapters_can_be_delivered(tmp_path):
    names = sorted(path.stem for path in NOTEBOOKS.glob("*.md"))
    assert [delivery.chapter for delivery in workspace.prepare(tmp_path)] == names
    assert {delivery.what for delivery in workspace.prepare(tmp_path)} == {"same"}
