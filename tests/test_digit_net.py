"""The digits' small network: shapes, sizes, seeds, what soft labels mean, and that it learns."""

import math

import pytest
import torch

from neurolab import digit_net
from neurolab.digit_net import DigitNet

SMALL = (4, 5, 6)


def test_shapes_and_the_count_that_the_module_states():
    net = DigitNet()
    assert net(torch.zeros(3, 64)).shape == (3, 10)
    count = sum(p.numel() for p in net.parameters())
    assert f"{count:,} parameters" in digit_net.__doc__


def test_it_learns_the_digits():
    found = digit_net.scores(digit_net.trained(0, steps=300))
    assert found["exact_match"] > 0.97
    assert found["bits_per_picture"] < 0.15


def test_scores_by_hand():
    class Sure(torch.nn.Module):
        def forward(self, x):
            return torch.tensor([0.0, math.log(9.0)] + [-math.inf] * 8).clamp(min=-1e9).expand(len(x), 10)

    _, _, _, y = digit_net._tensors(0)
    assert digit_net.scores(Sure())["exact_match"] == pytest.approx((y == 1).float().mean().item())
    guess = torch.nn.Module()
    guess.forward = lambda x: torch.zeros(len(x), 10)
    assert digit_net.scores(guess)["bits_per_picture"] == pytest.approx(math.log2(10), rel=1e-6)


def test_the_halves_share_no_picture_and_every_picks_some():
    train_x, _, test_x, _ = digit_net._tensors(0)
    assert len(train_x) + len(test_x) == 1797
    net = DigitNet(SMALL)
    tenth = digit_net.scores(net, every=10)["exact_match"]
    assert tenth * math.ceil(len(test_x) / 10) == pytest.approx(
        round(tenth * math.ceil(len(test_x) / 10)), abs=1e-4
    )


def test_a_seed_gives_the_same_network_and_leaves_torchs_own_seed_alone():
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    threads = torch.get_num_threads()
    first, again, other = (digit_net.trained(s, steps=4, channels=SMALL) for s in (1, 1, 2))
    assert torch.equal(torch.rand(3), wanted)
    assert torch.get_num_threads() == threads
    assert torch.equal(first.out.weight, again.out.weight)
    assert not torch.equal(first.out.weight, other.out.weight)


def test_soft_loss_is_the_divergence():
    told, guess = torch.tensor([[2.0, 0.0, -1.0]]), torch.tensor([[0.5, 0.5, 1.0]])
    p, q = told.softmax(-1)[0].tolist(), guess.softmax(-1)[0].tolist()
    by_hand = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    assert digit_net.soft_loss(guess, told).item() == pytest.approx(by_hand, rel=1e-5)
    assert digit_net.soft_loss(told + 3, told).item() == pytest.approx(0, abs=1e-6)


def test_soft_labels_alone_leave_a_network_that_is_its_teacher_where_it_is():
    teacher = digit_net.trained(0, steps=30, channels=SMALL)
    same = digit_net.trained(0, steps=30, channels=SMALL)
    digit_net.teach(same, steps=1, seed=3, teacher=teacher, soft=1.0, rate=1e-6)
    for a, b in zip(same.parameters(), teacher.parameters(), strict=True):
        assert (a - b).abs().max() <= 2e-6
    harder = digit_net.trained(0, steps=30, channels=SMALL)
    before = harder.out.weight.detach().clone()
    digit_net.teach(harder, steps=20, seed=3)
    assert (harder.out.weight - before).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"steps": 0, "seed": 0}, "steps 0"),
        ({"steps": 1, "seed": 0, "soft": 1.5}, "soft 1.5"),
        ({"steps": 1, "seed": 0, "soft": 0.5}, "no teacher"),
    ],
)
def test_bad_training_is_refused(fields, named):
    with pytest.raises(ValueError, match=named):
        digit_net.teach(DigitNet(SMALL), **fields)


@pytest.mark.parametrize("channels", [(1, 2), (1, 2, 0), (1, 2, 3.0)])
def test_bad_channels_are_refused(channels):
    with pytest.raises(ValueError, match="channels"):
        DigitNet(channels)


def test_bad_pictures_are_refused():
    with pytest.raises(ValueError, match=r"\(3, 8, 8\)"):
        DigitNet(SMALL)(torch.zeros(3, 8, 8))
