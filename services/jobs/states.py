"""The states of a job and the one table of what may follow what."""

from enum import StrEnum


class JobState(StrEnum):
    """`QUEUED`: accepted, or waiting on Ray. `RUNNING`: its driver is at work. The others are ends."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_end(self) -> bool:
        """Nothing happens any more unless the job is resumed."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}),
    JobState.RUNNING: frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}),
    JobState.SUCCEEDED: frozenset(),
    # Resuming queues the job again; its done shards count.
    JobState.FAILED: frozenset({JobState.QUEUED}),
    JobState.CANCELLED: frozenset({JobState.QUEUED}),
}
IN_WORK = tuple(state for state in JobState if not state.is_end)


def may_become(old: JobState, new: JobState) -> bool:
    """Whether a job in `old` may become `new`."""
    return new in TRANSITIONS[old]
