"""Warnings of Pillow and pydicom while they decode, collected per image instead of printed or raised.

rasterio's one warning, that a raster has no coordinates, is no news: many have none, and rows say so.

Python's warning filters are shared by the whole process. So this changes them only while an image is being
decoded and only for these warnings, and restores them when the last decoding thread leaves.
Other warnings are shown as before.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.Lock()
_current = threading.local()
_num_decoding = 0
_original_show: Any = None
_filters: list[Any] = []
_NO_COORDINATES = "Dataset has no geotransform"


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """Collect the messages of the decoders' warnings in this thread while the block runs."""
    messages: list[str] = []
    outer = getattr(_current, "messages", None)
    _enter()
    _current.messages = messages
    try:
        yield messages
    finally:
        _current.messages = outer
        _leave()


def _show(message: Warning | str, category: type[Warning], *args: Any, **kwargs: Any) -> None:
    messages: list[str] | None = getattr(_current, "messages", None)
    if messages is not None:
        messages.append(" ".join(str(message).split())[:300])
    elif _original_show is not None:
        _original_show(message, category, *args, **kwargs)


def _enter() -> None:
    global _num_decoding, _original_show, _filters
    with _lock:
        _num_decoding += 1
        if _num_decoding == 1:
            _original_show = warnings.showwarning
            warnings.showwarning = _show
            warnings.filterwarnings("always", module=r"(PIL|pydicom)\.")
            warnings.filterwarnings("ignore", message=_NO_COORDINATES)
            _filters = list(warnings.filters[:2])


def _leave() -> None:
    global _num_decoding
    with _lock:
        _num_decoding -= 1
        if _num_decoding == 0:
            if warnings.showwarning is _show:
                warnings.showwarning = _original_show
            for added in _filters:
                if added in warnings.filters:
                    warnings.filters.remove(added)  # type: ignore[attr-defined]
