"""Distribute chunks of work to processes of this machine, or to the workers of a Dask cluster."""

import os
from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

import joblib

from fewshot_audio.data.cluster import dask_workers

IDLE_SECONDS = 10  # after which an idle worker ends, even if the process that started it was killed

Item = TypeVar("Item", contravariant=True)
Outcome = TypeVar("Outcome", covariant=True)


class ChunkWork(Protocol[Item, Outcome]):
    """The work on a chunk of items; it calls ``check_owner`` between them."""

    def __call__(self, items: Sequence[Item], owner: int | None) -> Outcome:
        """Do it."""


def run_chunks(
    work: ChunkWork[Item, Outcome],
    items: Sequence[Item],
    largest: int,
    workers: int | None,
    cluster: str | None = None,
) -> Iterator[Outcome]:
    """Do work in parallel.

    Args:
        work: what is done with a chunk of items; it can be pickled.
        items: all items.
        largest: items in a chunk, at most.
        workers: number of processes on this machine; by default one per core.
        cluster: address of a Dask scheduler whose workers do the work instead; they must see the same folders.

    Yields:
        The outcome of each chunk, as it is finished.
    """
    if cluster:
        with dask_workers(cluster) as count:
            yield from _run(work, items, largest, count, owner=None)
    else:
        count = workers or joblib.cpu_count()
        with joblib.parallel_config("loky", n_jobs=count, inner_max_num_threads=1):
            yield from _run(work, items, largest, count, os.getpid(), idle_worker_timeout=IDLE_SECONDS)


def _run(
    work: ChunkWork[Item, Outcome], items: Sequence[Item], largest: int, workers: int, owner: int | None, **options: int
) -> Iterator[Outcome]:
    size = max(1, min(largest, len(items) // (4 * workers)))
    chunks = (items[start : start + size] for start in range(0, len(items), size))
    parallel = joblib.Parallel(return_as="generator_unordered", batch_size=1, **options)
    delayed = joblib.delayed(work)
    yield from parallel(delayed(chunk, owner) for chunk in chunks)


def check_owner(owner: int | None) -> None:
    """End this process if its owner was killed: another process may already do this work."""
    if owner is not None and owner not in (os.getpid(), os.getppid()):
        os._exit(1)
