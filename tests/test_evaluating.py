"""Test sets asked of models: plain functions answer here, so that every figure can be counted by hand."""

import io
import json

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from neurolab import evaluating, measurements
from neurolab.cli import app
from neurolab.evaluating import Comparison, ask, compare, drop, figures
from neurolab.set_cards import CARDS, card
from neurolab.test_sets import Example, load
from tests.set_rows import rows

SQUAD = load("squad", rows(card("squad")))
RTE = load("glue_rte", rows(card("glue_rte")))


def oracle(examples):
    """Always right."""
    return [e.truth[0] if isinstance(e.truth, tuple) else e.truth for e in examples]


def first_words(examples):
    """The first three words of the text."""
    return [" ".join(e.texts[1].split()[:3]) for e in examples]


@pytest.mark.parametrize("name", CARDS)
def test_who_is_always_right_has_full_marks(name):
    examples = load(name, rows(card(name)))
    found = compare(name, examples, {"oracle": oracle}).scores["oracle"]
    assert found.keys() >= set(card(name).metrics)
    assert all(value == pytest.approx(1) for value in found.values())


def test_scores_of_answers_by_hand():
    found = compare("squad", SQUAD, {"a": first_words}).scores["a"]
    # "The Denver Broncos" is right; "It was played" shares nothing, "In Santa Clara," 2 of 3
    assert found == {"exact_match": pytest.approx(1 / 3), "f1": pytest.approx((1 + 0 + 0.8) / 3)}


def test_two_models_side_by_side():
    found = compare("squad", SQUAD, {"float": oracle, "int4": first_words}, against="float")
    versus = found.versus("int4")
    assert versus["exact_match_drop_points"] == pytest.approx(200 / 3)
    assert versus["f1_drop_points"] == pytest.approx(40)
    assert versus["f1_drop_low"] <= 40 <= versus["f1_drop_high"]
    assert versus["equal_answers_percent"] == 0
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(found.table())
    console.print(found.side_by_side())
    shown = console.export_text()
    assert "100.0" in shown
    assert "60.0" in shown
    assert "40.0 (" in shown
    assert "In Santa Clara," in shown
    assert "Denver Broncos | The Denver Broncos" in shown


def test_questions_on_which_the_models_differ_come_first():
    second = {e.id: e.truth for e in RTE} | {RTE[2].id: 1 - RTE[2].truth}
    found = compare("glue_rte", RTE, {"a": oracle, "b": lambda part: [second[e.id] for e in part]})
    table = found.side_by_side(most=1)
    assert list(table.columns[2].cells) == [card("glue_rte").labels[RTE[2].truth]]
    assert list(table.columns[3].cells) == [card("glue_rte").labels[1 - RTE[2].truth]]


def test_rows_are_kept_and_never_written_over(tmp_path):
    found = compare("squad", SQUAD, {"float": oracle, "int4": first_words}, against="float")
    made = found.rows("neurolab evaluate x --set squad")
    for _ in range(2):
        measurements.append(made, tmp_path)
    kept = measurements.read("sets.scores", store=tmp_path)
    assert [r.setting["model"] for r in kept] == ["float", "int4"]
    assert kept[0].setting == {"set": "squad", "part": "validation", "model": "float", "examples": 3}
    assert kept[1].setting["against"] == "float"
    assert kept[1].figures["f1_drop_points"] == pytest.approx(40)
    assert len(measurements.read("sets.scores", store=tmp_path, history=True)) == 4


def test_answers_are_saved_into_a_new_file_only(tmp_path):
    found = compare("squad", SQUAD, {"float": oracle, "int4": first_words})
    path = tmp_path / "answers.jsonl"
    found.save(path)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert lines[0]["answers"] == {"float": "Denver Broncos", "int4": "The Denver Broncos"}
    assert [line["id"] for line in lines] == ["q0", "q1", "q2"]
    before = path.read_bytes()
    with pytest.raises(ValueError, match="nothing is written over"):
        found.save(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["glue_sst2", "glue_cola", "glue_stsb"])
def test_the_interval_narrows_with_more_questions_and_holds_the_truth(name):
    chance, known = np.random.default_rng(1), card(name)
    widths = []
    for n in (50, 800):
        truth = chance.integers(0, 2, n) if known.labels else chance.uniform(0, 5, n)
        examples = [Example(str(i), ("x",), t.item()) for i, t in enumerate(truth)]
        worse = [
            (1 - e.truth if known.labels else 5 - e.truth) if chance.random() < 0.1 else e.truth
            for e in examples
        ]
        value, low, high = drop(known, examples, worse, oracle(examples))
        by_hand = [figures(known, examples, given)[known.metrics[0]] for given in (oracle(examples), worse)]
        assert value == pytest.approx(100 * (by_hand[0] - by_hand[1]))
        assert low <= value <= high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_equal_answers_lose_nothing():
    assert drop(card("squad"), SQUAD, first_words(SQUAD), first_words(SQUAD)) == (0, 0, 0)


def test_a_model_is_asked_in_parts_and_says_how_far_it_is():
    sizes, said = [], []

    def model(part):
        sizes.append(len(part))
        return oracle(part)

    assert ask(SQUAD, model, card("squad"), at_once=2, say=said.append) == oracle(SQUAD)
    assert sizes == [2, 1]
    assert said == ["2 of 3 questions of squad", "3 of 3 questions of squad"]


@pytest.mark.parametrize(
    ("name", "answers", "says"),
    [
        ("squad", ["a"], "gave 1 answers to 3 questions"),
        ("squad", [1, 2, 3], "answered 1; squad asks for text"),
        ("glue_rte", [0, 1, 2], "answered 2; labels of glue_rte are 0 to 1"),
        ("glue_rte", [0.5, 1, 1], "answered 0.5"),
        ("glue_rte", [True, 1, 1], "answered True"),
        ("glue_stsb", [1.0, float("nan"), 1.0, 1.0], "answered nan; glue_stsb asks for a finite number"),
    ],
)
def test_answers_that_are_none_are_refused(name, answers, says):
    with pytest.raises(ValueError, match=says):
        ask(load(name, rows(card(name))), lambda _: answers, card(name))


def test_comparisons_that_compare_nothing_are_refused():
    with pytest.raises(ValueError, match="nobody to ask"):
        compare("squad", SQUAD, {})
    with pytest.raises(ValueError, match="against is 'float'; there are answers of a"):
        Comparison("squad", "validation", SQUAD, {"a": oracle(SQUAD)}, "float")


@pytest.fixture
def folder(tmp_path):
    """SQuAD's three questions as a file."""
    lines = [json.dumps(row) + "\n" for row in rows(card("squad"))]
    place = tmp_path / "squad"
    place.mkdir()
    (place / "validation.jsonl").write_text("".join(lines), encoding="utf-8")
    return place


def test_the_command_asks_saves_and_keeps_rows(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROLAB_FOLDER", str(tmp_path / "own"))
    opened = {"big": oracle, "small": first_words}
    monkeypatch.setattr(evaluating, "open_model", lambda place, *_, **__: opened[place])
    saved = tmp_path / "answers.jsonl"
    line = ["evaluate", "small", "--set", "squad", "--against", "big", "--data", str(folder)]
    done = CliRunner().invoke(app, [*line, "--save", str(saved), "--json"])
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout.strip().splitlines()[-1])
    assert printed["big"] == {"exact_match": 1.0, "f1": 1.0}
    assert printed["small"]["f1_drop_points"] == pytest.approx(40)
    assert len(saved.read_text(encoding="utf-8").splitlines()) == 3
    (kept,) = measurements.read("sets.scores", store=measurements.own(), model="small")
    assert kept.figures == printed["small"]
    again = CliRunner().invoke(app, [*line, "--save", str(saved)])
    assert "nothing is written over" in str(again.exception)
    assert len(measurements.read("sets.scores", store=measurements.own(), history=True)) == 2
    few = CliRunner().invoke(app, [*line, "--limit", "1", "--json"])
    assert json.loads(few.stdout.strip().splitlines()[-1])["small"]["f1"] == 1


def test_the_command_fetches_nothing_unasked_and_lists_the_sets():
    done = CliRunner().invoke(app, ["evaluate", "model", "--set", "squad"])
    assert "only when asked" in str(done.exception)
    assert "needed" in str(CliRunner().invoke(app, ["evaluate"]).exception)
    listed = CliRunner().invoke(app, ["evaluate", "--list"], env={"COLUMNS": "200"}).stdout
    assert all(name in listed for name in CARDS)
