"""Pytest runs the chapters: `pytest --nbval-lax notebooks` executes every cell of notebooks/*.md.

nbval reads `.ipynb` only; the hook here feeds it what Jupytext makes of the text. Each chapter runs once, in
a fresh kernel with no network, and the book takes its outputs from this run.
"""

from pathlib import Path

import pytest
from hypothesis import settings

# Property tests try the same examples on every run, so that a red run can be repeated.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect a Markdown file as a notebook when nbval is on and the file has a Jupytext header."""
    option = parent.config.option
    if file_path.suffix != ".md" or not (option.nbval or option.nbval_lax):
        return None
    # Imported here: a run of the plain tests needs no Jupytext.
    from tests.chapters import MarkdownNotebook, is_notebook

    if not is_notebook(file_path):
        return None
    return MarkdownNotebook.from_parent(parent, path=file_path)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what each chapter cost."""
    rows = [
        dict(report.user_properties)["chapter"]
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        if "chapter" in dict(report.user_properties)
    ]
    if rows:
        terminalreporter.section("what each chapter cost")
        for row in rows:
            terminalreporter.write_line(row)
