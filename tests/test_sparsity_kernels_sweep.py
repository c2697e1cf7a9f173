"""The jobs of the kernels' rows, and what their figures mean."""

from __future__ import annotations

import json
from functools import partial

import pytest
import torch

from neurolab import crossover
from neurolab.benchmark import Ratio
from neurolab.dispatch import Dispatcher
from neurolab.sparse_formats import FORMATS
from neurolab.sweeps import sparsity_kernels as sweep


def test_every_job_has_a_setting_of_its_own_and_can_go_to_another_process():
    jobs = sweep.jobs()
    keys = {job.name + json.dumps(job.setting, sort_keys=True) for job in jobs}
    assert len(keys) == len(jobs)
    assert {job.name.removeprefix("sparsity.") for job in jobs} == {
        *("block", "kernels", "map", "dispatch", "fusion", "int8", "formats")
    }
    assert all(job.chapter == 6 for job in jobs)
    for job in jobs:  # only a module's own functions can be found there
        assert job.make.func is sweep._quiet
        assert getattr(sweep, job.make.args[0].__name__) is job.make.args[0]


def test_the_goal_is_measured_at_every_size():
    goal = {"density": 0.25, "columns": 256, "precision": "float32"}
    sizes = [
        job.setting["size"]
        for job in sweep.jobs()
        if job.name == "sparsity.block" and goal.items() <= job.setting.items()
    ]
    assert sizes == [512, 1024, 2048]


@pytest.mark.parametrize(("ratio", "share"), [(4.0, 1.0), (1.0, 0.0), (0.5, -4 / 3), (2.0, 2 / 3)])
def test_the_share_of_saved_operations_that_becomes_time(monkeypatch, ratio, share):
    monkeypatch.setattr(sweep, "undisturbed", lambda *a: Ratio(ratio, ratio, ratio, 1.0, ratio))
    for kind, names in (("unstructured", sweep.UNSTRUCTURED), ("structured", sweep.STRUCTURED)):
        found = sweep.time_share(kind, 64, 0.25)
        assert found[f"{kind}_time_share"] == pytest.approx(share)
        assert found["kernel"] in names
        assert ("unstructured_time_share" in found) == (kind == "unstructured")


def test_the_worst_of_the_dispatcher_is_the_worst(monkeypatch):
    ratios = iter([4.0, 3.0, 2.0, 1.0, 0.8, 1.0, 1.1])

    def cell(size, density, *_, **__):
        ratio = next(ratios)
        return crossover.Cell(
            size, density, "blocks", "dispatch", "mkl", Ratio(ratio, ratio, ratio, 1, ratio)
        )

    monkeypatch.setattr(sweep.crossover, "cell", cell)
    monkeypatch.setattr(sweep, "Dispatcher", partial(Dispatcher, deterministic=True))
    found = sweep.dispatched(32, "blocks")
    assert found["worst_slowdown_percent"] == pytest.approx(25)
    assert len(found["picked"]) == len(found["densities"]) == 7


@pytest.mark.parametrize("kind", FORMATS)
def test_real_matrices_are_multiplied_as_they_are(kind, monkeypatch):
    def check(call, reference, *_):
        torch.testing.assert_close(call(), reference(), atol=1e-4, rtol=1e-4)
        return Ratio(1.0, 1.0, 1.0, 1.0, 1.0)

    monkeypatch.setattr(sweep, "undisturbed", check)
    for tensor in ("weight_numbers", "weight_blocks", "changed_tokens"):
        found = partial(sweep._quiet, sweep.stored, tensor, kind)()
        assert 0 < found["numbers_there"] <= found["blocks_there"] <= 1
        assert found["cpu_share"] > 0
    assert found["numbers_there"] < 0.6


def test_fused_is_the_same_and_bytes_are_near(monkeypatch):
    monkeypatch.setattr(sweep, "undisturbed", lambda *a: Ratio(1.0, 1.0, 1.0, 1.0, 1.0))
    assert sweep.fusion(64, 0.25)["largest_difference"] < 1e-5
    found = sweep.int8(32)
    assert 0 < found["relative_error"] < 0.02
    assert found["bytes"] < 0.27 * found["bytes_dense"]
