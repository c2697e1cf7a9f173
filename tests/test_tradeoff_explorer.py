"""The trade-off's explorer: from rows, without rows, and with the button."""

import dataclasses
import random

import numpy as np
import pytest

from neurolab import measurements, tradeoff, tradeoff_words
from neurolab import tradeoff_explorer as explorer
from neurolab import tradeoff_front as fronts
from neurolab.explore import Explorer
from neurolab.tradeoff import REAL
from neurolab.tradeoff_front import EIGHT

GRID = [(T, b, s) for T in (4, 16, REAL) for b in (3, 4, 8) for s in (0.0, 0.5)]


def figures(place):
    """Made figures: fewer ticks, bits and weights are worse and cheaper."""
    T, bits, sparsity = place
    right = 1 - 0.25 / bits - sparsity / 10 - (0 if T == REAL else 1 / T)
    found = {
        "exact_match": right, "exact_match_th": right - 0.01, "exact_match_en": right + 0.01,
        "bits_per_answer_byte": 1 - right, "bytes": 100000 * bits, "macs": 500 * (1 - sparsity),
        "file_ratio_vs_int8": 8 / bits * (1 + sparsity), "file_ratio_vs_fp32": 32 / bits * (1 + sparsity),
        "counts": {"numbers": {"synapses": 1000.0}},
    }  # fmt: skip
    if T != REAL:
        found |= {"synops": 100.0 * T * (1 - sparsity), "spikes": 10.0 * T, "ticks_per_token": 25 * T}
    return found


def energy(place):
    T, bits, sparsity = place
    ways = {"numbers": 8 / bits * (1 + sparsity) * (0.2 if T == REAL else 1)}
    if T != REAL:
        ways["spikes"] = 16 / bits * (1 + sparsity) / T
    return {f"{way}_vs_int8{end}": x for way, x in ways.items() for end in ("", "_dram")}


@pytest.fixture
def rows(monkeypatch):
    """Rows of made figures in place of the shipped ones; a test may change the list."""
    kept = []
    for place in GRID:
        setting = tradeoff.setting(*place)
        kept.append(measurements.row("tradeoff.point", 8, setting, figures(place), command="x"))
        setting = setting | {"energy": "model"}
        kept.append(
            measurements.row("tradeoff.energy", 8, setting, energy(place), kind="simulated", command="x")
        )

    def read(name, **wanted):
        return [r for r in kept if r.name == name]

    monkeypatch.setattr(fronts, "read", read)
    monkeypatch.setattr(explorer, "read", read)
    return kept


def of(widget):
    return widget.children[0]


def test_every_setting_shows_its_row(rows):
    widget = of(explorer.explorer())
    assert widget.corners() >= 8
    result, words = widget.result(T=16, bits=4, sparsity=50)
    wanted = figures((16, 4, 0.5))
    assert result["file x"] == [wanted["file_ratio_vs_int8"]]
    assert result["file y"] == [100 * wanted["exact_match"]]
    assert result["energy x"].tolist() == [
        energy((16, 4, 0.5))[f"{way}_vs_int8"] for way in ("spikes", "numbers")
    ]
    bars = dict(zip(result["what"], result["bar text"], strict=True))
    assert bars == {
        "file": "3.00x", "products": "4.00x", "numbers, energy": "3.00x", "numbers, DRAM": "3.00x",
        "additions": "1.25x", "spikes, energy": "0.38x", "spikes, DRAM": "0.38x", "time": "simulated only",
    }  # fmt: skip
    behind = 100 * (figures(EIGHT)["exact_match"] - wanted["exact_match"])
    assert f"{behind:.1f} points behind 8 bits" in words
    assert "energy (simulated) as numbers 3.0 times less, as spikes 2.7 times more" in words
    real, words = widget.result(T=REAL, bits=8, sparsity=0)
    assert np.isnan(real["energy x"][0])
    assert list(real["bar text"][4:7]) == ["no spikes"] * 3
    assert "0.0 points behind" in words
    assert "spikes" not in words


def test_what_is_better_or_larger_is_said_to_be(rows):
    one = fronts.points()[16, 8, 0.5]
    said = tradeoff_words.words(dataclasses.replace(one, file=0.8), -0.3, False)
    assert "0.3 points ahead of 8 bits" in said
    assert "1.25 times larger than 8 bits that are not coded" in said
    assert "0.0 points behind 8 bits" in tradeoff_words.words(one, -0.04, False)
    assert "1.50 times smaller than" in tradeoff_words.words(one, 0.0, False)


def test_sliders_are_sliders_and_no_more_than_a_page_holds(rows):
    widget = of(explorer.explorer())
    drawn = {c["name"]: c for c in widget._spec["controls"]}
    assert {c["kind"] for c in drawn.values()} == {"range"}
    assert drawn["T"]["values"] == [4, 16, REAL]
    assert drawn["sparsity"]["values"] == [0, 50]
    assert len(tradeoff.T_VALUES) * len(tradeoff.BITS) * len(tradeoff.SPARSITIES) <= 2000
    assert widget._spec["alt"]


def test_targets_are_five_times_and_three_points(rows):
    result, _ = of(explorer.explorer()).result(T=16, bits=4, sparsity=50)
    assert result["times"] == 5
    assert result["least"] == pytest.approx(100 * figures(EIGHT)["exact_match"] - 3)


def test_a_row_that_is_missing_says_so(rows):
    del rows[2 * GRID.index((16, 4, 0.5)) : 2 * GRID.index((16, 4, 0.5)) + 2]
    widget = of(explorer.explorer())
    result, words = widget.result(T=16, bits=4, sparsity=50)
    assert words == "This point is not measured yet."
    assert np.isnan(result["file x"]).all()
    assert set(result["bar text"]) == {"not measured yet"}


def test_without_rows_the_book_says_so_and_a_notebook_has_the_button(rows, monkeypatch):
    rows.clear()
    assert of(explorer.explorer()).result(T=4, bits=8, sparsity=0)[1] == "This point is not measured yet."
    assert explorer.front_table().data == explorer.NOT_YET
    assert explorer.best() is None
    monkeypatch.setenv("NEUROLAB_STATIC", "1")
    assert explorer.explorer().data == explorer.NOT_YET


def test_the_book_has_every_setting_and_no_button(rows, monkeypatch):
    monkeypatch.setenv("NEUROLAB_STATIC", "1")
    made = explorer.explorer()
    assert isinstance(made, Explorer)
    assert "Measure" not in made.html()


def test_the_button_measures_the_point_that_is_chosen(rows, monkeypatch):
    box = explorer.explorer()
    widget, (button, bar, note) = box.children[0], box.children[1].children
    widget.set(T=4, bits=3, sparsity=0)
    asked = []

    def compute(T, bits, sparsity):
        asked.append((T, bits, sparsity))
        return figures((T, bits, sparsity)) | {"exact_match": 0.25}

    monkeypatch.setattr(tradeoff, "file", lambda bits, sparsity: None)
    monkeypatch.setattr(tradeoff, "compute", compute)
    monkeypatch.setattr(tradeoff, "energies", lambda counts: energy((4, 3, 0.0)))
    button.click()
    assert asked == [(4, 3, 0.0)]
    assert bar.value == 1
    row = 100 * figures((4, 3, 0.0))["exact_match"]
    assert f"25.0 % right; the course's row says {row:.1f} %" in note.value
    assert not button.disabled
    result, words = widget.result(T=4, bits=3, sparsity=0)
    assert result["file y"] == [25]
    assert words.endswith("Measured here.")
    assert not widget.result(T=4, bits=4, sparsity=0)[1].endswith("Measured here.")


def test_a_button_that_fails_says_why(rows, monkeypatch):
    box = explorer.explorer()
    button, _, note = box.children[1].children

    def full(bits, sparsity):
        raise OSError("no space left")

    monkeypatch.setattr(tradeoff, "file", full)
    button.click()
    assert 'role="alert">stopped: no space left' in note.value
    assert not button.disabled


def test_the_front_is_what_no_other_beats():
    draw = random.Random(0)
    for _ in range(50):
        some = [(draw.randint(0, 6), draw.randint(0, 6)) for _ in range(12)]
        kept = fronts.front(some)

        def beats(a, b):
            return a[0] >= b[0] and a[1] >= b[1] and a != b

        free = {p for p in some if not any(beats(q, p) for q in some)}
        assert [some[i] for i in kept] == sorted(free)
    assert fronts.front([]) == []


def test_the_best_point_within_a_loss(rows):
    found = explorer.best(10.0, "file")
    near = [p for p in GRID if figures(EIGHT)["exact_match"] - figures(p)["exact_match"] <= 0.1]
    most = max(near, key=lambda p: figures(p)["file_ratio_vs_int8"])
    assert (found["T"], found["bits"], found["sparsity"]) == most
    assert found["lost"] <= 10
    assert explorer.best(0.0, "file")["bits"] == 8
    dearest = explorer.best(30.0, "energy")
    assert dearest["energy"] == max(
        max(energy(p)[k] for k in energy(p) if k.endswith("int8"))
        for p in GRID
        if 100 * (figures(EIGHT)["exact_match"] - figures(p)["exact_match"]) <= 30
    )
    with pytest.raises(ValueError, match="what is 'time'"):
        explorer.best(1.0, "time")
    table = explorer.front_table().data
    assert "| file | real | 8 | 0 % |" in table
    rows_of = [line for line in table.splitlines() if line.startswith("|")]
    heads, _, *lines = ([cell.strip() for cell in line.split("|")[1:-1]] for line in rows_of)
    assert heads[-2:] == ["energy as numbers, x", "as spikes, x"]
    for _, T, bits, zeros, *_, numbers, spikes in lines:
        place = (T if T == REAL else int(T), int(bits), int(zeros.split()[0]) / 100)
        wanted = energy(place)
        assert numbers == f"{wanted['numbers_vs_int8']:.2f}"
        assert spikes == (f"{wanted['spikes_vs_int8']:.2f}" if T != REAL else "")


def test_the_least_energy_is_said_for_numbers_and_for_spikes(rows):
    found = fronts.points()
    near = [p for p, one in found.items() if fronts.lost(one, found) <= explorer.POINTS]
    assert not any(T != REAL for T, *_ in near)
    assert "as spikes. *(simulated)*" not in explorer.front_table().data
    rows.append(
        measurements.row(
            "tradeoff.point", 8, tradeoff.setting(64, 8, 0.0), figures((64, 8, 0.0)), command="x"
        )
    )
    setting = tradeoff.setting(64, 8, 0.0) | {"energy": "model"}
    costs = {"numbers_vs_int8": 2.5, "spikes_vs_int8": 0.25}
    rows.append(measurements.row("tradeoff.energy", 8, setting, costs, kind="simulated", command="x"))
    said = explorer.front_table().data
    assert "**2.5 times less** energy than with 8 bits if it is computed as numbers" in said
    assert "**4.0 times more** as spikes. *(simulated)*" in said
