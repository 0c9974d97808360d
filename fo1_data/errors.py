"""The exceptions of fo1-data, as a tree.

    Fo1Error
    ├── UsageError            exit code 2: the request itself is wrong
    │   ├── ConfigError           a setting is unknown, missing or out of range
    │   ├── CorpusError           the corpus cannot be listed
    │   ├── CheckpointError       a model or detector does not load
    │   ├── DatasetError          a folder is not a dataset, or its version cannot be read
    │   ├── FingerprintError      a run would resume with other settings, weights or inputs
    │   └── CalibrationError      a calibration cannot be fitted, or belongs to another model
    └── RunError              exit code 1: the request is right, but the run failed
        ├── LeaseError            another driver works on the same folder
        ├── StorageError          the store is full or cannot be reached
        └── ClusterError          the cluster cannot place or keep the actors

An error of any class whose cause is a store that failed by itself ends a command with exit code 1
(`fo1_data.storage.store_faults`): the same request may do later.

A bad image does not end a run. `InputReject` is raised and caught while that image is labelled, and becomes
a row of the rejects. Every exception here survives pickling.
"""

import errno

from schemas.images import RejectStage

FULL = (errno.ENOSPC, errno.EDQUOT)


class Fo1Error(Exception):
    """Base of all errors that a user can cause. The message is one line and says what to do."""

    exit_code = 1


class UsageError(Fo1Error):
    exit_code = 2


class ConfigError(UsageError):
    pass


class CorpusError(UsageError):
    pass


class CheckpointError(UsageError):
    pass


class DatasetError(UsageError):
    pass


class FingerprintError(UsageError):
    pass


class CalibrationError(UsageError):
    pass


class RunError(Fo1Error):
    pass


class LeaseError(RunError):
    pass


class StorageError(RunError):
    pass


class ClusterError(RunError):
    pass


class InputReject(Exception):
    """One input cannot be used.

    `reason`: a fixed identifier, such as `not_an_image`.
    `replayable`: trying again later may succeed.
    """

    def __init__(self, stage: RejectStage, reason: str, message: str, replayable: bool = False) -> None:
        super().__init__(stage, reason, message, replayable)
        self.stage = stage
        self.reason = reason
        self.message = message
        self.replayable = replayable

    def __str__(self) -> str:
        return f"{self.stage}: {self.reason}: {self.message}"


def refuse_full_disk(error: Exception) -> None:
    """Raise StorageError if `error` came of a full disk, which is no fault of what was asked for."""
    if isinstance(error, StorageError) and _is_full(error.__cause__):
        raise error
    if _is_full(error):
        assert isinstance(error, OSError)
        raise StorageError(system_fault(error)) from error


def _is_full(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in FULL


def lacks_memory(error: Exception) -> bool:
    """Whether memory ran out, by the errors of Python, Arrow, torch or CUDA: why a command ended.

    It does not say whether less of the same would fit.
    """
    texts = ("can't allocate memory", "out of memory")
    return isinstance(error, MemoryError) or any(text in str(error) for text in texts)


def one_line(error: BaseException) -> str:
    """The message of an error on one line, or its type if it has no message.

    Of what the operating system refused, its words alone: who tells it names the place.
    """
    text = error.strerror if isinstance(error, OSError) and isinstance(error.strerror, str) else str(error)
    return " ".join(text.split())[:300] or type(error).__name__


def first_line(error: BaseException) -> str:
    """The first line of an error's message that is not blank, or its type if it has none.

    Of errors of other packages, whose further lines are advice to programmers.
    """
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def system_fault(error: OSError) -> str:
    """What the operating system refused, in one line for a person."""
    where = f" at {error.filename}" if error.filename is not None else ""
    if _is_full(error):
        return f"no space left{where}: free some, then run the same command again"
    text = f"{error.strerror}{where}" if error.strerror else str(error) or type(error).__name__
    return " ".join(text.split())[:300]
