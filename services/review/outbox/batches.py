"""Makes LsTasks of items and groups them into requests of bounded size."""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from services.database.review_tables import Review, ReviewItem
from services.label_studio.convert import ls_task
from services.label_studio.shown import unpack

BATCH_BYTES = 4 * 2**20
ItemTask = tuple[ReviewItem, dict[str, Any]]


def ls_tasks(items: Sequence[ReviewItem], review: Review, image_url: Callable[[str], str]) -> list[ItemTask]:
    """Return each item with its LsTask. `image_url` maps an image id to the address a browser loads."""
    tasks = []
    for item in items:
        shown = unpack(item.shown)
        url = with_view(image_url(item.image_id), shown.view_xyxy)
        tasks.append((item, ls_task(shown, item.fo1_key, url, review.model_version)))
    return tasks


def with_view(url: str, view_xyxy: tuple[int, int, int, int] | None) -> str:
    """Return the address of a rectangle of an image; None: of the whole image."""
    if view_xyxy is None:
        return url
    return f"{url}{'&' if '?' in url else '?'}view={','.join(map(str, view_xyxy))}"


def split_by_size(tasks: Iterable[ItemTask]) -> list[list[ItemTask]]:
    """Group LsTasks into batches of at most BATCH_BYTES of JSON; a larger single item is its own batch."""
    batches: list[list[ItemTask]] = []
    batch_bytes = BATCH_BYTES
    for item, document in tasks:
        num_bytes = len(json.dumps(document))
        if batch_bytes + num_bytes > BATCH_BYTES:
            batches.append([])
            batch_bytes = 0
        batches[-1].append((item, document))
        batch_bytes += num_bytes
    return batches
