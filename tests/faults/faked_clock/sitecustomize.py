"""For processes whose clock is faked: a `time.sleep` that waits. In libfaketime 0.9.10 it fails (EINVAL)."""

import select
import time


def _sleep(seconds: float) -> None:
    select.select((), (), (), seconds)


time.sleep = _sleep
