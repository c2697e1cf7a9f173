"""The assistant's parts replaced, on a small untrained model: each replacement against its closed form."""

import math
from dataclasses import replace

import pytest
import torch

from neurolab import assistant, facts, parts
from neurolab.assistant import Assistant, Rows, collate
from neurolab.softmax_parts import (
    SOFTMAX,
    Argmax,
    Divisive,
    Linearised,
    Order,
    Softmax,
    Swapped,
    Times,
    Winners,
    latency,
    orthogonal,
    rule,
)
from neurolab.tokens import encode_pair, exact_match, train_tokenizer
from neurolab.transformer import Attention, Config, Transformer

CONFIG = Config(vocabulary=300, context=96, width=32, layers=2, heads=2, hidden=48)
ASKED = [q for lang in facts.LANGUAGES for q in facts.split("held_out", lang)[::700]][:10]
EVERY = [(part, name) for part, names in parts.PARTS.items() for name in names]


@pytest.fixture(scope="module")
def model() -> Transformer:
    torch.manual_seed(0)
    made = Transformer(CONFIG).eval()
    with torch.no_grad():
        for p in made.parameters():
            if p.ndim == 2:
                p.mul_(8)  # scores far from equal, so that replacements differ
    return made


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([t for q in ASKED for t in (q.text, q.answer)] * 3, 300)


def qkv(seed=0, L=7, M=None, E=8, size=1.0):
    dice = torch.Generator().manual_seed(seed)
    q = torch.randn(2, 3, L, E, generator=dice) * size
    k, v = (torch.randn(2, 3, M or L, E, generator=dice) * size for _ in range(2))
    return q, k, v, torch.ones(L, M or L, dtype=torch.bool).tril((M or L) - L)


def test_softmax_by_rule_is_the_models_own_attention(model):
    x = torch.randn(2, 9, 32)
    old = model.blocks[0].attention
    assert isinstance(old, Attention)
    y, (k, _) = Swapped(old, Softmax())(x)
    assert torch.allclose(y, old(x)[0], atol=1e-6)
    assert k.shape == (2, 2, 9, 16)


@pytest.mark.parametrize("name", ["softmax", *SOFTMAX])
def test_every_rule_is_causal_and_shares_out_at_most_one(name):
    q, k, _, seen = qkv(1)
    weigh = rule(name, 3, 8)
    A = weigh(q, k, seen)
    assert A.shape == (2, 3, 7, 7)
    assert A[..., ~seen].abs().max() == 0
    assert float(A.detach().min()) > -1e-6
    total = A.sum(-1)
    if name in ("divisive", "squared"):
        assert float(total.detach().max()) < 1  # somebody, or nobody
    else:
        assert torch.allclose(total, torch.ones_like(total), atol=1e-5)
    k2 = k.clone()
    k2[:, :, 5:] += 3.0  # what a query may not see changes nothing
    assert torch.equal(weigh(q, k2, seen)[:, :, :5], A[:, :, :5])
    assert not torch.equal(weigh(q, k2, seen)[:, :, 5:], A[:, :, 5:])


@pytest.mark.parametrize("name", ["softmax", *SOFTMAX])
def test_with_cached_keys_the_last_query_gets_the_same_weights(name):
    q, k, _, seen = qkv(2)
    weigh = rule(name, 3, 8)
    whole, last = weigh(q, k, seen), weigh(q[:, :, -2:], k, torch.ones(2, 7, dtype=torch.bool).tril(5))
    assert torch.allclose(last, whole[:, :, -2:], atol=1e-7)


def test_divisive_by_hand():
    weigh = Divisive(1)
    q, k = torch.tensor([[[[2.0]]]]), torch.tensor([[[[1.5], [-4.0], [0.5]]]])  # s = 3, -8, 1; E = 1
    seen = torch.ones(1, 3, dtype=torch.bool)
    assert weigh(q, k, seen).flatten().tolist() == pytest.approx([3 / 5, 0, 1 / 5])
    with torch.no_grad():
        weigh.offset.fill_(1.0)
        weigh.gain.fill_(2.0)
    assert weigh(q, k, seen).flatten().tolist() == pytest.approx([5 / 7, 0, 1 / 7])
    square = Divisive(1, 2)
    assert square(q, k, seen).flatten().tolist() == pytest.approx([9 / 11, 0, 1 / 11])


def test_winners_of_all_is_softmax_and_of_one_is_argmax():
    q, k, _, seen = qkv(3)
    assert torch.equal(Winners(7)(q, k, seen), Softmax()(q, k, seen))
    assert torch.equal(Winners(100)(q, k, seen), Softmax()(q, k, seen))
    assert torch.equal(Winners(1)(q, k, seen), Argmax()(q, k, seen).round())
    two = Winners(2)(q, k, seen)
    assert (two > 0).sum(-1).eq(torch.arange(1, 8).clamp(max=2)).all()
    s = (q @ k.transpose(-1, -2) / math.sqrt(8)).masked_fill(~seen, -math.inf)
    best = s.topk(2, -1).values[..., 1:, :]
    odds = two.topk(2, -1).values[..., 1:, :]
    assert torch.allclose((best[..., 0] - best[..., 1]).exp(), odds[..., 0] / odds[..., 1], rtol=1e-4)


def test_ticks_of_the_first_spike():
    s = torch.tensor([[1.0, 0.1, -1.05, 3.0, -math.inf]])
    assert latency(s, 2.0).tolist() == [[4.0, 5.0, 8.0, 0.0, math.inf]]


def test_order_of_spikes_closed_form():
    """n spikes in different ticks: the one of rank r weighs m^r (1 - m) / (1 - m^n), whatever the scores."""
    s = torch.tensor([2.0, -1.0, 5.0, 0.5])
    q, k, seen = torch.ones(1, 1, 1, 1), s.view(1, 1, 4, 1), torch.ones(1, 4, dtype=torch.bool)
    weigh = Order(1)
    with torch.no_grad():
        weigh.fade.fill_(math.log(0.3 / 0.7))
    rank = torch.tensor([1.0, 3.0, 0.0, 2.0])
    wanted = 0.3**rank * (1 - 0.3) / (1 - 0.3**4)
    assert torch.allclose(weigh(q, k, seen).flatten(), wanted, atol=1e-6)
    assert torch.allclose(weigh(q, k * 3, seen).flatten(), wanted, atol=1e-6)
    tie = torch.tensor([1.0, 1.05, 0.0, -9.0]).view(1, 1, 4, 1)  # the first two within one tick of 1/4 nat
    w = 0.3 ** torch.tensor([0.0, 0.0, 2.0, 3.0])
    assert torch.allclose(weigh(q, tie, seen).flatten(), w / w.sum(), atol=1e-6)


def test_times_are_softmax_rounded_to_powers_of_two():
    q, k, _, seen = qkv(4)
    A, soft = Times()(q, k, seen), Softmax()(q, k, seen)
    ratio = A / A.amax(-1, keepdim=True)
    shifts = ratio[ratio > 0].log2()
    assert torch.allclose(shifts, shifts.round(), atol=1e-4)
    off = ((A / soft)[..., seen]).log2()
    assert float(off.abs().max()) < 1.01  # a tick halves: no weight is off by more than that


@pytest.mark.parametrize("weigh", [Argmax(), Order(3), Times()])
def test_rules_without_slope_borrow_softmaxs(weigh):
    q, k, v, seen = qkv(5)
    q.requires_grad_()
    (weigh(q, k, seen) * v[..., :1, :1]).sum().backward()
    (weigh(q, k, seen)[..., 0] ** 2).sum().backward()
    assert float(q.grad.abs().max()) > 0
    g = torch.randn(2, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    mine, theirs = (torch.autograd.grad((w(q, k, seen) * g).sum(), q)[0] for w in (weigh, Softmax()))
    assert torch.allclose(mine, theirs, atol=1e-6)


def test_directions_are_orthogonal_and_as_long_as_gaussian_ones():
    W = orthogonal(4096, 16)
    gram = W[:16] @ W[:16].T
    assert float((gram - gram.diag().diag()).abs().max()) < 1e-12
    assert float(W.square().sum(1).mean()) == pytest.approx(16, rel=0.02)
    assert torch.equal(orthogonal(40, 16, 3), orthogonal(40, 16, 3))
    assert not torch.equal(orthogonal(40, 16, 3), orthogonal(40, 16, 4))


def test_linearised_attention_is_softmax_with_many_features_and_running_sums_say_the_same():
    q, k, v, seen = qkv(6, size=0.5)
    soft = Softmax()(q, k, seen)
    error = {
        n: float((Linearised(8, n)(q, k, seen) - soft).square().mean().sqrt()) for n in (64, 1024, 16384)
    }
    assert error[1024] < error[64] / 3  # it falls like 1 / sqrt(features): by 4 each time
    assert error[16384] < error[1024] / 3
    assert error[16384] < 0.002
    few = Linearised(8, 32)
    assert torch.allclose(few.running(q, k, v), few(q, k, seen) @ v, atol=1e-6)


def test_features_have_the_mean_that_makes_them_softmax():
    """E[phi(q) . phi(k)] = e^(q . k / sqrt(E)): over seeds, the mean is nowhere 5 standard errors off."""
    q, k, _, _ = qkv(7, L=2, size=0.5)
    wanted = ((q * k).sum(-1) / math.sqrt(8)).double().exp()
    drawn = []
    for seed in range(300):
        weigh = Linearised(8, 64, seed)
        drawn.append((weigh.phi(q) * weigh.phi(k)).mean(-1) / wanted)
    got = torch.stack(drawn)
    assert float(((got.mean(0) - 1).abs() / (got.std(0) / 300**0.5)).max()) < 5
    assert float(got.std(0).mean()) < 0.5


def test_least_squares_is_the_best_line():
    x = torch.randn(500, 3, dtype=torch.float64)
    y = torch.nn.functional.gelu(x)
    a, b = parts.least_squares(x, y)
    for c in range(3):
        A = torch.stack((x[:, c], torch.ones(500, dtype=torch.float64)), 1)
        best = torch.linalg.lstsq(A, y[:, c : c + 1]).solution.flatten()
        assert torch.allclose(best, torch.stack((a[c], b[c])), atol=1e-9)


@pytest.mark.parametrize("T", [1, 4, 16])
def test_rate_counts_what_integrate_and_fire_neurons_fire(T):
    theta = torch.tensor([0.25, 0.5, 1.0])
    rate = parts.Rate(theta, T)
    x = torch.randint(-64, 640, (50, 3), generator=torch.Generator().manual_seed(T)) / 32  # exact in float32
    spikes = rate.run(x)
    assert spikes.shape == (T, 50, 3)
    assert set(spikes.unique().tolist()) <= {0.0, 1.0}
    n = spikes.sum(0)
    assert torch.equal(n, torch.floor(x / theta + 0.5).clamp(0, T))
    half = (x / theta) % 1 == 0.5  # halves: neurons round up, `forward` to even
    assert torch.allclose(rate(x)[~half], (n * theta)[~half], atol=1e-5)
    x.requires_grad_()
    rate(x).sum().backward()
    inside = (x > 0) & (x < T * theta)
    assert torch.allclose(x.grad[inside], torch.ones_like(x.grad[inside]))


def test_norms_against_layernorm():
    x = torch.randn(4, 5, 32, dtype=torch.float64)
    x = x - x.mean(-1, keepdim=True)
    g, b = torch.rand(32, dtype=torch.float64), torch.rand(32, dtype=torch.float64)
    ln = torch.nn.functional.layer_norm(x, (32,), g, b, eps=1e-6)
    assert torch.allclose(parts.RMS(g, b)(x), ln, atol=1e-9)  # without a mean to subtract they are the same
    mine = parts.MeanAbsolute(g, b)(x)
    assert torch.allclose((mine - b) / g, x / (x.abs().sum(-1, keepdim=True) / 32 + 1e-6), atol=1e-12)


def test_folded_norms_can_be_swallowed_by_the_matrices(model, tokenizer):
    ids = collate([encode_pair(tokenizer, q.text, q.answer) for q in ASKED]).ids
    folded = parts.replace(model, "norm", "folded", ids)
    gone = parts.swallow(folded)
    assert isinstance(gone.blocks[1].norm2, torch.nn.Identity)
    assert torch.allclose(gone(ids), folded(ids), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(folded(ids), model(ids), atol=1e-2)
    with pytest.raises(ValueError, match="only folded norms"):
        parts.swallow(model)


@pytest.mark.parametrize(("part", "name"), EVERY)
def test_replacing_changes_every_layer_of_a_copy_and_nothing_else(model, tokenizer, part, name):
    ids = collate([encode_pair(tokenizer, q.text, q.answer) for q in ASKED]).ids
    before = {key: x.clone() for key, x in model.state_dict().items()}
    said = model(ids)
    new = parts.replace(model, part, name, ids)
    assert torch.equal(model(ids), said)
    assert all(torch.equal(x, before[key]) for key, x in model.state_dict().items())
    assert not torch.allclose(new(ids), said, atol=1e-3)
    for place in parts.where(model, part):
        assert type(new.get_submodule(place)) is not type(model.get_submodule(place))
    prompt = ids[:2, :6]
    assert torch.equal(new.generate(prompt, 2, 5), new.generate(prompt, 2, 5, use_cache=False))


def test_scores_are_those_of_greedy_decoding(tokenizer):
    """On a model trained until it knows some of the answers, not all."""
    torch.manual_seed(1)
    made = Transformer(CONFIG)
    few = sorted(ASKED, key=lambda q: len(q.text + q.answer))[:4]
    parts.distil(
        made,
        None,
        Rows([encode_pair(tokenizer, q.text, q.answer) for q in few], 4, 0),
        30,
        rate=0.03,
        progress=False,
    )
    asked = [*few, replace(few[0], answer="never"), replace(few[1], answer=few[1].answer + " more")]
    got = Assistant(made, tokenizer, {}).answers([q.text for q in asked])
    greedy = sum(exact_match(a, q.answer) for a, q in zip(got, asked, strict=True)) / len(asked)
    found = assistant.quick_scores(made, tokenizer, asked)
    assert found["exact_match"] == greedy
    assert 0 < greedy < 1
    assert found["bits_per_answer_byte"] > 0.1


def test_distillation_adds_the_divergence_from_the_teachers_answers(model, tokenizer, monkeypatch):
    rows = Rows([encode_pair(tokenizer, q.text, q.answer) for q in ASKED], 10, 0)
    batch = rows.at(0)
    ids, wanted = batch.ids[:, :-1], batch.answer[:, 1:]

    def trained():
        student = parts.replace(model, "softmax", "divisive", ids)
        parts.distil(student, model, rows, 2, progress=False)
        return student

    one, two = trained(), trained()
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.blocks[0].attention.query.weight, model.blocks[0].attention.query.weight)
    losses = []
    monkeypatch.setattr(parts, "fit", lambda net, loss_of, *_, **__: losses.append(loss_of(net, 0).item()))
    parts.distil(one, model, rows, 2)
    parts.distil(one, None, rows, 2)
    parts.distil(one, one, rows, 2)
    told, said = model(ids)[wanted].softmax(-1), one(ids)[wanted].softmax(-1)
    divergence = float((told * (told / said).log()).sum(-1).mean().detach())
    assert divergence > 0.01
    assert losses[0] - losses[1] == pytest.approx(divergence, rel=1e-3)
    assert losses[2] == pytest.approx(losses[1], abs=1e-5)


def test_bad_input_is_named(model, tokenizer):
    ids = torch.ones(1, 4, dtype=torch.long)
    with pytest.raises(ValueError, match="part 'head': must be one of activation, norm, softmax"):
        parts.replace(model, "head", "relu", ids)
    with pytest.raises(ValueError, match="name 'relu': norm can be replaced by folded"):
        parts.replace(model, "norm", "relu", ids)
    with pytest.raises(ValueError, match="rule 'max'"):
        rule("max", 2, 16)
    with pytest.raises(ValueError, match="k 0"):
        Winners(0)
    with pytest.raises(ValueError, match="power 3"):
        Divisive(2, 3)
    with pytest.raises(ValueError, match="features 0"):
        orthogonal(0, 8)
    with pytest.raises(ValueError, match="T = 0"):
        parts.Rate(torch.ones(3), 0)
    with pytest.raises(ValueError, match="above 0"):
        parts.Rate(torch.zeros(3))
    with pytest.raises(ValueError, match="asked"):
        assistant.quick_scores(model, tokenizer, [])
