"""The assistant in spikes, on a small untrained model: scaling, hooks that leave no trace, honest counts."""

import pytest
import torch

from neurolab import coded
from neurolab.assistant import Assistant
from neurolab.codes import CODES
from neurolab.tokens import train_tokenizer
from neurolab.transformer import Config, Transformer

QUESTIONS = ["What currency is used in Japan?", "ญี่ปุ่นใช้สกุลเงินอะไร", "Which language is spoken in Laos?"]


@pytest.fixture(scope="module")
def small() -> Assistant:
    torch.manual_seed(0)
    config = Config(vocabulary=300, context=96, width=16, layers=2, heads=2, hidden=24)
    return Assistant(Transformer(config).eval(), train_tokenizer(QUESTIONS * 3, 300), {})


@pytest.mark.parametrize(("site", "channels"), [("feed_forward", 24), ("attention", 16)])
def test_activations_have_a_number_a_layer_token_and_channel(small, site, channels):
    found = coded.activations(small, QUESTIONS, site)
    assert found.raw.shape[0] == 2
    assert found.raw.shape[2] == channels
    assert found.x.amin(1).max() == 0
    assert found.x.amax(1).min() == 1
    assert torch.allclose(found.low + found.x * (found.high - found.low), found.raw, atol=1e-6)


def test_activations_are_what_the_layer_really_says(small):
    found = coded.activations(small, QUESTIONS[:1])
    ids = torch.tensor([coded.encode_question(small.tokenizer, QUESTIONS[0])])
    block = small.model.blocks[0]
    with torch.inference_mode():
        x = small.model.embedding(ids) + small.model.position(torch.arange(ids.shape[1]))
        x = x + block.attention(block.norm1(x))[0]
        said = block.feed_forward.act(block.feed_forward.up(block.norm2(x)))[0]
    assert torch.allclose(found.raw[0], said, atol=1e-6)


def test_a_channel_that_never_moves_is_zero():
    flat = torch.full((1, 4, 2), 0.3)
    assert coded.scale(flat, flat, flat).abs().max() == 0


def test_speaking_changes_the_scores_while_open_and_leaves_no_trace(small):
    ids = torch.tensor([coded.encode_question(small.tokenizer, QUESTIONS[0])])
    sites = {site: coded.activations(small, QUESTIONS, site) for site in coded.SITES}
    before = small.model(ids)
    silent = dict.fromkeys(coded.SITES, torch.zeros_like)
    with coded.speaking(small.model, silent, sites):
        during = small.model(ids)
    assert not torch.allclose(before, during)
    exact = dict.fromkeys(coded.SITES, lambda x: x)
    with coded.speaking(small.model, exact, sites):
        assert torch.allclose(small.model(ids), before, atol=1e-5)
    with pytest.raises(RuntimeError, match="mid"), coded.speaking(small.model, silent, sites):
        raise RuntimeError("mid")
    assert torch.equal(small.model(ids), before)


def test_a_longer_window_brings_the_scores_nearer(small):
    ids = torch.tensor([coded.encode_question(small.tokenizer, QUESTIONS[0])])
    sites = {"feed_forward": coded.activations(small, QUESTIONS)}
    exact = small.model(ids)
    off = []
    for T in (4, 64, 1024):
        counter = coded.Counter(CODES["rate"], T, seed=1)
        with coded.speaking(small.model, {"feed_forward": counter}, sites):
            off.append(float((small.model(ids) - exact).abs().mean().detach()))
    assert off[0] > off[1] > off[2]


def test_the_counter_counts_and_its_memory_limit_changes_nothing_but_memory():
    x = torch.rand(7, 11)
    whole, pieces = coded.Counter(CODES["latency"], 16), coded.Counter(CODES["latency"], 16, most=64)
    assert torch.equal(whole(x), pieces(x))
    assert whole.spikes_per_number == pieces.spikes_per_number == 1.0
    assert coded.Counter(CODES["rate"], 16).spikes_per_number == 0.0
    lost = coded.Counter(CODES["latency"], 16, disturb=lambda s, dice: s * 0)
    assert lost(x).abs().max() == 0
    assert lost.spikes_per_number == 1.0  # sent, though never heard


def test_bad_arguments_are_refused_by_name(small):
    with pytest.raises(ValueError, match="site must be one of"):
        coded.activations(small, QUESTIONS, "eyes")
    with pytest.raises(ValueError, match="questions is empty"):
        coded.activations(small, [])
    with (
        pytest.raises(ValueError, match="ranges lacks"),
        coded.speaking(small.model, {"attention": torch.zeros_like}, {}),
    ):
        pass
