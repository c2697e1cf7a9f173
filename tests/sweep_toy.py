"""A sweep of toy jobs that note when they begin and end, for tests that kill somebody half-way.

python -m tests.sweep_toy STORE LOG COUNT SECONDS PARALLEL [CLUSTER]
"""

import os
import sys
import time
from functools import partial
from pathlib import Path

from neurolab import sweep
from neurolab.sweep import Job


def figures(n, log, seconds):
    """n squared, after some seconds; LOG gets a line at the beginning and one at the end."""
    note(log, f"begin {n} {os.getpid()}")
    time.sleep(seconds)
    note(log, f"end {n} {os.getpid()}")
    return {"value": n * n}


def note(log, line):
    with open(log, "a") as handle:
        handle.write(line + "\n")


def notes(log):
    """The log's lines as (what, n, process)."""
    lines = Path(log).read_text().splitlines() if Path(log).exists() else []
    return [(what, int(n), int(process)) for what, n, process in map(str.split, lines)]


def jobs(count, log, seconds):
    return [
        Job("tradeoff.toy", {"n": n}, partial(figures, n, str(log), seconds), 0.1, 8) for n in range(count)
    ]


if __name__ == "__main__":
    store, log, count, seconds, parallel, *cluster = sys.argv[1:]
    sweep.run(
        jobs(int(count), log, float(seconds)),
        parallel=int(parallel),
        store=Path(store),
        progress=False,
        cluster=cluster[0] if cluster else None,
    )
