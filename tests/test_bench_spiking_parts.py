"""The rows of parts, codes and hybrids: made once, complete, and right about what they compare."""

import pytest

from neurolab import facts, measurements, parts
from neurolab.bench import _kept, encoding, spiking_parts, spiking_rates
from neurolab.bench._kept import kept

QUESTIONS = 12


@pytest.fixture
def store(monkeypatch, tmp_path):
    monkeypatch.setattr(measurements, "own", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def few(monkeypatch):
    """Fewer questions to train on and to ask."""
    train, split, sample = facts.split("train")[::200], facts.split, encoding.sample
    monkeypatch.setattr(facts, "split", lambda name, *a: train if name == "train" else split(name, *a))
    for module in (encoding, spiking_parts):
        monkeypatch.setattr(module, "sample", lambda count: sample(QUESTIONS))
    monkeypatch.setattr(spiking_rates, "QUESTIONS", QUESTIONS)
    monkeypatch.setattr(spiking_parts, "STEPS", 2)
    monkeypatch.setattr(spiking_parts, "BATCH", 4)


def test_a_row_is_made_once_for_the_same_weights(store):
    made = []

    def make():
        made.append(1)
        return {"exact_match": 0.1 * len(made)}

    first = kept("spiking.steps", {"T": 1}, "abc", make)
    assert kept("spiking.steps", {"T": 1}, "abc", make).figures == first.figures
    assert len(made) == 1
    assert kept("spiking.steps", {"T": 2}, "abc", make).figures["exact_match"] == pytest.approx(0.2)
    assert kept("spiking.steps", {"T": 1}, "other", make).figures["exact_match"] == pytest.approx(0.3)
    assert kept("spiking.steps", {"T": 1}, "other", make, keep=False).figures["exact_match"] == pytest.approx(
        0.4
    )
    rows = measurements.read("spiking.steps", store=store, history=True)
    assert [row.figures["of"] for row in rows] == ["abc", "abc", "other"]
    assert {row.provenance["command"] for row in rows} == {_kept.COMMAND}


def test_parts_are_compared_with_the_control_of_equal_steps(store, few, monkeypatch):
    only = {"softmax": ("argmax", "times"), "activation": ("rate",), "norm": ()}
    monkeypatch.setattr(parts, "PARTS", only)
    asked = []
    monkeypatch.setattr(
        parts, "distil", lambda *a, _real=parts.distil, **k: asked.append(a[3]) or _real(*a, **k)
    )
    found = spiking_parts.parts_rows()
    assert asked == [2] * 4
    assert len(found) == 2 + 2 * 3
    by = {(f.setting.get("part"), f.setting["replacement"], f.setting["tuned"]): f for f in found}
    control = by["none", "unchanged", True].figures
    untouched = by["none", "unchanged", False].figures
    assert untouched["exact_match"] == 1.0
    assert control["steps"] == 2
    for (_, name, tuned), finding in by.items():
        figures = finding.figures
        base = control if tuned and name != "unchanged" else untouched
        lost = 100 * (base["exact_match"] - figures["exact_match"])
        assert figures["exact_match_drop_points"] == pytest.approx(lost)
        assert figures["questions"] == QUESTIONS
        assert figures["steps"] == (2 if tuned else 0)
    assert by[None, "argmax", False].figures["exact_match_drop_points"] > 50
    assert by[None, "times", False].figures["exact_match_drop_points"] < 20
    assert by["activation", "rate", True].setting["T"] == 16
    assert {f.name for f in found} == {"spiking.softmax", "spiking.parts"}
    again = spiking_parts.parts_rows()
    assert asked == [2] * 4  # nothing was trained again
    assert [f.figures for f in again] == [f.figures for f in found]


def test_hybrids_gain_over_all_spikes_at_equal_T(store, few, monkeypatch):
    monkeypatch.setattr(spiking_rates, "HYBRID_STEPS", (2,))
    found = {f.setting["spiking_layers"]: f for f in spiking_rates.hybrid_rows()}
    assert list(found) == [0, 1, 2, 3, 4]
    assert [f.setting["kind"] for f in found.values()] == ["ordinary", *["hybrid"] * 3, "spiking"]
    right = {n: f.figures["exact_match"] for n, f in found.items()}
    assert right[0] > right[2] > right[4]
    for n, f in found.items():
        assert f.figures["exact_match_gain_points"] == pytest.approx(100 * (right[n] - right[4]))
    assert found[0].figures["exact_match_drop_points"] < 10


def test_rate_rows_hold_what_the_claim_asks_for(store, few, monkeypatch):
    monkeypatch.setattr(spiking_rates, "STEPS", (4, 16))
    monkeypatch.setattr(spiking_rates, "BALANCED", (4,))
    monkeypatch.setattr(spiking_rates, "SHARES", (1.0, 0.5))
    monkeypatch.setattr(spiking_rates, "TIMED", 2)
    found = spiking_rates.rate_rows()
    steps = {(f.setting["T"], f.setting["language"]): f for f in found if f.name == "spiking.steps"}
    assert set(steps) == {(T, lang) for T in (4, 16) for lang in ("th", "en", "both")}
    for T in (4, 16):
        th, en, both = (steps[T, lang].figures for lang in ("th", "en", "both"))
        assert steps[T, "th"].setting["code"] == steps[T, "th"].setting["schedule"] == "rate"
        assert both["exact_match"] == pytest.approx((th["exact_match"] + en["exact_match"]) / 2)
        assert both["tokens"] == th["tokens"] + en["tokens"]
        total = th["spikes_per_token"] * th["tokens"] + en["spikes_per_token"] * en["tokens"]
        assert both["spikes_per_token"] == pytest.approx(total / both["tokens"])
        assert th["bits_per_answer_byte"] != en["bits_per_answer_byte"]
        assert min(th["response_ms"], en["response_ms"], both["response_ms"]) > 1
    four, sixteen = steps[4, "both"].figures, steps[16, "both"].figures
    assert four["exact_match"] < sixteen["exact_match"] >= 0.8
    assert 2.5 < sixteen["spikes_per_token"] / four["spikes_per_token"] < 4.5
    assert sixteen["response_ms"] > four["response_ms"]
    balance = {f.setting["share"]: f.figures for f in found if f.name == "spiking.balance"}
    assert balance[1.0]["exact_match"] == four["exact_match"]
    assert balance[0.5]["spikes_per_token"] > balance[1.0]["spikes_per_token"]


def test_coding_rows_send_one_layer_in_every_code(store, few, monkeypatch):
    monkeypatch.setattr(spiking_rates, "CODED_STEPS", (8,))
    monkeypatch.setattr(encoding, "QUESTIONS", 4)
    found = {f.setting["code"]: f for f in spiking_rates.coding_rows()}
    assert set(found) == set(spiking_rates.CODINGS)
    assert found["temporal"].figures["spikes_per_number"] == 1
    assert found["hybrid"].figures["spikes_per_number"] < 8
    assert found["rate"].figures["exact_match"] >= found["rate, coins"].figures["exact_match"]
    assert found["temporal"].setting["site"] == "feed-forward"
