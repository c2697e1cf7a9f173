"""neurolab.learned_gate: a gate that learns where its teacher looks."""

import pytest
import torch
from typer.testing import CliRunner

from neurolab import cli, learned_gate, sparsity, video, video_net
from neurolab.learned_gate import Gate

torch.set_num_threads(1)
CONFIG = video_net.VideoConfig(width=32, layers=2, heads=4, hidden=32)


class Watcher(video_net.VideoTransformer):
    """A teacher whose attention is known: it looks at what is bright in the last slot."""

    def attention_of_readout(self, i, x):
        return self.looks

    def embed(self, tokens, places):
        bright = tokens.square().mean(-1) * (places >= 3 * 64)
        self.looks = (bright / bright.sum(1, keepdim=True))[:, None].expand(-1, 4, -1)
        return super().embed(tokens, places)


@pytest.fixture(scope="module")
def teacher():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Watcher(CONFIG).eval()


@pytest.fixture(scope="module")
def taught(teacher):
    return learned_gate.distil(teacher, 0, clips=160, epochs=25, batch=20)


def test_the_gate_learns_to_look_where_its_teacher_looks(teacher, taught):
    gate, curve = taught
    assert curve[-1] < curve[0] - 0.5
    features, targets = learned_gate.lesson(teacher, range(40))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        untaught = Gate()
    with torch.no_grad():
        learned = learned_gate.agreement(gate, features, targets)
        before = learned_gate.agreement(untaught, features, targets)
        entropy = -(targets * targets.clamp(min=1e-9).log()).sum(1).mean()
        assert learned_gate.surprise(gate, features, targets) >= entropy
    assert learned > 0.9
    assert before < 0.5
    change = targets.gather(1, sparsity.keep_top(sparsity.change(video.clips(range(40)).frames), 32)).sum(1)
    best = targets.topk(32, 1).values.sum(1)
    assert learned > float((change / best).mean()) + 0.1, "what changes is not what this teacher looks at"


def test_the_lesson_is_the_mean_of_blocks_and_heads():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = video_net.VideoTransformer(CONFIG).eval()
    frames = video.clips(range(3)).frames
    features, targets = learned_gate.lesson(net, range(3), batch=2)
    assert features.shape == (3, 12, 8, 8)
    assert torch.allclose(targets.sum(1), torch.ones(3), atol=1e-5)
    with torch.no_grad():
        x = net.embed(video.tubelets(frames), torch.arange(256))
        looks = net.attention_of_readout(0, x).mean(1)
        looks = looks + net.attention_of_readout(1, net.block(0, x)).mean(1)
    assert torch.allclose(targets, looks / looks.sum(1, keepdim=True), atol=1e-6)


def test_it_is_deterministic_and_leaves_the_generator_alone(teacher):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, curve = learned_gate.distil(teacher, 3, clips=8, epochs=2, batch=4)
    assert torch.equal(torch.rand(3), expected)
    second, again = learned_gate.distil(teacher, 3, clips=8, epochs=2, batch=4)
    assert curve == again
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    third, _ = learned_gate.distil(teacher, 4, clips=8, epochs=2, batch=4)
    assert not torch.equal(first.near.weight, third.near.weight)


def test_scores_look_like_those_of_change(taught):
    gate = taught[0]
    frames = video.clips(range(4)).frames
    with torch.no_grad():
        scores = gate(frames)
        alone = torch.cat([gate(clip[None]) for clip in frames])
        large = gate(video.clips([0], side=128).frames)
    assert scores.shape == (4, 256)
    assert torch.allclose(scores, alone, atol=1e-5)
    assert torch.equal(scores.amax(1), torch.ones(4))
    assert scores.min() >= 0
    assert large.shape == (1, 1024), "the same gate works on a larger picture"


def test_brightness_of_single_frames_does_not_matter():
    clips = [video.clips(range(6), variant=variant).frames for variant in ("usual", "flicker")]
    usual, flicker = (learned_gate.looked_at(frames) for frames in clips)
    assert torch.allclose(usual, flicker, atol=2e-3)


def test_the_gate_is_small():
    assert learned_gate.macs(CONFIG) == 64 * (9 * 12 * 16 + 16 * 4)
    assert sum(p.numel() for p in Gate().parameters()) < 2000


def test_a_shipped_gate_comes_back(taught, tmp_path, monkeypatch):
    monkeypatch.setattr(video_net, "DATA", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"gate-64-7.safetensors .*`neurolab train gate`"):
        learned_gate.load(7)
    learned_gate.ship(taught[0], 7, 64, taught[1])
    frames = video.clips(range(2)).frames
    with torch.no_grad():
        assert torch.equal(learned_gate.load(7)(frames), taught[0](frames))


def test_the_command_teaches_a_gate_for_every_dense_network(teacher, tmp_path, monkeypatch):
    monkeypatch.setattr(video_net, "DATA", tmp_path)
    (tmp_path / "video").mkdir()
    for seed in (0, 2):
        video_net.weights("dense", seed).touch()
    asked = []

    def load(name, seed, side):
        asked.append((name, seed, side))
        return teacher

    monkeypatch.setattr(video_net, "load", load)
    monkeypatch.setattr(learned_gate, "CLIPS", 6)
    monkeypatch.setattr(learned_gate, "EPOCHS", 1)
    found = CliRunner().invoke(cli.app, ["train", "gate", "--folder", str(tmp_path / "mine")])
    assert found.exit_code == 0, found.output
    assert asked == [("dense", 0, 64), ("dense", 2, 64)]
    made = sorted(path.name for path in (tmp_path / "mine").glob("*.safetensors"))
    assert made == ["gate-64-0.safetensors", "gate-64-2.safetensors"]
    assert "gate-64-2.safetensors" in found.output
    assert isinstance(CliRunner().invoke(cli.app, ["train", "gate", "--steps", "3"]).exception, ValueError)


def test_bad_input_is_named(teacher):
    with pytest.raises(ValueError, match="frames: 4 of them"):
        Gate()(torch.zeros(1, 4, 64, 64))
    with pytest.raises(ValueError, match="frames of shape"):
        Gate()(torch.zeros(8, 64, 64))
    with pytest.raises(ValueError, match="seeds: none"):
        learned_gate.lesson(teacher, [])
    for name in ("clips", "epochs", "batch"):
        with pytest.raises(ValueError, match=f"{name} 0: must be at least 1"):
            learned_gate.distil(teacher, 0, **{"clips": 4, "epochs": 1, "batch": 4, name: 0})
