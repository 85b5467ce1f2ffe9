"""Spreading independent runs over processes or a cluster, through joblib.

Whatever is many independent runs (recordings on the twin, batches of samples, sensitivity tables)
asks joblib how many jobs may run at once. In `spread_over`, or in a `joblib.parallel_config` of
one's own (Ray, say), there are several; elsewhere everything runs in this process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from joblib import Parallel, delayed, effective_n_jobs, parallel_config

from speck_adacal.errors import SettingsError

T = TypeVar("T")
R = TypeVar("R")

_PIECES_A_JOB = 4  # so that a slow piece, or one that a lost worker had, holds up little
_DASK_SECONDS = 10


def is_spread() -> bool:
    """Whether more than one job may run at once."""
    return int(effective_n_jobs(None)) > 1


def in_pieces(
    run: Callable[[Sequence[T]], Sequence[R]], items: Sequence[T], *, threads: bool = False
) -> Iterator[R]:
    """Results of all items in order, a piece of the items for each job.

    Args:
        run: gives a result for each of the items that it gets; it travels to other processes.
        items: inputs.
        threads: whether threads will do where jobs run on this machine.
    """
    size = max(1, -(-len(items) // (_PIECES_A_JOB * int(effective_n_jobs(None)))))
    pieces = [items[start : start + size] for start in range(0, len(items), size)]
    spread = Parallel(prefer="threads" if threads else None, return_as="generator")
    for found in spread(delayed(run)(piece) for piece in pieces):
        yield from found


@contextmanager
def spread_over(jobs: int = 1, dask: str | None = None) -> Iterator[None]:
    """Spread independent runs over this machine, or a Dask cluster; the results are the same.

    A worker that dies costs the pieces that it had: the others run them again.

    Args:
        jobs: how many run at once on this machine; 1 leaves everything in this process.
        dask: address of a scheduler, such as `"tcp://10.0.0.5:8786"`; its workers need this
            package.

    Raises:
        SettingsError: fewer than one job, both of the two, no `dask.distributed`, or no scheduler
            at the address.
    """
    if jobs < 1:
        raise SettingsError(f"jobs must be at least 1, found {jobs}; leave it out for one.")
    if dask is not None and jobs != 1:
        raise SettingsError(
            f"jobs={jobs} and dask={dask!r} were both given, and a cluster has as many jobs as it "
            "has workers; leave one of the two out."
        )
    with ExitStack() as stack:
        if dask is not None:
            stack.enter_context(_client(dask))
            stack.enter_context(parallel_config(backend="dask"))
        elif jobs > 1:
            stack.enter_context(parallel_config(n_jobs=jobs))
        yield


def _client(address: str) -> Any:
    try:
        from dask.distributed import Client
    except ImportError:
        raise SettingsError(
            f"dask={address!r} needs the package dask.distributed, which is not installed; "
            'install it by pip install "speck-adacal[cluster]".'
        ) from None
    try:
        return Client(address, timeout=_DASK_SECONDS)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TypeError) as error:
        raise SettingsError(
            f"No Dask scheduler answers at {address!r} within {_DASK_SECONDS} s ({error}); start "
            "one by `dask scheduler`, and give the address that it prints."
        ) from None
