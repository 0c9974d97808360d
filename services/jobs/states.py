"""The states of a job, and which state may follow which."""

from enum import StrEnum


class JobState(StrEnum):
    """`QUEUED`: accepted, or waiting for Ray. `RUNNING`: its driver is at work. The others are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_end(self) -> bool:
        """Whether the state is final: nothing happens unless the job is resumed."""
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}),
    JobState.RUNNING: frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}),
    JobState.SUCCEEDED: frozenset(),
    # Resuming queues the job again; shards that are done are skipped.
    JobState.FAILED: frozenset({JobState.QUEUED}),
    JobState.CANCELLED: frozenset({JobState.QUEUED}),
}
ACTIVE = tuple(state for state in JobState if not state.is_end)


def may_become(old: JobState, new: JobState) -> bool:
    """Return whether a job in state `old` may change to `new`."""
    return new in TRANSITIONS[old]
