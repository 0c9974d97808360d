"""Which images of a dataset people are asked about: a dataset's rows into the items of a review.

The review and audit lanes of a routed dataset; every image of one that was not routed at all, since nothing
in it is accepted. Reasons and scores of the review lane are shown, unless the review is blind: then nobody
can tell which images the audit drew. With `asked_only`, people see all boxes of an image, but only those
answers that routing sent to them or drew. Streaming: a batch of rows is held at a time. Reads the dataset,
writes nothing.
"""

from collections.abc import Iterator
from typing import Any

from fo1_data.dataset.reader import Dataset, column_values, open_dataset
from schemas.images import ImageRow
from schemas.labels import Decision
from services.database.review_states import ItemState
from services.label_studio.shown import doubt_of, only_asked, shown_image

BATCH = 100
EVERYTHING = ("review", "audit")


def fo1_key(key: str, image_id: str, round_: int = 1) -> str:
    """What names an item in Label Studio."""
    return f"{key}-{image_id[:20]}-{round_}"


def is_routed(dataset: Dataset) -> bool:
    """Whether any row carries a decision."""
    rows = column_values(dataset.store, dataset.manifest, ["decision"])
    return any(row["decision"] is not None for row in rows)


def plan_items(
    address: str, review_id: str, key: str, options: dict[str, Any]
) -> Iterator[list[dict[str, Any]]]:
    """The items of a dataset, in batches of columns of `ReviewItem`. Blocking: run it in a thread."""
    dataset = open_dataset(address)
    routed = is_routed(dataset)
    lanes = options.get("lanes") or EVERYTHING
    batch: list[dict[str, Any]] = []
    for row in dataset.rows():
        lane = _lane(row, routed)
        if lane is None or lane not in lanes:
            continue
        if routed and options.get("asked_only"):
            row = only_asked(row)
            if not row.answered_labels():
                continue
        batch.append(_item(row, review_id, key, lane, blind=lane == "audit" or bool(options.get("blind"))))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _lane(row: ImageRow, routed: bool) -> str | None:
    if not routed or row.decision is Decision.REVIEW:
        return "review"
    return "audit" if row.decision is Decision.AUDIT else None


def _item(row: ImageRow, review_id: str, key: str, lane: str, blind: bool) -> dict[str, Any]:
    shown = shown_image(row, blind)
    return {
        "review_id": review_id,
        "image_id": row.image_id,
        "round": 1,
        "fo1_key": fo1_key(key, row.image_id),
        "lane": lane,
        "doubt": doubt_of(row),
        "position": 0,
        "state": ItemState.WAITING,
        "shown": shown.packed(),
    }
