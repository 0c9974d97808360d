"""Reject rows made from a corpus entry: one that cannot be used, or one that the run gave up."""

from fo1_data.errors import InputReject
from schemas.corpus import CorpusImage
from schemas.images import Reject, RejectStage


def reject_from(entry: CorpusImage, error: InputReject) -> Reject:
    """The reject row of an input that cannot be used."""
    return Reject(
        uri=entry.name,
        stage=error.stage,
        reason=error.reason,
        message=error.message,
        replayable=error.replayable,
        source=entry.model_dump_json(exclude_defaults=True),
    )


def reject_of(entry: CorpusImage, stage: RejectStage, reason: str, message: str) -> Reject:
    """The replayable reject row of an entry that failed for a reason outside of its file."""
    message = " ".join(message.split())[:500]
    return reject_from(entry, InputReject(stage, reason, message, replayable=True))
