"""What a killed process leaves in the service's cache: files and folders that it had not finished.

Their names begin with a dot until they are whole. Blocking: use a thread.
"""

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

# Another process on the same cache, such as one that this one replaces, may still write what is younger.
ABANDONED_S = 3600.0


def sweep_cache(folder: Path, older_s: float = ABANDONED_S) -> int:
    """Delete what is unfinished and was not written to for `older_s` seconds; return how many there were."""
    last = time.time() - older_s
    swept = 0
    for path in _unfinished(folder):
        with suppress(OSError):
            if path.stat().st_mtime <= last:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                swept += 1
    return swept


def _unfinished(folder: Path) -> Iterator[Path]:
    yield from folder.glob("*/.*")
    yield from folder.glob("*/*/.*")
