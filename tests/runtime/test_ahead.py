"""Work that is done ahead: the order, the bound, and what happens to errors."""

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewshot_audio.runtime import ahead, cores
from fewshot_audio.runtime.ahead import map_ahead


@pytest.fixture(autouse=True)
def _several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "usable_cores", lambda: 3)


@given(st.lists(st.integers()), st.integers(1, 9))
@settings(deadline=None, max_examples=50)
def test_results_come_in_the_order_of_the_items(items: list[int], most: int) -> None:
    assert list(map_ahead(lambda item: item + 1, items, most)) == [item + 1 for item in items]


def test_no_more_items_are_taken_than_allowed() -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(20):
            taken.append(number)
            yield number

    results = map_ahead(str, items(), 4)
    assert next(results) == "0"
    assert len(taken) == 4
    assert [*results] == [str(number) for number in range(1, 20)]


def test_items_are_worked_on_at_the_same_time() -> None:
    meeting = threading.Barrier(3)  # which one thread alone would wait at until the test's time is over

    def meet(_: int) -> int:
        return meeting.wait(timeout=60)

    assert sorted(map_ahead(meet, range(3), 3)) == [0, 1, 2]


@pytest.mark.parametrize("most", [1, 2, 8])
def test_errors_are_raised_after_the_results_before_them(most: int) -> None:
    def items() -> Iterator[int]:
        yield from (1, 2, 3)
        raise OSError("the end is damaged")

    results = map_ahead(str, items(), most)
    assert [next(results) for _ in range(3)] == ["1", "2", "3"]
    with pytest.raises(OSError, match="the end is damaged"):
        next(results)
    quotients = map_ahead(lambda item: 6 // item, [1, 2, 0, 3], most)
    assert [next(quotients) for _ in range(2)] == [6, 3]
    with pytest.raises(ZeroDivisionError):
        next(quotients)


@pytest.mark.parametrize(("value", "expected"), [("1", 1), ("9999", None), ("0", None), ("4,2", None), ("", None)])
def test_omp_num_threads_limits_the_cores(value: str, expected: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    every = cores.usable_cores()
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert cores.usable_cores() == (expected or every)
