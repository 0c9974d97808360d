"""Which annotation of an image holds, written down; images that people disagree about are queued again.

A further round asks again, of the same image with the same pre-annotations, and what is said in the last
round that anybody answered counts; an annotation marked as ground truth holds in whatever round.
"""

import asyncio
import json
import zlib
from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from services.database.review_states import AnnotationState, ItemState, ReviewState
from services.database.review_tables import Review, ReviewedAnnotation, ReviewItem
from services.label_studio.convert import read_result
from services.label_studio.shown import ShownImage, unpack
from services.review import item_repository, repository
from services.review.inbox.agreement import Resolution, Vote, resolve
from services.review.outbox.plan import fo1_key

MAX_ROUNDS = 3


async def settle_image(session: AsyncSession, review: Review, image_id: str) -> None:
    """Apply the resolution rule to all that was said of an image."""
    items = await item_repository.items_of_image(session, review.id, image_id)
    said = await repository.annotations_of_items(session, [item.id for item in items])
    standing = [one for one in said if one.state == AnnotationState.SUBMITTED]
    shown = unpack(items[0].shown)
    rounds = {item.id: item for item in items}
    last = max((rounds[one.item_id].round for one in standing), default=1)
    asked = [one for one in standing if one.ground_truth or rounds[one.item_id].round == last]
    resolution = await asyncio.to_thread(_resolve, asked, shown)
    for one in said:
        one.chosen = resolution is not None and one.id == resolution.annotation
    for item in items:
        ours = resolution is not None and item.round == last
        item.agreement = resolution.agreement if resolution is not None and ours else None
        item.rule = resolution.rule if resolution is not None and ours else None
    if resolution is not None and resolution.disputed and last == len(items) and last < MAX_ROUNDS:
        await _ask_again(session, review, items[-1], shown, resolution)


def _resolve(annotations: Sequence[ReviewedAnnotation], shown: ShownImage) -> Resolution | None:
    votes = [
        Vote(
            annotation=one.id,
            annotator=one.annotator,
            at=one.ls_updated_at,
            ground_truth=one.ground_truth,
            said=read_result(json.loads(zlib.decompress(one.result)), shown),
        )
        for one in annotations
    ]
    return resolve(votes)


async def _ask_again(
    session: AsyncSession, review: Review, item: ReviewItem, shown: ShownImage, resolution: Resolution
) -> None:
    told = f"people disagreed about this image (agreement {resolution.agreement or 0.0:.2f}): please decide"
    again = shown.model_copy(update={"reasons": [told, *shown.reasons]})
    round_ = item.round + 1
    fields = {
        "review_id": review.id,
        "image_id": item.image_id,
        "round": round_,
        "fo1_key": fo1_key(review.key, item.image_id, round_),
        "lane": item.lane,
        "doubt": item.doubt,
        "position": 0,
        "state": ItemState.WAITING,
        "shown": again.packed(),
    }
    # Held before the item is there: a push that is just being closed sees it, or is seen here as closed.
    fresh = await repository.lock_review(session, review.id)
    await item_repository.add_items(session, [fields])
    if fresh is not None and fresh.state == ReviewState.OPEN:
        await repository.set_review(session, review.id, state=ReviewState.PUSHING)
