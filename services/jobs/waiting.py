"""Says in words why an active job does not label yet. Pure functions."""

import re

from services.jobs.states import JobState
from services.jobs.verdict import Facts

# Lines that Ray writes into a driver's log, and what it says of a driver that has not begun.
_OF_RAY = re.compile(r"^(\d{4}-\d\d-\d\d |Running entrypoint|\(\w+ pid=|\{)")
_PREPARING = "Ray prepares the driver"


def reason_to_wait(facts: Facts) -> str | None:
    """Return why a job waits, in one line; None if it labels. `facts.log`: of a driver without progress."""
    if facts.unreachable is not None:
        return facts.unreachable if facts.state is JobState.QUEUED else None
    if facts.unread is not None:
        return f"the driver has succeeded, but its folder cannot be read: {facts.unread}"[:500]
    if facts.driver is None or facts.driver.status == "PENDING":
        message = " ".join((facts.driver.message if facts.driver else "").split())
        return f"{_PREPARING}: {message}"[:500] if message else _PREPARING
    if facts.folder.progress is not None:
        return None
    own = [line.strip() for line in facts.log if not _OF_RAY.match(line)]
    return own[-1][:500] if own else "the driver starts"
