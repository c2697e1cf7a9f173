"""Mixed precision: sizes are exact, the allocation is the best there is, uniform gets as many bytes."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurolab import assistant, facts, measurements, mixed
from neurolab.quantization import round_matrices
from neurolab.quantized import float_bytes, put
from neurolab.sweeps import compression_mixed, compression_pareto
from neurolab.transformer import Config, Transformer


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
def small():
    torch.manual_seed(0)
    return Transformer(Config(vocabulary=20, context=8, width=16, layers=3, heads=2, hidden=32))


def test_rounding_everything_is_the_uniform_rounding_of_the_library(small):
    by_bits = put(small, mixed.rounded(small, dict.fromkeys(mixed.matrices(small), 3)))
    expected = round_matrices(small, 3).state_dict()
    for name, value in by_bits.state_dict().items():
        assert torch.equal(value, expected[name])
    for name, value in mixed.uniform(small, 3).state_dict().items():
        assert torch.equal(value, expected[name])


def test_matrices_that_are_not_named_stay_float(small):
    weights = mixed.rounded(small, {"position.weight": 2})
    assert set(weights) == set(small.state_dict())
    coded = [name for name, x in weights.items() if not isinstance(x, torch.Tensor)]
    assert coded == ["position.weight"]


@pytest.mark.parametrize("share", [0.0, 0.1, 1 / 3, 0.5, 0.77, 1.0])
@pytest.mark.parametrize("rows", [1, 7, 16, 160])
def test_rows_with_one_bit_more_are_the_right_number_and_evenly_spread(rows, share):
    more = mixed.split_rows(rows, share)
    assert int(more.sum()) == round(share * rows)
    gaps = more.nonzero()[:, 0].diff()
    assert len(gaps) == 0 or gaps.max() - gaps.min() <= 1


def test_size_counts_codes_scales_and_norms(small):
    config = small.config
    weights = 20 * 16 + 8 * 16 + 3 * (4 * 16 * 16 + 2 * 16 * 32)
    rows = 20 + 8 + 3 * (4 * 16 + 32 + 16)
    norms = (2 * config.layers + 1) * 2 * 16
    every = mixed.matrices(small)
    assert mixed.size(small, dict.fromkeys(every, 3)) == weights * 3 / 8 + 4 * rows + 4 * norms
    assert mixed.size(small, dict.fromkeys(every, 3.5)) == weights * 3.5 / 8 + 4 * rows + 4 * norms
    one = dict.fromkeys(every, 3) | {"position.weight": 8}
    assert mixed.size(small, one) - mixed.size(small, dict.fromkeys(every, 3)) == 8 * 16 * 5 / 8


def test_uniform_between_two_widths_mixes_rows_of_every_matrix_alike(small):
    low, high = round_matrices(small, 2).state_dict(), round_matrices(small, 3).state_dict()
    between = mixed.uniform(small, 2.25)
    for name, w in mixed.matrices(between).items():
        more = mixed.split_rows(len(w), 0.25)
        assert 0 < int(more.sum()) < len(w)
        assert torch.equal(w[more], high[name][more])
        assert torch.equal(w[~more], low[name][~more])


@pytest.mark.parametrize("bits", [1.5, 8.1, 9])
def test_uniform_knows_only_two_to_eight_bits(small, bits):
    with pytest.raises(ValueError, match="bits"):
        mixed.uniform(small, bits)


def test_uniform_bits_are_the_fewest_that_take_as_many_bytes(small):
    every = mixed.matrices(small)
    for least in (1000, 3000, 3001, 3500):
        bits = mixed.uniform_bits(small, least)
        assert mixed.size(small, dict.fromkeys(every, bits)) >= least
        assert bits == 2 or mixed.size(small, dict.fromkeys(every, bits - 1 / 160)) < least
    with pytest.raises(ValueError, match="least 99999 bytes"):
        mixed.uniform_bits(small, 99999)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_allocation_is_the_best_of_all(data):
    widths = [2, 3, 5]
    weights = data.draw(st.lists(st.sampled_from([8, 16, 40]), min_size=1, max_size=4))
    losses = {
        str(i): {b: data.draw(st.integers(-3, 9), label="loss") / 4 for b in widths}
        for i in range(len(weights))
    }
    sizes = {str(i): {b: n * b // 8 for b in widths} for i, n in enumerate(weights)}
    budget = data.draw(st.integers(0, sum(weights)))
    ways = [dict(zip(losses, w, strict=True)) for w in itertools.product(widths, repeat=len(weights))]
    fitting = [w for w in ways if sum(sizes[n][b] for n, b in w.items()) <= budget]
    if not fitting:
        with pytest.raises(ValueError, match="budget"):
            mixed.allocate(losses, sizes, budget)
        return
    found = mixed.allocate(losses, sizes, budget)
    assert found in fitting
    least = min(sum(losses[n][b] for n, b in w.items()) for w in fitting)
    assert sum(losses[n][b] for n, b in found.items()) == least
    cheapest = min(
        sum(sizes[n][b] for n, b in w.items())
        for w in fitting
        if sum(losses[n][b] for n, b in w.items()) == least
    )
    assert sum(sizes[n][b] for n, b in found.items()) == cheapest


def test_monotone_never_rewards_fewer_bits():
    found = mixed.monotone({"a": {2: 0.5, 3: -0.1, 4: 0.2, 8: 0.0}})
    assert found == {"a": {8: 0.0, 4: 0.2, 3: 0.2, 2: 0.5}}


def test_within_the_budget_and_no_unit_of_a_useful_bit_left_over(helper):
    every = mixed.matrices(helper.model)
    losses = {name: {b: 2.0**-b * w.numel() for b in mixed.WIDTHS} for name, w in every.items()}
    for ratio in (6, 9, 13):
        bits = mixed.within(helper.model, losses, ratio)
        assert float_bytes() / 1.01 < ratio * mixed.size(helper.model, bits) <= float_bytes()
    with pytest.raises(ValueError, match="ratio 1"):
        mixed.within(helper.model, losses, 1)
    with pytest.raises(ValueError, match="budget"):
        mixed.within(helper.model, losses, 20)


def test_the_articles_allocation(small):
    bits = mixed.article(small)
    assert {name for name, b in bits.items() if b == 4} == {
        "blocks.1.feed_forward.up.weight",
        "blocks.1.feed_forward.down.weight",
    }
    assert set(bits) == set(mixed.matrices(small))
    assert set(bits.values()) == {4, 8}


def test_losses_of_the_rows_are_never_measured_on_held_out_questions(monkeypatch):
    seen = []
    monkeypatch.setattr(mixed, "sensitivity", lambda *given, **more: seen.append((given, more)) or {})
    compression_mixed.losses.cache_clear()
    compression_mixed.losses(3)
    compression_mixed.losses.cache_clear()
    (_, _, asked, names), more = seen[0]
    assert {q.split for q in asked} == {"dev"}
    assert len(names) == 26
    assert more == {"around": 3}


def test_sensitivity_rounds_one_matrix_and_leaves_the_model_alone(helper):
    before = {name: w.clone() for name, w in helper.model.state_dict().items()}
    names = ["embedding.weight", "position.weight", "blocks.3.attention.key.weight"]
    asked = facts.split("dev")[::8]
    alone = mixed.sensitivity(helper.model, helper.tokenizer, asked, names, (2, 8))
    among = mixed.sensitivity(helper.model, helper.tokenizer, asked, names, (2, 3), around=3)
    assert all(torch.equal(w, before[name]) for name, w in helper.model.state_dict().items())
    assert all(among[name][3] == 0 for name in names)
    for losses in (alone, among):
        assert max(losses, key=lambda name: losses[name][2]) == "embedding.weight"
    assert abs(alone["embedding.weight"][8]) < 0.01 * alone["embedding.weight"][2]
    by_hand = [
        assistant.bits_per_answer_byte(m, helper.tokenizer, asked)
        for m in (helper.model, put(helper.model, mixed.rounded(helper.model, {"embedding.weight": 2})))
    ]
    assert alone["embedding.weight"][2] == pytest.approx(by_hand[1] - by_hand[0], rel=1e-5)
    with pytest.raises(ValueError, match=r"'norm\.weight'"):
        mixed.sensitivity(helper.model, helper.tokenizer, asked, ["norm.weight"])


def test_the_comparison_gives_uniform_as_many_bytes(helper):
    bits = dict.fromkeys(mixed.matrices(helper.model), 2)
    bits |= {name: 5 for name in bits if name.startswith(("embedding", "blocks.0."))}
    found = mixed.compare(helper.model, bits, every=80)
    assert found["bytes"] <= found["uniform_bytes"] <= 1.002 * found["bytes"]
    assert 0.98 < found["file_bytes"] / found["bytes"] < 1.01  # scales lose bits, a header comes on top
    gain = found["uniform_bits_per_answer_byte"] - found["bits_per_answer_byte"]
    assert found["bits_per_answer_byte_gain"] == gain > 0
    points = 100 * (found["exact_match"] - found["uniform_exact_match"])
    assert found["exact_match_gain_points"] == points > 0
    assert found["bits_by_tensor"] == bits


def test_bars_hold_every_matrix_in_order_and_gaps_where_nothing_was_measured():
    def row(tensor, bits, **figures):
        setting = {"tensor": tensor, "bits": bits}
        return measurements.row("compression.sensitivity", 4, setting, figures, command="a test")

    among = "bits_per_answer_byte_among_3_bits"
    found = mixed.bars(
        [
            row("embedding.weight", 8, **{among: 0.5}),
            row("embedding.weight", 2, **{among: 0.7}, bits_per_answer_byte=0.1),
            row("blocks.2.feed_forward.up.weight", 2, **{among: 0.2}, bits_per_answer_byte=0.0),
        ]
    )
    assert (found["names"], found["bits"]) == (["embedding", "2 up"], [2, 8])
    assert found["alone"][0] == [0.1, 0.0]
    assert found["among"][0] == [0.7, 0.2]
    assert found["among"][1][0] == 0.5
    assert math.isnan(found["among"][1][1])
    assert math.isnan(found["alone"][1][0])


def test_the_front_holds_what_nothing_beats():
    points = [(10, 0.5), (20, 0.9), (15, 0.4), (10, 0.6), (30, 0.9), (20, 0.9)]
    assert mixed.front(points) == [3, 1]


def test_jobs_cover_every_matrix_budget_and_point_once():
    made = [*compression_mixed.jobs(), *compression_pareto.jobs()]
    keys = [(job.name, tuple(job.setting.items())) for job in made]
    assert len(set(keys)) == len(keys)
    counts = {name: sum(job.name == name for job in made) for name in {job.name for job in made}}
    assert counts == {"compression.sensitivity": 26 * 6, "compression.mixed": 13, "compression.pareto": 54}
    shape = [j.setting for j in made if j.setting.get("allocation", "").startswith("article")]
    assert shape[0] == {"budget_ratio": 4.55, "allocation": "article", "high": 8, "low": 4}


def test_a_point_of_the_grid_has_its_zeros_and_its_bytes(monkeypatch):
    monkeypatch.setattr(compression_pareto, "EVERY", 200)
    dense, pruned = compression_pareto.point(4, 0.0), compression_pareto.point(4, 0.6)
    assert dense["zeros"] < 0.3 < 0.6 <= pruned["zeros"]
    assert pruned["bytes"] < dense["bytes"] < float_bytes() / 7
    assert dense["exact_match"] > pruned["exact_match"]
