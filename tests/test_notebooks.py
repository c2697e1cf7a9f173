"""Tests of the tests: a chapter that is wrong, slow, large or online turns the suite red."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from neurolab import chapters
from neurolab.paths import ROOT
from tests.chapters import limits

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

# A planted chapter
"""

ASK = 'urllib.request.urlopen("http://192.0.2.1/", timeout=2)'

PLANTED = {
    "00_good": ["import os", 'print(os.environ["NEUROLAB_STATIC"])'],
    "01_assert": ["x = 1", "assert x == 2"],
    "02_online": [f"import urllib.request\n{ASK}"],
    "03_online_in_silence": [f"import urllib.request\ntry:\n    {ASK}\nexcept OSError:\n    x = 0"],
    "04_name_asked_in_a_child": [
        "import subprocess, sys\n"
        'subprocess.run([sys.executable, "-c", "import socket; socket.getaddrinfo(\'example.org\', 80)"])'
    ],
    "05_slider": [
        "import numpy as np\nimport plotly.graph_objects as go\n"
        "from neurolab.explore import Explorer, Steps\n\n"
        "def compute(T):\n"
        "    if T == 3:\n"
        '        raise ArithmeticError("planted")\n'
        '    return {"y": np.arange(4.0) * T}\n\n'
        'Explorer(compute, lambda result: go.Figure(go.Scatter(y=result["y"], name="line")),\n'
        '         controls={"T": Steps(1, 4)}, changes={"line": {"y": "y"}},\n'
        '         describe=lambda result: "a line", caption="c", alt="a", title="t")'
    ],
    "06_stated": ["6 * 7"],
    "07_stated_wrong": ["6 * 8"],
}


def chapter(cells: list[str], expect: str | None = None) -> str:
    """Return a chapter's text; `expect` is the output that its last cell states."""
    fences = []
    for number, cell in enumerate(cells, start=1):
        stated = f':expect: "{expect}"\n\n' if expect and number == len(cells) else ""
        fences.append(f"\n```{{code-cell}} ipython3\n{stated}{cell}\n```\n")
    return HEADER + "".join(fences)


def run(folder: Path, **environment: str) -> tuple[int, dict[str, set[str]], str]:
    """Run nbval on a folder as `make notebooks` does.

    Returns the exit status, the outcomes by file ({"00_good.md": {"PASSED"}}), and what was printed.
    """
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "-c", str(ROOT / "pyproject.toml"), "-rA"]
    command += ["-p", "no:cacheprovider", "--color=no", "--rootdir", str(ROOT), "--nbval-lax", str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=300
    )
    printed = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    outcomes: dict[str, set[str]] = {}
    for outcome, name in re.findall(r"^(PASSED|FAILED|ERROR) \S*?([^/\s]+\.md)", printed, re.MULTILINE):
        outcomes.setdefault(name, set()).add(outcome)
    return done.returncode, outcomes, printed


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, set[str]], str]:
    """One run over all planted chapters."""
    folder = tmp_path_factory.mktemp("chapters")
    for name, cells in PLANTED.items():
        expect = "42" if "stated" in name else None
        (folder / f"{name}.md").write_text(chapter(cells, expect), encoding="utf-8")
    (folder / "08_no_header.md").write_text("# Text only\n", encoding="utf-8")
    (folder / "notes.md").write_text("# Not a chapter\n", encoding="utf-8")
    return run(folder)


@pytest.mark.parametrize("name", ["00_good", "06_stated"])
def test_a_good_chapter_passes(planted, name):
    _, outcomes, printed = planted
    assert outcomes[f"{name}.md"] == {"PASSED"}, printed
    assert f"{name}.md: " in printed.split("what each chapter cost")[1]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("01_assert", "AssertionError"),
        ("02_online", "192.0.2.1: the course runs with no network"),
        ("03_online_in_silence", "03_online_in_silence.md asked the network for 192.0.2.1"),
        ("04_name_asked_in_a_child", "04_name_asked_in_a_child.md asked the network for example.org"),
        ("05_slider", "ArithmeticError: planted"),
        ("07_stated_wrong", "and it shows"),
        ("08_no_header", "has no code cell"),
    ],
)
def test_a_planted_fault_turns_the_suite_red(planted, name, message):
    status, outcomes, printed = planted
    assert status == 1
    assert "FAILED" in outcomes[f"{name}.md"], printed
    assert message in printed


def test_text_that_is_no_chapter_is_left_alone(planted):
    assert "notes.md" not in planted[1]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("NEUROLAB_SECONDS", "0.01", "a chapter has 0.01 s"), ("NEUROLAB_MIB", "8", "a chapter has 8 MiB")],
)
def test_a_chapter_past_its_limits_fails(tmp_path, name, value, message):
    (tmp_path / "00_long.md").write_text(chapter(["sum(range(10**6))"]), encoding="utf-8")
    status, _, printed = run(tmp_path, **{name: value})
    assert status == 1
    assert message in printed


def test_the_limits_are_those_of_the_course():
    seconds, mebibytes = limits()
    assert 60 <= seconds <= 120
    assert mebibytes == 2048


def test_what_the_tests_kept_the_book_does_not_run_again(tmp_path):
    page = tmp_path / "00_kept.md"
    page.write_text(chapter(["x = 2\n", '# a comment\nprint("by a new run")', "\n\nx"]), encoding="utf-8")
    shown = nbformat.v4.new_output("stream", text="by the kept run\n")
    chapters.keep(page, [[], [shown], []], 1.5, cache=tmp_path / "cache")
    book = chapters.executed(page, cache=tmp_path / "cache")
    assert [cell.outputs for cell in book.cells if cell.cell_type == "code"] == [[], [shown], []]
    page.write_text(chapter(["x = 3", 'print("by a new run")']), encoding="utf-8")
    book = chapters.executed(page, cache=tmp_path / "cache")
    assert book.cells[-1].outputs[0].text == "by a new run\n"


def test_keeping_needs_every_cell(tmp_path):
    page = tmp_path / "00_kept.md"
    page.write_text(chapter(["1", "2"]), encoding="utf-8")
    with pytest.raises(ValueError, match="1 lists for the 2 code cells"):
        chapters.keep(page, [[]], 1.0, cache=tmp_path / "cache")
