"""Chapter 0's room: what it reads from rows, how sure a model is, and its pictures."""

import re

import numpy as np
import pytest
import torch

from neurolab import claims, start, start_pictures
from neurolab.assistant import Assistant
from neurolab.facts import split
from neurolab.measurements import append, row
from neurolab.paths import NOTEBOOKS
from neurolab.road import ROAD
from neurolab.tokens import train_tokenizer
from neurolab.transformer import Config, Transformer

BITS = (32, 8, 3, 2)
EXACT = {"th": (0.99, 0.99, 0.95, 0.10), "en": (0.98, 0.98, 0.90, 0.20)}
ANSWERS = {"Where is it?": ("here", "here", "<b>there</b>", ""), "ที่ไหน": ("ไทย", "ไทย", "ไทย", "ลาว")}


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """Shipped rows of our own."""
    made = []
    for i, bits in enumerate(BITS):
        for language in ("th", "en"):
            setting = {"bits": bits, "granularity": "channel", "language": language}
            figures = {"exact_match": EXACT[language][i], "f1": 1.0}
            made.append(row("assistant.rounding", 0, setting, figures, command="x"))
        for question, answers in ANSWERS.items():
            setting = {"bits": bits, "language": "en", "question": question}
            made.append(row("assistant.samples", 0, setting, {"answer": answers[i]}, command="x"))
    append(made, tmp_path)
    monkeypatch.setattr("neurolab.measurements.shipped", lambda: tmp_path)


@pytest.mark.usefixtures("rows")
class TestRows:
    def test_matches_run_from_float_down(self):
        assert list(start.matches()) == list(BITS)
        assert start.matches()[3] == {"th": 95.0, "en": 90.0}

    def test_what_is_lost(self):
        assert start.drop(3, "th") == pytest.approx(4)
        assert start.drop(3, "en") == pytest.approx(8)
        assert start.drop(3) == pytest.approx(6)

    def test_who_loses_more(self):
        assert start.suffers_more(3) == "English"
        assert start.suffers_more(2) == "Thai"
        assert start.suffers_more(8) == "both alike"

    def test_side_by_side_marks_changes_by_a_word_and_escapes(self):
        shown = start.side_by_side((32, 3, 2))
        assert shown.html.count("<small>changed</small>") == 3
        assert "<b>" not in shown.html
        assert "(nothing)" in shown.html
        assert "ลาว (changed)" in repr(shown)

    def test_the_explorers_hold_every_setting(self):
        assert start_pictures.bits_explorer().corners() > 0
        assert start_pictures.samples_explorer().corners() > 0

    def test_the_sentence_reads_the_answer_out(self):
        explorer = start_pictures.samples_explorer()
        assert (
            explorer.result(question="Where is it?", bits=2)[1]
            == "Where is it? With 2 bits: (nothing) (changed)."
        )
        assert "the float model's answer" in explorer.result(question="ที่ไหน", bits=3)[1]


def test_missing_rows_are_named_with_their_command(tmp_path, monkeypatch):
    monkeypatch.setattr("neurolab.measurements.shipped", lambda: tmp_path)
    with pytest.raises(ValueError, match=r"no rows assistant.rounding; `neurolab bench assistant --ship`"):
        start.matches()


def test_more_bits_leave_less_error():
    weights = np.random.default_rng(0).normal(size=64).astype(np.float32)
    explorer = start_pictures.staircase_explorer(weights)
    errors = [explorer.result(b=b)[0]["error"] for b in range(2, 9)]
    assert errors == sorted(errors, reverse=True)
    assert len(np.unique(explorer.result(b=2)[0]["rounded"])) <= 4


def test_bytes_are_those_of_the_exercise():
    from neurolab.solutions.start import model_bytes

    explorer = start_pictures.size_explorer(1.28e9, {"a": 1.2e9, "b": 240e6})
    result, text = explorer.result(bits=4, group=32)
    assert result["codes"][0] + result["scales"][0] == pytest.approx(model_bytes(1_280_000_000, 4, 32) / 1e6)
    assert "4.50 bits a weight in all" in text


def test_sureness_is_the_probability_of_the_whole_answer():
    torch.manual_seed(0)
    asked = split("held_out", "en")[:3]
    tokenizer = train_tokenizer([t for q in asked for t in (q.text, q.answer)], 300)
    config = Config(vocabulary=300, context=200, width=16, layers=1, heads=2, hidden=16)
    assistant = Assistant(Transformer(config).eval(), tokenizer, {})
    answers = [q.answer for q in asked]
    found = start.sureness(assistant, asked, answers)
    from neurolab.tokens import encode_pair

    ids, at = encode_pair(tokenizer, asked[0].text, answers[0])
    with torch.no_grad():
        log_p = assistant.model(torch.tensor([ids]))[0].log_softmax(-1)
    by_hand = sum(log_p[i - 1, ids[i]].item() for i in range(at, len(ids)))
    assert found.shape == (3,)
    assert found[0] == pytest.approx(np.exp(by_hand), rel=1e-4)


def test_the_question_box_on_a_page_says_what_is_missing(monkeypatch):
    monkeypatch.setenv("NEUROLAB_STATIC", "1")
    assert "no model runs" in start.ask_box({}).html


def test_the_road_names_every_stop_and_fits_a_phone():
    svg = start_pictures.road().html
    assert 'role="img"' in svg
    for _, _, title, question in ROAD:
        assert f">{title}<" in svg
        assert question in start_pictures.road().text
    assert "#000" not in svg
    longest = max(len(text) for text in re.findall(r">([^<]+)</text>", svg))
    assert longest <= 44


def test_the_chapter_counts_the_ledger_right():
    text = (NOTEBOOKS / "00_start.md").read_text(encoding="utf-8")
    assert f"a ledger of {len(claims.claims())} claims" in text
