"""Pages of sample lists kept in memory: a finished dataset does not change, so neither do its pages."""

from collections import OrderedDict
from collections.abc import Hashable
from threading import Lock

MAX_BYTES = 64 * 2**20


class PageCache:
    """The pages asked for last, up to `max_bytes` in all. Safe to use from several threads."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._pages: OrderedDict[Hashable, bytes] = OrderedDict()
        self._max_bytes, self._num_bytes = max_bytes, 0
        self._lock = Lock()

    def get(self, key: Hashable) -> bytes | None:
        """Return the page, or None."""
        with self._lock:
            page = self._pages.get(key)
            if page is not None:
                self._pages.move_to_end(key)
            return page

    def put(self, key: Hashable, page: bytes) -> None:
        """Keep a page; those asked for longest ago give way."""
        with self._lock:
            self._num_bytes += len(page) - len(self._pages.pop(key, b""))
            self._pages[key] = page
            while self._num_bytes > self._max_bytes:
                self._num_bytes -= len(self._pages.popitem(last=False)[1])
