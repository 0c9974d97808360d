"""The SQL of corrections. Commits nothing."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, delete, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from schemas.corrections import CorrectionAction
from schemas.reviews import AnnotationState
from services.database.review_tables import ReviewCorrection, ReviewedAnnotation, ReviewItem

_WITHDRAWN = CorrectionAction.WITHDRAWN.value
_CHOSEN = (ReviewedAnnotation.chosen, ReviewedAnnotation.state == AnnotationState.SUBMITTED)


async def replace_corrections(
    session: AsyncSession, review_id: str, annotation_id: int, documents: Sequence[tuple[str, str]]
) -> None:
    """Replace all corrections of an annotation by `documents`: pairs of action and JSON."""
    await session.execute(delete(ReviewCorrection).where(ReviewCorrection.annotation_id == annotation_id))
    rows = [
        {"review_id": review_id, "annotation_id": annotation_id, "action": action, "document": document}
        for action, document in documents
    ]
    if rows:
        await session.execute(ReviewCorrection.__table__.insert(), rows)  # type: ignore[attr-defined]


async def replace_withdrawal(
    session: AsyncSession, review_id: str, annotation_ids: Sequence[int], document: str | None
) -> None:
    """Say of the image of these annotations that nothing counts any more; no `document`: that it does."""
    await session.execute(
        delete(ReviewCorrection).where(
            ReviewCorrection.annotation_id.in_(list(annotation_ids)), ReviewCorrection.action == _WITHDRAWN
        )
    )
    if document is not None:
        session.add(
            ReviewCorrection(
                review_id=review_id, annotation_id=annotation_ids[0], action=_WITHDRAWN, document=document
            )
        )


async def list_corrections(
    session: AsyncSession, review_id: str, everyone: bool, after: int | None, limit: int
) -> Sequence[tuple[int, str]]:
    """Return (id, JSON) of corrections by rising id: of the chosen annotations only, or of everyone's.

    An image of which nothing counts any more has a `withdrawn` one. Honeypots have none.
    """
    query: Any = (
        select(ReviewCorrection.id, ReviewCorrection.document, ReviewItem.settled_at)
        .join(ReviewedAnnotation, ReviewedAnnotation.id == ReviewCorrection.annotation_id)
        .join(ReviewItem, ReviewItem.id == ReviewedAnnotation.item_id)
        .where(ReviewCorrection.review_id == review_id, ReviewItem.known.is_(None))
    )
    if not everyone:
        query = query.where(or_(and_(*_CHOSEN), ReviewCorrection.action == _WITHDRAWN))
    if after is not None:
        query = query.where(ReviewCorrection.id > after)
    rows = await session.execute(query.order_by(ReviewCorrection.id).limit(limit))
    return [(correction_id, _as_of(document, settled_at)) for correction_id, document, settled_at in rows]


def _as_of(document: str, settled_at: str | None) -> str:
    """The JSON of a correction with the time when its image was settled."""
    return document if settled_at is None else f'{{"as_of":"{settled_at}",{document[1:]}'


async def count_corrections(session: AsyncSession, review_id: str) -> dict[str, int]:
    """Return the number of corrections of the chosen annotations, by action."""
    query = (
        select(ReviewCorrection.action, func.count())
        .join(ReviewedAnnotation, ReviewedAnnotation.id == ReviewCorrection.annotation_id)
        .join(ReviewItem, ReviewItem.id == ReviewedAnnotation.item_id)
        .where(
            ReviewCorrection.review_id == review_id,
            ReviewCorrection.action != _WITHDRAWN,
            ReviewItem.known.is_(None),
            *_CHOSEN,
        )
    )
    rows = await session.execute(query.group_by(ReviewCorrection.action))
    return dict(rows.all())
