"""A review as the API and the dashboard show it."""

from datetime import datetime

from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession

from services.database.review_tables import Review
from services.review import item_repository, repository

_MOST_SET_ASIDE = 10


class SetAside(BaseModel):
    """An annotation that cannot be understood, by Label Studio's ids: whose it is, and why."""

    ls_annotation_id: int
    ls_task_id: int | None
    annotator: str
    reason: str


class ReviewView(BaseModel):
    """A review. `state`: `preparing`, `pushing`, `open` (all items are in Label Studio), `failed`.

    `items` by state (`waiting`, `sending`, `sent`, `refused`, `gone`), `lanes` by lane, `annotations` by
    state (`submitted`, `cancelled`, `deleted`, `unreadable`), `corrections` that hold by action. `agreement`
    is the mean over items that several people annotated; `seconds_per_item` what an annotation took on the
    average. `set_aside`: the last few unreadable annotations.
    """

    id: str
    state: str
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
    created_at: datetime
    pulled_at: datetime | None


async def view_of(session: AsyncSession, review: Review) -> ReviewView:
    """The view of a review with its figures."""
    counts = await item_repository.count_items(session, review.id)
    items: dict[str, int] = {"total": 0}
    lanes: dict[str, int] = {}
    for (lane, state), number in counts.items():
        items["total"] += number
        items[state] = items.get(state, 0) + number
        lanes[lane] = lanes.get(lane, 0) + number
    reviewed, agreement, seconds = await repository.review_figures(session, review.id)
    annotations = await repository.count_annotations(session, review.id)
    aside = (
        await repository.set_aside(session, review.id, _MOST_SET_ASIDE) if "unreadable" in annotations else []
    )
    project = review.project_id
    same = ("id", "state", "error", "title", "label_studio_url", "project_id", "model_version", "created_at")
    return ReviewView(
        **{name: getattr(review, name) for name in (*same, "pulled_at")},
        dataset=review.dataset_id,
        address=review.dataset,
        project_url=f"{review.label_studio_url}/projects/{project}/" if project is not None else None,
        items=items,
        lanes=lanes,
        annotations=annotations,
        set_aside=[
            SetAside(ls_annotation_id=number, ls_task_id=task, annotator=annotator, reason=why or "")
            for number, task, why, annotator in aside
        ],
        reviewed=reviewed,
        corrections=await repository.count_corrections(session, review.id),
        agreement=agreement,
        seconds_per_item=seconds,
    )
