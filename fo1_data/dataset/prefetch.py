"""A map that works a bounded number of items ahead, in threads, and hands results over in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """`map`, with at most `2 * workers` items in work or waiting to be taken.

    An exception comes out at its item's turn; what was begun after it is given up.
    """
    source = iter(items)
    with ThreadPoolExecutor(workers, thread_name_prefix="fo1-ahead") as pool:
        ahead: deque[Future[Result]] = deque(
            pool.submit(function, item) for item in islice(source, 2 * workers)
        )
        try:
            while ahead:
                result = ahead.popleft().result()
                ahead.extend(pool.submit(function, item) for item in islice(source, 1))
                yield result
        finally:
            for future in ahead:
                future.cancel()
