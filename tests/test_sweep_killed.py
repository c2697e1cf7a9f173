"""A sweep that is killed half-way, as in a power cut: the next one makes what is missing, and only that."""

import signal
import subprocess
import sys
import time

from neurolab import measurements, sweep
from neurolab.paths import ROOT
from tests.sweep_toy import jobs, notes

COUNT = 8


def toy(store, log, seconds):
    command = [sys.executable, "-m", "tests.sweep_toy", store, log, str(COUNT), str(seconds), "2"]
    return subprocess.Popen(command, cwd=ROOT, start_new_session=True)


def test_kill_9_half_way_loses_nothing_and_does_nothing_twice(tmp_path):
    store, log, after = tmp_path / "store", tmp_path / "log", tmp_path / "after"
    path = store / "tradeoff.jsonl"
    first = toy(store, log, 0.4)
    while not path.exists() or path.read_bytes().count(b"\n") < 3:
        assert first.poll() is None, "the sweep ended before it could be killed"
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    kept = path.read_bytes()
    rows = {row.setting["n"] for row in measurements.read("tradeoff.toy", store=store)}
    assert 3 <= len(rows) < COUNT
    path.write_bytes(kept + kept[:100])  # and the plug was pulled while a line was being written
    assert toy(store, after, 0.0).wait() == 0

    assert path.read_bytes().startswith(kept)
    made = measurements.read("tradeoff.toy", store=store, history=True)
    assert sorted(row.setting["n"] for row in made) == list(range(COUNT))
    assert all(row.figures["value"] == row.setting["n"] ** 2 for row in made)
    begun = [n for what, n, _ in notes(after) if what == "begin"]
    assert sorted(begun) == sorted(set(range(COUNT)) - rows)
    assert not sweep.missing(jobs(COUNT, log, 0.0), store)
