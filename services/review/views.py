"""A review as the API and the dashboard show it."""

from datetime import datetime

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from schemas.reviews import AnnotationState, ReviewState
from services.database.review_tables import Review
from services.review import annotation_repository, correction_repository, item_repository

_MAX_SET_ASIDE = 10


class SetAside(BaseModel):
    """An unreadable annotation: its ids in Label Studio, its annotator, and why it cannot be read."""

    ls_annotation_id: int
    ls_task_id: int | None
    annotator: str
    reason: str


class ReviewView(BaseModel):
    """A review. `state`: `preparing`, `pushing`, `open` (all items are in Label Studio), `failed`.

    `items`: number of items by state (`waiting`, `sending`, `sent`, `refused`, `gone`). `lanes`: by lane.
    `annotations`: by state (`submitted`, `cancelled`, `deleted`, `unreadable`). `corrections`: of the chosen
    annotations, by action. `agreement`: mean over items with several annotators. `seconds_per_item`: mean
    time of an annotation. `set_aside`: the latest unreadable annotations. `key`: what the `annotation_key` of
    its corrections begins with. `created_by`: the id of a key.
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
    items: dict[str, int]
    lanes: dict[str, int]
    annotations: dict[str, int]
    set_aside: list[SetAside]
    reviewed: int
    corrections: dict[str, int]
    agreement: float | None
    seconds_per_item: float | None
    created_by: str | None
    created_at: datetime
    pulled_at: datetime | None


async def view_of(session: AsyncSession, review: Review) -> ReviewView:
    """Return the view of a review with its figures."""
    counts = await item_repository.count_items(session, review.id)
    items: dict[str, int] = {"total": 0}
    lanes: dict[str, int] = {}
    for (lane, state), number in counts.items():
        items["total"] += number
        items[state] = items.get(state, 0) + number
        lanes[lane] = lanes.get(lane, 0) + number
    reviewed, agreement, seconds = await annotation_repository.review_figures(session, review.id)
    annotations = await annotation_repository.count_annotations(session, review.id)
    unreadable = (
        await annotation_repository.unreadable_annotations(session, review.id, _MAX_SET_ASIDE)
        if AnnotationState.UNREADABLE in annotations
        else []
    )
    project = review.project_id
    columns = ("id", "key", "state", "error", "title", "label_studio_url", "project_id", "model_version")
    return ReviewView(
        **{name: getattr(review, name) for name in (*columns, "created_at", "pulled_at", "created_by")},
        dataset=review.dataset_id,
        address=review.dataset,
        project_url=f"{review.label_studio_url}/projects/{project}/" if project is not None else None,
        items=items,
        lanes=lanes,
        annotations=annotations,
        set_aside=[
            SetAside(
                ls_annotation_id=annotation_id, ls_task_id=task_id, annotator=annotator, reason=reason or ""
            )
            for annotation_id, task_id, reason, annotator in unreadable
        ],
        reviewed=reviewed,
        corrections=await correction_repository.count_corrections(session, review.id),
        agreement=agreement,
        seconds_per_item=seconds,
    )
