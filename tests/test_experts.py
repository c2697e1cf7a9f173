"""A mixture of experts: packed equal to everyone computing, the balance loss, counts, the small task."""

import dataclasses

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from neurolab import energy, expert_net, experts
from neurolab.expert_net import LENGTH, ExpertConfig, ExpertNet
from neurolab.experts import Experts, balance, route, shares

SMALL = ExpertConfig(width=16, layers=1, heads=2, hidden=8, experts=4)


def layer(m=1, n=4, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = Experts(6, 5, n, m)
        torch.nn.init.normal_(made.up_bias)
        torch.nn.init.normal_(made.down_bias)
    return made


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("m", [1, 2, 4])
def test_packed_experts_are_everyone_computing_everything(m):
    made, x = layer(m), numbers(30, 6)
    assert torch.allclose(made(x), made.everyone(x), atol=1e-6)


@pytest.mark.parametrize("m", [1, 2])
def test_their_gradients_agree_too(m):
    made, x = layer(m), numbers(30, 6)
    made(x).square().sum().backward()
    packed = [p.grad.clone() for p in made.parameters()]
    made.zero_grad()
    made.everyone(x).square().sum().backward()
    for one, other in zip(packed, made.parameters(), strict=True):
        assert torch.allclose(one, other.grad, atol=1e-4)
    assert packed[-1].abs().sum() > 0


def test_a_token_goes_through_its_expert_alone():
    made, x = layer(), numbers(7, 6)
    p = (x @ made.router.weight.T).softmax(-1)
    for t in range(7):
        i = int(p[t].argmax())
        expected = p[t, i] * made.expert(i, x[t : t + 1])[0]
        assert torch.allclose(made(x)[t], expected, atol=1e-6)


def test_only_chosen_experts_compute():
    made, x = layer(), numbers(9, 6)
    torch.nn.init.zeros_(made.router.weight)
    with torch.no_grad():
        made.router.weight[2, 0] = 100.0
        x[:, 0] = 1.0
        for other in (0, 1, 3):
            made.up[other] = torch.nan  # nobody asks them
    assert made(x).isfinite().all()
    assert shares(made.last).tolist() == [0, 0, 1, 0]
    assert balance(made.last).item() == pytest.approx(4.0)


def test_two_experts_share_a_token_by_their_probabilities():
    found = route(torch.tensor([[0.0, 2.0, 1.0]]), 2)
    assert found.chosen.tolist() == [[1, 2]]
    e = torch.tensor([2.0, 1.0]).softmax(0)
    assert torch.allclose(found.weight[0], e)
    assert route(torch.tensor([[0.0, 2.0, 1.0]])).weight[0, 0] == pytest.approx(float(found.p[0, 1]))


def test_balance_by_hand():
    scores = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]]).log()
    assert balance(route(scores)) == pytest.approx(2 * (0.75 * 0.65 + 0.25 * 0.35))
    assert balance(route(torch.eye(4) * 9)) == pytest.approx(1.0)


def test_balance_pushes_down_the_expert_that_has_most():
    scores = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.2], [0.0, 0.5, 0.0]], requires_grad=True)
    balance(route(scores)).backward()
    assert scores.grad.sum(0)[0] > 0
    assert scores.grad.sum(0)[2] < 0


def test_training_with_balance_spreads_the_tokens():
    even = expert_net.scores(expert_net.trained(SMALL, 0, 60, alpha=1.0), 500)
    free = expert_net.scores(expert_net.trained(SMALL, 0, 60, alpha=0.0), 500)
    assert even["busiest"] < 1.5
    assert free["busiest"] > even["busiest"] + 0.2


def test_a_seed_says_everything():
    nets = [expert_net.trained(SMALL, seed, 4) for seed in (0, 0, 1)]
    first, again, other = (torch.cat([p.flatten() for p in net.parameters()]) for net in nets)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_three_kinds_are_what_they_say():
    count = {
        kind: sum(p.numel() for p in ExpertNet(ExpertConfig(kind)).parameters()) for kind in expert_net.KINDS
    }
    assert count["dense"] / count["experts"] == pytest.approx(1, abs=0.02)
    macs = {kind: expert_net.macs(ExpertConfig(kind)) for kind in expert_net.KINDS}
    assert macs["experts"] / macs["small"] == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("kind", expert_net.KINDS)
@pytest.mark.parametrize("m", [1, 2])
def test_multiply_adds_are_those_that_torch_counts(kind, m):
    config = dataclasses.replace(SMALL, kind=kind, m=m)
    net = ExpertNet(config).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(numbers(1, 12, 12))
    looks = 2 * LENGTH * LENGTH * 16  # the fused attention, which torch does not count on the CPU
    assert counter.get_total_flops() == 2 * (expert_net.macs(config) - looks)


def test_energy_counts_hold_every_product_and_weight():
    for kind in expert_net.KINDS:
        config = dataclasses.replace(SMALL, kind=kind)
        each, once = expert_net.counts(config), expert_net.counts(config, 4)
        small = each.mac_fp32 - expert_net.macs(config)
        assert 0 < small < 0.3 * expert_net.macs(config)
        assert each.mac_fp32 == once.mac_fp32
        stored = sum(p.numel() for p in ExpertNet(config).parameters()) - LENGTH * 16
        cached = 2 * LENGTH * 16  # keys and values
        assert once.weight_bytes == pytest.approx(4 * (stored + cached), rel=0.03)


def test_experts_that_nobody_touches_are_not_fetched():
    few, all_ = (expert_net.counts(SMALL, touched).weight_bytes for touched in (1, 4))
    assert all_ - few == 4 * 3 * (2 * 16 * 8 + 16 + 8)
    assert energy.ratio(expert_net.counts(ExpertConfig("dense")), expert_net.counts(ExpertConfig())) > 3


def test_hard_digits_hold_a_digit_and_noise():
    x, y = expert_net.hard_digits(40, 0)
    again, _ = expert_net.hard_digits(40, 0)
    other, _ = expert_net.hard_digits(40, 1)
    assert x.shape == (40, 12, 12)
    assert torch.equal(x, again)
    assert not torch.equal(x, other)
    assert 0 <= x.min() <= x.max() <= 1
    assert len(set(y.tolist())) > 5
    known = expert_net._digits(False)[0]
    corners = [x[0, i : i + 8, j : j + 8] for i in range(5) for j in range(5)]
    assert any(bool((c >= known).flatten(1).all(1).any()) for c in corners)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: route(torch.zeros(2, 3), 4), "m 4 with scores"),
        (lambda: Experts(4, 4, 2, 3), "m 3: must be at most the number of experts, 2"),
        (lambda: Experts(4, 0, 2), "hidden 0"),
        (lambda: ExpertConfig("wide"), "kind 'wide': must be one of experts, dense, small"),
        (lambda: ExpertConfig(width=10, heads=4), "width 10: must be a multiple of heads"),
        (lambda: ExpertConfig(layers=0), "layers 0"),
        (lambda: ExpertNet(SMALL)(torch.zeros(2, 8, 8)), r"pictures of shape \(2, 8, 8\)"),
        (lambda: expert_net.hard_digits(0, 0), "count 0"),
        (lambda: expert_net.trained(SMALL, alpha=-1.0), "alpha -1.0"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_layers_say_where_tokens_went():
    net = ExpertNet(SMALL)
    net(numbers(2, 12, 12))
    assert experts.shares(net.layers_of_experts()[0].last).sum() == pytest.approx(1.0)
