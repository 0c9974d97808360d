"""Working ahead keeps the order, is bounded, and hands exceptions over at their turn."""

import threading

import pytest

from fo1_data.dataset.prefetch import map_ahead


def test_results_come_in_order_and_not_too_far_ahead() -> None:
    taken: list[int] = []

    def items() -> object:
        for number in range(100):
            taken.append(number)
            yield number

    results = map_ahead(lambda number: number * 2, items(), workers=3)  # type: ignore[arg-type]
    assert next(results) == 0
    assert len(taken) <= 7
    assert list(results) == [2 * number for number in range(1, 100)]


def test_an_exception_comes_at_its_turn_and_threads_end() -> None:
    def half(number: int) -> float:
        return 1 / (3 - number)

    results = map_ahead(half, range(10), workers=2)
    assert [next(results) for _ in range(3)] == [1 / 3, 1 / 2, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fo1-ahead")]
