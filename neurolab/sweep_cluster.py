"""A sweep's jobs on a Dask cluster: the same jobs, the same rows, other machines.

`neurolab sweep NAME --cluster local` starts one on this machine, `--cluster tcp://host:8786` uses one that
runs. Every worker needs the same checkout (the assistant's weights are compared) and one thread. A job whose
worker dies goes to another worker; what is done is fetched at once, kept, and given up by the cluster, so
that no later death can make it be done again. Needs the extra [cluster].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from neurolab.provenance import processor, versions
from neurolab.sweep import Job, weights_hash

LOCAL = "local"
MISSING = "--cluster needs the extra [cluster]: .venv/bin/pip install -c constraints.txt -e '.[cluster]'"
WAIT = 30  # seconds until a scheduler that does not answer counts as not there

Work = Callable[[Job], tuple[Job, dict[str, Any], str | None]]
Result = tuple[Job, dict[str, Any], str | None, dict[str, Any]]
"""The job (without its function), its figures, what went wrong, and where it ran (provenance)."""


def there(work: Work, job: Job, of: str) -> Result:
    """On a worker: the job's result, and this machine's part of the provenance."""
    if (mine := weights_hash()) != of:
        return *work_off(job), f"RuntimeError: the worker has other weights ({mine}, not {of})", {}
    return *work(job), {"processor": processor(), "versions": versions()}


def work_off(job: Job) -> tuple[Job, dict[str, Any]]:
    """The job without its function, and no figures."""
    from dataclasses import replace

    return replace(job, make=dict), {}


def results(todo: Sequence[Job], work: Work, address: str, parallel: int, of: str) -> Iterator[Result]:
    """The results of all jobs as they come. address: LOCAL (`parallel` processes here) or a scheduler's.

    A job that no worker survives (Dask gives up after three) is a result with an error. ValueError without
    the extra, or where no scheduler answers at the address.
    """
    try:
        from distributed import Client, LocalCluster, as_completed
    except ImportError as error:
        raise ValueError(MISSING) from error
    with ExitStack() as stack:
        where: Any = address
        if address == LOCAL:
            where = stack.enter_context(
                LocalCluster(
                    n_workers=max(1, min(parallel, len(todo))),
                    threads_per_worker=1,
                    dashboard_address=None,
                    memory_limit=None,
                )
            )
        try:
            client = stack.enter_context(Client(where, timeout=WAIT))
        except (OSError, TimeoutError) as error:
            raise ValueError(f"cluster {address!r}: no scheduler answers there ({error})") from error
        waiting = {
            client.submit(there, work, job, of, pure=False, priority=-i): job for i, job in enumerate(todo)
        }
        for future in as_completed(list(waiting)):
            job = waiting.pop(future)
            try:
                found = future.result()
            except Exception as error:  # the worker died too often, or the job can't travel
                found = *work_off(job), f"{type(error).__name__}: {error}", {}
            future.release()
            yield found
