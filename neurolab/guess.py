"""A guess before the answer: the reader commits to one, and sees it again beside the measurement.

In JupyterLab it is a set of ipywidgets, kept in ``guesses.json`` in the reader's folder. In the static book
the same object is plain HTML with a few lines of script, kept in the browser's localStorage, with no kernel.
"""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from neurolab import guess_page
from neurolab.paths import reader_folder, static

Answer = float | str


def _file() -> Path:
    return reader_folder() / "guesses.json"


def kept() -> dict[str, Any]:
    """All guesses kept so far: name -> number, text, or None where the reader skipped."""
    path = _file()
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path} is no JSON ({error}); repair or delete it, your guesses are all it holds"
        ) from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds a {type(found).__name__}, not a dictionary; repair or delete it")
    return found


def _keep(name: str, answer: Answer | None) -> None:
    """Write one guess; a crash leaves the old file or the new one, never half of one."""
    path, guesses = _file(), {**kept(), name: answer}
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".json")
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        json.dump(guesses, out, ensure_ascii=False, indent=1)
    os.replace(temporary, path)


class Guess:
    """One question that the reader answers by a guess, or skips.

    name: ``chapter_word.question``.  question: plain text.
    choices: at least two different texts; or low, high, step, unit: a number in [low, high].
    Raises ValueError for anything else. Show it as the last line of a cell; `reveal` later.
    """

    def __init__(
        self,
        name: str,
        question: str,
        choices: Sequence[str] | None = None,
        *,
        low: float | None = None,
        high: float | None = None,
        step: float | None = None,
        unit: str = "",
    ) -> None:
        if not re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)+", name):
            raise ValueError(f"name is {name!r}; it must be dotted and lower case, like 'start.bits'")
        self.name, self.question, self.unit = name, question, unit
        self.choices = list(choices) if choices is not None else None
        self.low, self.high, self.step = low, high, step
        if self.choices is not None:
            if len(set(self.choices)) < 2 or len(set(self.choices)) != len(self.choices):
                raise ValueError(
                    f"{name}: choices is {self.choices}; at least two, all different, are needed"
                )
            if any(bound is not None for bound in (low, high, step)):
                raise ValueError(f"{name}: give choices, or low, high and step; not both")
        elif low is None or high is None or step is None or not low < high or not 0 < step <= high - low:
            raise ValueError(
                f"{name}: low, high, step are {low}, {high}, {step}; low < high and 0 < step are needed"
            )
        self._watching: list[Callable[[], None]] = []

    @property
    def done(self) -> bool:
        """Whether the reader has guessed or skipped."""
        return self.name in kept()

    @property
    def answer(self) -> Answer | None:
        """The guess; None when there is none (yet) or it was skipped."""
        return kept().get(self.name)

    def commit(self, answer: Answer) -> None:
        """Keep a guess. ValueError where it is none of the choices, or no number in the range."""
        if self.choices is not None:
            if answer not in self.choices:
                raise ValueError(f"answer is {answer!r}; the choices are {', '.join(self.choices)}")
            _keep(self.name, answer)
        else:
            number = float(answer)
            if not math.isfinite(number) or not (self.low or 0.0) <= number <= (self.high or 0.0):
                raise ValueError(
                    f"answer is {answer!r}; a number from {self.low:g} to {self.high:g} is asked for"
                )
            _keep(self.name, number)
        self._tell()

    def skip(self) -> None:
        """Go on without a guess."""
        _keep(self.name, None)
        self._tell()

    def _tell(self) -> None:
        for told in self._watching:
            told()

    def said(self) -> str:
        """What the reader guessed, in words."""
        if not self.done:
            return "no guess yet"
        answer = self.answer
        if answer is None:
            return "you skipped this one"
        return f"you guessed {self.words(answer)}"

    def words(self, value: Answer) -> str:
        """A value with its unit."""
        return value if isinstance(value, str) else f"{value:.4g}{' ' + self.unit if self.unit else ''}"

    def compare(self, value: Answer) -> str:
        """Guess beside measurement, in a sentence."""
        guess, text = self.answer, f"Measured: {self.words(value)}; {self.said()}."
        if guess is None or isinstance(value, str) or isinstance(guess, str):
            return text + (" That was right." if guess is not None and guess == value else "")
        off = abs(guess - value)
        return text + (f" Off by {self.words(off)}." if off > 0 else " Exactly.")

    def reveal(self, value: Any, note: str = "") -> Any:
        """The measured value beside the guess: locked until the reader has guessed or skipped.

        value: a finite number, or one of the choices.  note: a sentence shown with it.
        """
        if self.choices is not None:
            if value not in self.choices:
                raise ValueError(f"value is {value!r}; the choices are {', '.join(self.choices)}")
        else:
            value = float(value)
            if not math.isfinite(value):
                raise ValueError(f"value is {value}; a measured number is finite")
        return Revealed(self, value, note)

    def __repr__(self) -> str:
        return f"Your guess: {self.question} ({self.said()})"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        if static():
            return {"text/plain": repr(self), "text/html": guess_page.ask(self)}
        return self._widget()._repr_mimebundle_()

    def _widget(self) -> Any:
        import ipywidgets as w

        head = w.HTML(f"<strong>Your guess</strong>: {escape(self.question)}")
        entry: Any
        if self.choices is not None:
            entry = w.RadioButtons(options=self.choices, description="Guess", layout={"width": "auto"})
        else:
            middle = (self.low or 0.0) + round(
                ((self.high or 0.0) - (self.low or 0.0)) / 2 / (self.step or 1)
            ) * (self.step or 1)
            entry = w.BoundedFloatText(
                value=middle, min=self.low, max=self.high, step=self.step, description=self.unit or "Guess"
            )
        keep, skip, said = w.Button(description="Keep my guess"), w.Button(description="Skip"), w.HTML()
        if self.answer is not None:
            entry.value = self.answer

        def show() -> None:
            said.value = (
                f'<span role="status">{escape(self.said().capitalize())}.</span>' if self.done else ""
            )

        keep.on_click(lambda _: self.commit(entry.value))
        skip.on_click(lambda _: self.skip())
        self._watching.append(show)
        show()
        return w.VBox([head, entry, w.HBox([keep, skip]), said])


class Revealed:
    """What `Guess.reveal` shows."""

    def __init__(self, guess: Guess, value: Answer, note: str) -> None:
        self.guess, self.value, self.note = guess, value, note

    def __repr__(self) -> str:
        if not self.guess.done:
            return f"Guess first (or skip): {self.guess.question}"
        return f"{self.guess.compare(self.value)} {self.note}".strip()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        if static():
            return {"text/plain": repr(self), "text/html": guess_page.answer(self)}
        import ipywidgets as w

        shown = w.HTML()

        def show() -> None:
            shown.value = f'<div role="status">{escape(repr(self))}</div>'

        self.guess._watching.append(show)
        show()
        return shown._repr_mimebundle_()
