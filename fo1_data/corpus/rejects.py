"""Reject rows made from a corpus entry: one that cannot be used, or one that the run gave up."""

import hashlib
import json
import re

from fo1_data.corpus.hidden_addresses import hidden_address
from fo1_data.errors import InputReject
from fo1_data.storage.addresses import base_name
from schemas.corpus import CorpusImage
from schemas.images import Reject, RejectStage

# A file that is DICOM by its contents and was listed as something else.
NAMED_OTHERWISE = "dicom_named_otherwise"


def named(message: str, name: str) -> str:
    """A message about an input with its name: as it is where it has that name, not only in a longer one."""
    word = rf"(?<!\S){re.escape(name)}(?=$|[\s;,)]|[.:](?:\s|$))"
    return message if re.search(word, message) else f"{name}: {message}"


def reject_from(entry: CorpusImage, error: InputReject) -> Reject:
    """The reject row of an input that cannot be used. Its words do not name a hidden file, nor a DICOM file
    that was found under another name."""
    if error.reason == NAMED_OTHERWISE:
        return Reject(
            uri=hidden_address(entry.name),
            stage=error.stage,
            reason=error.reason,
            message=error.message,
            replayable=error.replayable,
        )
    tells = entry.is_hidden and base_name(entry.origin.uri) in error.message
    return Reject(
        uri=entry.name,
        stage=error.stage,
        reason=error.reason,
        message=f"{error.reason}: more words would name the file" if tells else error.message,
        replayable=error.replayable,
        source=entry.model_dump_json(exclude_defaults=True),
    )


_ANNOTATIONS = {"regions", "caption", "caption_phrases", "phrases", "counts", "answers", "examples", "tracks"}


def unused_annotations(entry: CorpusImage, first: CorpusImage | None) -> list[Reject]:
    """A reject for annotations of an image whose bytes were labelled already, at the address of `first`.

    None if the entry says nothing, or the same as `first`. Both entries are in the oriented frame.
    """
    annotations = entry.model_dump(include=_ANNOTATIONS, exclude_defaults=True)
    if (
        first is None
        or not annotations
        or annotations == first.model_dump(include=_ANNOTATIONS, exclude_defaults=True)
    ):
        return []
    message = (
        f"same bytes as {first.name}, whose annotations were used: {', '.join(sorted(annotations))} differ"
    )
    return [reject_from(entry, InputReject(RejectStage.LABEL, "duplicate_annotations", message))]


def annotations_sha256(entry: CorpusImage) -> str | None:
    """SHA-256 (hex) of what the corpus says of an image, None if it says nothing."""
    annotations = entry.model_dump(mode="json", include=_ANNOTATIONS, exclude_defaults=True)
    if not annotations:
        return None
    return hashlib.sha256(json.dumps(annotations, sort_keys=True).encode()).hexdigest()


def reject_of(entry: CorpusImage, stage: RejectStage, reason: str, message: str) -> Reject:
    """The replayable reject row of an entry that failed for a reason outside of its file."""
    message = " ".join(message.split())[:500]
    return reject_from(entry, InputReject(stage, reason, message, replayable=True))
