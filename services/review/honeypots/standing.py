"""How many known answers each annotator has right, and whose corrections are held back.

An annotator is held once the upper end of the interval of their accuracy is below the bound of the review.
The annotations of held annotators do not count: a second reader is asked. They count again if the annotator
rises above the bound.
"""

import json
import math
import zlib
from collections.abc import Collection, Sequence

from pydantic import BaseModel
from sqlalchemy import distinct, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from schemas.reviews import AnnotationState
from services.database.review_tables import Review, ReviewedAnnotation, ReviewItem
from services.label_studio.annotated import parse_result
from services.label_studio.shown import unpack
from services.review.honeypots.known import score_annotation, unpack_known

# Of fewer known answers an interval says nothing that is worth holding somebody back.
MIN_ANSWERS = 10
_Z = 1.959964  # 95 %, two-sided


class AnnotatorFigures(BaseModel):
    """An annotator's known answers: how many are right, of how many, in how many tasks.

    `low` and `high`: the 95 % interval of the accuracy (Wilson's). `held`: the corrections are held back.
    """

    annotator: str
    tasks: int
    answers: int
    right: int
    accuracy: float
    low: float
    high: float
    held: bool


def interval(right: int, answers: int) -> tuple[float, float]:
    """Wilson's 95 % score interval of a share (E. B. Wilson, JASA 1927). (0, 1) without answers."""
    if not answers:
        return 0.0, 1.0
    share, spread = right / answers, _Z**2 / answers
    centre = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * math.sqrt(share * (1 - share) / answers + spread / (4 * answers))
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


async def annotator_figures(session: AsyncSession, review: Review) -> list[AnnotatorFigures]:
    """The figures of everybody who has annotated a honeypot, the least accurate first."""
    query = (
        select(
            ReviewedAnnotation.annotator,
            func.count(),
            func.sum(ReviewedAnnotation.known_asked),
            func.sum(ReviewedAnnotation.known_right),
        )
        .where(
            ReviewedAnnotation.review_id == review.id,
            ReviewedAnnotation.state == AnnotationState.SUBMITTED,
            ReviewedAnnotation.known_asked > 0,
        )
        .group_by(ReviewedAnnotation.annotator)
    )
    found = [
        _figures(annotator, int(tasks), int(asked or 0), int(right or 0), review.options.hold_below)
        for annotator, tasks, asked, right in (await session.execute(query)).all()
    ]
    return sorted(found, key=lambda figures: (figures.accuracy, figures.annotator))


def _figures(annotator: str, tasks: int, answers: int, right: int, bound: float | None) -> AnnotatorFigures:
    low, high = interval(right, answers)
    return AnnotatorFigures(
        annotator=annotator,
        tasks=tasks,
        answers=answers,
        right=right,
        accuracy=right / answers,
        low=low,
        high=high,
        held=bound is not None and answers >= MIN_ANSWERS and high < bound,
    )


async def held_annotators(session: AsyncSession, review: Review) -> set[str]:
    """The annotators whose corrections are held back."""
    if review.options.hold_below is None:
        return set()
    return {figures.annotator for figures in await annotator_figures(session, review) if figures.held}


async def count_held_back(session: AsyncSession, review: Review, held: Collection[str]) -> int:
    """How many images have only annotations of held annotators, and wait for a second reader."""
    if not held:
        return 0
    chosen = select(ReviewItem.image_id).where(
        ReviewItem.review_id == review.id, ReviewItem.rule.is_not(None)
    )
    query = (
        select(func.count(distinct(ReviewItem.image_id)))
        .join(ReviewedAnnotation, ReviewedAnnotation.item_id == ReviewItem.id)
        .where(
            ReviewItem.review_id == review.id,
            ReviewItem.known.is_(None),
            ReviewedAnnotation.state == AnnotationState.SUBMITTED,
            ReviewedAnnotation.annotator.in_(list(held)),
            ReviewItem.image_id.not_in(chosen),
        )
    )
    return int(await session.scalar(query) or 0)


async def count_honeypots(session: AsyncSession, review_id: str) -> int:
    """How many tasks of a review are honeypots."""
    query = select(func.count()).where(ReviewItem.review_id == review_id, ReviewItem.known.is_not(None))
    return int(await session.scalar(query) or 0)


async def parts_of(
    session: AsyncSession, review_id: str, annotators: Collection[str]
) -> Sequence[tuple[str, str]]:
    """The images, each with the part of it, that these people have annotated; honeypots left out."""
    query = (
        select(ReviewItem.image_id, ReviewItem.part)
        .join(ReviewedAnnotation, ReviewedAnnotation.item_id == ReviewItem.id)
        .where(
            ReviewItem.review_id == review_id,
            ReviewItem.known.is_(None),
            ReviewedAnnotation.annotator.in_(list(annotators)),
        )
        .distinct()
        .order_by(ReviewItem.image_id, ReviewItem.part)
    )
    return [(image_id, part) for image_id, part in await session.execute(query)]


def judge_annotations(item: ReviewItem, annotations: Sequence[ReviewedAnnotation]) -> None:
    """Write into the annotations of a honeypot how many of its known answers they have right."""
    assert item.known is not None
    known, shown = unpack_known(item.known), unpack(item.shown)
    for row in annotations:
        row.known_right = row.known_asked = None
        if row.state == AnnotationState.SUBMITTED:
            result = score_annotation(
                known, shown, parse_result(json.loads(zlib.decompress(row.result)), shown)
            )
            row.known_right, row.known_asked = result.right, result.asked
