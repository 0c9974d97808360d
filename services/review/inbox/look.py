"""Takes in annotations that were set aside, after somebody has looked at them. Talks to the database only."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from schemas.reviews import AnnotationState, AsideReason
from services.database.review_tables import Review
from services.problems import Problem
from services.review import annotation_repository, item_repository
from services.review.honeypots.standing import held_annotators
from services.review.inbox.annotations import take_in
from services.review.inbox.resolution import settle_alone, settle_held, settle_part

MAX_TAKEN_IN = 500


async def take_in_annotations(
    session: AsyncSession,
    review: Review,
    by: str,
    ls_annotation_ids: Sequence[int] | None,
    reason: AsideReason | None,
) -> int:
    """Take in annotations set aside, by their ids in Label Studio or by reason; return how many.

    At most MAX_TAKEN_IN at once. `by`: who has looked. Raises a Problem of 409 if one of `ls_annotation_ids`
    is not set aside, or cannot be read at all.
    """
    await settle_alone(session, review)
    rows = await annotation_repository.annotations_set_aside(
        session, review.id, ls_annotation_ids, reason, MAX_TAKEN_IN
    )
    missing = set(ls_annotation_ids or ()) - {row.ls_annotation_id for row in rows}
    if missing:
        raise Problem(409, f"annotation {min(missing)} of this review is not set aside")
    readable = [row for row in rows if row.state == AnnotationState.SET_ASIDE]
    if ls_annotation_ids and len(readable) < len(rows):
        unreadable = next(row for row in rows if row.state == AnnotationState.UNREADABLE)
        raise Problem(409, f"annotation {unreadable.ls_annotation_id} cannot be taken in: {unreadable.error}")
    items = await item_repository.lock_items(session, sorted({row.item_id for row in readable}))
    held_before = await held_annotators(session, review)
    for row in readable:
        await take_in(session, review, items[row.item_id], row, by)
    parts = {(items[row.item_id].image_id, items[row.item_id].part) for row in readable}
    for image_id, part in sorted(parts):
        await settle_part(session, review, image_id, part)
    await settle_held(session, review, held_before)
    return len(readable)
