"""The question box: what can be asked is offered, what is asked is answered, bad questions get a message."""

import pytest

from neurolab import assistant as room
from neurolab import facts, picker
from neurolab.relations import RELATIONS


@pytest.fixture(scope="module")
def box():
    return picker.Picker({"float": room.load()})


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("language", facts.LANGUAGES)
def test_every_pick_is_a_question_of_the_data(box, relation, language):
    box.language.value, box.relation.value = language, relation
    known = {q.text for q in facts.questions()}
    for name in box.name.options[:: max(1, len(box.name.options) // 3)]:
        box.name.value = name
        assert box.question.value in known


def test_ask_answers_and_marks(box):
    box.question.value = "What is the currency of the territory Japan?"
    box.button.click()
    assert "Japanese Yen" in box.output.value
    assert "right" in box.output.value
    box.question.value = "What is the currency of the territory <b>Nowhere</b>?"
    box.button.click()
    assert "nobody marks it" in box.output.value


def test_enter_answers_and_a_pick_waits(box):
    box.output.value = ""
    box.question.value = "Where is the city Nairobi?"
    assert "Kenya" in box.output.value
    box.output.value = ""
    box.relation.value = "name of unit"
    box.relation.value = "currency used"
    assert box.output.value == ""


def test_a_bad_question_gets_a_message_and_the_next_one_an_answer(box):
    for bad in ("", "?", "why " * 200):
        box.question.value = bad
        box.button.click()
        assert "Not asked" in box.output.value
    box.question.value = "ดินแดนญี่ปุ่น ใช้สกุลเงินอะไร"
    box.button.click()
    assert "เยนญี่ปุ่น" in box.output.value


def test_answers_are_escaped():
    shown = picker.answer_table({"answers": {"a<b": "<script>"}, "truth": "<i>"})
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert "wrong" in shown


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="assistants"):
        picker.Picker({})
    with pytest.raises(ValueError, match="colour"):
        picker.subjects("colour", "en")
