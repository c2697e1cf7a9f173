"""Other attention and fewer heads in the video network: equal where all is kept, packed equal to masked."""

import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from neurolab import topk_attention as ta
from neurolab import video, video_attention
from neurolab.video_net import VideoConfig, VideoTransformer

CONFIG = VideoConfig(width=32, layers=2, heads=4, hidden=48)


def network(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = VideoTransformer(CONFIG).eval().requires_grad_(False)
        for block in net.blocks:  # louder than at the start of a training, so that attention matters
            block.qkv.weight.mul_(4)
            block.out.weight.mul_(2)
    return net


NET = network()
FRAMES = video.clips(range(160), split="train").frames
GATE = video_attention.fit_gate(NET, FRAMES)


def close(a, b, atol=2e-5):
    return torch.allclose(a.digit, b.digit, atol=atol) and torch.allclose(a.centre, b.centre, atol=100 * atol)


@pytest.mark.parametrize(("name", "keep"), [("topk", 257), ("shared", 257)])
def test_a_rule_that_keeps_everything_changes_nothing(name, keep):
    assert close(video_attention.look(NET, FRAMES[:2], video_attention.rule(name, keep)), NET(FRAMES[:2]))


@pytest.mark.parametrize(("name", "keep"), [("topk", 4), ("shared", 4), ("budgeted", 0.2)])
def test_a_rule_that_keeps_little_changes_the_answer(name, keep):
    less = video_attention.look(NET, FRAMES[:2], video_attention.rule(name, keep))
    assert not close(less, NET(FRAMES[:2]), atol=1e-3)


def test_by_tiles_the_readout_looks_at_everything_and_tokens_not_at_it():
    g = torch.Generator().manual_seed(3)
    q, k, v = (torch.randn(1, 4, 257, 8, generator=g) for _ in range(3))
    mask = torch.ones(257, 257, dtype=torch.bool)
    mask[1:, 0] = False
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    assert torch.allclose(video_attention.rule("budgeted", 1.0)(q, k, v), expected, atol=1e-6)


def test_top_k_in_the_network_is_a_mask_in_the_network():
    def masked(q, k, v):
        z = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        least = z.topk(16, -1).values[..., -1:]
        return F.scaled_dot_product_attention(q, k, v, attn_mask=z >= least)

    found = video_attention.look(NET, FRAMES[:2], video_attention.rule("topk", 16))
    assert close(found, video_attention.look(NET, FRAMES[:2], masked))


@pytest.mark.parametrize("by", ["frame", "static"])
def test_all_heads_are_the_network(by):
    whole = NET(FRAMES[:3])
    assert close(video_attention.look_with_heads(NET, FRAMES[:3], GATE, 4, by), whole)
    assert close(
        video_attention.look_with_heads(NET, FRAMES[:1], GATE, 4, by), type(whole)(*(x[:1] for x in whole))
    )


@pytest.mark.parametrize("keep", [1, 2, 3])
def test_packed_heads_equal_masked_heads(keep):
    together = video_attention.look_with_heads(NET, FRAMES[:5], GATE, keep)
    alone = [video_attention.look_with_heads(NET, FRAMES[i : i + 1], GATE, keep) for i in range(5)]
    assert torch.allclose(torch.cat([a.digit for a in alone]), together.digit, atol=2e-5)
    assert torch.allclose(torch.cat([a.centre for a in alone]), together.centre, atol=2e-3)
    assert not close(together, NET(FRAMES[:5]), atol=1e-3)


def test_what_a_head_adds_on_average_stands_in_for_it():
    block, x = NET.blocks[0], NET.embed(video.tubelets(FRAMES), torch.arange(256))
    added = video_attention._mixed(block, x)
    assert torch.allclose(added.sum(1) + block.out.bias + x, _after_attention(block, x), atol=1e-4)
    assert torch.allclose(GATE.means[0], added.mean((0, 2)), atol=1e-5)


def _after_attention(block, x):
    y = F.scaled_dot_product_attention(*block.split(x))
    return x + block.out(y.transpose(1, 2).flatten(2))


def test_the_gate_foresees_clips_that_it_has_not_seen(monkeypatch):
    planted = torch.randn(64, 4, generator=torch.Generator().manual_seed(5))

    def heads_that_add_by_a_rule(block, x):
        return (9 + video_attention.features(x) @ planted)[:, :, None, None].expand(-1, -1, 2, 32)

    monkeypatch.setattr(video_attention, "_mixed", heads_that_add_by_a_rule)
    gate = video_attention.fit_gate(NET, FRAMES)
    x = NET.embed(video.tubelets(video.clips(range(1000, 1040), split="test").frames), torch.arange(256))
    real = heads_that_add_by_a_rule(None, x)[:, :, 0, 0]  # (B, H)
    error = (video_attention.features(x) @ gate.weight[0] + gate.bias[0] - real).square().mean(0)
    assert bool((error < 0.35 * real.var(0)).all())  # saying the mean would leave all of the variance


def test_the_gate_chooses_the_heads_that_add_most():
    chosen = video_attention.choose(GATE, 1, torch.zeros(3, 5, 32), 2, "static")
    assert chosen.tolist() == [sorted(GATE.usual[1].topk(2).indices.tolist())] * 3
    gate = video_attention.HeadGate(torch.zeros(1, 64, 4), torch.zeros(1, 4), GATE.means, GATE.usual)
    gate.weight[0, 0] = torch.tensor([1.0, -1.0, 2.0, 0.0])
    x = torch.zeros(2, 5, 32)
    x[0, :, 0], x[1, :, 0] = 1, -1
    assert video_attention.choose(gate, 0, x, 2).tolist() == [[0, 2], [1, 3]]


@pytest.mark.parametrize("keep", [1, 3])
def test_multiply_adds_of_heads_are_those_that_torch_counts(keep):
    with FlopCounterMode(display=False) as counter:
        video_attention.look_with_heads(NET, FRAMES[:1], GATE, keep)
    parts = video_attention.head_macs(CONFIG, keep)
    looks = parts.pop("attention")  # the fused kernel's, which torch does not count on the CPU
    assert counter.get_total_flops() == 2 * sum(parts.values())
    assert looks == 2 * 2 * 257 * 257 * 8 * keep


def test_multiply_adds_of_rules():
    dense = video_attention.macs(CONFIG, "topk", 257)
    less = video_attention.macs(CONFIG, "topk", 32)
    assert dense["attention"] == 2 * 2 * 257 * 257 * 32
    assert less["attention"] == 2 * (257 * 257 + 257 * 32) * 32
    assert dense["projections"] == less["projections"]
    tiled = video_attention.macs(CONFIG, "budgeted", 0.5)["attention"]
    assert tiled == 2 * (ta.macs("budgeted", 256, 256, 8, 4, 0.5)["after"] + 8 * 8 * 8 * 4 + 2 * 257 * 32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: video_attention.rule("few", 3), "rule 'few': must be one of topk, shared, budgeted"),
        (lambda: video_attention.fit_gate(NET, FRAMES[:5]), "5 clips; a gate needs at least 64"),
        (lambda: video_attention.choose(GATE, 0, torch.zeros(1, 5, 32), 5), "keep 5: must be a whole number"),
        (lambda: video_attention.choose(GATE, 0, torch.zeros(1, 5, 32), 2, "luck"), "by 'luck'"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
