"""Early exit of the assistant: caches, costs, heads, thresholds."""

from __future__ import annotations

import copy
import dataclasses
import itertools

import pytest
import torch
from torch.nn import functional as F

from neurolab import early_exit, exit_choice
from neurolab.assistant import Rows, answer_loss
from neurolab.early_exit import NEVER, ExitHeads, Exiting
from neurolab.transformer import Config, Transformer

CONFIG = Config(vocabulary=40, context=32, width=24, layers=4, heads=2, hidden=48)
END = 2


def rows(count, seed=0):
    """Questions of 2 to 4 tokens; the answer names the first and the last, and END."""
    random = torch.Generator().manual_seed(seed)
    made = []
    for _ in range(count):
        length = 2 + int(torch.randint(3, (), generator=random))
        asked = torch.randint(3, 12, (length,), generator=random).tolist()
        made.append(([*asked, 1, asked[0] + 10, asked[-1] + 20, END], length + 1))
    return made


@pytest.fixture(scope="module")
def network():
    """A small network that answers `rows`, and heads trained for it."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = Transformer(CONFIG)
    order = Rows(rows(400), 32, 0)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.003)
    for step in range(160):
        loss = answer_loss(model, order.at(step))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
    heads, _ = early_exit.train(model, order, steps=40, hidden=16, rate=0.01)
    return model, heads


@pytest.fixture(scope="module")
def middle(network):
    """Thresholds that about half of the tokens reach, one a layer."""
    seen = exit_choice.told(*network, rows(100, seed=5))
    return tuple((seen.sure[..., :3].flatten(0, 1).median(0).values + 1e-4).tolist())  # no token is at one


def prompts(count):
    return [torch.tensor([ids[:start]]) for ids, start in rows(count, seed=5)]


def test_heads_train_while_the_network_stays_as_it_is(network):
    model, heads = network
    before = copy.deepcopy(model.state_dict())
    order = Rows(rows(128), 64, 0)
    again, history = early_exit.train(model, order, steps=3, hidden=16, seed=4)
    same, _ = early_exit.train(model, order, steps=3, hidden=16, seed=4)
    assert history.step == 3
    assert all(torch.equal(a, b) for a, b in zip(again.parameters(), same.parameters(), strict=True))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.requires_grad for p in model.parameters())
    seen = exit_choice.told(model, heads, rows(100, seed=5))
    share = seen.right.float().sum((0, 1)) / seen.answer.sum()
    untrained = exit_choice.told(model, ExitHeads(CONFIG, 16), rows(100, seed=5))
    raw = untrained.right.float().sum((0, 1)) / seen.answer.sum()
    assert (share[:3] > raw[:3]).any()
    assert (share[:3] >= raw[:3] - 0.02).all()
    assert share[3] == raw[3] > 0.95


@pytest.mark.parametrize("cache", early_exit.CACHES)
def test_without_exits_the_answer_is_the_whole_networks_at_its_cost(network, cache):
    model, heads = network
    exiting = Exiting(model, heads, NEVER, cache)
    for ids in prompts(12):
        made = exiting.walk(ids, END, limit=12)
        whole = model.generate(ids, END, limit=12)[0].tolist()
        assert list(made.tokens) == whole
        assert set(made.layers) == {4}
        assert made.macs == early_exit.full_macs(CONFIG, ids.shape[1], len(whole))
        assert made.head_macs == 0


def test_late_keys_and_values_are_those_of_the_whole_network(network, middle):
    """A token that goes through all layers after others left early is scored as if none had."""
    model, heads = network
    compared = 0
    for ids in prompts(20):
        made = Exiting(model, heads, middle).walk(ids, END, limit=10)
        before = torch.cat((ids, torch.tensor([made.tokens])), 1)
        for i, (token, depth) in enumerate(zip(made.tokens, made.layers, strict=True)):
            read = before[:, : ids.shape[1] + i]
            x = early_exit.states(model, read)[depth - 1][:, -1]
            ready = model.norm(x) if depth == 4 else heads.heads[depth - 1](x)
            assert int(model.logits(ready).argmax()) == token
            compared += i > 0 and depth > min(made.layers[:i])
    assert compared > 0


def counted(model, heads, threshold, cache, ids, monkeypatch):
    """A walk, and the multiply-adds that its matrices did."""
    done = []
    linear = F.linear

    def counting(x, weight, bias=None):
        done.append(x.numel() // x.shape[-1] * weight.numel())
        return linear(x, weight, bias)

    attend = F.scaled_dot_product_attention

    def attending(q, k, v, attn_mask=None, is_causal=False):
        length, seen = q.shape[2], k.shape[2]
        met = length * (seen - length) + length * (length + 1) // 2
        done.append(2 * q.shape[1] * q.shape[3] * met)
        return attend(q, k, v, attn_mask=attn_mask, is_causal=is_causal)

    with monkeypatch.context() as patch:
        patch.setattr(F, "linear", counting)
        patch.setattr(F, "scaled_dot_product_attention", attending)
        made = Exiting(model, heads, threshold, cache).walk(ids, END, limit=10)
    return made, sum(done)


@pytest.mark.parametrize("cache", early_exit.CACHES)
def test_the_cost_is_what_was_multiplied(network, middle, cache, monkeypatch):
    model, heads = network
    for threshold in (0.0, middle, (NEVER, *middle[1:]), NEVER):
        for ids in prompts(4):
            made, done = counted(model, heads, threshold, cache, ids, monkeypatch)
            assert made.macs == done


def test_all_leave_after_the_first_layer_at_threshold_0(network):
    model, heads = network
    ids = prompts(1)[0]
    late = Exiting(model, heads, 0.0).walk(ids, END, limit=5)
    assert set(late.layers) == {1}
    copied = Exiting(model, heads, 0.0, "copy").walk(ids, END, limit=5)
    assert copied.layers[0] == 4  # the question is read by all layers
    assert set(copied.layers[1:]) <= {1}


def test_playing_thresholds_through_gives_what_answering_gives(network, middle):
    model, heads = network
    asked = rows(60, seed=5)
    seen = exit_choice.told(model, heads, asked)
    for threshold in (middle, (NEVER, *middle[1:]), NEVER):
        walks = [
            (Exiting(model, heads, threshold).walk(torch.tensor([ids[:start]]), END, limit=12), ids[start:])
            for ids, start in asked
        ]
        right = [list(made.tokens) == answer for made, answer in walks]
        found = exit_choice.replay(seen, threshold)
        assert found["exact_match"] == pytest.approx(sum(right) / len(right), abs=1e-9)
        kept = torch.tensor(right)
        few = dataclasses.replace(
            seen,
            **{k: getattr(seen, k)[kept] for k in ("sure", "right", "question", "answer")},
        )
        good = [(made, start) for (made, _), (_, start), ok in zip(walks, asked, right, strict=True) if ok]
        whole = sum(early_exit.full_macs(CONFIG, start, len(made.tokens)) for made, start in good)
        assert exit_choice.replay(few, threshold)["mean_cost_ratio"] == pytest.approx(
            sum(made.macs for made, _ in good) / whole, rel=1e-9
        )
    assert exit_choice.replay(seen, NEVER)["mean_cost_ratio"] == 1
    assert exit_choice.replay(seen, NEVER)["accuracy_drop_points"] == 0


def test_the_choice_is_the_cheapest_within_the_loss(network, middle):
    model, heads = network
    seen = exit_choice.told(model, heads, rows(100, seed=5))
    grid = (0.0, *middle[1:], NEVER)
    costs = []
    for most in (0, 40, 100):
        chosen, found = exit_choice.choose(seen, most, grid)
        assert found["accuracy_drop_points"] <= most
        assert exit_choice.replay(seen, chosen) == found
        for tried in itertools.product(grid, repeat=3):
            other = exit_choice.replay(seen, tried)
            if other["accuracy_drop_points"] <= most:
                assert other["mean_cost_ratio"] >= found["mean_cost_ratio"]
        costs.append(found["mean_cost_ratio"])
    assert 1 > costs[0] >= costs[1] > costs[2]


def test_heads_are_written_and_read(network, tmp_path):
    model, heads = network
    path = tmp_path / "heads.safetensors"
    early_exit.save(heads, path, "abc")
    back = early_exit.load(model, path, "abc")
    for wanted, got in zip(heads.parameters(), back.parameters(), strict=True):
        assert torch.equal(wanted.half().float(), got)
    with pytest.raises(ValueError, match="trained on weights abc, not xyz"):
        early_exit.load(model, path, "xyz")
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ValueError, match="not this network's exit heads"):
        early_exit.load(model, path, "other")
    with pytest.raises(ValueError, match="missing"):
        early_exit.load(model, tmp_path / "none", "abc")


def test_bad_input_is_named(network):
    model, heads = network
    with pytest.raises(ValueError, match="cache 'none'"):
        Exiting(model, heads, 0.5, "none")
    for threshold in (-0.1, (0.5, 0.5), float("nan")):
        with pytest.raises(ValueError, match="threshold"):
            Exiting(model, heads, threshold)
    with pytest.raises(ValueError, match=r"shape \(2, 3\)"):
        Exiting(model, heads).walk(torch.zeros(2, 3, dtype=torch.long), END)
    with pytest.raises(ValueError, match="steps 0"):
        early_exit.train(model, Rows(rows(64), 64, 0), steps=0)
    with pytest.raises(ValueError, match="hidden 0"):
        ExitHeads(CONFIG, 0)
    with pytest.raises(ValueError, match="made 0"):
        early_exit.full_macs(CONFIG, 3, 0)
    with pytest.raises(ValueError, match="most_lost -1"):
        exit_choice.choose(exit_choice.told(model, heads, rows(4)), -1)
    with pytest.raises(ValueError, match="rows"):
        exit_choice.told(model, heads, [])
