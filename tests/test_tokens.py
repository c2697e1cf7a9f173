"""The tokenizer gives back what it was given; the scores follow SQuAD's rules."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurolab import facts, tokens


@pytest.fixture(scope="module")
def tokenizer():
    sample = facts.split("train")[::20]
    return tokens.train_tokenizer([t for q in sample for t in (q.text, q.answer)], 600)


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=60))
def test_any_text_comes_back_unchanged(tokenizer, text):
    for special in (tokens.PAD, tokens.ANSWER, tokens.END):
        text = text.replace(special, "")
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids) == text


@settings(max_examples=50, deadline=None)
@given(name=st.sampled_from(sorted(n["th"] for n in facts.names()["language"].values())))
def test_a_thai_name_has_the_same_tokens_after_every_kind(tokenizer, name):
    alone = tokenizer.encode(name, add_special_tokens=False).ids
    for kind in ("ภาษา", "อักษร", "สกุลเงิน"):
        joined = tokenizer.encode(kind + name, add_special_tokens=False).ids
        assert joined[-len(alone) :] == alone


def test_pair_layout_and_decoding(tokenizer):
    ids, start = tokens.encode_pair(tokenizer, "Where is the city Lima?", "Peru")
    assert ids[start - 1] == tokens.ANSWER_ID
    assert ids[-1] == tokens.END_ID
    assert tokens.decode(tokenizer, [*ids[start:], 5, 6]) == "Peru"
    assert tokens.encode_question(tokenizer, " Where is the city Lima ") == ids[:start]


@pytest.mark.parametrize("empty", ["", "  ", "?", " ?. "])
def test_empty_question_is_refused(tokenizer, empty):
    with pytest.raises(ValueError, match="empty"):
        tokens.encode_question(tokenizer, empty)


def test_bad_size_and_bad_file(tmp_path):
    with pytest.raises(ValueError, match="100"):
        tokens.train_tokenizer(["a"], 100)
    (tmp_path / "t.json").write_text("{}")
    with pytest.raises(ValueError, match=r"t\.json"):
        tokens.load_tokenizer(tmp_path / "t.json")


# SQuAD's published rules: lower case, no punctuation, no articles (a, an, the), white space folded.
@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The  Thai Baht.", "thai baht"),
        ("a An THE", ""),
        ("theatre, another", "theatre another"),
        ("U.S.A.", "usa"),
        ("don't", "dont"),
        ("North\tAmerica\n", "north america"),
        ("บาทไทย!", "บาทไทย"),
    ],
)
def test_squad_normalisation(text, normal):
    assert tokens.normalise(text) == normal


@pytest.mark.parametrize(
    ("answer", "truth", "em", "f1"),
    [
        ("the Thai Baht", "Thai baht", True, 1.0),
        ("Baht", "Thai Baht", False, 2 / 3),
        ("Swiss Franc", "Thai Baht", False, 0.0),
        ("Thai Thai", "Thai Baht", False, 0.5),
        ("", "Thai Baht", False, 0.0),
        ("the", "a", True, 1.0),
        ("บาท", "บาทไทย", False, 2 * (2 / 2) * (2 / 4) / (2 / 2 + 2 / 4)),
    ],
)
def test_exact_match_and_f1(answer, truth, em, f1):
    assert tokens.exact_match(answer, truth) is em
    assert tokens.f1(answer, truth) == pytest.approx(f1)


def test_thai_clusters_keep_their_marks():
    assert tokens.cut("เยนญี่ปุ่น") == ["เย", "น", "ญี่", "ปุ่", "น"]
    assert tokens.cut("กิโลวัตต์ 100") == ["กิ", "โล", "วั", "ต", "ต์", "100"]


@settings(max_examples=200, deadline=None)
@given(a=st.text(max_size=30), b=st.text(max_size=30))
def test_f1_is_symmetric_bounded_and_one_on_itself(a, b):
    assert 0 <= tokens.f1(a, b) <= 1
    assert tokens.f1(a, b) == pytest.approx(tokens.f1(b, a))
    assert tokens.f1(a, a) == 1
    if tokens.exact_match(a, b):
        assert tokens.f1(a, b) == 1
