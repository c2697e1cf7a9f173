"""The articles' test sets: what is known of them, and how they are read without any extra."""

import json
import re
import sys

import pytest

from neurolab import label_rules, test_sets
from neurolab.export import ExtraMissing
from neurolab.paths import ROOT
from neurolab.set_cards import CARDS, card
from tests.set_rows import READ, READ_TH, rows


@pytest.mark.parametrize("name", CARDS)
def test_each_card_is_whole_and_cited(name):
    known = CARDS[name]
    bibliography = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    assert re.search(rf"^@\w+\{{{known.cite},$", bibliography, re.MULTILINE)
    assert known.licence
    assert known.prompt.format(*known.texts) != known.prompt
    if known.task == "answers":
        assert known.metrics == ("f1", "exact_match")
    else:
        assert set(known.metrics) <= set(label_rules.RULES)
        assert len(set(known.words)) == (6 if known.task == "score" else len(known.labels)) > 1


def test_no_set_forbids_commercial_use():
    assert not [c.name for c in CARDS.values() if "NC" in c.licence]


@pytest.mark.parametrize("name", CARDS)
def test_rows_and_json_lines_give_the_same(name, tmp_path):
    known = card(name)
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows(known)]
    half = len(lines) // 2
    for i, part in enumerate((lines[:half], lines[half:])):
        (tmp_path / f"{known.split}-0000{i}-of-00002.jsonl").write_text("".join(part), encoding="utf-8")
    found = test_sets.load(name, tmp_path)
    assert found == test_sets.load(name, rows(known))
    assert [e.id for e in found] == [str(row.get(known.identity, i)) for i, row in enumerate(rows(known))]
    assert [e.texts for e in found] == [tuple(row[f] for f in known.texts) for row in rows(known)]


def test_what_is_right_is_read_in_both_forms():
    found = test_sets.load("squad", rows(card("squad")))
    assert [e.truth for e in found] == [tuple(answers) for *_, answers, _ in READ]
    each = [
        {**row, "answers": [{"text": t} for t in row["answers"]["text"]]} for row in rows(card("xquad_th"))
    ]
    assert [e.truth for e in test_sets.load("xquad_th", each)] == [tuple(a) for *_, a, _ in READ_TH]
    named = [{"sentence": "x", "label": name} for name in ("acceptable", "unacceptable")]
    assert [e.truth for e in test_sets.load("glue_cola", named)] == [1, 0]


def test_the_made_answers_stand_where_their_rows_say():
    for name in ("squad", "xquad_th", "iapp_th"):
        for row in rows(card(name)):
            for text, start in zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True):
                assert row["context"][start : start + len(text)] == text


def test_limit_takes_the_first_and_split_another_file(tmp_path):
    known = card("glue_rte")
    (tmp_path / "train.jsonl").write_text(json.dumps(rows(known)[1]) + "\n\n", encoding="utf-8")
    assert test_sets.load("glue_rte", tmp_path, split="train")[0].truth == 1
    assert len(test_sets.load("glue_rte", rows(known), limit=2)) == 2
    with pytest.raises(ValueError, match="limit is 0"):
        test_sets.load("glue_rte", rows(known), limit=0)


def test_nothing_is_fetched_unasked():
    with pytest.raises(ValueError, match=r"only when asked.*rajpurkar/squad \(CC BY-SA 4.0\)"):
        test_sets.load("squad")
    with pytest.raises(ValueError, match="either a folder"):
        test_sets.load("squad", [], download=True)


@pytest.mark.parametrize(("name", "file"), [("squad", "validation.parquet"), ("glue_rte", "validation.csv")])
def test_without_the_extra_it_is_named(name, file, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    (tmp_path / file).write_bytes(b"")
    for more in ({"download": True}, {"source": tmp_path}):
        with pytest.raises(
            ExtraMissing, match=r"extra 'sets'; .* pip install -c constraints.txt -e '\.\[sets\]'"
        ):
            test_sets.load(name, **more)


WRONG = [
    ("glue_cola", {"sentence": "x"}, "row 0 of glue_cola has no field 'label'; it has sentence"),
    ("glue_cola", {"sentence": None, "label": 1}, "sentence is None; it must be text"),
    ("glue_cola", {"sentence": "x", "label": -1}, "label is -1 .*kept back.*0 to 1 or one of unacceptable"),
    ("glue_cola", {"sentence": "x", "label": 2}, "label is 2; it must be 0 to 1"),
    ("glue_cola", {"sentence": "x", "label": True}, "label is True"),
    ("glue_cola", {"sentence": "x", "label": "good"}, "label is 'good'"),
    ("glue_cola", {"sentence": "x", "label": 0.5}, "label is 0.5"),
    ("glue_stsb", {"sentence1": "x", "sentence2": "y", "label": -1.0}, "score is -1.0; .* from 0 to 5"),
    ("squad", {"question": "x", "context": "y", "answers": {"text": []}}, "at least one text under 'text'"),
    ("squad", {"question": "x", "context": "y", "answers": "y"}, "at least one text under 'text'"),
    ("squad", {"question": "x", "context": "y", "answers": {"text": "y"}}, "at least one text under 'text'"),
]


@pytest.mark.parametrize(("name", "row", "says"), WRONG)
def test_rows_that_are_not_the_sets_are_refused(name, row, says):
    with pytest.raises(ValueError, match=says):
        test_sets.load(name, [row])


def test_folders_that_are_not_the_sets_are_refused(tmp_path):
    with pytest.raises(ValueError, match="set is 'glue'; there are glue_cola"):
        test_sets.load("glue", tmp_path)
    with pytest.raises(ValueError, match="where there is no folder"):
        test_sets.load("squad", tmp_path / "none")
    with pytest.raises(ValueError, match=r"no file for the part 'validation'; .*validation\.jsonl"):
        test_sets.load("squad", tmp_path)
    (tmp_path / "validation.jsonl").write_text("\n", encoding="utf-8")
    with pytest.raises(ValueError, match="the part 'validation' of squad is empty"):
        test_sets.load("squad", tmp_path)
    (tmp_path / "validation.jsonl").write_text('{"a": 1}\n{"a":', encoding="utf-8")
    with pytest.raises(ValueError, match="line 2: no JSON"):
        list(test_sets._lines([tmp_path / "validation.jsonl"]))
    (tmp_path / "validation.csv").write_text("a\n1\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"validation\.csv, validation\.jsonl for the part"):
        test_sets.load("squad", tmp_path)


def test_glue_has_one_number():
    names = [n for n in CARDS if n.startswith("glue_") and n != "glue_wnli"]
    scores = {n: {"accuracy": 0.8} for n in names}
    scores["glue_mnli"] = {"accuracy": 0.6}  # with its other part 0.7: one task of eight
    scores["glue_mrpc"] = {"f1": 0.9, "accuracy": 0.5}
    assert test_sets.glue_average(scores) == pytest.approx((6 * 0.8 + 0.7 + 0.7) / 8)
    assert test_sets.glue_average({**scores, "glue_wnli": {"accuracy": 0.0}}) == pytest.approx(6.2 / 9)
    del scores["glue_rte"]
    with pytest.raises(ValueError, match="lacks glue_rte"):
        test_sets.glue_average(scores)
