"""Where a command prints: results to standard output, everything else to standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


def say(line: str) -> None:
    """Print a line of progress to standard error, so that standard output holds results only."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def stdout_as_stderr() -> Iterator[None]:
    """Send what a suite, or a program that it starts, prints to standard error: the output is for results."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
