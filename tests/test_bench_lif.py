"""Chapter 2's benches: every goal gets a finding, and the rows they make mean what they say."""

import pytest
import torch

from neurolab.bench import lif, simulators, tbptt
from neurolab.benchmark import report, rows

torch.set_num_threads(1)


def test_every_goal_is_measured_and_the_exact_ones_are_met():
    found = lif._run(1, 2_500_000, lambda line: None)
    entries = {entry["name"]: entry for entry in report(lif.GOALS, found)["goals"]}
    assert all(entry["value"] is not None for entry in entries.values())
    for exact in ("lif.spikes_differing", "lif.timed_paths_differing", "lif.gradient_difference"):
        assert entries[exact]["met"]
    assert len(rows(found, lif.CHAPTER, "neurolab bench lif")) == len(found)


def test_without_numba_its_goals_say_why(monkeypatch):
    monkeypatch.setattr(lif, "has_numba", lambda: False)
    finding = lif._wide(1, torch.Generator())
    assert finding.value is None
    assert "numba" in str(finding.why)


def test_our_definition_is_snntorchs_and_missing_libraries_are_named():
    said = []
    found = simulators.run(quick=True, progress=said.append)
    first = next(item for item in found if item.setting["library"] == "snntorch")
    assert first.figures["spikes_unlike_definition"] == first.figures["neurons_unlike_snntorch"] == 0
    assert first.figures["spikes"] > 0
    assert len(said) == len(simulators.LIBRARIES)


@pytest.mark.parametrize("task", ["rows", "still"])
def test_windows_keep_less_and_checkpoints_are_exact(task):
    whole = tbptt.peak_bytes(task, "full", tbptt.T)
    kept = [tbptt.peak_bytes(task, "truncated", w) / whole for w in tbptt.WINDOWS]
    assert kept == sorted(kept)
    assert kept[0] < 0.2
    assert kept[-1] < 0.6
    assert tbptt.peak_bytes(task, "checkpointed", 20) / whole < 0.25
    assert tbptt.difference(task, 20) < 1e-5


def test_a_sequence_shows_every_row_in_turn_and_asks_at_the_end():
    x = torch.arange(64.0)[None]
    shown = tbptt.show(x, "rows")
    assert shown.shape == (200, 1, 8)
    assert torch.equal(shown[0, 0], x[0, :8])
    assert torch.equal(shown[199, 0], x[0, 56:])
    ys = torch.zeros(200, 3, 10)
    loss = tbptt.loss_of("rows", torch.tensor([1, 2, 3]))
    in_windows = sum(loss(ys[i : i + 40], i) for i in range(0, 200, 40))
    assert torch.isclose(loss(ys, 0), torch.log(torch.tensor(10.0)))
    assert torch.isclose(torch.as_tensor(in_windows), loss(ys, 0))


def test_training_is_the_same_twice():
    first, again = (tbptt.train("still", "truncated", 100, 0, 1) for _ in range(2))
    assert first == again
    assert 0 <= first <= 1
