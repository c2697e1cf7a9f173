"""The row that flows: what it refuses, how it is kept, and what a crash leaves behind."""

import json
import math
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurolab import measurements, paths
from neurolab.measurements import BrokenRow, Measurement, append, read, row, sentence

NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
FIGURES = st.dictionaries(TEXTS, NUMBERS | TEXTS | st.lists(NUMBERS, max_size=3), min_size=1, max_size=4)


def made(name="lif.tbptt", figure=0.5, **setting):
    return row(name, 2, setting, {"accuracy": figure}, command="neurolab bench lif")


@given(
    setting=st.dictionaries(TEXTS, NUMBERS | TEXTS | st.booleans() | st.none(), max_size=4), figures=FIGURES
)
def test_a_row_comes_back_from_its_line_as_it_was(setting, figures):
    item = row("a.b", 0, setting, figures, command="x")
    line = item.line()
    assert line.count("\n") == 1
    assert Measurement(**json.loads(line)) == item


def test_a_row_knows_where_it_comes_from():
    provenance = made().provenance
    assert set(provenance) == {"command", "versions", "processor", "date", "commit"}
    assert provenance["versions"]["torch"]
    assert provenance["command"] == "neurolab bench lif"


def test_numpy_figures_become_plain():
    item = row("a.b", 1, {"T": np.int64(4)}, {"x": np.float32(0.5), "y": np.arange(3)}, command="x")
    assert item.setting == {"T": 4}
    assert item.figures == {"x": 0.5, "y": [0, 1, 2]}


@pytest.mark.parametrize(
    "bad", [math.nan, math.inf, -math.inf, np.float64("nan"), [1.0, math.nan], {"a": math.inf}]
)
def test_nan_and_infinity_are_refused(bad):
    with pytest.raises(ValueError, match=r"figures\['x'\].*only finite"):
        row("a.b", 0, {}, {"x": bad}, command="x")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kind": "guessed"}, "kind is 'guessed'; it must be one of measured, simulated, cited"),
        ({"name": "LIF"}, "name is 'LIF'"),
        ({"chapter": 9}, "chapter is 9"),
        ({"chapter": True}, "chapter is True"),
        ({"figures": {}}, "figures is empty"),
        ({"figures": {"x": object()}}, "is a object"),
        ({"figures": {1: 2.0}}, "the key 1"),
        ({"setting": "T=4"}, "setting is 'T=4'"),
    ],
)
def test_a_bad_field_is_named(change, says):
    good = {
        "name": "a.b",
        "chapter": 0,
        "kind": "measured",
        "setting": {},
        "figures": {"x": 1},
        "provenance": {},
    }
    with pytest.raises(ValueError, match=says.replace("(", r"\(")):
        Measurement(**{**good, **change})


def test_a_row_names_its_command():
    with pytest.raises(ValueError, match="command is ' '"):
        row("a.b", 0, {}, {"x": 1}, command=" ")


def test_rows_are_kept_by_first_name_and_found_by_setting(tmp_path):
    files = append([made(window=20), made(window=50), made("slider.latency")], tmp_path)
    assert sorted(file.name for file in files) == ["lif.jsonl", "slider.jsonl"]
    assert [item.setting["window"] for item in read("lif.tbptt", store=tmp_path)] == [20, 50]
    assert len(read("lif.tbptt", store=tmp_path, window=50)) == 1
    assert len(read(store=tmp_path)) == 3
    assert read("lif.other", store=tmp_path) == []
    assert read("nothing.here", store=tmp_path / "nowhere") == []


def test_a_remade_row_replaces_the_old_one_but_history_keeps_it(tmp_path):
    append([made(figure=0.1, window=20), made(figure=0.2, window=50), made(figure=0.3, window=20)], tmp_path)
    assert [item.figures["accuracy"] for item in read("lif.tbptt", store=tmp_path)] == [0.2, 0.3]
    assert len(read("lif.tbptt", store=tmp_path, history=True)) == 3


def test_the_readers_rows_go_to_their_own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROLAB_FOLDER", str(tmp_path))
    append(made())
    assert (tmp_path / "measurements" / "lif.jsonl").is_file()
    assert paths.reader_folder() == tmp_path.resolve()


def test_nothing_is_written_when_one_item_is_no_measurement(tmp_path):
    with pytest.raises(ValueError, match="rows holds a dict"):
        append([made(), {"name": "a.b"}], tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        '{"name": "lif.tbptt"}',
        "[1, 2]",
        '{"a": NaN}',
        "\x00\x01",
        made().line().replace("0.5", "NaN"),
    ],
)
def test_a_broken_line_is_reported_with_file_and_number(tmp_path, line):
    append(made(), tmp_path)
    file = tmp_path / "lif.jsonl"
    file.write_text(file.read_text() + line.rstrip("\n") + "\n" + made().line())
    with pytest.raises(BrokenRow, match=r"lif\.jsonl, line 2: not a measurement"):
        read("lif.tbptt", store=tmp_path)


def test_a_crash_in_the_middle_of_an_append_costs_only_the_unfinished_row(tmp_path):
    append([made(window=20), made(window=50)], tmp_path)
    file = tmp_path / "lif.jsonl"
    whole, torn = file.read_bytes(), made(window=70).line().encode()
    for cut in range(1, len(torn) - 1, 7):
        file.write_bytes(whole + torn[:cut])
        with pytest.warns(UserWarning, match="line 3: unfinished, left out"):
            assert len(read("lif.tbptt", store=tmp_path)) == 2
        append(made(window=90), tmp_path)
        assert [item.setting["window"] for item in read("lif.tbptt", store=tmp_path)] == [20, 50, 90]


def test_a_last_row_that_lost_only_its_newline_is_kept(tmp_path):
    append(made(window=20), tmp_path)
    file = tmp_path / "lif.jsonl"
    file.write_bytes(file.read_bytes().rstrip())
    append(made(window=50), tmp_path)
    assert [item.setting["window"] for item in read("lif.tbptt", store=tmp_path)] == [20, 50]


def test_a_failing_write_leaves_the_old_rows(tmp_path, monkeypatch):
    append(made(window=20), tmp_path)

    def crash(_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(OSError, match="disk full"):
        append(made(window=50), tmp_path)
    assert read("lif.tbptt", store=tmp_path, window=20)


def test_every_shipped_row_is_sound():
    for item in read(history=True):
        assert item.provenance["command"]


def test_a_sentence_carries_its_numbers_and_their_kind():
    assert (
        sentence("{window} steps: {accuracy:.1%}.", made(window=20)).data == "20 steps: 50.0%. *(measured)*"
    )
    cited = row("a.b", 0, {}, {"x": 1}, kind="cited", command="x")
    assert sentence("{x} and {accuracy}", made(), cited).data.endswith("*(measured and cited)*")
    assert sentence("{y}", y=3, kind="simulated").data == "3 *(simulated)*"


def test_a_sentence_names_the_field_that_nobody_gave():
    with pytest.raises(ValueError, match="the sentence wants 'drop'; it was given accuracy, window"):
        sentence("{drop:.1f}", made(window=20))
    with pytest.raises(ValueError, match="kind is 'typed'"):
        sentence("text", kind="typed")


def test_static_is_read_from_the_environment(monkeypatch):
    for text, meant in [("1", True), ("", False), ("0", False)]:
        monkeypatch.setenv("NEUROLAB_STATIC", text)
        assert paths.static() is meant


def test_the_shipped_store_lies_in_data():
    assert measurements.shipped() == paths.DATA / "measurements"
