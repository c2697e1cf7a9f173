"""The smaller model, held against the big one with the same parts switched off."""

from __future__ import annotations

import random

import pytest
import torch

from neurolab import pruned_speed, structure
from neurolab.assistant import answer_loss, collate
from neurolab.energy_counts import Meter
from neurolab.structure import Importance, Plan
from neurolab.transformer import Config, Transformer

CONFIG = Config(vocabulary=40, context=16, width=16, layers=3, heads=4, hidden=24)
PLAN = Plan((0, 2), ((1, 3), (0, 1)), ((0, 4, 5, 23), (1, 2, 3, 7)))


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = Transformer(CONFIG).double().eval()
    with torch.no_grad():  # weights large enough for every part to tell
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    return model


@pytest.fixture
def batches():
    rows = [[3, 5, 7, 1, 9, 2], [4, 6, 1, 8, 10, 11, 2], [30, 31, 1, 32, 2]]
    return [collate([(ids, ids.index(1) + 1) for ids in rows]) for _ in range(2)]


def test_smaller_computes_what_the_big_one_does_with_the_parts_off(model):
    small = structure.smaller(model, PLAN).double()
    ids = torch.randint(3, 40, (5, 11), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(small(ids), structure.masked(model, PLAN)(ids), atol=1e-12, rtol=0)
    with structure.gated(model, *structure.switches(PLAN, CONFIG)):
        gated = model(ids)
    torch.testing.assert_close(small(ids), gated, atol=1e-12, rtol=0)
    assert (gated - model(ids)).abs().max() > 0.1  # the hooks are gone, and the parts mattered


def test_smaller_has_fewer_parameters_and_the_config_says_so(model):
    small = structure.smaller(model, PLAN)
    assert small.config == Config(vocabulary=40, context=16, width=16, layers=2, heads=2, hidden=4, head=4)
    fewer = 2 * (4 * 16 * 8 + 2 * 16 * 4 + 4 * 16) + 40 * 16 + 16 * 16 + 2 * 16
    assert small.parameters_count() == fewer < model.parameters_count()


def test_smaller_generates_with_the_cache_what_it_does_without(model):
    small = structure.smaller(model, PLAN).double()
    ids = torch.tensor([[3, 9, 1]])
    assert torch.equal(small.generate(ids, 2, 8), small.generate(ids, 2, 8, use_cache=False))


def test_keeping_everything_changes_nothing(model):
    plan = structure.everything(CONFIG)
    same = structure.smaller(model, plan)
    assert all(
        torch.equal(a, b.to(a.dtype)) for a, b in zip(same.parameters(), model.parameters(), strict=True)
    )
    ids = torch.arange(3, 12)[None]
    torch.testing.assert_close(structure.masked(model, plan)(ids), model(ids), atol=0, rtol=0)


def test_the_taylor_term_is_the_derivative_of_the_loss_by_the_gate(model, batches):
    found = structure.importance(model, batches, "taylor")
    gates = [torch.ones(3), torch.ones(3, 4), torch.ones(3, 24)]

    def loss(which, at, value):
        moved = [g.double().clone() for g in gates]
        moved[which][at] = value
        ids, wanted = batches[0].ids, batches[0].answer[:, 1:]
        with structure.gated(model, *moved):
            told = model(ids[:, :-1]).log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
        return -(told * wanted).sum(1)  # (B,)

    tiny = 1e-5
    with torch.no_grad():
        for which, at in ((0, (1,)), (0, (2,)), (1, (0, 3)), (1, (2, 1)), (2, (1, 7)), (2, (0, 20))):
            slope = (loss(which, at, 1 + tiny) - loss(which, at, 1 - tiny)) / (2 * tiny)
            ours = (found.layers, found.heads, found.channels)[which][at]
            torch.testing.assert_close(float(ours), float(slope.abs().mean()), atol=1e-6, rtol=1e-4)


def test_measured_importance_is_the_loss_that_is_added(model, batches):
    found = structure.importance(model, batches)
    everything = structure.everything(CONFIG)

    def loss(plan):
        with torch.no_grad():
            return float(answer_loss(structure.masked(model, plan), batches[0]))

    without_1 = Plan((0, 2), everything.heads[:2], everything.channels[:2])
    assert float(found.layers[1]) == pytest.approx(loss(without_1) - loss(everything), abs=1e-6)
    off = torch.ones(3, 4)
    off[2, 0] = 0
    added = structure.loss_with(model, batches, torch.ones(3), off) - loss(everything)
    assert float(found.heads[2, 0]) == pytest.approx(added, abs=1e-6)


def test_a_channel_s_measure_is_the_norm_of_what_it_writes(model, batches):
    found = structure.written(model, batches[:1])
    seen = []
    down = model.blocks[1].feed_forward.down
    hook = down.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    with torch.no_grad():
        model.features(batches[0].ids[:, :-1])
        hook.remove()
        wrote = seen[0][..., 5, None] * down.weight[:, 5]  # (B, L, D)
    assert float(found[1, 5]) == pytest.approx(float(wrote.norm()), rel=1e-5)


def test_a_plan_keeps_the_most_important():
    score = Importance(
        torch.tensor([3.0, 1.0, 2.0]),
        torch.tensor([[1.0, 4, 3, 2], [9, 9, 9, 9], [4, 3, 2, 1]]),
        torch.arange(72.0).reshape(3, 24),
    )
    plan = score.plan(2, 2, 3)
    assert plan == Plan((0, 2), ((1, 2), (0, 1)), ((21, 22, 23), (21, 22, 23)))
    with pytest.raises(ValueError, match="heads 5"):
        score.plan(2, 5, 3)


@pytest.mark.parametrize(("new", "seen"), [(1, 0), (7, 0), (1, 9), (3, 4)])
def test_multiply_adds_are_those_that_are_run(new, seen):
    config = Config(vocabulary=40, context=16, width=16, layers=2, heads=2, hidden=12, head=4)
    model = Transformer(config).eval()
    ids = torch.ones(1, 1, dtype=torch.long)
    with torch.no_grad():
        cache = model.features(ids.expand(1, seen))[1] if seen else None
        with Meter() as meter:  # token by token, so that nothing is computed only to be masked
            for _ in range(new):
                hidden, cache = model.features(ids, cache)
            model.logits(hidden[:, -1])
    assert meter.products == structure.macs(config, new, seen)


def test_the_runtimes_give_the_same_scores_and_sparse_rows_those_of_the_dense_matrix():
    torch.manual_seed(0)
    config = Config(vocabulary=40, context=16, width=16, layers=2, heads=2, hidden=12, head=4)
    model = Transformer(config).eval()
    with torch.inference_mode():
        ids = pruned_speed.inputs(model, 6)["question"][0]
        truth = {"question": model(ids)[:, -1], "token": model(torch.cat((ids, ids[:, :1]), 1))[:, -1]}
    for runtime, made in (("torch", model), ("onnxruntime", model), ("torch", pruned_speed.csr(model))):
        found = pruned_speed.calls(made, runtime, 6)
        for name in pruned_speed.CALLS:
            torch.testing.assert_close(found[name](), truth[name], atol=1e-5, rtol=0)


def test_sparse_rows_keep_what_is_not_zero():
    weight = torch.randn(6, 5) * (torch.rand(6, 5) > 0.7)
    layer = pruned_speed.Csr(weight)
    assert len(layer.weight.values()) == int((weight != 0).sum()) < 30


def test_interruptions_do_not_move_the_ratio(monkeypatch):
    """On a clock of our own: a takes 1, b takes 3, and four calls in five are interrupted for 10 or more."""
    chance = random.Random(0)
    now = 0.0

    def work(seconds):
        def call():
            nonlocal now
            now += seconds + (10 * (1 + chance.random()) if chance.random() < 0.8 else 0)

        return call

    monkeypatch.setattr("time.perf_counter", lambda: now)
    found = pruned_speed.undisturbed(work(1.0), work(3.0))
    assert (found.median, found.low, found.high) == pytest.approx((3, 3, 3))
    assert (found.a_seconds, found.b_seconds) == pytest.approx((1, 3))
    with pytest.raises(ValueError, match="blocks is 0"):
        pruned_speed.undisturbed(work(1), work(1), 0)


def test_speeds_name_the_lower_of_the_two_calls():
    torch.manual_seed(0)
    big = Config(vocabulary=40, context=32, width=16, layers=2, heads=2, hidden=12)
    small = Config(vocabulary=40, context=32, width=16, layers=1, heads=2, hidden=12)
    found = pruned_speed.smaller_speed(Transformer(small).eval(), Transformer(big).eval(), blocks=1)
    both = (found["structured_speedup"], found["structured_speedup_token"])
    assert found["structured_speedup_least"] == min(both)
    n = pruned_speed.TOKENS
    assert found["mac_ratio"] == structure.macs(big, n) / structure.macs(small, n)
    assert found["mac_ratio_token"] == structure.macs(big, 1, n) / structure.macs(small, 1, n)
    assert found["mac_ratio_least"] == min(found["mac_ratio"], found["mac_ratio_token"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (((), (), ()), "layers"),
        (((1, 0), ((0,), (0,)), ((0,), (0,))), "rising"),
        (((0, 1), ((0,), (0, 1)), ((0,), (0,))), "heads"),
        (((0, 1), ((0,), (0,)), ((0,),)), "channels"),
    ],
)
def test_a_bad_plan_is_named(arguments, said):
    with pytest.raises(ValueError, match=said):
        Plan(*arguments)


def test_bad_arguments_are_named(model, batches):
    with pytest.raises(ValueError, match="the model has 3"):
        structure.smaller(model, Plan((0, 3), ((0,), (0,)), ((0,), (0,))))
    with pytest.raises(ValueError, match="kind 'guess'"):
        structure.importance(model, batches, "guess")
    with pytest.raises(ValueError, match="at least one"):
        structure.importance(model, [])
    with pytest.raises(ValueError, match="new 0"):
        structure.macs(CONFIG, 0)
    with pytest.raises(ValueError, match="runtime 'abacus'"):
        pruned_speed.calls(model, "abacus")
    with pytest.raises(ValueError, match="tokens 16"):
        pruned_speed.inputs(model, 16)
