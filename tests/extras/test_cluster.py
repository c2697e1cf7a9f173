"""A sweep on a Dask cluster of several processes, one of which is killed half-way."""

import os
import signal
import threading
import time
from collections import Counter

import pytest

from neurolab import measurements, sweep, sweep_cluster
from neurolab.paths import ROOT
from tests.sweep_toy import jobs, notes

COUNT, SECONDS = 9, 1.5


@pytest.fixture(autouse=True)
def workers_find_the_tests(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def kill_one(log, store, killed):
    """Kill a worker at the beginning of a job, once three are done and all that is done is kept."""
    while True:
        kept = {row.setting["n"] for row in measurements.read("tradeoff.toy", store=store)}
        seen = notes(log)
        done = {n for what, n, _ in seen if what == "end"}
        busy = [(n, process) for what, n, process in seen if what == "begin" and n not in done]
        if len(done) >= 3 and busy and done <= kept:
            killed.append(busy[-1])
            os.kill(busy[-1][1], signal.SIGKILL)
            return
        time.sleep(0.02)


def test_a_killed_worker_costs_no_row_and_nothing_is_done_twice(tmp_path):
    log, store, killed = tmp_path / "log", tmp_path / "store", []
    watch = threading.Thread(target=kill_one, args=(log, store, killed), daemon=True)
    watch.start()
    made = sweep.run(
        jobs(COUNT, log, SECONDS), parallel=3, store=store, progress=False, cluster=sweep_cluster.LOCAL
    )
    watch.join(5)
    assert [row.figures["value"] for row in sorted(made, key=lambda r: r.setting["n"])] == [
        n * n for n in range(COUNT)
    ]
    rows = measurements.read("tradeoff.toy", store=store, history=True)
    assert sorted(row.setting["n"] for row in rows) == list(range(COUNT))
    assert all(row.provenance["processor"] and row.provenance["versions"]["torch"] for row in rows)
    seen = notes(log)
    assert len({process for _, _, process in seen}) >= 3
    assert Counter(n for what, n, _ in seen if what == "end") == Counter(range(COUNT))
    begun = Counter(n for what, n, _ in seen if what == "begin")
    assert begun - Counter(range(COUNT)) == Counter([killed[0][0]])
    assert not sweep.missing(jobs(COUNT, log, SECONDS), store)


def test_one_failing_job_costs_no_other_row(tmp_path):
    store = tmp_path / "store"
    wanted = jobs(2, tmp_path / "log", 0.0) + jobs(1, tmp_path / "no folder" / "log", 0.0)
    wanted[2].setting["n"] = 7
    with pytest.raises(RuntimeError, match=r"1 of 3 rows failed.*'n': 7.*FileNotFoundError"):
        sweep.run(wanted, parallel=2, store=store, progress=False, cluster=sweep_cluster.LOCAL)
    assert len(measurements.read("tradeoff.toy", store=store)) == 2


def test_a_scheduler_of_ones_own_is_used_and_one_that_is_not_there_is_named(tmp_path, monkeypatch):
    from distributed import LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as running:
        made = sweep.run(
            jobs(2, tmp_path / "log", 0.0),
            store=tmp_path / "store",
            progress=False,
            cluster=running.scheduler_address,
        )
    assert len(made) == 2
    monkeypatch.setattr(sweep_cluster, "WAIT", 0.5)
    with pytest.raises(ValueError, match=r"cluster 'tcp://127\.0\.0\.1:9': no scheduler answers there"):
        sweep.run(jobs(1, tmp_path / "log", 0.0), store=tmp_path / "other", cluster="tcp://127.0.0.1:9")


def test_a_worker_with_other_weights_is_refused(tmp_path):
    job = jobs(1, tmp_path / "log", 0.0)[0]
    _, figures, error, _ = sweep_cluster.there(sweep._work, job, "000000000000")
    assert not figures
    assert error == f"RuntimeError: the worker has other weights ({sweep.weights_hash()}, not 000000000000)"
    assert not notes(tmp_path / "log")
