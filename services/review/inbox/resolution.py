"""Applies the resolution rule to the stored annotations of an image; disputed images are reviewed again.

A further round shows the same image with the same pre-annotations. The annotations of the last round that
anybody answered count; an annotation marked as ground truth counts in any round. Those of annotators whose
corrections are held back do not count: the image is reviewed again by somebody else. A honeypot is not
reviewed again.
"""

import asyncio
import json
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from schemas.corrections import Correction, CorrectionAction, annotation_key, correction_line
from schemas.reviews import AnnotationState, ItemState, ReviewState
from services.database.locks import lock_name
from services.database.models import utc_now
from services.database.review_tables import Review, ReviewedAnnotation, ReviewItem
from services.label_studio.annotated import parse_result
from services.label_studio.shown import ShownImage, num_labels_of, unpack
from services.review import annotation_repository, correction_repository, item_repository, repository
from services.review.honeypots.standing import held_annotators, judge_annotations, parts_of
from services.review.inbox.agreement import Resolution, Vote, resolve
from services.review.outbox.plan import item_key

MAX_ROUNDS = 3


async def settle_alone(session: AsyncSession, review: Review) -> None:
    """Wait until no other transaction stores or settles annotations of a review; call it before either.

    Settling reads and writes all rounds of an image: two at once would wait for each other for ever, or
    each miss what the other stores.
    """
    await lock_name(session, f"annotations of {review.id}")


async def settle_part(session: AsyncSession, review: Review, image_id: str, part: str) -> None:
    """Apply the resolution rule to all annotations of an image, or of a part of a large one."""
    items = await item_repository.items_of_part(session, review.id, image_id, part)
    annotations = await annotation_repository.annotations_of_items(session, [item.id for item in items])
    submitted = [row for row in annotations if row.state == AnnotationState.SUBMITTED]
    if items[0].known is not None:
        await asyncio.to_thread(judge_annotations, items[0], annotations)
    shown = unpack(items[0].shown)
    rounds = {item.id: item.round for item in items}
    held = await held_annotators(session, review) if items[0].known is None else set()
    trusted = [row for row in submitted if row.ground_truth or row.annotator not in held]
    last_round = max((rounds[row.item_id] for row in trusted), default=1)
    newest_round = max((rounds[row.item_id] for row in submitted), default=1)
    counted = [row for row in trusted if row.ground_truth or rounds[row.item_id] == last_round]
    resolution = await asyncio.to_thread(_resolve, counted, shown)
    for row in annotations:
        row.chosen = resolution is not None and row.id == resolution.annotation_id
    for item in items:
        resolved = resolution if item.round == last_round else None
        item.agreement = resolved.agreement if resolved is not None else None
        item.rule = resolved.rule if resolved is not None else None
    await _state_what_counts(session, review, items, annotations, resolution is not None)
    is_disputed = resolution.disputed if resolution is not None else bool(submitted)
    if is_disputed and items[0].known is None and newest_round == len(items) and newest_round < MAX_ROUNDS:
        await _add_round(session, review, items[-1], shown, _reason(resolution))


async def settle_held(session: AsyncSession, review: Review, held_before: set[str]) -> None:
    """Settle the images of annotators who are held since then, or are no longer."""
    await session.flush()
    changed = held_before ^ await held_annotators(session, review)
    for image_id, part in await parts_of(session, review.id, changed) if changed else ():
        await settle_part(session, review, image_id, part)


async def _state_what_counts(
    session: AsyncSession,
    review: Review,
    items: Sequence[ReviewItem],
    annotations: Sequence[ReviewedAnnotation],
    any_counts: bool,
) -> None:
    """Date the statement on an image. If nothing counts any more, but did, say so by a withdrawal."""
    # A later statement replaces an earlier one, whatever a clock that was set back shows.
    as_of = max([_utc(utc_now()), *(_utc(_after(item.settled_at)) for item in items if item.settled_at)])
    has_counted = any_counts or any(item.has_counted for item in items)
    for item in items:
        item.settled_at, item.has_counted = as_of, has_counted
    document: str | None = None
    if has_counted and not any_counts and annotations:
        withdrawal = Correction(
            image_id=items[0].image_id,
            action=CorrectionAction.WITHDRAWN,
            annotation_key=annotation_key(review.key, items[0].part, annotations[-1].ls_annotation_id),
            at=as_of,
        )
        document = correction_line(withdrawal)
    annotation_ids = [row.id for row in annotations]
    await correction_repository.replace_withdrawal(session, review.id, annotation_ids, document)


def _after(settled_at: str) -> datetime:
    return datetime.fromisoformat(settled_at) + timedelta(microseconds=1)


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _resolve(annotations: Sequence[ReviewedAnnotation], shown: ShownImage) -> Resolution | None:
    votes = [
        Vote(
            annotation_id=row.id,
            annotator=row.annotator,
            at=row.ls_updated_at,
            ground_truth=row.ground_truth,
            annotated=parse_result(json.loads(zlib.decompress(row.result)), shown),
        )
        for row in annotations
    ]
    return resolve(votes)


def _reason(resolution: Resolution | None) -> str:
    """Why an image is reviewed again, in words that say nothing of any person."""
    if resolution is None:
        return "a second reader is asked about this image"
    return f"people disagreed about this image (agreement {resolution.agreement or 0.0:.2f}): please decide"


async def _add_round(
    session: AsyncSession, review: Review, item: ReviewItem, shown: ShownImage, reason: str
) -> None:
    shown_again = shown.model_copy(update={"reasons": [reason, *shown.reasons]})
    round_ = item.round + 1
    fields = {
        "review_id": review.id,
        "image_id": item.image_id,
        "part": item.part,
        "round": round_,
        "fo1_key": item_key(review.key, item.image_id, item.part, round_),
        "lane": item.lane,
        "doubt": item.doubt,
        "position": 0,
        "state": ItemState.WAITING,
        "shown": shown_again.packed(),
        "num_labels": num_labels_of(shown),
    }
    # Lock before inserting: a push that is closing either sees the item or is seen here as closed.
    fresh = await repository.lock_review(session, review.id)
    await item_repository.add_items(session, [fields])
    if fresh is not None and fresh.state == ReviewState.OPEN:
        await repository.set_review(session, review.id, state=ReviewState.PUSHING)
