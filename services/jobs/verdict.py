"""What the facts say of a job: Ray's word, the run's folder, how long nothing was heard. Pure.

Ray's word on an end is final. Where Ray does not answer, the folder's signs of life decide; a job of
which neither was heard for `lost_after_s` seconds has failed.
"""

import re
from dataclasses import dataclass

from services.jobs.ray_jobs import DriverState
from services.jobs.run_folder import FolderNews
from services.jobs.states import JobState


@dataclass(frozen=True)
class Facts:
    """What is known of a job at one moment.

    `driver`: Ray's word, None where Ray knows no such driver. `unreachable`: why Ray does not answer.
    `heard_s_ago`: since Ray last answered for the job. `finished`: the folder holds a whole dataset.
    """

    state: JobState
    cancel_requested: bool
    driver: DriverState | None
    unreachable: str | None
    folder: FolderNews
    heard_s_ago: float
    finished: bool
    log: tuple[str, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """The state the job is in, and why where it failed. `submit`: its driver is to be started."""

    state: JobState
    error: str | None = None
    submit: bool = False


def judge(facts: Facts, lost_after_s: float) -> Verdict:
    """The verdict on a job in work."""
    if facts.unreachable is not None:
        return _unheard(facts, lost_after_s)
    if facts.driver is None:
        return _unknown(facts)
    match facts.driver.status:
        case "PENDING":
            return Verdict(facts.state)
        case "RUNNING":
            return Verdict(JobState.RUNNING)
        case "SUCCEEDED" if facts.finished:
            return Verdict(JobState.SUCCEEDED)
        case "SUCCEEDED":
            return Verdict(JobState.FAILED, "the driver ended well and left no finished dataset")
        case "STOPPED" if not facts.cancel_requested:
            return Verdict(JobState.FAILED, "the driver was stopped on the cluster, not from here")
        case _ if facts.cancel_requested:
            return Verdict(JobState.CANCELLED)
        case _:
            return Verdict(JobState.FAILED, reason_of(facts.driver, facts.log))


def reason_of(driver: DriverState, log: tuple[str, ...]) -> str:
    """Why a driver failed, in one line: its own last word, else the end of its log, else Ray's."""
    for line in reversed(log):
        if line.startswith("fo1: "):
            return line.removeprefix("fo1: ")
    if re.search(r"exit code (-9|137)\b", driver.message):
        return "the driver was killed (signal 9): out of memory, or by hand; resume goes on"
    lines = [line.strip() for line in driver.message.splitlines() if line.strip()]
    said = lines[0] if lines else "no reason given"
    last = f"; last line: {log[-1].strip()}" if log else ""
    return f"the driver failed: {said}{last}"[:500]


def _unknown(facts: Facts) -> Verdict:
    if facts.cancel_requested:
        return Verdict(JobState.CANCELLED)
    if facts.state is JobState.QUEUED:
        return Verdict(JobState.QUEUED, submit=True)
    return Verdict(
        JobState.FAILED, "Ray no longer knows the driver: the cluster was restarted; resume goes on"
    )


def _unheard(facts: Facts, lost_after_s: float) -> Verdict:
    alive = facts.folder.alive_s_ago is not None and facts.folder.alive_s_ago < lost_after_s
    if alive or facts.heard_s_ago < lost_after_s:
        return Verdict(facts.state)
    if facts.cancel_requested:
        return Verdict(JobState.CANCELLED)
    if facts.state is JobState.QUEUED:
        return Verdict(JobState.QUEUED)
    return Verdict(
        JobState.FAILED, f"{facts.unreachable}, and the driver gives no sign of life; resume goes on"
    )
