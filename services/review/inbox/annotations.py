"""Stores one annotation of Label Studio: its row and the corrections that follow from it.

An annotation that cannot be parsed is stored as `unreadable`, one that is not believed as `set_aside`: with
the reason, without corrections. Somebody who has looked at the latter may take it in.
"""

import asyncio
import json
import logging
import zlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from schemas.corrections import Correction, Lane, annotation_key, correction_line
from schemas.reviews import AnnotationState, AsideReason
from services.database.models import utc_now
from services.database.review_tables import Review, ReviewedAnnotation, ReviewItem
from services.label_studio.annotated import ParsedAnnotation, parse_result
from services.label_studio.labelling_config import BOX, MASK, VERDICT
from services.label_studio.shown import ShownImage, unpack
from services.review import correction_repository
from services.review.inbox.belief import Origin, believed_corrections, doubt_about, effects_of
from services.review.inbox.submission import Submission

# What a column of the database holds.
_MOST_USER_ID = 2**31 - 1
_MOST_SECONDS = 1e18
_log = logging.getLogger("fo1.service")


async def write_annotation(
    session: AsyncSession,
    review: Review,
    item: ReviewItem,
    document: Mapping[str, Any],
    annotator: str,
    row: ReviewedAnnotation | None,
    origin: Origin,
) -> None:
    """Write Label Studio's `document` into `row` (None: a new row) and replace its corrections."""
    number = int(document["id"])
    submission = Submission(
        annotation_key=annotation_key(review.key, item.part, number),
        annotator=annotator,
        at=updated_at_of(document),
        seconds=_seconds(document),
        lane=Lane(item.lane),
        ground_truth=bool(document.get("ground_truth")),
    )
    cancelled = bool(document.get("was_cancelled"))
    result = document.get("result") if isinstance(document.get("result"), list) else []
    if row is not None and row.changed_fields:
        # What an annotation lost with a field stays lost in it when the field is back.
        origin = origin.suspecting(set(row.changed_fields) - {VERDICT})
    outcome = await asyncio.to_thread(
        judge_annotation, item.shown, result or [], submission, origin, cancelled=cancelled
    )
    if outcome.error is not None:
        _log.warning("review %s: annotation %s is set aside: %s", review.id, number, outcome.error)
    values = {
        "review_id": review.id,
        "item_id": item.id,
        "ls_annotation_id": number,
        "ls_task_id": int(document.get("task") or item.ls_task_id or 0) or None,
        "ls_user_id": user_id_of(document),
        "ls_updated_at": submission.at,
        "state": outcome.state,
        "annotator": annotator,
        "seconds": submission.seconds,
        "ground_truth": submission.ground_truth,
        "comment": outcome.comment,
        "error": outcome.error,
        "reason": outcome.reason,
        "changed_fields": outcome.changed_fields or None,
        "effects": outcome.effects or None,
        "ignored": outcome.ignored or None,
        "taken_in_by": None,
        "taken_in_at": None,
        "chosen": False,
        "result": zlib.compress(json.dumps(result).encode(), 6),
        "seen_at": utc_now(),
    }
    if row is None:
        row = ReviewedAnnotation(**values)
        session.add(row)
    else:
        for name, value in values.items():
            setattr(row, name, value)
    await session.flush()
    await correction_repository.replace_corrections(session, review.id, row.id, outcome.lines())


async def take_in(
    session: AsyncSession, review: Review, item: ReviewItem, row: ReviewedAnnotation, by: str
) -> None:
    """Believe an annotation that was set aside, because `by` has looked at it."""
    submission = Submission(
        annotation_key=annotation_key(review.key, item.part, row.ls_annotation_id),
        annotator=row.annotator,
        at=row.ls_updated_at,
        seconds=row.seconds,
        lane=Lane(item.lane),
        ground_truth=row.ground_truth,
    )
    result = json.loads(zlib.decompress(row.result))
    outcome = await asyncio.to_thread(
        looked_at_annotation, item.shown, result, submission, row.changed_fields or ()
    )
    row.state, row.taken_in_by, row.taken_in_at = outcome.state, by, utc_now()
    await session.flush()
    await correction_repository.replace_corrections(session, review.id, row.id, outcome.lines())


def user_id_of(document: Mapping[str, Any]) -> int | None:
    """Return who submitted an annotation; None if its account is gone, or the value is no id."""
    user_id = document.get("completed_by")
    return user_id if type(user_id) is int and 0 <= user_id <= _MOST_USER_ID else None


def updated_at_of(document: Mapping[str, Any]) -> str:
    """Return when an annotation was last changed, by Label Studio's clock, in ISO 8601."""
    return str(document.get("updated_at") or "")


@dataclass(frozen=True)
class AnnotationOutcome:
    """What is stored of an annotation. `error`: why it is set aside, in words; `corrections`: if it is not.

    `effects`: number of corrections, by action or verdict, that it has or would have once it is taken in.
    """

    state: AnnotationState
    comment: str | None = None
    corrections: Sequence[Correction] = ()
    effects: dict[str, int] = field(default_factory=dict)
    reason: AsideReason | None = None
    error: str | None = None
    changed_fields: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    def lines(self) -> list[tuple[str, str]]:
        """Return action and JSON of each correction."""
        return [(part.action.value, correction_line(part)) for part in self.corrections]


def judge_annotation(
    packed: bytes,
    result: Sequence[Any],
    submission: Submission,
    origin: Origin,
    *,
    cancelled: bool = False,
) -> AnnotationOutcome:
    """Return what is stored of an annotation of what was shown (`packed`)."""
    # Any program may write annotations, in any form: every failure here is the annotation's own.
    try:
        shown = unpack(packed)
        annotated = parse_result(result, shown)
        comment = _storable(annotated.comment) or None
        if cancelled:
            return AnnotationOutcome(AnnotationState.CANCELLED, comment)
        return _judge(shown, annotated, submission, origin, comment)
    except Exception as error:
        words = " ".join((str(error) or type(error).__name__).split())
        return AnnotationOutcome(
            AnnotationState.UNREADABLE,
            reason=AsideReason.UNREADABLE,
            error=_storable(f"it cannot be understood: {words}")[:1000],
        )


def _judge(
    shown: ShownImage,
    annotated: ParsedAnnotation,
    submission: Submission,
    origin: Origin,
    comment: str | None,
) -> AnnotationOutcome:
    marks = {region.mark for region in shown.regions}
    in_result = annotated.fields if annotated.ids & marks else annotated.fields - {BOX, MASK}
    changed = sorted(origin.fields.changed_of(shown, in_result))
    corrections = believed_corrections(shown, annotated, submission, changed)
    outcome = AnnotationOutcome(
        AnnotationState.SUBMITTED,
        comment,
        corrections,
        effects_of(corrections),
        ignored=[_storable(name)[:100] for name in sorted(set(annotated.ignored))],
    )
    outcome.lines()  # raises for texts that cannot be stored
    doubt = doubt_about(shown, annotated, corrections, submission, origin, changed)
    if doubt is None:
        return outcome
    return replace(
        outcome,
        state=AnnotationState.SET_ASIDE,
        corrections=(),
        reason=doubt.reason,
        error=_storable(doubt.words)[:1000],
        changed_fields=changed,
    )


def looked_at_annotation(
    packed: bytes, result: Sequence[Any], submission: Submission, changed_fields: Collection[str]
) -> AnnotationOutcome:
    """Return what is stored of an annotation that was set aside and then looked at."""
    shown = unpack(packed)
    annotated = parse_result(result, shown)
    corrections = believed_corrections(shown, annotated, submission, changed_fields)
    return AnnotationOutcome(AnnotationState.SUBMITTED, corrections=corrections)


def _storable(text: str | None) -> str:
    """Return the text without what databases refuse: null characters, halves of surrogate pairs."""
    return (text or "").replace("\0", "").encode("utf-8", "replace").decode()


def _seconds(document: Mapping[str, Any]) -> float | None:
    value = document.get("lead_time")
    if isinstance(value, int | float) and 0 <= value <= _MOST_SECONDS:
        return float(value)
    return None
