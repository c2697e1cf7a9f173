"""All exercises of the course are walked here: stub, reference, planted mistakes. Then the checker itself."""

import re
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from neurolab import exercises
from neurolab.exercise_runs import alike, call, fresh, size_of, text_of
from neurolab.exercises import Exercise, Mistake, check, hint, register, solution, task
from neurolab.paths import NOTEBOOKS

ALL = exercises.exercises()


def each():
    return pytest.mark.parametrize("exercise", ALL, ids=[item.name for item in ALL])


def from_stub(exercise):
    """What the stub leaves in the reader's notebook: its last name."""
    space = {"np": np, "torch": torch}
    before = set(space)
    exec(exercise.stub, space)
    return space[[name for name in space if name not in before and name != "__builtins__"][-1]]


@each()
def test_the_stub_is_not_the_answer(exercise):
    assert check(exercise.name, from_stub(exercise)).status == "not yet"


@each()
def test_the_reference_passes(exercise):
    result = check(exercise.name, exercise.reference)
    assert result.passed, result


@each()
def test_every_planted_mistake_gets_its_own_hint(exercise):
    hints = [mistake.hint for mistake in exercise.mistakes]
    assert len(set(hints)) == len(hints) >= 3
    for mistake in exercise.mistakes:
        result = check(exercise.name, mistake.wrong)
        assert (result.passed, result.message) == (False, mistake.hint)


@each()
def test_another_wrong_answer_gets_a_message_with_a_case(exercise):
    wrong = (lambda *args, **kwargs: "nonsense") if callable(exercise.reference) else "nonsense"
    result = check(exercise.name, wrong)
    assert result.status == "wrong"
    assert "nonsense" in result.message


@each()
def test_what_the_reader_is_told_is_there(exercise):
    assert exercise.task.strip()
    assert "def " in exercise.source() or not callable(exercise.reference)
    shown = task(exercise.name)
    assert f"({exercise.minutes} min, {exercise.difficulty})" in shown.html
    assert shown.html.count("<details") == len(exercise.hints) + 1
    assert not re.search(r"<details[^>]*\sopen", shown.html)


@each()
def test_the_chapter_asks_for_it(exercise):
    text = "".join(
        path.read_text(encoding="utf-8") for path in NOTEBOOKS.glob(f"{exercise.chapter:02d}_*.md")
    )
    assert not text or f'check("{exercise.name}"' in text


# The checker


def doubled(x):
    return x * 2


@pytest.fixture
def double():
    """An exercise: double the input."""
    made = Exercise(
        name="trial.double",
        chapter=0,
        minutes=2,
        difficulty="easy",
        task="Double `x`.",
        reference=doubled,
        stub="def double(x):\n    ...\n",
        cases=lambda rng: [((rng.normal(size=(3, 2)),), {}), ((0.0,), {}), ((-1.5,), {}), ((7.0,), {})],
        mistakes=[
            Mistake(lambda x: x + 2, "Adding is not doubling."),
            Mistake(lambda x: x**2, "That squares."),
            Mistake(lambda x: abs(x) * 2, "Keep the sign."),
        ],
        hints=["Twice.", "Times two."],
        seconds=30.0,
    )
    register(made)
    yield made
    del exercises._known["trial.double"]


@pytest.mark.usefixtures("double")
class TestCheck:
    def test_right(self):
        assert check("trial.double", lambda x: x + x).passed
        assert bool(check("trial.double", lambda x: 2 * x))

    def test_nearly_right_is_wrong(self):
        assert not check("trial.double", lambda x: 2.001 * x).passed

    def test_a_mistake_is_recognised_by_what_it_does(self):
        assert check("trial.double", lambda x: x * x).message == "That squares."
        assert check("trial.double", lambda x: (x * x) ** 0.5 * 2).message == "Keep the sign."

    def test_otherwise_the_smallest_failing_case_is_shown(self):
        result = check("trial.double", lambda x: x * 2 if np.ndim(x) else x * 3)
        assert result.status == "wrong"
        assert "For the input (-1.5) it gave -4.5, expected is -3" in result.message

    @pytest.mark.parametrize("stub", [lambda x: None, lambda x: ..., None, ..., pytest.fail.Exception])
    def test_a_stub_is_not_yet(self, stub):
        def raises(x):
            raise NotImplementedError

        stub = raises if stub is pytest.fail.Exception else stub
        assert check("trial.double", stub).status == "not yet"

    def test_an_exception_is_told_with_its_line(self):
        def spread(x):
            return 1 / 0 if np.ndim(x) == 0 else 2 * x

        result = check("trial.double", spread)
        assert result.status == "error"
        assert (
            "ZeroDivisionError: division by zero, line 2 of your function, for the input (0)"
            in result.message
        )

    def test_an_endless_loop_is_broken_off(self, double):
        register(replace(double, seconds=0.3))

        def endless(x):
            while True:
                pass

        def stubborn(x):
            while True:
                try:
                    time.sleep(0.01)
                except Exception:
                    continue

        for function in (endless, stubborn):
            start = time.monotonic()
            result = check("trial.double", function)
            assert "did not come back within 0.3 s" in result.message
            assert time.monotonic() - start < 60

    def test_leaving_python_is_caught(self):
        assert "SystemExit" in check("trial.double", lambda x: exit()).message

    def test_endless_recursion_is_caught(self):
        def again(x):
            return again(x)

        assert "RecursionError" in check("trial.double", again).message

    def test_a_function_that_spoils_its_input_does_not_spoil_the_next(self):
        def spoils(x):
            if np.ndim(x):
                x *= 2
                return x
            return 2 * x

        assert check("trial.double", spoils).passed
        assert check("trial.double", doubled).passed

    def test_a_call_instead_of_the_function(self):
        assert "the function itself" in check("trial.double", 3).message

    def test_an_answer_that_cannot_be_compared_or_printed(self):
        class Odd:
            def __repr__(self):
                raise RuntimeError("no")

            def __eq__(self, other):
                raise RuntimeError("no")

            __hash__ = None

        assert "can't be printed" in check("trial.double", lambda x: Odd()).message

    def test_wrong_arguments(self):
        assert "TypeError" in check("trial.double", lambda: 1).message

    def test_hints_come_one_by_one(self):
        assert [repr(hint("trial.double"))[:16] for _ in range(3)] == [
            "Hint 1 of 2: Twi",
            "Hint 2 of 2: Tim",
            "Hint 1 of 2: Twi",
        ]

    def test_in_the_book_all_hints_are_folded(self, monkeypatch):
        monkeypatch.setenv("NEUROLAB_STATIC", "1")
        assert hint("trial.double").html.count("<details") == 2

    def test_the_solution_is_folded_and_printable(self):
        shown = solution("trial.double")
        assert "return x * 2" in repr(shown)
        assert "<details" in shown.html

    def test_a_result_is_told_without_colour(self):
        right, wrong = check("trial.double", doubled), check("trial.double", lambda x: x)
        assert "Right" in right._repr_html_()
        assert "Not yet right" in wrong._repr_html_()
        assert repr(right).startswith("[passed] trial.double: Right on all 4 inputs")

    def test_messages_are_escaped(self):
        assert "<script>" not in check("trial.double", lambda x: "<script>")._repr_html_()


def test_a_value_is_judged_too():
    name = "trial.value"
    register(
        Exercise(
            name=name,
            chapter=0,
            minutes=1,
            difficulty="easy",
            task="How many?",
            reference=1.6,
            stub="bits = ...\n",
            mistakes=[Mistake(0.2, "That is bytes."), Mistake(16.0, "Too many."), Mistake(0.16, "Too few.")],
            hints=["Divide."],
        )
    )
    try:
        assert check(name, 1.6).passed
        assert check(name, 0.2).message == "That is bytes."
        assert check(name, 7).status == "wrong"
        assert check(name, ...).status == "not yet"
        assert check(name, "1.6").status == "wrong"
    finally:
        del exercises._known[name]


def test_an_unknown_exercise_is_named():
    with pytest.raises(ValueError, match=r"there is no exercise 'nowhere\.nothing'"):
        check("nowhere.nothing", 1)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "x"},
        {"difficulty": "easily"},
        {"minutes": 0},
        {"mistakes": []},
        {"hints": []},
        {"cases": None},
    ],
)
def test_a_poor_exercise_is_refused(double, change):
    fields = {name: getattr(double, name) for name in Exercise.__dataclass_fields__}
    with pytest.raises(ValueError, match=r"is|has"):
        Exercise(**{**fields, **change})


@pytest.mark.parametrize(
    ("got", "want", "same"),
    [
        (1.0, 1, True),
        (np.float32(0.1), 0.1, True),
        (torch.ones(2), np.ones(2), True),
        (torch.ones(2), np.ones((2, 1)), False),
        (torch.ones(2, dtype=torch.bfloat16), torch.ones(2), True),
        (float("nan"), float("nan"), True),
        (1.0, 1.001, False),
        (3, 4, False),
        (True, 1, True),
        ("a", "a", True),
        ("1", 1, False),
        ([1, 2.0], (1, 2), True),
        ([1], [1, 2], False),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 1}, {"b": 1}, False),
        (None, 1, False),
        (np.array(["a"]), np.array([1]), False),
    ],
)
def test_alike(got, want, same):
    assert alike(got, want) is same


def test_copies_are_fresh_for_generators_too():
    generator = torch.Generator().manual_seed(3)
    copied = fresh((generator, [generator], {"a": np.zeros(2)}))
    assert torch.equal(torch.rand(3, generator=copied[0]), torch.rand(3, generator=copied[1][0]))
    assert torch.equal(
        torch.rand(3, generator=generator),
        torch.rand(3, generator=fresh((torch.Generator().manual_seed(3),))[0]),
    )


def test_random_functions_see_the_same_dice():
    outcome = call(lambda: torch.rand(2), (), {}, 5.0)
    assert outcome.value.shape == (2,)


def test_texts_are_short():
    assert text_of(np.zeros((20, 20))).endswith("of shape (20, 20)")
    assert text_of([torch.zeros(2), 1.23456789]) == "[[0., 0.], 1.23457]"
    assert len(text_of("x" * 1000)) <= 160
    assert size_of((1.0,)) < size_of((2.0, 1.0)) < size_of((np.zeros(9),))
