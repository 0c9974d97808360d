"""Decides the state of a job from facts: Ray's driver state, the run's folder, the time since the last sign.

If Ray says that the driver has ended, that is final. If Ray does not answer, the signs of life in the folder
decide; a job without a sign from either for `lost_after_s` seconds has failed. Pure functions.
"""

import re
from dataclasses import dataclass

from services.jobs.ray_jobs import DriverState
from services.jobs.run_folder import FolderNews
from services.jobs.states import JobState
from services.problems import http_message


@dataclass(frozen=True)
class Facts:
    """The facts of a job at one moment.

    `driver`: its state in Ray, None if Ray knows no such driver. `unreachable`: why Ray does not answer.
    `seen_s_ago`: seconds since Ray last answered about the job. `finished`: the folder holds a complete
    dataset. `unread`: why that cannot be known at the moment. `log`: the last lines of a driver that has
    ended, or that has not reported progress yet.
    """

    state: JobState
    cancel_requested: bool
    driver: DriverState | None
    unreachable: str | None
    folder: FolderNews
    seen_s_ago: float
    finished: bool
    log: tuple[str, ...] = ()
    unread: str | None = None


@dataclass(frozen=True)
class Verdict:
    """The state of the job, and why it failed. `submit`: its driver must be started."""

    state: JobState
    error: str | None = None
    submit: bool = False


def judge_job(facts: Facts, lost_after_s: float) -> Verdict:
    """Return the verdict on a queued or running job."""
    if facts.unreachable is not None:
        return _without_ray(facts, lost_after_s)
    if facts.driver is None:
        return _without_driver(facts)
    match facts.driver.status:
        case "PENDING":
            return Verdict(facts.state)
        case "RUNNING":
            return Verdict(JobState.RUNNING)
        case "SUCCEEDED" if facts.finished:
            return Verdict(JobState.SUCCEEDED)
        case "SUCCEEDED" if facts.unread is not None and not facts.cancel_requested:
            return Verdict(JobState.RUNNING)
        case "SUCCEEDED" if facts.unread is None:
            return Verdict(JobState.FAILED, "the driver succeeded but left no finished dataset")
        case "STOPPED" if not facts.cancel_requested:
            return Verdict(JobState.FAILED, "the driver was stopped on the cluster, not by this service")
        case _ if facts.cancel_requested:
            return Verdict(JobState.CANCELLED)
        case _:
            return Verdict(JobState.FAILED, driver_failure(facts.driver, facts.log))


def driver_failure(driver: DriverState, log: tuple[str, ...]) -> str:
    """Return why a driver failed, in one line: its own error, else Ray's message and the end of its log."""
    for line in reversed(log):
        if line.startswith("fo1: "):
            return http_message(line.removeprefix("fo1: "))
    if re.search(r"exit code (-9|137)\b", driver.message):
        return "the driver was killed (signal 9): out of memory, or by hand; resume continues the job"
    lines = [line.strip() for line in driver.message.splitlines() if line.strip()]
    reason = lines[0] if lines else "no reason given"
    last = f"; last line: {log[-1].strip()}" if log else ""
    return f"the driver failed: {reason}{last}"[:500]


def _without_driver(facts: Facts) -> Verdict:
    if facts.cancel_requested:
        return Verdict(JobState.CANCELLED)
    if facts.state is JobState.QUEUED:
        return Verdict(JobState.QUEUED, submit=True)
    return Verdict(
        JobState.FAILED, "Ray no longer knows the driver: the cluster was restarted; resume continues the job"
    )


def _without_ray(facts: Facts, lost_after_s: float) -> Verdict:
    alive = facts.folder.alive_s_ago is not None and facts.folder.alive_s_ago < lost_after_s
    if alive or facts.seen_s_ago < lost_after_s:
        return Verdict(facts.state)
    if facts.cancel_requested:
        return Verdict(JobState.CANCELLED)
    if facts.state is JobState.QUEUED:
        return Verdict(JobState.QUEUED)
    return Verdict(
        JobState.FAILED,
        f"{facts.unreachable}, and the driver gives no sign of life; resume continues the job",
    )
