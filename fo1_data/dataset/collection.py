"""Work that makes many objects at once without Python's garbage collector.

The collector looks at all living objects again and again while their number grows. What is in no cycle, such
as rows and labels, is freed without it.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collection() -> Iterator[None]:
    """Without the garbage collector; afterwards it is as it was."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
