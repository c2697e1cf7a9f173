"""Following by change and by cropping: which tubelets, what counts as lost, and who can find it again."""

from dataclasses import dataclass, field

import pytest
import torch

from neurolab import tracking, video
from neurolab.tracking import LOST, Track, crop, follow
from neurolab.video_net import Seen, VideoConfig, VideoTransformer

torch.set_num_threads(1)
GRID, SLOTS = 8, 4


@dataclass
class Sees:
    """A network that knows the true centre if, in the last slot, a tubelet on the mover is among the kept;
    otherwise it says what it said last. `wrong`: looks at which it is off by 30 pixels, however."""

    scenes: list[video.Scene]
    wrong: tuple[int, ...] = ()
    config: VideoConfig = field(default_factory=VideoConfig)
    looks: int = 0
    last: torch.Tensor | None = None

    def __call__(self, frames, keep):
        true = tracking.centres(self.scenes, self.looks + 1)[-1]  # (B, 2)
        slot, row, column = keep // GRID**2, keep // GRID % GRID, keep % GRID
        middles = (torch.stack((column, row), -1) + 0.5) * video.PATCH  # (B, n, 2)
        on = ((middles - true[:, None]).norm(dim=-1) < LOST) & (slot == SLOTS - 1)
        before = true if self.last is None else self.last
        said = torch.where(on.any(1, keepdim=True), true, before)
        if self.looks in self.wrong:
            said = (true + 32) % video.SIDE
        self.looks, self.last = self.looks + 1, said
        return Seen(torch.zeros(len(frames), 10), said)


@pytest.fixture(scope="module")
def scenes():
    return [video.scene(seed, split="test") for seed in (1, 2, 4)]


def test_a_crop_is_the_nearest_tubelets_of_every_slot():
    found = crop(torch.tensor([[20.0, 44.0], [0.0, 0.0]]), 16)
    assert found.shape == (2, 16)
    assert (found.diff(dim=1) > 0).all()
    slot, row, column = found // 64, found // 8 % 8, found % 8
    assert [(slot == i).sum(1).tolist() for i in range(4)] == [[4, 4]] * 4
    assert (5, 2) in set(zip(row[0].tolist(), column[0].tolist(), strict=True))  # the one it lies in
    assert set(zip(row[1].tolist(), column[1].tolist(), strict=True)) <= {(0, 0), (0, 1), (1, 0), (1, 1)}


@pytest.mark.parametrize("n", [0, 3, 30, 260])
def test_a_crop_of_another_size_is_refused(n):
    with pytest.raises(ValueError, match=f"n {n}"):
        crop(torch.zeros(1, 2), n)


def test_true_centres_are_those_of_each_looks_last_frame(scenes):
    true = tracking.centres(scenes, 3)
    assert true.shape == (4, 3, 2)
    assert true[1, 0].tolist() == pytest.approx(scenes[0].centre(7))
    assert true[3, 2].tolist() == pytest.approx(scenes[2].centre(11))
    assert true[0, 1].tolist() == pytest.approx(scenes[1].centre(5))


def test_both_follow_while_nothing_goes_wrong(scenes):
    for how in tracking.CHOICES:
        track = follow(Sees(scenes), scenes, 12, 32, how)
        assert track.said.shape == (12, 3, 2)
        assert not track.lost.any(), how


def test_one_wrong_answer_and_cropping_has_lost_it_while_change_finds_it_again(scenes):
    lost = {how: follow(Sees(scenes, wrong=(4,)), scenes, 9, 32, how).lost for how in tracking.CHOICES}
    for how, found in lost.items():
        assert not found[:4].any(), how
        assert found[4].all(), how
    assert not lost["dynamic"][5:].any()
    assert lost["cropping"][5].all()


def test_lost_is_further_than_the_digits_picture_reaches():
    true = torch.zeros(2, 1, 2)
    track = Track(torch.tensor([[[LOST, 0.0]], [[LOST, 1.0]]]), true)
    assert track.lost.tolist() == [[False], [True]]


def test_the_longest_time_lost():
    lost = torch.tensor([[1, 0], [1, 1], [0, 1], [1, 1], [1, 0]], dtype=torch.bool)
    assert tracking.longest(lost) == 3
    assert tracking.longest(~lost & lost) == 0


def test_figures_compare_equal_numbers_of_tubelets(scenes):
    seeds = range(3)
    made = {how: Sees([video.scene(s, split="test") for s in seeds], wrong=(2,)) for how in tracking.CHOICES}
    found = tracking.compare(made, seeds, 6, 32)
    assert found["frames"] == 18
    assert found["lost_dynamic"] == pytest.approx(3 / 18)
    assert found["lost_cropping"] > found["lost_dynamic"]
    assert found["lost_ratio"] == pytest.approx(3.5 / (18 * found["lost_cropping"] + 0.5))
    assert found["longest_dynamic"] == tracking.STRIDE


def test_a_real_network_follows_and_learns_from_crops():
    torch.manual_seed(0)
    net = VideoTransformer(VideoConfig(width=16, layers=1, heads=2, hidden=16))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    history = tracking.tune(net, 0, 16, steps=3, batch=4)
    assert history.step == 3
    assert any(not torch.equal(v, before[k]) for k, v in net.state_dict().items())
    scenes = [video.scene(0)]
    one, again = (follow(net, scenes, 3, 16, "cropping").said for _ in range(2))
    assert torch.equal(one, again)


def test_bad_settings_are_refused(scenes):
    for how, steps, words in (("guessing", 2, "how 'guessing'"), ("dynamic", 0, "steps 0")):
        with pytest.raises(ValueError, match=words):
            follow(Sees(scenes), scenes, steps, 32, how)
