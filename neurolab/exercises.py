"""Exercises that judge the reader's own code.

`check` runs the reader's function on random and on edge inputs beside the reference and compares every
answer. A wrong function is recognised by what it does: where it answers like one of the planted mistakes on
all inputs, the reader gets the hint that fits; otherwise the smallest input on which it fails.
Chapters register their exercises in ``neurolab/solutions/<first part of the name>.py``; `check` imports that
module when it needs it. How messages look is in `exercise_cards`.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import pkgutil
import random
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurolab import exercise_cards as cards
from neurolab.exercise_runs import Outcome, alike, call, fresh, size_of, text_of
from neurolab.paths import static

Cases = Callable[[np.random.Generator], Sequence[tuple[tuple[Any, ...], dict[str, Any]]]]


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that readers give. wrong: a function (or value) that answers so.  hint: what helps."""

    wrong: Any
    hint: str


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    name: ``chapter_word.exercise``; the first part names the solutions module.  chapter: 0..8.
    minutes: of a reader's work.  difficulty: easy | medium | hard.  task: Markdown, one paragraph.
    reference: the right function, or the right value where the exercise asks for a value.
    stub: the source that the reader starts from; it must fail.
    cases: ``rng -> [(args, kwargs), ...]``, edge inputs included (not needed for a value).
    same: ``(got, want) -> bool | None``, default `exercise_runs.alike` (tight: 1e-5 relative, shapes equal).
    mistakes: at least three.  hints: from a nudge to nearly the answer.
    answer: source shown as the solution, default that of `reference`.
    seconds: how long one call may take.
    """

    name: str
    chapter: int
    minutes: int
    difficulty: str
    task: str
    reference: Any
    stub: str
    cases: Cases | None = None
    same: Callable[[Any, Any], bool | None] = alike
    mistakes: Sequence[Mistake] = ()
    hints: Sequence[str] = ()
    answer: str | None = None
    seconds: float = 5.0

    def __post_init__(self) -> None:
        if "." not in self.name:
            raise ValueError(f"name is {self.name!r}; it must be 'module.exercise'")
        if self.difficulty not in ("easy", "medium", "hard"):
            raise ValueError(
                f"{self.name}: difficulty is {self.difficulty!r}; allowed are easy, medium, hard"
            )
        if self.minutes < 1 or self.chapter not in range(9):
            raise ValueError(
                f"{self.name}: minutes is {self.minutes}, chapter {self.chapter}; 1.., 0..8 allowed"
            )
        if len(self.mistakes) < 3 or not self.hints:
            raise ValueError(
                f"{self.name}: has {len(self.mistakes)} mistakes, {len(self.hints)} hints; 3 and 1 needed"
            )
        if callable(self.reference) and self.cases is None:
            raise ValueError(f"{self.name}: cases is missing; a function is judged on inputs")

    def inputs(self) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
        """The cases, the same on every machine."""
        return list(self.cases(np.random.default_rng(20260109))) if self.cases else []

    def source(self) -> str:
        """The solution's source."""
        if self.answer is not None:
            return self.answer
        return (
            textwrap.dedent(inspect.getsource(self.reference))
            if callable(self.reference)
            else repr(self.reference)
        )


@dataclass(frozen=True)
class Result:
    """What `check` found. status: passed | wrong | not yet | error.  True in an `if` when passed."""

    name: str
    status: str
    message: str

    @property
    def passed(self) -> bool:
        """Whether every case was answered right."""
        return self.status == "passed"

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return f"[{self.status}] {self.name}: {self.message}"

    def _repr_html_(self) -> str:
        return cards.result(self.name, self.status, self.message)


_known: dict[str, Exercise] = {}
_hints_shown: dict[str, int] = {}


def register(exercise: Exercise) -> Exercise:
    """Make an exercise known; the same name again replaces it (a notebook's module may be reloaded)."""
    _known[exercise.name] = exercise
    return exercise


def get(name: str) -> Exercise:
    """The exercise of that name. ValueError with the names there are, for any other."""
    module = name.split(".")[0]
    if name not in _known and module in _modules():
        importlib.import_module(f"neurolab.solutions.{module}")
    if name not in _known:
        near = sorted(item for item in _known if item.split(".")[0] == module) or _modules()
        raise ValueError(f"there is no exercise {name!r}; there are {', '.join(near) or 'none yet'}")
    return _known[name]


def exercises() -> list[Exercise]:
    """All exercises of all chapters, by chapter and name."""
    for module in _modules():
        importlib.import_module(f"neurolab.solutions.{module}")
    return sorted(_known.values(), key=lambda item: (item.chapter, item.name))


def _modules() -> list[str]:
    import neurolab.solutions

    return sorted(item.name for item in pkgutil.iter_modules(neurolab.solutions.__path__))


def check(name: str, thing: Any) -> Result:
    """Judge the reader's function (or value). Never raises on what the reader's code does.

    ValueError only for a name that is no exercise.
    """
    exercise = get(name)
    if thing is None or thing is ...:
        return Result(name, "not yet", "Nothing to check yet: put your own code in place of the dots.")
    if not callable(exercise.reference):
        return _check_value(exercise, thing)
    if not callable(thing):
        return Result(
            name, "wrong", f"Hand over the function itself, without calling it; this is {text_of(thing)}."
        )
    inputs = exercise.inputs()
    got = _answers(exercise, thing, inputs, stop_early=True)
    if got[0].empty:
        return Result(
            name, "not yet", "The function gives nothing back yet: write its body, then check again."
        )
    want = _answers(exercise, exercise.reference, inputs)
    wrong = [i for i in range(len(got)) if not _same(exercise, got[i], want[i])]
    if not wrong:
        return Result(name, "passed", f"Right on all {len(inputs)} inputs, the edge cases among them.")
    if (hint := _recognise(exercise, got, inputs)) is not None:
        return Result(name, "wrong", hint)
    return _smallest_failure(exercise, got, want, wrong, inputs)


def _check_value(exercise: Exercise, thing: Any) -> Result:
    got = Outcome(value=thing)
    if _same(exercise, got, Outcome(value=exercise.reference)):
        return Result(exercise.name, "passed", f"{text_of(thing)} is right.")
    for mistake in exercise.mistakes:
        if _same(exercise, got, Outcome(value=mistake.wrong)):
            return Result(exercise.name, "wrong", mistake.hint)
    return Result(exercise.name, "wrong", f"{text_of(thing)} is not it. hint({exercise.name!r}) helps on.")


def _answers(exercise: Exercise, function: Any, inputs: list[Any], stop_early: bool = False) -> list[Outcome]:
    """What `function` gives for each input.

    Every call gets fresh copies and the same random state, so that nothing that one call changes reaches
    another. With `stop_early`, one call that ran out of time ends it.
    """
    outcomes: list[Outcome] = []
    for number, (args, kwargs) in enumerate(inputs):
        _seed(number)
        outcomes.append(call(function, fresh(args), fresh(kwargs), exercise.seconds))
        if stop_early and outcomes[-1].late:
            break
    return outcomes


def _seed(number: int) -> None:
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002 - the reader's code may use it
    try:
        import torch
    except ImportError:
        return
    torch.manual_seed(number)


def _same(exercise: Exercise, got: Outcome, want: Outcome) -> bool:
    """Whether two outcomes agree; errors agree where they are of one type."""
    if got.error is not None or want.error is not None:
        return type(got.error) is type(want.error)
    try:
        verdict = exercise.same(copy.deepcopy(got.value), want.value)
        return alike(got.value, want.value) if verdict is None else bool(verdict)
    except (
        Exception
    ):  # the comparison meets whatever the reader's function gave back; not comparable is not equal
        return False


def _recognise(exercise: Exercise, got: list[Outcome], inputs: list[Any]) -> str | None:
    """The hint of the first mistake that answers like the reader's function on every input."""
    for mistake in exercise.mistakes:
        planted = _answers(exercise, mistake.wrong, inputs[: len(got)])
        if all(_same(exercise, g, p) for g, p in zip(got, planted, strict=True)):
            return mistake.hint
    return None


def _smallest_failure(
    exercise: Exercise, got: list[Outcome], want: list[Outcome], wrong: list[int], inputs: list[Any]
) -> Result:
    first = min(wrong, key=lambda i: (size_of(inputs[i]), i))
    args, kwargs = inputs[first]
    shown = ", ".join([text_of(a) for a in args] + [f"{k}={text_of(v)}" for k, v in kwargs.items()])
    outcome = got[first]
    if outcome.late:
        message = (
            f"Your function did not come back within {exercise.seconds:g} s for the input ({shown}). "
            "Is there a loop that never ends?"
        )
        return Result(exercise.name, "error", message)
    if outcome.error is not None:
        where = f", line {outcome.line} of your function" if outcome.line else ""
        what = f"{type(outcome.error).__name__}: {outcome.error}"
        return Result(
            exercise.name, "error", f"Your function stopped with {what}{where}, for the input ({shown})."
        )
    error = want[first].error
    wanted = text_of(want[first].value) if error is None else f"a {type(error).__name__}"
    message = f"Wrong on {len(wrong)} of {len(got)} inputs. For the input ({shown}) it gave "
    message += f"{text_of(outcome.value)}, expected is {wanted}. hint({exercise.name!r}) helps on."
    return Result(exercise.name, "wrong", message)


def hint(name: str) -> cards.Card:
    """The next hint; after the last one it starts again. In the static book all of them, folded."""
    exercise = get(name)
    if static():
        return cards.folded([(f"Hint {i}", text) for i, text in enumerate(exercise.hints, 1)])
    number = _hints_shown.get(name, 0) % len(exercise.hints)
    _hints_shown[name] = number + 1
    return cards.note(f"Hint {number + 1} of {len(exercise.hints)}", exercise.hints[number])


def solution(name: str) -> cards.Card:
    """The reference's source, folded: one click (or this call) away."""
    return cards.folded([("Solution", get(name).source())], code=True)


def task(name: str) -> cards.Card:
    """The exercise's head for the text: task, minutes, difficulty, with hints and solution folded."""
    exercise = get(name)
    return cards.task(
        exercise, [(f"Hint {i}", text) for i, text in enumerate(exercise.hints, 1)], exercise.source()
    )
