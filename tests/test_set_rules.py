"""The scores of the test sets: SQuAD's rules case by case, Thai, and GLUE's correlations by hand."""

import math
import unicodedata

import numpy as np
import pytest

from neurolab import label_rules, squad_rules

CASES = [  # answer, right answers, exact match, F1, each worked out by hand
    ("Denver Broncos", ["Denver Broncos"], 1, 1),
    ("the DENVER Broncos!", ["Denver Broncos"], 1, 1),  # case, article, punctuation
    ("An  apple\n a day", ["apple day"], 1, 1),  # white space and articles inside
    ("Broncos", ["Denver Broncos"], 0, 2 / 3),
    ("Denver Broncos team", ["Denver Broncos"], 0, 0.8),
    ("Broncos Broncos", ["Denver Broncos"], 0, 0.5),  # a word counts as often as both have it
    ("Carolina", ["Denver Broncos"], 0, 0),
    ("Broncos", ["Denver Broncos", "the Broncos"], 1, 1),  # the best right answer counts
    ("Denver team", ["Broncos", "Denver"], 0, 2 / 3),
    ("24–10", ["24-10"], 0, 0),  # an en dash is no ASCII punctuation, so it stays
    ("U.S.", ["us"], 1, 1),
    ("another", ["other"], 0, 0),  # "an" goes as a word only
    ("", ["Denver"], 0, 0),
    ("the", ["a"], 1, 0),  # version 1.1: nothing is left of both, equal, but no word is shared
]


@pytest.mark.parametrize(("answer", "truths", "exact", "f1"), CASES)
def test_the_official_rules(answer, truths, exact, f1):
    assert squad_rules.score(answer, truths) == {"exact_match": exact, "f1": pytest.approx(f1, abs=1e-12)}


THAI = [  # answer, right answer, exact match, F1 over clusters, F1 over what stands between spaces
    ("กรุงเทพมหานคร", "กรุงเทพมหานคร", 1, 1, 1),
    ("กทม", "กรุงเทพมหานคร", 0, 4 / 13, 0),  # ก ท ม of ก รุ ง เท พ ม หา น ค ร: "ก" and "ม" are shared
    ("ใน กรุงเทพ", "กรุงเทพ", 0, 10 / 11, 2 / 3),
    ("สีแดง", "สีดำ", 0, 2 / 5, 0),  # สี แด ง and สี ดำ
    ("พ.ศ. 2540", "พศ 2540", 1, 1, 1),
    ("บาท", "ดอลลาร์", 0, 0, 0),
]


@pytest.mark.parametrize(("answer", "truth", "exact", "f1", "words"), THAI)
def test_thai_counts_clusters_and_names_the_other_way(answer, truth, exact, f1, words):
    found = squad_rules.score(answer, [truth], "th")
    assert found == {
        "exact_match": exact,
        "f1": pytest.approx(f1, abs=1e-12),
        "f1_words": pytest.approx(words, abs=1e-12),
    }


SAME = [
    ("น\u0e49\u0e33", "น\u0e49\u0e4d\u0e32"),  # nam: sara am as one character, or nikhahit and sara aa
    ("น\u0e49\u0e33", "น\u0e4d\u0e49\u0e32"),
    ("ท\u0e33", "ท\u0e4d\u0e32"),
    ("\u0e41ม", "\u0e40\u0e40ม"),  # sara ae, or sara e twice
    ("ที\u0e48", "ที\u0e48\u200b"),  # a zero-width space
    ("ร\u0e39\u0e49", "ร\u0e49\u0e39"),  # the tone mark before the vowel under it
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_thai_that_looks_the_same_is_the_same(one, other):
    assert one != other
    assert squad_rules.look(one) == squad_rules.look(other) == one
    assert squad_rules.score(other, [one], "th") == {"exact_match": 1, "f1": 1, "f1_words": 1}


def test_the_look_of_other_text_stays():
    for text in ("Denver, 24–10", "é", "กรุงเทพ", "ดำ"):
        assert squad_rules.look(text) == text
    assert squad_rules.look("e\u0301") == unicodedata.normalize("NFC", "e\u0301") == "é"


def test_questions_without_a_right_answer_or_language_are_refused():
    with pytest.raises(ValueError, match="truths is empty"):
        squad_rules.score("x", [])
    with pytest.raises(ValueError, match="language is 'de'"):
        squad_rules.score("x", ["x"], "de")


def test_matthews_by_its_definition():
    answers, truths = [1, 1, 1, 0, 0, 0, 1, 0], [1, 1, 0, 0, 0, 1, 1, 1]
    tp, tn, fp, fn = 3, 2, 1, 2
    wanted = (tp * tn - fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    found = label_rules.score(answers, truths, ("matthews", "accuracy", "f1"))
    assert found == {
        "matthews": pytest.approx(wanted),
        "accuracy": 5 / 8,
        "f1": pytest.approx(2 * tp / (2 * tp + fp + fn)),
    }


def test_pearson_and_spearman_by_their_definitions():
    found = label_rules.score([1.0, 2.0, 3.0, 10.0], [0.0, 1.0, 3.0, 2.0], ("pearson", "spearman"))
    assert found["spearman"] == pytest.approx(1 - 6 * 2 / (4 * 15))  # ranks differ by 0, 0, 1, 1
    x, y = [-3, -2, -1, 6], [-1.5, -0.5, 1.5, 0.5]
    wanted = sum(a * b for a, b in zip(x, y, strict=True)) / math.sqrt(50 * 5)
    assert found["pearson"] == pytest.approx(wanted)


def test_the_scores_are_those_of_the_libraries():
    from scipy import stats
    from sklearn import metrics

    chance = np.random.default_rng(0)
    for n in (10, 200):
        a, b = chance.integers(0, 2, (2, n))
        found = label_rules.score(a, b, ("matthews", "f1", "accuracy"))
        assert found["matthews"] == pytest.approx(metrics.matthews_corrcoef(b, a), abs=1e-12)
        assert found["f1"] == pytest.approx(metrics.f1_score(b, a), abs=1e-12)
        assert found["accuracy"] == metrics.accuracy_score(b, a)
        a, b = chance.integers(0, 4, (2, n))
        macro = label_rules.score(a, b, ("f1_macro",))["f1_macro"]
        assert macro == pytest.approx(metrics.f1_score(b, a, average="macro"), abs=1e-12)
        a, b = chance.normal(size=n), chance.integers(0, 6, n)  # ties
        found = label_rules.score(a, b, ("pearson", "spearman"))
        assert found["pearson"] == pytest.approx(stats.pearsonr(a, b).statistic, abs=1e-12)
        assert found["spearman"] == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)


def test_macro_f1_is_the_mean_over_labels():
    # label 0: 2 of 2 named and 2 true; label 1: named 2, true 1, hit 1; label 2: named 0, true 1
    found = label_rules.score([0, 0, 1, 1], [0, 0, 1, 2], ("f1_macro",))
    assert found["f1_macro"] == pytest.approx((1 + 2 / 3 + 0) / 3)


def test_who_always_says_the_same_shows_no_relation():
    metrics = ("matthews", "pearson", "spearman")
    assert set(label_rules.score([1, 1, 1], [0, 1, 1], metrics).values()) == {0.0}
    assert set(label_rules.score([0, 1, 1], [1, 1, 1], metrics).values()) == {0.0}


def test_scores_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="metrics holds 'bleu'"):
        label_rules.score([1], [1], ("bleu",))
    with pytest.raises(ValueError, match="2 answers for 1 truths"):
        label_rules.score([1, 2], [1], ("accuracy",))
    with pytest.raises(ValueError, match="0 answers for 0"):
        label_rules.score([], [], ("accuracy",))
    with pytest.raises(ValueError, match="answer 1 is nan"):
        label_rules.score([1.0, math.nan], [1, 2], ("pearson",))
    with pytest.raises(ValueError, match="at least two"):
        label_rules.score([1.0], [1.0], ("spearman",))
