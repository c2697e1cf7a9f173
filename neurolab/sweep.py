"""Many rows, each the work of minutes: made once, in parallel, and kept as soon as they are there.

A sweep NAME is every module ``neurolab/sweeps/NAME_*.py``; each has ``jobs() -> list[Job]``. A row that is
kept already, for the same setting and the same assistant, is not made again, so an interrupted sweep goes on
where it stopped.
"""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
from collections.abc import Callable, Collection, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from neurolab import measurements
from neurolab.measurements import Measurement


@dataclass(frozen=True)
class Job:
    """One row to make.

    name, setting: the row's.  make() -> its figures; a function of a module, or a partial of one, so that
    another process can be given it; deterministic, on one thread.  minutes: about how long it takes.
    """

    name: str
    setting: dict[str, Any]
    make: Callable[[], dict[str, Any]]
    minutes: float = 1.0
    chapter: int = 4
    kind: str = "measured"


def sweeps() -> list[str]:
    """The names of the sweeps that this checkout has."""
    import neurolab.sweeps

    found = (item.name.split("_")[0] for item in pkgutil.iter_modules(neurolab.sweeps.__path__))
    return sorted(set(found))


def jobs(sweep: str, only: Collection[str] = ()) -> list[Job]:
    """The jobs of a sweep, the longest first. ValueError for a sweep, or a row's name, that there is not."""
    import neurolab.sweeps

    if sweep not in sweeps():
        raise ValueError(f"there is no sweep {sweep!r}; the sweeps are {', '.join(sweeps())}")
    names = [item.name for item in pkgutil.iter_modules(neurolab.sweeps.__path__)]
    found: list[Job] = []
    for name in names:
        if name.split("_")[0] == sweep:
            found += importlib.import_module(f"neurolab.sweeps.{name}").jobs()
    if unknown := sorted(set(only) - {job.name for job in found}):
        known = ", ".join(sorted({job.name for job in found}))
        raise ValueError(f"only {unknown[0]!r}: the rows of {sweep} are {known}")
    wanted = [job for job in found if not only or job.name in only]
    return sorted(wanted, key=lambda job: -job.minutes)


def weights_hash() -> str:
    """What the rows are rows of: the first digits of the SHA-256 of the assistant's weights."""
    import json

    from neurolab import assistant

    card = json.loads((assistant.FOLDER / assistant.CARD).read_text(encoding="utf-8"))
    return str(card["sha256"][assistant.WEIGHTS])[:12]


def missing(wanted: Sequence[Job], store: Path) -> list[Job]:
    """The jobs whose row is not in `store`, or is one of other weights."""
    of = weights_hash()
    there = [row for row in measurements.read(store=store) if row.figures.get("of") == of]
    return [job for job in wanted if not any(r.name == job.name and r.setting == job.setting for r in there)]


def run(
    wanted: Sequence[Job],
    *,
    parallel: int = 2,
    store: Path | None = None,
    again: bool = False,
    command: str = "neurolab sweep compression",
    progress: bool = True,
    cluster: str | None = None,
) -> list[Measurement]:
    """Make the rows that are missing (again: all of them), `parallel` at a time, and keep each at once.

    store: where rows are looked for and kept (None: the reader's own).  cluster: a Dask scheduler's address,
    or "local" (`sweep_cluster`); None: processes of this machine. A job that fails is named at the end by a
    RuntimeError; the others are made all the same. ValueError for parallel below 1, or a cluster that is not
    there.
    """
    from tqdm.auto import tqdm

    if parallel < 1:
        raise ValueError(f"parallel {parallel}: must be at least 1")
    store, of = store or measurements.own(), weights_hash()
    todo = list(wanted) if again else missing(wanted, store)
    made, failed = [], []
    bar = tqdm(
        total=sum(job.minutes for job in todo), disable=not progress, unit="min", desc=f"{len(todo)} rows"
    )
    with contextlib.closing(_results(todo, parallel, cluster, of)) as results:
        for job, figures, error, place in results:
            bar.update(job.minutes)
            if error is not None:
                failed.append(f"{job.name} {job.setting}: {error}")
                continue
            row = measurements.row(
                job.name, job.chapter, job.setting, {**figures, "of": of}, kind=job.kind, command=command
            )
            row = replace(row, provenance=row.provenance | place)
            measurements.append(row, store)
            made.append(row)
    bar.close()
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(todo)} rows failed; the first: {failed[0]}")
    return made


def _results(
    todo: Sequence[Job], parallel: int, cluster: str | None, of: str
) -> Generator[tuple[Job, dict[str, Any], str | None, dict[str, Any]]]:
    """Each job's result as it comes, and what the provenance says otherwise than this machine's."""
    if cluster is not None:
        from neurolab import sweep_cluster

        yield from sweep_cluster.results(todo, _work, cluster, parallel, of)
        return
    import joblib

    with joblib.parallel_config(
        backend="loky", n_jobs=min(parallel, max(len(todo), 1)), inner_max_num_threads=1
    ):
        for found in joblib.Parallel(return_as="generator_unordered", batch_size=1)(
            joblib.delayed(_work)(job) for job in todo
        ):
            yield *found, {}


def _work(job: Job) -> tuple[Job, dict[str, Any], str | None]:
    """The figures of a job, or what went wrong, in a process of its own."""
    import time

    import torch

    torch.set_num_threads(1)
    began = time.perf_counter()
    try:
        figures = dict(job.make())
    except Exception as error:  # one row's failure must not cost the others
        return replace(job, make=dict), {}, f"{type(error).__name__}: {error}"
    return replace(job, make=dict), {**figures, "seconds": round(time.perf_counter() - began, 1)}, None
