"""Who labelled a row, with what, under which licence."""

import os
from datetime import UTC, datetime

from fo1_data.labelling.identity import LabellerIdentity
from fo1_data.proposals.corpus_boxes import proposer_of
from schemas.corpus import CorpusImage
from schemas.images import Provenance


def make_provenance(identity: LabellerIdentity, entry: CorpusImage, *, is_detected: bool) -> Provenance:
    """The provenance of the labels of an entry, as of now. is_detected: its boxes come from a detector."""
    return Provenance(
        job_id=os.environ.get("FO1_JOB_ID"),
        model=identity.model_name,
        model_sha256=identity.model_sha256,
        proposer=proposer_of(identity.proposer_name, entry),
        prompts_version=identity.prompts_version,
        licence=licence_of_row(identity, is_detected=is_detected),
        labelled_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def licence_of_row(identity: LabellerIdentity, *, is_detected: bool) -> str | None:
    """The licence of the model's weights, and where they are others, those of the boxes and the masks."""
    licences = [identity.model_licence]
    if is_detected and identity.proposer_licence not in (None, identity.model_licence):
        licences.append(f"boxes: {identity.proposer_licence}")
    if identity.masks_licence not in (None, identity.model_licence):
        licences.append(f"masks: {identity.masks_licence}")
    return "; ".join(licence for licence in licences if licence) or None
