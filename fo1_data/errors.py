"""The exceptions of fo1-data, as a tree.

    Fo1Error
    ├── UsageError            exit code 2: what was asked for cannot be done as asked
    │   ├── ConfigError           a setting is unknown, missing or out of range
    │   ├── CorpusError           the corpus cannot be listed
    │   ├── CheckpointError       a model or detector does not load
    │   ├── DatasetError          a folder is no dataset, or not of a version that can be read
    │   ├── FingerprintError      a run would be resumed under other settings, weights or inputs
    │   └── CalibrationError      a calibration cannot be made of the gold, or is of another model
    └── RunError              exit code 1: the run was sound and failed
        ├── LeaseError            another driver works on the same folder
        ├── StorageError          the store is full or lost
        └── ClusterError          the cluster cannot place or keep the actors

A bad *image* is no exception: it is a value (`InputReject`, raised and caught within one image's
walk) that ends as a row of the rejects. Every exception here survives pickling.
"""


class Fo1Error(Exception):
    """Base of all; its message is one line for a person and says what to do."""

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
    """One input cannot be used. `stage` is a `schemas.images.RejectStage` value, `reason` a slug."""

    def __init__(self, stage: str, reason: str, message: str, replayable: bool = False) -> None:
        super().__init__(stage, reason, message, replayable)
        self.stage = stage
        self.reason = reason
        self.message = message
        self.replayable = replayable

    def __str__(self) -> str:
        return f"{self.stage}: {self.reason}: {self.message}"
