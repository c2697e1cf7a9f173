"""The capstone of chapter 8: a budget in bytes, right answers and speed, and the file that must keep it.

What counts is one file on a disk. It is read back by chapter 5's reader, becomes a graph of chapter 7 in the
precision that the reader names, and is measured there: its bytes, the questions it answers rightly, and how
fast a token is beside the assistant's own floats in the same runtime. Nothing else of the reader's is looked
at, so whatever leads to such a file is a way.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

from neurolab import assistant, compressed, export, facts
from neurolab.benchmark import fastest, middle, quiet
from neurolab.compressed_reader import CompressedError
from neurolab.exercise_cards import box, prose
from neurolab.export import speed
from neurolab.export.decoder import Step
from neurolab.facts import Question
from neurolab.paths import DATA
from neurolab.tokens import exact_match
from neurolab.transformer import Config

ASKED = 500
PRECISIONS = ("fp32", "int8", "int8_static", "int4", "int4_unpacked")
"""What the graph may be made of, of chapter 7's: the file is the same for all."""


@dataclass(frozen=True)
class Budget:
    """What a file may cost and must do.

    bytes: at most, without the tokenizer, which is everyone's.  right: share of `ASKED` held-out questions,
    at least.  speed: times as fast as the assistant's floats, at least (a token, in ONNX Runtime).
    ValueError for what no file could be asked for.
    """

    bytes: int
    right: float
    speed: float

    def __post_init__(self) -> None:
        if self.bytes < 1 or not 0 <= self.right <= 1 or self.speed <= 0:
            raise ValueError(
                f"bytes {self.bytes}, right {self.right}, speed {self.speed}: needs >= 1, 0 to 1, > 0"
            )


HAND_LUGGAGE = Budget(bytes=600_000, right=0.97, speed=0.8)
"""A minute's work is enough. Not slower than the floats: the fifth below that is for noise."""
EIGHT_BITS = 1_480_673
"""Bytes of the 8-bit file, the row export.runtime of ONNX Runtime; a test holds the two together."""
THE_ARTICLE_S = Budget(bytes=EIGHT_BITS // 5, right=0.968, speed=2.4)
"""A fifth of the 8-bit file, three points below the assistant, 2.4 times as fast as floats."""


@dataclass(frozen=True)
class Measured:
    """A file as it was found. speed: median of pairs, with an interval."""

    bytes: int
    right: float
    speed: float
    low: float
    high: float


@lru_cache(maxsize=1)
def sample() -> tuple[Question, ...]:
    """The questions that are asked: of the held-out ones, at even distances."""
    all_of_them = facts.split("held_out")
    return tuple(all_of_them[i * len(all_of_them) // ASKED] for i in range(ASKED))


@lru_cache(maxsize=1)
def _ours() -> frozenset[str]:
    """The hashes of the course's own files."""
    return frozenset(
        hashlib.sha256(path.read_bytes()).hexdigest() for path in (DATA / "compressed").glob("*.nlab")
    )


def measure(path: Path | str, precision: str = "fp32", pairs: int = 21) -> Measured:
    """Read the file, run it as a graph of this precision, and measure; see the module's text.

    ValueError for a precision of none of PRECISIONS, for a file that is one of the course's own or no
    assistant (CompressedError: missing, truncated, changed).
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; it must be one of {', '.join(PRECISIONS)}")
    path = Path(path)
    loaded = compressed.load(path)
    helper = assistant.load()
    model = loaded.model().eval()
    if model.config.vocabulary != helper.model.config.vocabulary:
        raise ValueError(
            f"{path.name}: {model.config.vocabulary} words; the assistant's tokenizer has others"
        )
    size = path.stat().st_size - loaded.sections.get("tokenizer", 0)
    with tempfile.TemporaryDirectory() as folder:
        made, floats = Path(folder) / "made", Path(folder) / "floats"
        export.export("onnx", precision, made, assistant=replace(helper, model=model))
        export.export("onnx", "fp32", floats, assistant=helper)
        mine, theirs = export.open_session(made), export.open_session(floats)
        # The clock comes first: after large batches a session's memory lies elsewhere, and a token takes
        # a tenth longer.
        found = faster(mine.run, model.config, theirs.run, helper.model.config, pairs)
        said = mine.answers([q.text for q in sample()])
    right = sum(exact_match(a, q.answer) for a, q in zip(said, sample(), strict=True)) / ASKED
    return Measured(size, right, *found)


def faster(
    this: Step, config: Config, other: Step, other_config: Config, pairs: int = 21, calls: int = 20
) -> tuple[float, float, float]:
    """How many times faster a token is by `this`: median of the pairs and its interval.

    In turns, whoever went second going first next; of `calls` calls the fastest counts, for a token is
    shorter than what a scheduler hands out. Each pair has inputs of its own: where they happen to lie in
    memory can make a tenth (Mytkowicz et al., 2009).
    """
    ratios = []
    with quiet():
        for pair in range(pairs + 1):
            a, b = speed.call(this, config, "step"), speed.call(other, other_config, "step")
            times = {run: fastest(run, calls) for run in ((a, b) if pair % 2 else (b, a))}
            ratios.append(times[b] / times[a])
    return middle(ratios[1:])  # the first pair warmed up


SIGN = {True: "\u2713", False: "\u2717"}


@dataclass(frozen=True)
class Report:
    """What `check` shows. status: passed | wrong | not yet | error."""

    status: str
    message: str
    lines: tuple[tuple[str, str, str, bool], ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the whole budget is kept."""
        return self.status == "passed"

    def __repr__(self) -> str:
        parts = [f"[{self.status}] {self.message}"]
        parts += [
            f"  {'kept ' if ok else 'over '} {name}: {got} (budget {want})"
            for name, got, want, ok in self.lines
        ]
        return "\n".join(parts)

    def _repr_html_(self) -> str:
        edge = {"passed": "#009E73", "not yet": "#0072B2"}.get(self.status, "#D55E00")
        head = {"passed": "\u2713 Within the budget", "not yet": "\u25cb Not yet"}.get(
            self.status, "\u2717 Not within the budget"
        )
        rows = "".join(
            f"<tr><td>{SIGN[ok]} {escape(name)}</td><td>{escape(got)}</td><td>{escape(want)}</td></tr>"
            for name, got, want, ok in self.lines
        )
        table = (
            "<table><thead><tr><th></th><th>your file</th><th>budget</th></tr></thead>"
            f"<tbody>{rows}</tbody></table>"
        )
        return f'<div role="status">{box(head, (table if rows else "") + prose(self.message), edge)}</div>'


def check(build: Callable[[Path], Any], budget: Budget = HAND_LUGGAGE) -> Report:
    """Let the reader's function write its file, measure the file, and hold it against the budget.

    build(path): writes one file to `path` and gives back the precision in which it is to run. Never raises on
    what it does.
    """
    if build is None or build is ... or not callable(build):
        return Report("not yet", "Hand over the function itself.")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.nlab"
        try:
            precision = build(path)
        except Exception as error:  # whatever the reader's code raises, the reader must see
            return Report("error", f"Your function stopped: `{type(error).__name__}: {error}`")
        if precision is None and not path.exists():
            return Report("not yet", "Nothing to measure yet: write a file to `path`.")
        if not path.is_file():
            return Report(
                "wrong", "There is no file at `path`: `compressed.save(path, tensors, config=...)`."
            )
        if hashlib.sha256(path.read_bytes()).hexdigest() in _ours():
            return Report("wrong", "That file is one of the course's. It keeps many a budget; make your own.")
        try:
            found = measure(path, "fp32" if precision is None else precision)
        except (CompressedError, ValueError) as error:
            return Report("wrong", f"The file can't be used: {error}")
    return judged(found, budget)


def judged(found: Measured, budget: Budget) -> Report:
    """The report on a measured file."""
    lines = (
        ("bytes", f"{found.bytes:,}", f"at most {budget.bytes:,}", found.bytes <= budget.bytes),
        ("right", f"{found.right:.1%}", f"at least {budget.right:.1%}", found.right >= budget.right),
        (
            "speed of a token",
            f"{found.speed:.2f} times the floats' ({found.low:.2f} to {found.high:.2f})",
            f"at least {budget.speed:g}",
            found.speed >= budget.speed,
        ),
    )
    over = [name for name, _, _, ok in lines if not ok]
    if not over:
        return Report("passed", "Measured on your file, on this machine. How much is left over?", lines)
    advice = {
        "bytes": "Bytes: fewer levels, more zeros, fewer steps, or fewer weights (chapters 4 and 5).",
        "right": "Right answers: spend bits where they count, make errors good, or train a little.",
        "speed of a token": "Speed: a token takes as long as its kernel and its layers (chapters 5 and 7).",
    }
    return Report("wrong", "\n\n".join(advice[name] for name in over), lines)
