"""Use the workers of a Dask cluster instead of processes on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import joblib

from fewshot_audio.errors import DataError

CONNECT_SECONDS = 20


@contextmanager
def dask_workers(address: str) -> Iterator[int]:
    """Let joblib use the workers of the Dask scheduler at ``address`` within the block.

    Yields:
        The number of their threads.

    Raises:
        DataError: Dask is not installed, nothing answers at the address, there is no worker, or workers keep dying.
    """
    try:
        import distributed
    except ImportError as error:
        raise DataError("a cluster needs Dask: pip install 'fewshot-audio[cluster]'") from error
    connect: Any = distributed.Client  # it has no types
    try:
        client = connect(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise DataError(f"no Dask scheduler answers at {address!r}: {error}") from error
    with client:
        threads = sum(client.nthreads().values())
        if not threads:
            raise DataError(f"the Dask scheduler at {address} has no workers")
        try:
            with joblib.parallel_config("dask", n_jobs=threads):
                yield threads
        except distributed.KilledWorker as error:
            raise DataError(f"workers of {address} keep dying (out of memory?): {error}") from error
