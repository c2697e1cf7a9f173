"""What a fact weighs: priors are probabilities, each fact counts once, the model's bits are its own."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurolab import assistant, capacity, compressed, facts, mixed
from neurolab.capacity import (
    Answered,
    Probe,
    choosing_bits,
    falling,
    figures,
    knowledge,
    shuffled_error,
    spelling_bits,
)
from neurolab.facts import Fact, Question
from neurolab.quantization import round_matrices
from neurolab.sweeps import compression_capacity


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Small matrices: more threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def helper():
    return assistant.load()


@pytest.fixture(scope="module")
def asked(helper):
    return capacity.probes(helper.tokenizer)


words = st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=4), min_size=0, max_size=8)


@settings(max_examples=40, deadline=None)
@given(words, st.integers(0, 2))
def test_the_spelling_prior_is_a_probability_over_all_tokens(others, order):
    bits = [spelling_bits([*others, [token]], 6, order)[-1] for token in range(6)]
    assert sum(2**-b for b in bits) == pytest.approx(1, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 5), max_size=30))
def test_the_choosing_prior_is_a_probability_over_all_alternatives(others):
    bits = [choosing_bits([*others, answer], 6)[-1] for answer in range(6)]
    assert sum(2**-b for b in bits) == pytest.approx(1, abs=1e-12)


def test_spelling_by_hand():
    """(5, 9) against (5, 9), (7, 9) in an alphabet of 10: 4 tokens of 3 kinds without context; at the start
    2 of 2 kinds; after 5 only 9, once."""
    words = [[5, 9], [5, 9], [7, 9]]
    p5, p9 = (1 + 3 / 10) / 7, (2 + 3 / 10) / 7
    assert spelling_bits(words, 10, 0)[0] == pytest.approx(-math.log2(p5 * p9))
    q5, q9 = (1 + 2 * p5) / 4, (1 + 1 * p9) / 2
    assert spelling_bits(words, 10, 1)[0] == pytest.approx(-math.log2(q5 * q9))


def test_choosing_by_hand():
    """Euro has one like it in three others of three kinds; the Baht is new to three others of two kinds."""
    bits = choosing_bits(["Euro", "Euro", "Yen", "Baht"], 8)
    assert bits[0] == pytest.approx(-math.log2((1 + 3 / 8) / 6))
    assert bits[3] == pytest.approx(-math.log2((0 + 2 / 8) / 5))


def test_a_fact_is_never_part_of_its_own_prior():
    """One that is alone costs what it cost if it had never been seen: the uniform choice."""
    assert spelling_bits([[3, 4]], 16, 2) == [pytest.approx(8)]
    assert choosing_bits(["a"], 16) == [pytest.approx(4)]


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="order -1"):
        spelling_bits([[1]], 4, -1)
    with pytest.raises(ValueError, match="alternatives 1: must be at least 2"):
        choosing_bits(["a", "b"], 1)
    with pytest.raises(ValueError, match="questions"):
        capacity.answered(torch.nn.Identity(), None, [])
    with pytest.raises(ValueError, match="spent holds 1"):
        knowledge([], torch.zeros(1))
    with pytest.raises(ValueError, match="outcomes"):
        falling({}, [])


def test_probes_ask_each_fact_once_a_language_in_untrained_phrasings(asked):
    assert len({(p.fact.relation, p.fact.key, p.language) for p in asked}) == len(asked)
    assert {p.question.split for p in asked} == {"held_out", "dev"}
    assert all(p.question.answer == p.fact.object[p.language] for p in asked)
    assert all(p.question.language == p.language for p in asked)
    names = [f for f in facts.facts() if f.is_name]
    for language in facts.LANGUAGES:
        assert sum(p.fact.is_name and p.language == language for p in asked) == len(names)
    trained = [p for p in asked if p.language not in p.fact.trained_in]
    assert trained == []
    assert all(p.prior > 0 for p in asked)


def test_the_prior_knows_what_is_common(asked):
    """The Euro is cheaper to guess than the Baht; a name costs more than a choice among names."""
    prior = {(p.fact.relation, p.fact.key, p.language): p.prior for p in asked}
    assert prior["currency used", "DE", "en"] < 4 < 6 < prior["currency used", "TH", "en"]
    names = [p.prior for p in asked if p.fact.is_name]
    choices = [p.prior for p in asked if not p.fact.is_name and p.fact.relation != "code of currency"]
    assert sum(names) / len(names) > 4 * sum(choices) / len(choices)


@pytest.mark.parametrize("language", facts.LANGUAGES)
def test_two_tokens_of_context_are_the_strongest_of_the_priors(helper, language):
    words = [[*helper.tokenizer.encode(f.object[language]).ids, 2] for f in facts.facts() if f.is_name]
    totals = [sum(spelling_bits(words, 1024, order)) for order in (0, 1, 2)]
    assert totals.index(min(totals)) == capacity.ORDER


def probe(relation, key, language, prior=8.0, choice=4.0):
    fact = Fact(relation, key, {"th": "s", "en": "s"}, {"th": "o", "en": "o"})
    return Probe(fact, language, Question("?", "o", language, relation, key, 0, "held_out"), prior, choice)


def test_names_count_with_both_spellings_and_other_facts_once():
    asked = [
        probe("name of city", "A", "th"),
        probe("name of city", "A", "en"),
        probe("currency used", "A", "th"),
        probe("currency used", "A", "en"),
    ]
    assert knowledge(asked, torch.tensor([1.0, 3.0, 2.0, 7.0])) == {
        "stored_bits": 7 + 5 + 6,
        "choice_bits": 3 + 1 + 2,
        "possible_bits": 8 + 8 + 8,
        "net_bits": 7 + 5 + 6,
    }


def test_a_fact_that_costs_more_than_its_prior_is_unknown_not_owed():
    found = knowledge(
        [probe("name of city", "A", "th"), probe("name of city", "B", "th")], torch.tensor([20.0, 0])
    )
    assert found == {"stored_bits": 8, "choice_bits": 4, "possible_bits": 16, "net_bits": -4}


def test_figures_are_per_parameter_and_per_stored_bit():
    one = [probe("name of city", "A", "th")]
    outcome = Answered(torch.tensor([2.0]), torch.tensor([True]), torch.tensor([1.0]))
    found = figures(one, outcome, parameters=3, stored_bytes=2)
    assert found["stored_bits"] == 6
    assert (found["bits_per_parameter"], found["bits_per_stored_bit"]) == (2, 6 / 16)
    assert (found["share"], found["exact_match"], found["needed_bits_per_parameter"]) == (0.75, 1, 8 / 3)
    assert (found["facts"], found["possible_bits_per_fact"], found["file_bits_per_fact"]) == (1, 8, 16)


@pytest.mark.parametrize("bits", [None, 2])
def test_bits_and_right_answers_are_those_of_the_assistants_own_scores(helper, bits):
    questions = facts.split("held_out")[::200]
    model = round_matrices(helper.model, bits) if bits else helper.model
    outcome = capacity.answered(model, helper.tokenizer, questions)
    scores = assistant.quick_scores(model, helper.tokenizer, questions)
    size = sum(len(q.answer.encode()) for q in questions)
    assert float(outcome.bits.sum()) / size == pytest.approx(
        scores["bits_per_answer_byte"], rel=1e-3, abs=1e-6
    )
    assert float(outcome.right.double().mean()) == scores["exact_match"]
    assert torch.equal(outcome.right, outcome.margin > 0)
    few = slice(None, None, 8)
    written = assistant.Assistant(model, helper.tokenizer, {}).answers([q.text for q in questions[few]])
    assert outcome.right[few].tolist() == [
        a == q.answer for a, q in zip(written, questions[few], strict=True)
    ]


def test_falling_counts_by_language_relation_margin_and_weight():
    facts_asked = (("A", "th", 4.0), ("B", "th", 2.0), ("A", "en", 8.0), ("C", "en", 6.0))
    asked = [probe("name of city", key, language, prior) for key, language, prior in facts_asked]

    def outcome(right, margin):
        return Answered(torch.zeros(4), torch.tensor(right), torch.tensor(margin))

    found = falling(
        {
            2: outcome([False, False, True, False], [0.0] * 4),
            8: outcome([True] * 3 + [False], [3.0, 1, 4, 2]),
        },
        asked,
    )
    assert found["bits"] == [8, 2]
    assert found["kept"] == {"th": [1, 0], "en": [0.5, 0.5]}
    assert found["by_relation"] == {"name of city": [0.75, 0.25]}
    assert found["by_margin"] == [[1, 0], [0, 0], [1, 0], [1, 1]]
    assert found["by_weight"] == [[1, 0], [1, 0], [0, 0], [1, 1]]
    assert found["weight"] == {"name of city": 5}


def test_weights_of_two_bits_have_room_for_every_fact(helper, asked):
    """All facts together need far less than the bits that 2-bit weights have: room is not what they lack."""
    sums = knowledge(asked, torch.zeros(len(asked)))
    assert sums["choice_bits"] < sums["possible_bits"] < 0.1 * 2 * helper.model.parameters_count()


def test_shuffled_errors_are_the_same_errors_in_each_row():
    w = torch.randn(5, 40, generator=torch.Generator().manual_seed(3))
    value = (w * 2).round() / 2
    noisy = shuffled_error(w, value, seed=1)
    assert torch.equal(noisy, shuffled_error(w, value, seed=1))
    assert not torch.equal(noisy, shuffled_error(w, value, seed=2))
    torch.testing.assert_close((noisy - w).sort(1).values, (value - w).sort(1).values, rtol=0, atol=1e-6)
    assert len(noisy[0].unique()) > 2 * len(value[0].unique())
    with pytest.raises(ValueError, match="value of shape"):
        shuffled_error(w, value[:4], 0)


def test_rows_cover_every_width_and_language_and_languages_add_up(asked, monkeypatch):
    jobs = compression_capacity.jobs()
    settings = [tuple(job.setting.items()) for job in jobs if job.name == "compression.capacity"]
    assert len(set(settings)) == len(settings) == 7 * 3
    spent = torch.linspace(0, 30, len(asked))
    outcome = Answered(spent, spent < 1, 1 - spent)
    monkeypatch.setattr(compression_capacity, "_answered", lambda bits: outcome)
    th, en, both = (compression_capacity.known(32, language) for language in ("th", "en", "both"))
    assert th["probes"] + en["probes"] == both["probes"] == len(asked)
    assert (
        max(th["stored_bits"], en["stored_bits"])
        < both["stored_bits"]
        < th["stored_bits"] + en["stored_bits"]
    )
    assert both["bits_per_stored_bit"] == pytest.approx(both["bits_per_parameter"] / 32, rel=0.01)


def test_a_shipped_file_is_weighed_by_its_bytes(helper, asked, monkeypatch, tmp_path):
    config = dataclasses.asdict(helper.model.config)
    path = tmp_path / "compressed" / "four.nlab"
    path.parent.mkdir()
    weights = mixed.rounded(helper.model, dict.fromkeys(mixed.matrices(helper.model), 4))
    compressed.save(path, weights, config=config)
    monkeypatch.setattr(compression_capacity, "DATA", tmp_path)
    monkeypatch.setattr(compression_capacity, "_probes", lambda: asked[::60])
    jobs = [job for job in compression_capacity.jobs() if job.name == "compression.capacity_file"]
    assert [job.setting for job in jobs] == [{"target": "four", "language": k} for k in ("th", "en", "both")]
    th, _, both = (job.make() for job in jobs)
    assert both["bytes"] == path.stat().st_size
    assert th["probes"] < both["probes"] == len(asked[::60])
    expected = capacity.answered(
        round_matrices(helper.model, 4), helper.tokenizer, [p.question for p in asked[::60]]
    )
    assert both["stored_bits"] == pytest.approx(
        knowledge(asked[::60], expected.bits)["stored_bits"], rel=1e-6
    )
