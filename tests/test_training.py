"""The loop: an interrupted run equals an uninterrupted one, cooling, broken checkpoints, divergence."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from neurolab.training import History, Schedule, fit

SCHEDULE = Schedule(warmup=3, stay=12, cool=6)


def setting(seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    matrices = [p for p in model.parameters() if p.ndim == 2]
    rest = [p for p in model.parameters() if p.ndim != 2]
    return model, [torch.optim.Muon(matrices, lr=0.02), torch.optim.AdamW(rest, lr=0.01)]


def loss_of(model, step):
    x = torch.randn(16, 4, generator=torch.Generator().manual_seed(step))
    return F.mse_loss(model(x), x.sum(1, keepdim=True))


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_it_learns_and_repeats_bit_for_bit():
    runs = []
    for _ in range(2):
        model, optimisers = setting()
        before = loss_of(model, 999).item()
        fit(model, loss_of, optimisers, SCHEDULE, progress=False)
        assert loss_of(model, 999).item() < 0.9 * before
        runs.append(weights(model))
    assert torch.equal(*runs)


@pytest.mark.parametrize("stops", [[7], [4, 4, 4], [1] * 18])
def test_an_interrupted_run_ends_in_the_same_weights(tmp_path, stops):
    whole, optimisers = setting()
    fit(whole, loss_of, optimisers, SCHEDULE, progress=False)
    path = tmp_path / "run.safetensors"
    for stop in [*stops, None]:
        model, optimisers = setting(seed=5)  # the checkpoint, not the seed, decides
        if not path.exists():
            model, optimisers = setting()
        history = fit(
            model, loss_of, optimisers, SCHEDULE, checkpoint=path, every=5, progress=False, stop_after=stop
        )
    assert history.step == 18
    assert torch.equal(weights(model), weights(whole))


def test_killed_between_checkpoints_repeats_the_lost_steps(tmp_path):
    whole, optimisers = setting()
    fit(whole, loss_of, optimisers, SCHEDULE, progress=False)
    path = tmp_path / "run.safetensors"

    def dies(model, step):
        if step == 8:
            raise KeyboardInterrupt
        return loss_of(model, step)

    model, optimisers = setting()
    with pytest.raises(KeyboardInterrupt):
        fit(model, dies, optimisers, SCHEDULE, checkpoint=path, every=5, progress=False)
    model, optimisers = setting(seed=5)
    fit(model, loss_of, optimisers, SCHEDULE, checkpoint=path, every=5, progress=False)
    assert torch.equal(weights(model), weights(whole))


def test_cooling_begins_when_the_watched_figure_stalls():
    scores = iter([0.1, 0.5, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8])
    model, optimisers = setting()
    schedule = Schedule(warmup=0, stay=100, cool=4, watch="score", least=0.01, patience=2)
    history = fit(
        model,
        loss_of,
        optimisers,
        schedule,
        evaluate=lambda net: {"score": next(scores)},
        every=2,
        progress=False,
    )
    assert history.cooling_from == 10  # the fifth evaluation is the second without progress
    assert history.step == 14
    assert [e["score"] for e in history.evaluations[:3]] == [0.1, 0.5, 0.8]


def test_rate_rises_stays_and_falls_to_nothing():
    schedule = Schedule(warmup=4, stay=10, cool=4)
    factors = [schedule.factor(step, 10) for step in range(14)]
    assert factors[:4] == [0.25, 0.5, 0.75, 1.0]
    assert factors[4:10] == [1.0] * 6
    assert factors[10:] == pytest.approx([0.8, 0.6, 0.4, 0.2])


def test_a_broken_checkpoint_is_named_and_kept(tmp_path):
    path = tmp_path / "run.safetensors"
    model, optimisers = setting()
    fit(model, loss_of, optimisers, SCHEDULE, checkpoint=path, progress=False, stop_after=5)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"not a file"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"run\.safetensors"):
            fit(*setting()[:1], loss_of, setting()[1], SCHEDULE, checkpoint=path, progress=False)
        assert path.read_bytes() == content
    path.write_bytes(whole)
    other = nn.Linear(3, 1)
    with pytest.raises(ValueError, match="another model"):
        fit(other, loss_of, [torch.optim.SGD(other.parameters())], SCHEDULE, checkpoint=path, progress=False)


def test_divergence_is_said():
    model, optimisers = setting()
    with pytest.raises(ValueError, match="step 2"):
        fit(
            model,
            lambda net, step: loss_of(net, step) * (float("nan") if step == 2 else 1),
            optimisers,
            SCHEDULE,
            progress=False,
        )


@pytest.mark.parametrize("bad", [{"stay": 0}, {"warmup": -1}, {"cool": -1}, {"patience": 0}])
def test_bad_schedules_are_named(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Schedule(**bad)


def test_history_without_a_watched_figure_never_stalls():
    assert not History(evaluations=[{"x": 1.0}] * 20).stalled(Schedule(watch=None))
