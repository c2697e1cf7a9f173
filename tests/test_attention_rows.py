"""Chapter 3's results: tables, sentences, explorers say what the rows say and draw what they are given."""

import numpy as np
import pytest

from neurolab import attention_pictures as pictures
from neurolab import attention_rows as results
from neurolab import attention_words as words
from neurolab.explore import Explorer, exercise_corners
from neurolab.measurements import append, row


def made(name, setting, kind="measured", **figures):
    return row(f"spiking.{name}", 3, setting, figures, kind=kind, command="x")


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Shipped rows of our own: a function that writes some."""
    monkeypatch.setattr("neurolab.measurements.shipped", lambda: tmp_path)
    return lambda *rows: append(rows, tmp_path)


def part(name, tuned, match, drop=0.0, **setting):
    kind = "parts" if "part" in setting else "softmax"
    figures = {"exact_match": match, "exact_match_drop_points": drop, "bits_per_answer_byte": 0.0123}
    return made(kind, {"replacement": name, "tuned": tuned, **setting}, **figures, steps=200 if tuned else 0)


def test_costs_put_before_and_after_side_by_side_under_the_control(store):
    store(
        part("unchanged", False, 0.97, part="none"), part("unchanged", True, 0.98, part="none"),
        part("relu", False, 0.5, 47, part="activation"), part("relu", True, 0.961, 1.9, part="activation"),
        part("rms", False, 0.9, 7, part="norm"), part("argmax", False, 0.05), part("argmax", True, 0.6, 38),
    )  # fmt: skip
    text = results.costs("spiking.parts", "part", ("activation", "norm"))
    lines = text.splitlines()
    assert lines[2].startswith("|  | nothing: trained on as it is | 97.0 | **98.0** |")
    assert "| the curve | ReLU | 50.0 | **96.1** | 1.9 | 0.0123 |" in lines
    assert "| the norm | divided by the root mean square | 90.0 |  |  |  |" in lines
    assert "200 batches" in lines[-1]
    assert "argmax" not in text
    alone = results.costs("spiking.softmax").splitlines()
    assert "| route to the best | 5.0 | **60.0** | 38.0 | 0.0123 |" in alone
    assert len({line.count("|") for line in alone if line.startswith("|")}) == 1


def test_the_softmax_sentence_counts_those_within_two_points(store):
    store(
        part("times", False, 0.99), part("times", True, 0.99, 0.3), part("argmax", False, 0.06),
        part("argmax", True, 0.7, 28), part("order", False, 0.6), part("order", True, 0.97, 2.0),
    )  # fmt: skip
    said = words.softmax_sentence().data
    assert "between 6.0% (route to the best) and 99.0% (times of first spikes)" in said
    assert "**2 of 3**" in said
    assert "0.3 points" in said
    assert "28.0" in said


@pytest.mark.parametrize(
    ("skipping", "schedule", "verdict", "not_said"),
    [
        (0.93, "halving", "not against an 8-bit", "one bit at a time"),
        (1.04, "halving", "every one of them", "not against"),
        (1.04, "radix, weights held", "one bit at a time", "not against"),
    ],
)
def test_the_energy_verdict_turns_with_the_figure(store, skipping, schedule, verdict, not_said):
    ratios = {"ratio_vs_fp32": 12.0, "ratio_vs_int8": 1.5}
    store(
        made("energy", {"network": "two", "schedule": schedule, "T": 2}, "simulated", **ratios,
             exact_match=0.97, ratio_vs_int8_zero_skipping=skipping, energy_nj_per_token=900.0),
        made("energy", {"network": "quantized", "schedule": "unary", "T": 0}, "simulated", **ratios,
             ratio_vs_int8_zero_skipping=0.5, energy_nj_per_token=1900.0, membranes_nj_per_token=380.0,
             exact_match=0.98),
        made("energy", {"network": "one", "schedule": "unary", "T": 1}, "simulated", ratio_vs_fp32=40.0,
             ratio_vs_int8=9.0, ratio_vs_int8_zero_skipping=3.0, energy_nj_per_token=9.0, exact_match=0.9),
    )  # fmt: skip
    store(made("energy", {}, value=1.04))  # the goal's own row
    said = words.energy_sentence().data
    assert verdict in said
    assert not_said not in said
    assert f"**{skipping:.2f} times** (two, {schedule}, T = 2)" in said  # the cheapest one answers too badly
    assert said.endswith("*(simulated)*")
    assert ("spiking networks reaches 0.50." in said) == ("held" in schedule)
    table = results.energy_table().splitlines()
    assert "| quantized | unary | rest | 98.0 | 1.90 | 20% | 12.0 | 1.50 | 0.50 |" in table
    assert table[2].startswith("| one |")


@pytest.mark.parametrize(("ratio", "word"), [(0.8, "fewer"), (1.2, "more")])
def test_ternary_events_turn_with_the_figure(store, ratio, word):
    figures = {"exact_match": 0.99, "exact_match_ternary": 0.95, "questions": 1500}
    store(made("integer", {}, changed_answers=0, events_ratio_ternary=ratio, **figures))
    said = words.ternary_sentence().data
    assert f"({word} spikes" in said
    assert "changed 0 of 1,500 answers" in said
    assert "95.0% right, 4.0 points below the 8-bit network" in said


def test_adaptive_and_events_sentences(store):
    store(
        made("adaptive", {"rule": "few", "patience": 1}, mean_T=7.26, rest_T=14.4, settle_T=24,
             mean_cost_ratio=0.5, spikes_ratio=0.81, exact_match=0.9871, exact_match_drop_points=0.0,
             answers_changed=3, questions=1200),
        made("events", {"schedule": "ramp"}, spikes=[10, 50, 200, 900.0],
             microseconds=[80.2, 100, 150, 400.6], additions=[1, 2, 3, 4]),
    )  # fmt: skip
    said = words.adaptive_sentence().data
    assert "**7.3 steps**, where rest takes 14.4 on average and 24 at most" in said
    assert "Of 1,200 answers 3 change, and the share of right ones is level with that" in said
    assert "(about 10) takes 80 microseconds, the quarter with the most (about 900) **401**" in (
        words.events_sentence().data
    )


def test_the_rate_sentence_takes_the_best_of_16_to_64(store):
    def rate(T, match, ms):
        setting = {"network": "quantized", "code": "rate", "schedule": "rate", "T": T, "language": "both"}
        return made(
            "steps", setting, exact_match=match, exact_match_drop_points=99 - 100 * match, response_ms=ms
        )

    store(rate(8, 0.99, 5.0), rate(16, 0.1, 20.0), rate(64, 0.5, 80.0), rate(0, 0.9, 900.0))
    said = words.rate_sentence().data
    assert "**50.0%** right (T = 64), 49.0 points below" in said
    assert "80 ms at most" in said
    assert "not enough" in said


def test_whether_the_schedule_or_the_training_helped():
    assert (
        "worth 93 points, and the training that we could afford added nothing"
        in words.schedule_or_training(0.017, 0.943, 0.931)
    )
    assert words.schedule_or_training(0.5, 0.9, 0.955).endswith("worth 40 points, training 5.5 more.")


def test_what_was_not_measured_is_said(store):
    store(part("relu", True, 0.9))
    assert "not measured" in words.training_sentence().data
    assert "not measured" in results.recipe_table()


def test_points_read_as_one_says_them():
    said = [words.below(points) for points in (1.5, -0.24, 0.01)]
    assert said == ["1.5 points below", "0.2 points above", "level with"]


@pytest.mark.parametrize(
    ("last", "verdict"), [(0.985, "From T = 32 on its answers are as good"), (0.97, "It does not catch up.")]
)
def test_the_plain_sentence_says_from_where_on_answers_are_as_good(store, last, verdict):
    def steps(code, T, match):
        setting = {"network": "quantized", "code": code, "T": T, "language": "both"}
        return made("steps", setting, exact_match=match)

    store(steps("rate", 16, 0.5), steps("rate", 32, last), steps("unary", 32, 0.6), steps("unary", 0, 0.99))
    said = words.plain_sentence().data
    assert f"answers 50.0% at T = 16 and {last:.1%} at T = 32; the signed one, at rest, 99.0%" in said
    assert verdict in said


def test_curves_run_by_steps_with_rest_last_and_rows_that_lack_are_named(store):
    def steps(T, match):
        return made("steps", {"network": "four", "T": T}, exact_match=match)

    store(steps(0, 0.9), steps(16, 0.8), steps(2, 0.1))
    T, y = results.curve(results.figures("spiking.steps", "exact_match", over="T", network="four"))
    assert T.tolist() == [2, 16, 128]
    assert y.tolist() == [0.1, 0.8, 0.9]
    assert results.one("spiking.steps", T=2).figures["exact_match"] == 0.1
    with pytest.raises(ValueError, match="neurolab bench spiking"):
        results.one("spiking.steps", T=3)


def test_the_grid_of_bits_and_steps_moves_and_offers_only_what_was_measured(store):
    rows = [
        made("bits", {"bits": b, "T": T}, exact_match=b / 10 + T / 100, spikes_per_token=100.0 * b)
        for b in (3, 4)
        for T in (1, 8, 0)
    ]
    store(*rows)
    explorer = results.bits_explorer()
    assert exercise_corners(explorer) >= 8
    result, said = explorer.result(T="8", bits=4, shown="right")
    assert result["labels"].tolist()[1] == ["41", "48", "40"]
    assert (result["at x"].tolist(), result["at y"].tolist()) == (["8"], ["4"])
    assert "48 % right" in said
    with pytest.raises(ValueError, match="energy"):
        explorer.check(shown="energy")


def test_codings_show_answers_or_spikes_at_one_site_or_two(store):
    names = [name for where in results.CODINGS.values() for name in where.values()]
    store(
        *(made("coding", {"code": name, "T": T}, exact_match=T / 10 + i / 100, spikes_per_number=T * 1.0)
          for i, name in enumerate(names) for T in (8, 4))
    )  # fmt: skip
    explorer = results.coding_explorer()
    assert exercise_corners(explorer) >= 4
    result, said = explorer.result(where="hidden layer and attention", shown="right answers")
    assert result["hybrid y"].tolist() == pytest.approx([45.0, 85.0])
    assert said == "hidden layer and attention, T = 4: rate 43, temporal 44, hybrid 45."
    result, _ = explorer.result(where="hidden layer", shown="spikes")
    assert result["rate y"].tolist() == [4.0, 8.0]
    assert result["range"][1] == pytest.approx(8.4)


def test_hybrid_and_recipe(store):
    store(
        made("hybrid", {"spiking_layers": 2, "T": 4, "network": "quantized"}, exact_match=0.9,
             exact_match_gain_points=1.25, exact_match_drop_points=-0.5),
        made("hybrid", {"spiking_layers": 0, "T": 4, "network": "quantized"}, exact_match=0.95),
        made("hybrid", {"spiking_layers": 4, "T": 4, "network": "quantized"}, exact_match=0.8),
        made("hybrid", {"spiking_layers": 3, "T": 4, "network": "quantized"}, exact_match=0.85),
        made("recipe", {"left_out": "kl"}, exact_match=0.871, bits_per_answer_byte=0.04321, steps=150),
        made("training", {"T": 4}, time_ratio=3.2, step_time_ratio=5.7),
    )  # fmt: skip
    said = words.hybrid_sentence().data
    assert (
        "T = 4: 80.0% if all layers spike, **90.0%** if only the lowest 2 layers do. The network at rest"
        in said
    )
    assert "95.0% of the same" in said
    assert "nothing to repair" not in said
    assert "| the teacher's probabilities (KL) | 87.1 | 0.0432 |" in results.recipe_table()
    assert "**5.7 times**" in words.training_sentence().data


def test_the_hybrid_picture_has_a_bar_a_measured_number_of_layers(store):
    store(
        *(made("hybrid", {"spiking_layers": n, "T": T, "network": "quantized"}, exact_match=n / 8 + T / 100)
          for n, T in ((0, 2), (2, 2), (4, 2), (0, 8), (4, 8)))
    )  # fmt: skip
    store(made("hybrid", {"spiking_layers": 1, "T": 2, "network": "four"}, exact_match=0.3))
    figure = results.hybrid_picture()._spec["figure"]
    assert [trace["name"] for trace in figure["data"]] == ["T = 2", "T = 8"]
    assert figure["data"][0]["x"] == ["none", "lowest 2", "all"]
    result, _ = results.hybrid_picture().result()
    assert result["T = 2 values"].tolist() == [2.0, 27.0, 52.0]
    assert np.isnan(result["T = 8 values"]).tolist() == [False, True, False]


def test_the_balance_table_has_a_line_a_T_and_a_column_a_share(store):
    store(
        *(made("balance", {"network": "quantized", "T": T, "share": share}, exact_match=T / 20 - share / 10)
          for T, share in ((8, 1.0), (16, 0.99), (16, 1.0)))
    )  # fmt: skip
    lines = results.balance_table().splitlines()
    assert lines[0] == "| steps T | all | 99 % |"
    assert lines[2:4] == ["| 8 | 30.0 |  |", "| 16 | 70.0 | 70.1 |"]


def test_every_picture_draws_what_it_was_given():
    t = np.arange(1, 5)
    looking = {"A": np.tril(np.ones((3, 3))), "texts": ["a", "b", "c"]}
    settling = {"t": t, "code": t * 0 + 3, "drive": t, "signed": t, "plain": t}
    winners = {"softmax": t / 10, "spikes": t / 9, "rest": t / 8, "texts": list("abcd")}
    waits = {"T": t, "unary": t, "halving": t[::-1]}
    cloud = {"x": t, "y": t[::-1], "x name": "x", "y name": "y"}
    curves = {
        "groups": ["g"],
        "g x": t,
        "g y": t,
        "axis": "%",
        "level": t[:2],
        "level x": t[:2],
        "level name": "l",
    }
    prices = {"T": t, "quality": t, "ms": t}
    for draw, result, key, axis in (
        (pictures.settling, settling, "signed neuron's count S", "signed"),
        (pictures.winners, winners, "spikes at rest", "rest"),
        (pictures.waits, waits, "halving", "halving"),
        (pictures.curves, curves, "g", "g y"),
        (pictures.two_prices, prices, "time for one answer (ms)", "ms"),
    ):
        trace = next(trace for trace in draw(result).data if trace.name == key)
        assert np.array_equal(np.asarray(trace.y), np.asarray(result[axis]))
    assert np.array_equal(pictures.looking(looking).data[0].z, looking["A"])
    assert [tuple(trace.y) for trace in pictures.beside(cloud).data][1] == tuple(cloud["y"])
    assert isinstance(pictures.show(pictures.beside, cloud, "t", "alt", "c"), Explorer)
    for draw, result, changes in (
        (pictures.looking, looking, pictures.LOOKING_CHANGES),
        (pictures.settling, settling, pictures.SETTLING_CHANGES),
        (pictures.winners, winners, pictures.WINNERS_CHANGES),
    ):
        names = {trace.name for trace in draw(result).data}
        assert set(changes) <= names
        assert all(key in result for change in changes.values() for key in change.values())
