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
    return [
        (item, ls_task(unpack(item.shown), item.fo1_key, image_url(item.image_id), review.model_version))
        for item in items
    ]


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
