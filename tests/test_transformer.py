"""The Transformer against PyTorch's own layers, its cache, causality, and bad input."""

import math

import pytest
import torch
from torch import nn

from neurolab.transformer import Attention, Config, Transformer

SMALL = Config(vocabulary=50, context=24, width=32, layers=2, heads=4, hidden=64)


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = Transformer(SMALL).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p) * 0.1)  # far from the tidy initial state
    return model


def test_attention_equals_pytorch_multihead_attention():
    torch.manual_seed(1)
    ours = Attention(SMALL)
    theirs = nn.MultiheadAttention(32, 4, bias=False, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat((ours.query.weight, ours.key.weight, ours.value.weight)))
        theirs.out_proj.weight.copy_(ours.out.weight)
    x = torch.randn(3, 7, 32)
    mask = nn.Transformer.generate_square_subsequent_mask(7)
    torch.testing.assert_close(
        ours(x)[0], theirs(x, x, x, attn_mask=mask, is_causal=True)[0], atol=1e-5, rtol=1e-5
    )


def test_attention_equals_its_equation():
    torch.manual_seed(2)
    ours = Attention(Config(width=8, heads=1, hidden=8))
    x = torch.randn(1, 5, 8)
    q, k, v = ours.query(x), ours.key(x), ours.value(x)
    scores = (q @ k.mT / math.sqrt(8)).masked_fill(torch.ones(5, 5).triu(1).bool(), -torch.inf)
    torch.testing.assert_close(ours(x)[0], ours.out(scores.softmax(-1) @ v))


def test_a_token_never_sees_later_ones(model):
    ids = torch.randint(0, 50, (2, 12))
    changed = ids.clone()
    changed[:, 8:] = (changed[:, 8:] + 1) % 50
    torch.testing.assert_close(model(ids)[:, :8], model(changed)[:, :8])
    assert not torch.allclose(model(ids)[:, 8:], model(changed)[:, 8:])


def test_cache_gives_the_same_hidden_states(model):
    ids = torch.randint(0, 50, (2, 12))
    whole, _ = model.features(ids)
    first, cache = model.features(ids[:, :5])
    middle, cache = model.features(ids[:, 5:9], cache)
    last, _ = model.features(ids[:, 9:], cache)
    torch.testing.assert_close(torch.cat((first, middle, last), 1), whole, atol=1e-5, rtol=1e-5)


def test_greedy_decoding_is_the_same_with_and_without_cache(model):
    ids = torch.randint(0, 50, (8, 6))
    a, b = model.generate(ids, end=2), model.generate(ids, end=2, use_cache=False)
    assert torch.equal(a, b)
    by_hand = ids
    for _ in range(a.shape[1]):
        by_hand = torch.cat((by_hand, model(by_hand)[:, -1].argmax(-1, keepdim=True)), 1)
    for row, wanted in zip(a.tolist(), by_hand[:, 6:].tolist(), strict=True):
        stop = wanted.index(2) + 1 if 2 in wanted else len(wanted)
        assert row[:stop] == wanted[:stop]
        assert set(row[stop:]) <= {2}


def test_at_most_two_million_parameters_and_the_head_is_tied():
    model = Transformer(Config())
    assert model.parameters_count() <= 2_000_000
    with torch.no_grad():
        model.embedding.weight.zero_()
    assert not model(torch.zeros(1, 3, dtype=torch.long)).any()


def test_heads_may_be_of_another_size_than_width_over_heads():
    config = Config(vocabulary=50, context=24, width=30, layers=2, heads=4, hidden=20, head=16)
    model = Transformer(config).eval()
    assert (config.head_size, Config().head_size) == (16, 32)
    assert model.blocks[0].attention.query.weight.shape == (64, 30)
    ids = torch.randint(50, (2, 9))
    whole, _ = model.features(ids)
    _, cache = model.features(ids[:, :5])
    rest, _ = model.features(ids[:, 5:], cache)
    torch.testing.assert_close(rest, whole[:, 5:], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "bad", [{"width": 0}, {"layers": -1}, {"width": 30, "heads": 4}, {"heads": 1.5}, {"head": -1}]
)
def test_bad_sizes_are_named(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Config(**bad)


def test_empty_and_too_long_sequences_are_refused(model):
    with pytest.raises(ValueError, match="L of at least 1"):
        model(torch.zeros(1, 0, dtype=torch.long))
    with pytest.raises(ValueError, match="25 tokens"):
        model(torch.zeros(1, 25, dtype=torch.long))
