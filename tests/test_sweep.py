"""A sweep makes each row once, keeps it at once, and goes on where it stopped."""

import sys
from functools import partial

import pytest
from typer.testing import CliRunner

from neurolab import cli, measurements, sweep
from neurolab.sweep import Job


def figures(value, log):
    with open(log, "a") as handle:
        handle.write(f"{value}\n")
    if value < 0:
        raise ArithmeticError("below zero")
    return {"value": value}


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


def jobs(log, *values):
    return [Job("compression.toy", {"n": v}, partial(figures, v, str(log)), 0.1) for v in values]


def test_rows_are_made_once_and_kept_with_what_they_are_rows_of(tmp_path, log):
    store = tmp_path / "store"
    made = sweep.run(jobs(log, 1, 2), parallel=2, store=store, progress=False)
    assert sorted(row.figures["value"] for row in made) == [1, 2]
    kept = measurements.read("compression.toy", store=store)
    assert {row.figures["of"] for row in kept} == {sweep.weights_hash()}
    assert kept[0].provenance["command"] == "neurolab sweep compression"
    again = sweep.run(jobs(log, 1, 2, 3), parallel=1, store=store, progress=False)
    assert [row.figures["value"] for row in again] == [3]
    assert sorted(log.read_text().split()) == ["1", "2", "3"]
    assert len(sweep.run(jobs(log, 1), parallel=1, store=store, again=True, progress=False)) == 1


def test_a_row_of_other_weights_is_made_again(tmp_path, log):
    store = tmp_path / "store"
    old = measurements.row("compression.toy", 4, {"n": 1}, {"value": 9, "of": "other"}, command="x")
    measurements.append(old, store)
    assert sweep.missing(jobs(log, 1), store)
    sweep.run(jobs(log, 1), parallel=1, store=store, progress=False)
    assert measurements.read("compression.toy", store=store)[0].figures["value"] == 1
    assert not sweep.missing(jobs(log, 1), store)


def test_one_failure_is_named_and_costs_no_other_row(tmp_path, log):
    with pytest.raises(RuntimeError, match=r"1 of 3 rows failed.*'n': -1.*ArithmeticError: below zero"):
        sweep.run(jobs(log, 1, -1, 2), parallel=2, store=tmp_path, progress=False)
    assert len(measurements.read("compression.toy", store=tmp_path)) == 2


def test_every_job_of_the_compression_sweep_is_its_own_row_and_short_enough():
    wanted = sweep.jobs("compression")
    rows = [(job.name, sorted(job.setting.items())) for job in wanted]
    assert all(row not in rows[:i] for i, row in enumerate(rows))
    assert max(job.minutes for job in wanted) <= 30
    assert {job.chapter for job in wanted} <= {4, 5}
    assert all(job.name.startswith("compression.") for job in wanted)
    some = sweep.jobs("compression", ["compression.headline"])
    assert {job.setting["target"] for job in some} == {"ptq12", "ptq14", "qat18", "qat28"}


def test_what_there_is_not_is_named(tmp_path):
    with pytest.raises(ValueError, match="no sweep 'nothing'; the sweeps are compression"):
        sweep.jobs("nothing")
    with pytest.raises(ValueError, match=r"'compression\.nothing'"):
        sweep.jobs("compression", ["compression.nothing"])
    with pytest.raises(ValueError, match="parallel 0"):
        sweep.run([], parallel=0, store=tmp_path)


def test_a_cluster_without_its_extra_is_named(tmp_path, log, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ValueError, match=r"--cluster needs the extra \[cluster\]: .* -e '\.\[cluster\]'"):
        sweep.run(jobs(log, 1), store=tmp_path, progress=False, cluster="local")
    assert not log.exists()


def test_the_command_passes_the_cluster_on(monkeypatch, tmp_path):
    seen = {}
    monkeypatch.setenv("NEUROLAB_FOLDER", str(tmp_path))
    monkeypatch.setattr(sweep, "run", lambda wanted, **how: seen.update(how, jobs=len(wanted)) or [])
    asked = ["sweep", "tradeoff", "--only", "tradeoff.latency", "--cluster", "tcp://host:8786"]
    assert CliRunner().invoke(cli.app, asked).exit_code == 0
    assert seen["cluster"] == "tcp://host:8786"
    assert seen["jobs"] == 6
