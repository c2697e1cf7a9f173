"""The video task, its network and what it costs."""

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from neurolab import sparsity, video, video_cost, video_net
from neurolab.training import History
from neurolab.video_net import VideoConfig, VideoTransformer
from neurolab.video_training import until_it_stops

SMALL = VideoConfig(width=32, layers=2, heads=2, hidden=64)


@pytest.fixture(scope="module")
def net() -> VideoTransformer:
    torch.manual_seed(0)
    return VideoTransformer(SMALL).eval()


def test_a_scene_is_a_function_of_seed_and_time() -> None:
    one = video.scene(3, split="test")
    assert torch.equal(one.frames(5, 4), one.frames(0, 9)[5:])
    assert torch.equal(one.frames(), video.clips([3], split="test").frames[0])
    assert not torch.equal(one.frames(), video.scene(4, split="test").frames())


@pytest.mark.parametrize("variant", video.VARIANTS)
def test_the_mover_is_where_it_is_said_to_be(variant: str) -> None:
    """Where the still digit is far off, the frame looks like the mover's picture around the said centre."""
    compared = 0
    for seed in range(12):
        one = video.scene(seed, variant="usual" if variant in ("flicker", "noise", "several") else variant)
        frames = one.frames(0, 8)
        picture = video._pictures()[one.split][0][one.picture]
        for t in (0, 7):
            x, y = one.centre(t)
            window = frames[t, max(0, int(y) - 10) : int(y) + 10, max(0, int(x) - 10) : int(x) + 10]
            if window.shape == picture.shape and math.dist((x, y), one.still) > 30:
                compared += 1
                together = torch.corrcoef(torch.stack((window.flatten(), picture.flatten())))[0, 1]
                assert together > 0.8, (variant, seed, t, together)
    assert compared >= 5


def test_still_scenes_stand_and_others_move() -> None:
    still, usual = video.scene(1, variant="still"), video.scene(1)
    assert still.centre(0) == still.centre(50)
    assert usual.centre(0) != usual.centre(3)
    assert torch.equal(still.frames(0, 1), still.frames(30, 1))


@pytest.mark.parametrize(("place", "folded"), [(12.0, 12.0), (-1.0, 11.0), (21.0, 19.0), (33.0, 7.0)])
def test_bouncing(place: float, folded: float) -> None:
    assert video.bounce(place, 5.0, 20.0) == pytest.approx(folded)


def test_splits_share_no_picture() -> None:
    made = video._pictures()
    rows = {split: {p.numpy().tobytes() for p in pictures} for split, (pictures, _) in made.items()}
    assert not rows["train"] & rows["test"]
    assert not rows["validation"] & rows["test"]
    assert len(made["validation"][0]) == video.VALIDATION


def test_tubelets_and_back() -> None:
    frames = torch.randn(2, 8, 64, 64)
    tokens = video.tubelets(frames)
    assert tokens.shape == (2, 256, 128)
    assert torch.equal(video.untubelets(tokens), frames)
    slot, row, column = 2, 3, 5
    cut = frames[0, 4:6, 24:32, 40:48].flatten()
    assert torch.equal(tokens[0, slot * 64 + row * 8 + column], cut)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: video.scene(0, side=60), "side 60"),
        (lambda: video.scene(0, variant="rain"), "rain"),
        (lambda: video.scene(0, split="all"), "all"),
        (lambda: video.draw([]), "scenes"),
        (lambda: video.draw([video.scene(0)], -1), "start -1"),
        (lambda: video.tubelets(torch.zeros(1, 7, 64, 64)), "multiple of 2"),
        (lambda: video.untubelets(torch.zeros(1, 10, 128)), "don't fill"),
        (lambda: VideoConfig(width=30), "width 30"),
        (lambda: VideoConfig(side=256), "side 256"),
        (lambda: VideoConfig(layers=0), "layers 0"),
        (lambda: video_net.macs(VideoConfig(), 0), "1 to 256"),
        (lambda: video_net.macs(VideoConfig(), [3, 2]), "1 to 256"),
    ],
)
def test_bad_input_is_named(call, said) -> None:
    with pytest.raises(ValueError, match=said):
        call()


def test_packed_is_masked(net: VideoTransformer) -> None:
    frames = video.clips(range(3)).frames
    keep = torch.rand(3, 256, generator=torch.Generator().manual_seed(0)).topk(20).indices.sort().values
    with torch.inference_mode():
        packed, masked = net(frames, keep), net(frames, mask=sparsity.mask_of(keep, 256))
    torch.testing.assert_close(packed.digit, masked.digit, atol=1e-5, rtol=0)
    torch.testing.assert_close(packed.centre, masked.centre, atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="one of them"):
        net(frames, keep, sparsity.mask_of(keep, 256))


def test_everything_kept_is_dense(net: VideoTransformer) -> None:
    frames = video.clips([5]).frames
    with torch.inference_mode():
        torch.testing.assert_close(net(frames, torch.arange(256)[None]), net(frames), atol=1e-5, rtol=1e-5)


def test_the_network_refuses_what_it_cannot_watch(net: VideoTransformer) -> None:
    with pytest.raises(ValueError, match=r"must be \(B, 8, 64, 64\)"):
        net.check(torch.zeros(1, 8, 32, 32))
    with pytest.raises(ValueError, match="finite"):
        net.check(torch.full((1, 8, 64, 64), torch.nan))


class _Counted(TorchDispatchMode):
    """Numbers that operations make, a matrix product's times its inner length."""

    total = 0
    products = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func._schema.name.split("::")[-1]
        if name in ("mm", "bmm", "addmm"):
            inner = args[-2].shape[-1]
            self.products += out.numel() * inner
            self.total += out.numel() * inner
        elif name.startswith("_scaled_dot"):
            q, k = args[:2]
            self.products += 2 * q.numel() * k.shape[2]
        elif isinstance(out, torch.Tensor) and out.is_floating_point():
            self.total += out.numel()
        return out


@pytest.mark.parametrize("tokens", [256, 32, 1])
def test_counted_products_are_those_that_run(net: VideoTransformer, tokens: int) -> None:
    frames = video.clips([0]).frames
    with torch.no_grad(), _Counted() as seen:
        net(frames, torch.arange(tokens)[None])
    said = video_net.macs(SMALL, tokens)
    assert sum(said.values()) == seen.products


def test_the_gate_costs_no_more_than_is_counted() -> None:
    frames = video.clips([0], variant="jitter").frames
    with torch.no_grad(), _Counted() as seen:
        sparsity.change(frames)
    assert 8 < seen.total / frames.numel() <= video_cost.GATE


def test_costs_fall_with_the_tokens(net: VideoTransformer) -> None:
    dense, few = video_cost.counts(SMALL), video_cost.counts(SMALL, 32, gate=True)
    assert few.mac_fp32 < dense.mac_fp32 / 3
    assert few.weight_bytes == dense.weight_bytes
    with pytest.raises(ValueError, match="1 to 256"):
        video_cost.counts(SMALL, 300)


def test_the_working_set_is_what_is_alive_at_once() -> None:
    layer = torch.nn.Linear(100, 50, bias=False)

    def call() -> torch.Tensor:
        x = torch.ones(10, 100)  # 4,000 bytes
        y = layer(x)  # 2,000 more
        del x
        return y * 2  # 2,000 more, when the first 4,000 are gone

    found = video_cost.working_set(layer, call)
    assert found == {"weights": 4 * 5000, "tensors": 6000}


@pytest.mark.parametrize(
    ("gains", "turns"),
    [((0.9, 0.9025), 2), ((0.9, 0.91, 0.92, 0.922), 4), ((0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), 6)],
)
def test_a_network_trains_until_a_turn_gains_nothing(gains: tuple[float, ...], turns: int) -> None:
    asked = []

    def stage(name: str, turn: int) -> History:
        asked.append((name, turn))
        return History(evaluations=[{"step": 50, "accuracy": 0.99}, {"step": 100, "accuracy": gains[turn]}])

    curve = until_it_stops("dense", stage)
    assert asked == [("dense", turn) for turn in range(turns)]
    assert [point["step"] for point in curve] == list(range(50, 100 * turns + 1, 50))
