"""Six orders of one budget: one form at the end, the same batches on the way, and what is told of them."""

import copy
from dataclasses import replace

import pytest
import torch
from torch.nn.utils import parametrize

from neurolab import compressed, digit_net, order_rows, orders, pruning, qat, quantized
from neurolab.measurements import append, row
from neurolab.orders import CONTROL, ORDERS, RUNS, SUBJECTS, TOGETHER, Budget
from neurolab.sweeps import compression_order

SHORT = Budget(3)


@pytest.fixture(scope="module")
def subject():
    net = digit_net.trained(0, steps=80, channels=(6, 8, 12))
    return replace(SUBJECTS["digits"], network=lambda seed: copy.deepcopy(net))


def test_all_six_orders_and_two_yardsticks():
    assert sorted(ORDERS) == ["DPQ", "DQP", "PDQ", "PQD", "QDP", "QPD"]
    assert set(RUNS) == {*ORDERS, TOGETHER, CONTROL}


@pytest.mark.parametrize("order", [*ORDERS, TOGETHER])
def test_every_order_ends_pruned_and_quantized_in_a_file(subject, order, tmp_path):
    net = orders.compress(subject, order, 1, SHORT)
    coded = qat.coded(net)
    for name in ("conv1.weight", "conv2.weight", "conv3.weight", "out.weight"):
        assert coded[name].q.min() >= -4
        assert coded[name].q.max() <= 3
        assert coded[name].step.shape == (coded[name].q.shape[0], 1)
    matrices = [x.q for x in coded.values() if isinstance(x, quantized.Coded)]
    total = sum(q.numel() for q in matrices)
    assert sum(int((q == 0).sum()) for q in matrices) >= round(0.7 * total)
    compressed.save(tmp_path / "net", coded, config={})
    back = digit_net.DigitNet((6, 8, 12))
    back.load_state_dict(quantized.values(compressed.load(tmp_path / "net").tensors))
    assert digit_net.scores(back) == digit_net.scores(qat.plain(net))


def test_the_control_is_the_float_network_trained_on(subject):
    net = orders.compress(subject, CONTROL, 1, SHORT)
    assert not any(parametrize.is_parametrized(module) for module in net.modules())
    by_hand = subject.network(1)
    for stage in range(3):
        digit_net.teach(by_hand, steps=3, seed=3 + stage)
    for a, b in zip(net.parameters(), by_hand.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_mask_is_that_of_the_float_weights_and_stays(subject):
    net = orders.compress(subject, "PQD", 0, SHORT)
    wanted = pruning.masks(pruning.scores(subject.network(0)), 0.7, "global")
    used = qat.plain(net).state_dict()
    for name, mask in wanted.items():
        assert torch.equal(pruning.mask_of(pruning.prunable(net)[name]).mask, mask)
        assert (used[name][~mask] == 0).all()


def test_pruning_after_quantization_goes_by_the_weights_below_the_codes(subject):
    net = subject.network(0)
    orders.put_codes(net, 3)
    orders.put_mask(net, 0.7, "global")
    wanted = pruning.masks(pruning.scores(subject.network(0)), 0.7, "global")
    for name, mask in wanted.items():
        assert torch.equal(pruning.mask_of(pruning.prunable(net)[name]).mask, mask)
    assert pruning.zeros(net) >= 0.7


def test_all_orders_see_the_same_batches_and_only_d_the_teacher(subject):
    start = subject.network(0).state_dict()
    for order in RUNS:
        seen = []

        def teach(net, steps, seed, teacher, soft, seen=seen):
            on = (any(isinstance(m, kind) for m in net.modules()) for kind in (pruning.Mask, qat.FakeQuant))
            seen.append((steps, seed, teacher is not None, soft, *on))
            if teacher is not None:
                assert all(torch.equal(x, start[name]) for name, x in teacher.state_dict().items())

        orders.compress(replace(subject, teach=teach), order, 5, Budget(7))
        assert [s[:2] for s in seen] == [(7, 15), (7, 16), (7, 17)]
        if order in ORDERS:
            p, q, d = (order.index(stage) for stage in "PQD")
            assert [s[3] for s in seen] == [float(i == d) for i in range(3)]
            assert [s[4:] for s in seen] == [(i >= p, i >= q) for i in range(3)]
        else:
            told = order == TOGETHER
            assert {s[2:] for s in seen} == {(told, 0.5 if told else 0.0, told, told)}
        assert all(s[2] == (s[3] > 0) for s in seen)


def test_a_run_is_the_same_again_and_says_what_it_lost(subject, monkeypatch):
    monkeypatch.setitem(SUBJECTS, "digits", subject)
    first, again, other = (orders.run("digits", "QPD", seed, SHORT) for seed in (0, 0, 1))
    assert first == again
    assert first["bits_per_picture"] != other["bits_per_picture"]
    float_match = digit_net.scores(subject.network(0))["exact_match"]
    assert first["exact_match_drop_points"] == pytest.approx(100 * (float_match - first["exact_match"]))
    assert len(first["on_the_way"]) == 3
    assert first["on_the_way"][-1] == first["exact_match"]
    assert first["zeros"] >= 0.7
    control = orders.run("digits", CONTROL, 0, SHORT)
    assert "bytes" not in control
    assert "zeros" not in control


def rows_of(points, budget=None):
    """Rows of made-up runs: points {order: [exact match in points, one a seed]}."""
    return [
        row(
            "compression.order_run",
            5,
            {
                "model": "digits",
                "order": order,
                "seed": seed,
                **(budget or {"steps": 60, "zeros": 0.7, "bits": 3}),
            },
            {
                "exact_match": x / 100,
                "bits_per_picture": 1 - x / 100,
                "exact_match_drop_points": 100 - x,
                **({} if order == CONTROL else {"bytes": 10 + seed, "zeros": 0.7}),
            },
            command="made up",
        )
        for order, all_points in points.items()
        for seed, x in enumerate(all_points)
    ]


POINTS = {order: [90 + i, 92 + i] for i, order in enumerate(ORDERS)} | {TOGETHER: [80, 80], CONTROL: [97, 99]}


def test_the_summary_by_hand():
    said = order_rows.summary("digits", rows_of(POINTS))
    assert said["orders"] == list(RUNS)
    assert said["range"] == pytest.approx(5)
    assert said["seed_sd"] == pytest.approx(2**0.5)
    assert said["range_over_seed_sd"] == pytest.approx(5 / 2**0.5)
    assert said["loss_range"] == pytest.approx(0.05)
    assert said["loss_range_over_seed_sd"] == pytest.approx(5 / 2**0.5)
    assert said["exact_match"][0] == pytest.approx(0.91)
    assert said["exact_match_drop_from_control_points"][:6] == pytest.approx([7, 6, 5, 4, 3, 2])
    assert said["exact_match_drop_from_control_points"][-1] == 0
    assert said["bytes"] == pytest.approx([10.5] * 7)
    assert said["seeds"] == 2


def test_the_summary_wants_every_run():
    rows = [r for r in rows_of(POINTS) if (r.setting["order"], r.setting["seed"]) != ("QDP", 1)]
    with pytest.raises(ValueError, match=r"QDP of seed 1"):
        order_rows.summary("digits", rows)
    with pytest.raises(ValueError, match="none missing"):
        order_rows.summary("assistant", rows_of(POINTS))


def test_kept_runs_are_compared_those_of_another_budget_left_out(tmp_path):
    other = {order: [50.0, 50.0] for order in RUNS}
    append(rows_of(POINTS), tmp_path)
    append(rows_of(other, {"steps": 60, "zeros": 0.9, "bits": 2}), tmp_path)
    assert order_rows.summarise("digits", Budget(60), tmp_path)["range"] == pytest.approx(5)


def test_a_table_and_the_last_stage_by_hand():
    figures = order_rows.summary("digits", rows_of(POINTS))
    compared = row("compression.order", 5, {"model": "digits"}, figures, command="made up")
    said = order_rows.table(compared)
    assert [line["order"] for line in said] == list(RUNS)
    assert said[0]["said"] == "prune, quantize, distil"
    assert said[-1]["bytes"] is None
    assert said[1]["exact_match_sd"] == pytest.approx(2**0.5 / 100)
    # in the order of ORDERS: PQD 91, PDQ 92, QPD 93, QDP 94, DPQ 95, DQP 96 points
    assert order_rows.last_stage(compared) == pytest.approx(
        {"distil": 0.92, "quantize": 0.935, "prune": 0.95}
    )


@pytest.mark.parametrize("fields", [{"steps": 0}, {"steps": 5, "zeros": 1.0}, {"steps": 5, "bits": 9}])
def test_impossible_budgets_are_refused(fields):
    with pytest.raises(ValueError, match=f"{list(fields)[-1]} "):
        Budget(**fields)


def test_unknown_orders_and_models_are_refused(subject):
    with pytest.raises(ValueError, match="order 'PPQ'"):
        orders.compress(subject, "PPQ", 0, SHORT)
    with pytest.raises(ValueError, match="model 'resnet'"):
        orders.run("resnet", "PQD", 0, SHORT)


@pytest.mark.parametrize(("name", "budgets"), [("order", orders.BUDGETS), ("order_hard", orders.HARD)])
def test_the_sweep_makes_every_order_with_every_seed_and_compares_last(name, budgets):
    jobs = compression_order.jobs()
    runs = [job for job in jobs if job.name == "compression.order_run"]
    for model, budget in budgets.items():
        setting = {"model": model, "steps": budget.steps, "zeros": budget.zeros, "bits": budget.bits}
        mine = [job for job in runs if setting.items() <= job.setting.items()]
        assert {(j.setting["order"], j.setting["seed"]) for j in mine} == {
            (order, seed) for order in RUNS for seed in orders.SEEDS[model]
        }
        for job in mine:
            assert job.make.args == (model, job.setting["order"], job.setting["seed"], budget)
        (compared,) = (j for j in jobs if j.name == f"compression.{name}" and j.setting == setting)
        assert compared.make.args == (model, budget)
        assert compared.minutes < min(job.minutes for job in runs)
    assert len([j for j in jobs if j.name == f"compression.{name}"]) == len(budgets)


def test_the_comparison_waits_for_the_last_runs_but_not_for_ever(monkeypatch):
    calls = []

    def summarise(model, budget):
        calls.append(model)
        if len(calls) < 3:
            raise ValueError("runs of digits: DQP of seed 7 missing")
        return {"range": 1.0}

    monkeypatch.setattr(order_rows, "summarise", summarise)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    assert compression_order.compare("digits", SHORT) == {"range": 1.0}
    assert len(calls) == 3
    calls.clear()
    with pytest.raises(ValueError, match="DQP of seed 7"):
        compression_order.compare("digits", SHORT, patience=0)
    assert len(calls) == 1
