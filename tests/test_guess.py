"""The prediction widget: what it keeps, when it opens, and its page without a kernel."""

import json

import ipywidgets
import pytest

from neurolab import guess
from neurolab.guess import Guess


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NEUROLAB_FOLDER", str(tmp_path))
    monkeypatch.delenv("NEUROLAB_STATIC", raising=False)
    return tmp_path


def number():
    return Guess("trial.bits", "How many bits?", low=1, high=8, step=0.5, unit="bits")


def choice():
    return Guess("trial.language", "Which suffers more?", ["Thai", "English", "both alike"])


def test_a_guess_is_kept_and_comes_back(folder):
    number().commit(3)
    choice().commit("Thai")
    assert number().answer == 3.0
    assert choice().answer == "Thai"
    assert json.loads((folder / "guesses.json").read_text()) == {"trial.bits": 3.0, "trial.language": "Thai"}


def test_the_answer_is_locked_until_the_guess():
    asked = number()
    shown = asked.reveal(4.5, "Look again.")
    assert repr(shown) == "Guess first (or skip): How many bits?"
    assert "4.5" not in repr(shown)
    asked.commit(3)
    assert repr(shown) == "Measured: 4.5 bits; you guessed 3 bits. Off by 1.5 bits. Look again."


def test_skipping_opens_it_too():
    asked = number()
    asked.skip()
    assert asked.done
    assert asked.answer is None
    assert repr(asked.reveal(4.5)) == "Measured: 4.5 bits; you skipped this one."


def test_a_choice_is_told_right_or_not():
    asked = choice()
    asked.commit("Thai")
    assert repr(asked.reveal("Thai")).endswith("That was right.")
    assert repr(asked.reveal("English")) == "Measured: English; you guessed Thai."


@pytest.mark.parametrize("bad", [0.5, 9, float("nan"), "many"])
def test_a_guess_out_of_range_is_refused(bad):
    with pytest.raises(ValueError, match=r"answer is|could not convert"):
        number().commit(bad)
    assert not number().done


def test_other_bad_input_is_named():
    with pytest.raises(ValueError, match="the choices are Thai, English, both alike"):
        choice().commit("Lao")
    with pytest.raises(ValueError, match="the choices are"):
        choice().reveal("Lao")
    with pytest.raises(ValueError, match="finite"):
        number().reveal(float("inf"))


@pytest.mark.parametrize(
    "fields",
    [
        {"choices": ["one"]},
        {"choices": ["a", "a"]},
        {"choices": ["a", "b"], "low": 1},
        {},
        {"low": 1, "high": 1, "step": 1},
        {"low": 1, "high": 2, "step": 0},
    ],
)
def test_a_poor_question_is_refused(fields):
    with pytest.raises(ValueError, match=r"needed|not both"):
        Guess("trial.poor", "?", **fields)


def test_a_name_is_dotted():
    with pytest.raises(ValueError, match="name is 'bits'"):
        Guess("bits", "?", ["a", "b"])


def test_a_spoilt_file_is_named(folder):
    (folder / "guesses.json").write_text("{")
    with pytest.raises(ValueError, match=r"guesses\.json is no JSON"):
        number().done  # noqa: B018
    (folder / "guesses.json").write_text("[]")
    with pytest.raises(ValueError, match="holds a list"):
        guess.kept()


def test_the_widget_keeps_and_skips_and_tells():
    asked = number()
    box = asked._widget()
    head, entry, buttons, said = box.children
    assert "How many bits?" in head.value
    assert isinstance(entry, ipywidgets.BoundedFloatText)
    keep, skip = buttons.children
    entry.value = 2.5
    keep.click()
    assert asked.answer == 2.5
    assert "You guessed 2.5 bits." in said.value
    skip.click()
    assert asked.done
    assert asked.answer is None
    assert "application/vnd.jupyter.widget-view+json" in asked._repr_mimebundle_()


def test_the_revealed_widget_opens_when_the_guess_is_made():
    asked = choice()
    shown = asked.reveal("Thai")
    assert "application/vnd.jupyter.widget-view+json" in shown._repr_mimebundle_()
    asked.commit("Thai")
    assert "Measured: Thai" in repr(shown)


@pytest.mark.parametrize("asked", [number(), choice()], ids=["number", "choice"])
def test_the_page_is_a_labelled_form_with_no_kernel(asked, monkeypatch):
    monkeypatch.setenv("NEUROLAB_STATIC", "1")
    html = asked._repr_mimebundle_()["text/html"]
    assert "<label" in html
    assert "<fieldset" in html
    assert ">Skip</button>" in html
    assert "http" not in html
    assert "widget-view" not in str(asked._repr_mimebundle_())
    revealed = asked.reveal("Thai" if asked.choices else 4.5)._repr_mimebundle_()["text/html"]
    assert "data-open" in revealed
    assert "hidden>" in revealed


def test_the_page_escapes_what_it_is_given(monkeypatch):
    monkeypatch.setenv("NEUROLAB_STATIC", "1")
    html = Guess("trial.odd", "<b>a & b</b>", ["</script>", '"x"'])._repr_mimebundle_()["text/html"]
    assert "<b>" not in html
    assert html.count("</script>") == 1
    assert 'value="&quot;x&quot;"' in html
