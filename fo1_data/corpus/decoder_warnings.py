"""What Pillow warns of while it decodes, collected for each image instead of printed or raised.

Python's warning filters belong to the whole process. So this touches them only while some image is
being decoded, only for warnings raised within Pillow, and puts them back when the last decoding
thread leaves. Does not silence anyone else's warnings.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_here = threading.local()
_decoding = 0
_show_otherwise: Any = None
_filter: Any = None


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """The messages of Pillow's warnings in this thread, filled while the block runs."""
    messages: list[str] = []
    _enter()
    _here.messages = messages
    try:
        yield messages
    finally:
        _here.messages = None
        _leave()


def _show(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
    messages: list[str] | None = getattr(_here, "messages", None)
    if messages is not None:
        messages.append(" ".join(str(message).split())[:300])
    elif _show_otherwise is not None:
        _show_otherwise(message, category, *rest, **named)


def _enter() -> None:
    global _decoding, _show_otherwise, _filter
    with _lock:
        _decoding += 1
        if _decoding == 1:
            _show_otherwise = warnings.showwarning
            warnings.showwarning = _show
            warnings.filterwarnings("always", module=r"PIL\.")
            _filter = warnings.filters[0]


def _leave() -> None:
    global _decoding
    with _lock:
        _decoding -= 1
        if _decoding == 0:
            if warnings.showwarning is _show:
                warnings.showwarning = _show_otherwise
            if _filter in warnings.filters:
                warnings.filters.remove(_filter)  # type: ignore[attr-defined]
