"""A review as the API and the dashboard show it."""

from datetime import datetime

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from fo1_data.confidence.review_cost import REVIEW_S_PER_LABEL
from schemas.reviews import AnnotationState, AsideReason, ReviewState
from services.database.review_tables import Review, ReviewedAnnotation, ReviewItem
from services.review import annotation_repository, correction_repository, item_repository
from services.review.honeypots import standing
from services.review.honeypots.standing import AnnotatorFigures
from services.review.video_copies import VideoCopies, VideosReady

_MAX_SET_ASIDE = 10


class SetAside(BaseModel):
    """An annotation that says nothing until somebody has looked at it: its ids in Label Studio, and why.

    `kind` and `reason`: why, as an `AsideReason` and in words. `effects`: the number of corrections, by
    action or verdict, that it would have once taken in. `can_be_taken_in`: not if it cannot be read at all.
    `url`: where it is in Label Studio.
    """

    ls_annotation_id: int
    ls_task_id: int | None
    annotator: str
    kind: AsideReason
    reason: str
    effects: dict[str, int]
    can_be_taken_in: bool
    url: str | None


class Effort(BaseModel):
    """What a review asks of people: images, the labels that each person sees, and an estimate of the time.

    `minutes`: of all `annotators` of each image together, by `REVIEW_S_PER_LABEL`.
    """

    images: int
    labels: int
    annotators: int
    minutes: float


class ReviewView(BaseModel):
    """A review. `state`: `preparing`, `pushing`, `open` (all items are in Label Studio), `failed`.

    `tracks`: its items are videos, its corrections are of tracks. `items`: number of items by state
    (`waiting`, `sending`, `sent`, `refused`, `gone`). `lanes`: by lane.
    `annotations`: by state (`submitted`, `cancelled`, `deleted`, `set_aside`, `unreadable`). `corrections`:
    of the chosen annotations, by action. `agreement`: mean over items with several annotators.
    `seconds_per_item`: mean time of an annotation. `set_aside`: the latest annotations set aside, unreadable
    ones included. `ignored`: number of annotations with results that have no form here, by the control that
    somebody added. `changed_fields`: fields of the project that are not as they were pushed. `key`: what the
    `annotation_key` of its corrections begins with. `created_by`: the id of a key. `honeypots`: how many
    tasks have a known answer. `annotators`: how accurate everybody is on them. `held_back`: images that wait
    for a second reader, because only annotators below the review's bound have annotated them. `effort`: null
    if an older version has pushed some of the images. `videos`: of a review of tracks: how many of them play
    at once; null if the service has begun to make none ready since it was started.
    """

    id: str
    key: str
    state: ReviewState
    error: str | None
    title: str
    dataset: str | None
    address: str
    label_studio_url: str
    project_id: int | None
    project_url: str | None
    model_version: str
    tracks: bool
    items: dict[str, int]
    lanes: dict[str, int]
    annotations: dict[str, int]
    set_aside: list[SetAside]
    ignored: dict[str, int]
    changed_fields: list[str]
    reviewed: int
    corrections: dict[str, int]
    agreement: float | None
    seconds_per_item: float | None
    created_by: str | None
    honeypots: int
    annotators: list[AnnotatorFigures]
    held_back: int
    effort: Effort | None
    videos: VideosReady | None = None
    created_at: datetime
    pulled_at: datetime | None


def set_aside_view(review: Review, row: ReviewedAnnotation, item: ReviewItem) -> SetAside:
    """Return the view of an annotation set aside."""
    task_id = row.ls_task_id or item.ls_task_id
    project = f"{review.label_studio_url}/projects/{review.project_id}"
    return SetAside(
        ls_annotation_id=row.ls_annotation_id,
        ls_task_id=task_id,
        annotator=row.annotator,
        kind=AsideReason(row.reason or AsideReason.UNREADABLE),
        reason=row.error or "",
        effects=row.effects or {},
        can_be_taken_in=row.state == AnnotationState.SET_ASIDE,
        url=f"{project}/data?task={task_id}&annotation={row.ls_annotation_id}" if task_id else None,
    )


async def view_of(session: AsyncSession, review: Review, copies: VideoCopies | None = None) -> ReviewView:
    """Return the view of a review with its figures. `copies`: knows which of its videos are ready."""
    counts = await item_repository.count_items(session, review.id)
    items: dict[str, int] = {"total": 0}
    lanes: dict[str, int] = {}
    for (lane, state), number in counts.items():
        items["total"] += number
        items[state] = items.get(state, 0) + number
        lanes[lane] = lanes.get(lane, 0) + number
    reviewed, agreement, seconds = await annotation_repository.review_figures(session, review.id)
    annotations = await annotation_repository.count_annotations(session, review.id)
    any_aside = annotations.keys() & {AnnotationState.SET_ASIDE, AnnotationState.UNREADABLE}
    rows = (
        await annotation_repository.list_set_aside(session, review.id, None, None, _MAX_SET_ASIDE)
        if any_aside
        else []
    )
    honeypots = await standing.count_honeypots(session, review.id)
    annotators = await standing.annotator_figures(session, review) if honeypots else []
    held = {figures.annotator for figures in annotators if figures.held}
    project = review.project_id
    columns = ("id", "key", "state", "error", "title", "label_studio_url", "project_id", "model_version")
    return ReviewView(
        **{name: getattr(review, name) for name in (*columns, "created_at", "pulled_at", "created_by")},
        dataset=review.dataset_id,
        address=review.dataset,
        tracks=review.options.tracks,
        project_url=f"{review.label_studio_url}/projects/{project}/" if project is not None else None,
        items=items,
        lanes=lanes,
        annotations=annotations,
        set_aside=[set_aside_view(review, row, item) for row, item in rows],
        ignored=await annotation_repository.count_ignored(session, review.id),
        changed_fields=review.changed_fields or [],
        reviewed=reviewed,
        corrections=await correction_repository.count_corrections(session, review.id),
        agreement=agreement,
        seconds_per_item=seconds,
        honeypots=honeypots,
        annotators=annotators,
        held_back=await standing.count_held_back(session, review, held),
        effort=await _effort(session, review),
        videos=copies.ready(review.id) if copies is not None else None,
    )


async def _effort(session: AsyncSession, review: Review) -> Effort | None:
    num_images, num_labels = await item_repository.count_shown(session, review.id)
    if num_labels is None:
        return None
    annotators = review.options.annotators
    minutes = num_labels * annotators * REVIEW_S_PER_LABEL / 60
    return Effort(images=num_images, labels=num_labels, annotators=annotators, minutes=minutes)
