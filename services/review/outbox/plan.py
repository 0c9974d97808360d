"""Chooses the images of a dataset that people review, and makes the items of a review from its rows.

Of a routed dataset these are the review and audit lanes; of an unrouted one all images, since nothing in it
is accepted. The review lane shows reasons and scores unless the review is blind, so that in a blind review
nobody can tell which images the audit drew. With `asked_only`, all boxes of an image are shown, but only
the answers that routing sent to people or drew for the audit. Honeypots look like images of the audit.
Large images are divided into parts, each an item of its own (`parts`). A review of tracks has videos for
items (`track_parts`).
Streams: holds one batch of rows at a time. Reads the dataset, writes nothing.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

from fo1_data.confidence.review_cost import is_for_people
from fo1_data.dataset.light_rows import light_rows
from fo1_data.dataset.reader import Dataset, column_values, open_dataset
from fo1_data.errors import DatasetError
from schemas.corrections import Lane
from schemas.images import ImageRow
from schemas.labels import Decision
from schemas.reviews import ItemState, ReviewOptions
from services.label_studio.shown import ShownImage, num_labels_of
from services.label_studio.shown_from_rows import doubt_of, only_asked, shown_image
from services.review.honeypots.draw import HoneypotSource, draw_honeypots
from services.review.outbox.parts import RowPart, parts_of
from services.review.outbox.track_parts import video_parts

BATCH_ITEMS = 100


def item_key(review_key: str, image_id: str, part: str = "", round_: int = 1) -> str:
    """Return the key that names an item in Label Studio."""
    named = f"{image_id[:20]}-{part}" if part else image_id[:20]
    return f"{review_key}-{named}-{round_}"


def is_routed(dataset: Dataset) -> bool:
    """Return whether any row carries a decision."""
    rows = column_values(dataset.store, dataset.manifest, ["decision"])
    return any(row["decision"] is not None for row in rows)


def plan_items(
    address: str,
    review_id: str,
    review_key: str,
    options: ReviewOptions,
    selected: Collection[str] | None = None,
) -> Iterator[list[dict[str, Any]]]:
    """Yield the items of a dataset in batches, each as columns of `ReviewItem`. Blocking: use a thread.

    `selected`: ids of the images to push, in whatever lane; None: all images of the lanes.
    Raises DatasetError if tracks or masks are to be reviewed and the dataset has none.
    """
    dataset = open_dataset(address)
    if options.tracks and next(dataset.tracks(), None) is None:
        raise DatasetError(f"{address} has no tracks to review: fo1 label makes them of videos")
    if options.masks and not _has_masks(dataset):
        raise DatasetError(f"{address} has no masks to review: fo1 label --masks CHECKPOINT makes them")
    items = _items(dataset, review_id, review_key, options, selected)
    while batch := list(islice(items, BATCH_ITEMS)):
        yield batch


def _has_masks(dataset: Dataset) -> bool:
    rows = light_rows(dataset, pixels=False)
    return any(region.mask_rle is not None for row in rows for region in row.regions)


def _items(
    dataset: Dataset,
    review_id: str,
    review_key: str,
    options: ReviewOptions,
    selected: Collection[str] | None,
) -> Iterator[dict[str, Any]]:
    routed = is_routed(dataset)
    if options.tracks:
        yield from _track_items(dataset, routed, review_id, review_key, options, selected)
        return
    # Of an unrouted dataset every task shows everything, and so do honeypots.
    known_by = options if routed else options.model_copy(update={"asked_only": False})
    source = HoneypotSource(dataset, known_by) if options.honeypots else None
    drawn: Collection[str] = ()
    if source is not None:

        def num_pushed(row: ImageRow) -> int:
            return sum(_pushed(part.row, routed, options, selected) is not None for part in parts_of(row))

        drawn = draw_honeypots(dataset, source, options, num_pushed, review_key)
    for row in light_rows(dataset, pixels=False, signals=True):
        honeypot = source.find(row) if source is not None and row.image_id in drawn else None
        if honeypot is not None:
            known = honeypot.known.packed()
            yield _item(honeypot.shown, RowPart(row), review_id, review_key, Lane.AUDIT, known)
            continue
        for part in parts_of(row):
            pushed = _pushed(part.row, routed, options, selected)
            if pushed is not None:
                asked, lane = pushed
                masks = options.masks and part.view_xyxy is None
                shown = shown_image(asked, blind=lane is Lane.AUDIT or bool(options.blind), masks=masks)
                shown.view_xyxy = part.view_xyxy
                yield _item(shown, replace(part, row=asked), review_id, review_key, lane)


def _track_items(
    dataset: Dataset,
    routed: bool,
    review_id: str,
    review_key: str,
    options: ReviewOptions,
    selected: Collection[str] | None,
) -> Iterator[dict[str, Any]]:
    for part in video_parts(dataset):
        pushed = _pushed(part.row(), routed, options, selected)
        if pushed is not None:
            asked, lane = pushed
            shown = shown_image(asked, blind=lane is Lane.AUDIT or bool(options.blind))
            part.add_boxes(shown)
            yield _item(shown, RowPart(asked, part.name), review_id, review_key, lane)


def _pushed(
    row: ImageRow, routed: bool, options: ReviewOptions, selected: Collection[str] | None
) -> tuple[ImageRow, Lane] | None:
    """What of a row is shown to people, and why; None if nothing is."""
    if selected is not None and row.image_id not in selected:
        return None
    lane = _lane(row, routed) or (None if selected is None else Lane.REVIEW)
    if lane is None or lane not in options.lanes:
        return None
    if routed and options.asked_only:
        row = only_asked(row)
        if not row.answered_labels():
            return None
    return row, lane


def _lane(row: ImageRow, routed: bool) -> Lane | None:
    """The lane of a row; None if nobody is to see it, because it is settled or beyond the review budget."""
    if not routed:
        return Lane.REVIEW
    decisions = {label.decision for label in row.answered_labels() if is_for_people(label)}
    if Decision.REVIEW in decisions:
        return Lane.REVIEW
    return Lane.AUDIT if decisions else None


def _item(
    shown: ShownImage, part: RowPart, review_id: str, review_key: str, lane: Lane, known: bytes | None = None
) -> dict[str, Any]:
    return {
        "review_id": review_id,
        "image_id": part.row.image_id,
        "part": part.name,
        "round": 1,
        "fo1_key": item_key(review_key, part.row.image_id, part.name),
        "lane": lane,
        "doubt": doubt_of(part.row),
        "position": 0,
        "state": ItemState.WAITING,
        "shown": shown.packed(),
        "num_labels": num_labels_of(shown),
        "known": known,
    }
