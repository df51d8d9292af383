"""Work on a stream of items that is done side by side, ahead of who asks for the results."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from fewshot_audio.runtime.cores import usable_cores

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(work: Callable[[Item], Result], items: Iterable[Item], ahead: int) -> Iterator[Result]:
    """Do work on each item in threads, one per core, and yield the results in the order of the items.

    Items are taken in the caller's thread. What ``items`` or ``work`` raises is raised after the results before it.

    Args:
        work: what is done with an item, in several threads at once; they gain by it as far as numpy, onnxruntime or
            waiting take the time.
        items: the items.
        ahead: how many items, at most, have been taken whose results have not been asked for; 1 or more.
    """
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(min(usable_cores(), ahead)) as threads:
        try:
            for future in _submitted(threads, work, items):
                pending.append(future)
                if len(pending) == ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def _submitted(
    threads: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Future[Result]]:
    """The results to be; an error of the items themselves is the last of them."""
    try:
        for item in items:
            yield threads.submit(work, item)
    except Exception as error:  # noqa: BLE001 - raised again, in its turn
        failed: Future[Result] = Future()
        failed.set_exception(error)
        yield failed
