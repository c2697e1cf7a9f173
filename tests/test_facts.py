"""The questions: counts, splits that do not leak, one right answer each, determinism, clear errors."""

import subprocess
import sys
from collections import defaultdict

import babel
import pytest

from neurolab import facts


def test_enough_facts_relations_and_phrasings():
    assert len(facts.facts()) >= 3000
    assert len(facts.RELATIONS) >= 6
    assert len({(f.relation, f.key) for f in facts.facts()}) == len(facts.facts())
    for relation in facts.RELATIONS.values():
        for lang in facts.LANGUAGES:
            assert len(set(relation.phrasings[lang])) == facts.PHRASINGS


def test_known_facts_of_the_world():
    answers = {q.text: q.answer for q in facts.questions()}
    assert answers["What is the currency of the territory Thailand?"] == "Thai Baht"
    assert answers["What is the currency of the territory Japan?"] == "Japanese Yen"
    assert answers["ดินแดนญี่ปุ่น ใช้สกุลเงินอะไร"] == "เยนญี่ปุ่น"
    assert answers["Where is the city Nairobi?"] == "Kenya"
    assert answers["ขอรหัส ISO ของสกุลเงินบาท"] == "THB"


def test_each_text_has_one_answer_and_one_split():
    texts = [q.text for q in facts.questions()]
    assert len(texts) == len(set(texts))


def test_one_phrasing_is_held_out_per_fact_way_and_language():
    seen = defaultdict(set)
    for q in facts.questions():
        if q.split in ("held_out", "dev") and q.answer not in facts.UNKNOWN.values():
            seen[q.relation, q.key, q.language, q.answer].add(q.phrasing)
    assert seen
    assert all(len(phrasings) == 1 for phrasings in seen.values())
    assert {min(p) for p in seen.values()} == {0, 1, 2, 3, 4}  # it rotates


def test_the_last_template_and_the_other_language_are_never_trained():
    trained = {(q.relation, q.key, q.language) for q in facts.split("train")}
    assert all(q.phrasing != 5 for q in facts.split("train"))
    assert all(q.phrasing == 5 for q in facts.split("new_template"))
    crossed = facts.split("one_language")
    assert {q.language for q in crossed} == {"th", "en"}
    for q in crossed:
        other = "en" if q.language == "th" else "th"
        assert (q.relation, q.key, q.language) not in trained
        assert (q.relation, q.key, other) in trained


def test_unknown_names_are_in_no_fact_and_not_shared_between_training_and_test():
    real = {name for f in facts.facts() for name in (*f.subject.values(), *f.object.values())}
    asked = {(q.relation, q.key) for q in facts.split("unknown")}
    trained = {(q.relation, q.key) for q in facts.split("train") if q.answer in facts.UNKNOWN.values()}
    assert asked
    assert trained
    assert not asked & trained
    for kind, entries in facts.names().items():
        for key, name in entries.items():
            if facts.left_out(kind, key):
                assert not [f for f in facts.facts() if f.subject == name and f.relation == f"name of {kind}"]
        assert not set(facts.invented_names(kind, "th", 5)) & real
        assert not set(facts.invented_names(kind, "en", 5)) & real


def test_same_questions_in_another_process():
    code = "from neurolab import facts; print(facts.card()['sha256'])"
    out = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True
    )
    assert out.stdout.strip() == facts.card()["sha256"]
    assert facts.card()["babel"] == babel.__version__


def test_thai_questions_hold_thai_and_read_as_one_sentence():
    for q in facts.questions():
        assert q.text == q.text.strip()
        assert "  " not in q.text
        assert "{" not in q.text
        assert any("\u0e00" <= c <= "\u0e7f" for c in q.text) or q.language == "en"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("colour of", "en", 0, "x"), "relation"),
        (("currency used", "fr", 0, "x"), "language"),
        (("currency used", "en", 6, "x"), "phrasing"),
        (("currency used", "en", 0, " "), "name"),
    ],
)
def test_bad_questions_are_refused_by_name(arguments, named):
    with pytest.raises(ValueError, match=named):
        facts.ask(*arguments)


def test_unknown_split_is_refused():
    with pytest.raises(ValueError, match="validation"):
        facts.split("validation")
