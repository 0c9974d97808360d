"""Stores one annotation of Label Studio: its row and the corrections that follow from it.

An annotation that cannot be parsed is stored as `unreadable` with the reason, without corrections.
"""

import asyncio
import json
import logging
import math
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from schemas.corrections import Lane, correction_line
from schemas.reviews import AnnotationState
from services.database.models import now
from services.database.review_tables import Review, ReviewedAnnotation, ReviewItem
from services.label_studio.annotated import ParsedAnnotation, parse_result
from services.label_studio.shown import ShownImage, in_fields, unpack
from services.review import correction_repository
from services.review.inbox.differences import Submission, corrections_of

_log = logging.getLogger("fo1.service")


async def write_annotation(
    session: AsyncSession,
    review: Review,
    item: ReviewItem,
    document: dict[str, Any],
    annotator: str,
    row: ReviewedAnnotation | None,
    controls: Collection[str],
) -> None:
    """Write Label Studio's `document` into `row` (None: a new row) and replace its corrections.

    `controls`: the names of the controls that the project has now.
    """
    submission = Submission(
        annotation_key=f"{review.key}/{document['id']}",
        annotator=annotator,
        at=updated_at_of(document),
        seconds=_seconds(document),
        lane=Lane(item.lane),
        ground_truth=bool(document.get("ground_truth")),
    )
    cancelled = bool(document.get("was_cancelled"))
    result = document.get("result") if isinstance(document.get("result"), list) else []
    from_prediction = document.get("parent_prediction") is not None
    parsed = await asyncio.to_thread(
        parse_annotation,
        item.shown,
        result or [],
        submission,
        cancelled=cancelled,
        from_prediction=from_prediction,
        controls=controls,
    )
    if parsed.error is not None:
        _log.warning("review %s: annotation %s is set aside: %s", review.id, document["id"], parsed.error)
        state = AnnotationState.UNREADABLE
    else:
        state = AnnotationState.CANCELLED if cancelled else AnnotationState.SUBMITTED
    values = {
        "review_id": review.id,
        "item_id": item.id,
        "ls_annotation_id": int(document["id"]),
        "ls_updated_at": submission.at,
        "state": state,
        "annotator": annotator,
        "seconds": submission.seconds,
        "ground_truth": submission.ground_truth,
        "comment": parsed.comment,
        "error": parsed.error,
        "chosen": False,
        "result": zlib.compress(json.dumps(result).encode(), 6),
        "seen_at": now(),
    }
    if row is None:
        row = ReviewedAnnotation(**values)
        session.add(row)
    else:
        for name, value in values.items():
            setattr(row, name, value)
    await session.flush()
    await correction_repository.replace_corrections(session, review.id, row.id, parsed.corrections)


def updated_at_of(document: dict[str, Any]) -> str:
    """Return when an annotation was last changed, by Label Studio's clock, in ISO 8601."""
    return str(document.get("updated_at") or "")


@dataclass(frozen=True)
class AnnotationOutcome:
    """The comment and corrections (action, JSON) of an annotation, or why it cannot be parsed."""

    comment: str | None = None
    corrections: Sequence[tuple[str, str]] = ()
    error: str | None = None


def parse_annotation(
    packed: bytes,
    result: Sequence[Any],
    submission: Submission,
    *,
    cancelled: bool = False,
    from_prediction: bool = False,
    controls: Collection[str],
) -> AnnotationOutcome:
    """Parse the `result` of an annotation of what was shown (`packed`).

    `from_prediction`: the annotation was begun with the prediction. `controls`: names of the project's
    controls.
    """
    # Any program may write annotations, in any form: every failure here is the annotation's own.
    try:
        shown = unpack(packed)
        annotated = parse_result(result, shown)
        comment = _storable(_comment(annotated)) or None
        if cancelled:
            return AnnotationOutcome(comment)
        if not from_prediction and _is_from_scratch(shown, annotated):
            raise ValueError(
                "it was begun empty, so it says nothing about the boxes that were shown; "
                "open the task again, begin with the prediction and submit"
            )
        corrections = corrections_of(in_fields(shown, controls), annotated, submission)
        return AnnotationOutcome(
            comment, [(correction.action.value, correction_line(correction)) for correction in corrections]
        )
    except Exception as error:
        reason = str(error) or type(error).__name__
        return AnnotationOutcome(
            error=_storable(f"it cannot be understood: {' '.join(reason.split())}")[:1000]
        )


def _is_from_scratch(shown: ShownImage, annotated: ParsedAnnotation) -> bool:
    """Return whether an annotation has none of the boxes that were shown, nor any text of the whole image."""
    is_kept = any(region.mark in annotated.regions for region in shown.regions)
    return bool(shown.regions) and not (is_kept or annotated.caption or annotated.counts)


def _comment(annotated: ParsedAnnotation) -> str:
    """Return the person's comment, with what of the annotation was not read."""
    not_read = f"[not read: {', '.join(annotated.not_read)}]" if annotated.not_read else ""
    return " ".join(part for part in (annotated.comment, not_read) if part)


def _storable(text: str | None) -> str:
    """Return the text without what databases refuse: null characters, halves of surrogate pairs."""
    return (text or "").replace("\0", "").encode("utf-8", "replace").decode()


def _seconds(document: dict[str, Any]) -> float | None:
    value = document.get("lead_time")
    if isinstance(value, int | float) and math.isfinite(value) and value >= 0:
        return float(value)
    return None
