"""How long labelling takes, to tell which shards are overdue: their labeller may be slow, or out of reach.

Times are seconds. Only shards that are labelled whole are compared, by their time an image: a tile and a shot
of a video are no images, and pieces are what a loss left.
"""

from collections import deque
from statistics import median
from typing import TypeGuard

from fo1_data.runs.shard_labeller import is_video_shard
from fo1_data.runs.shard_work import LabelWhole, Work
from fo1_data.runs.tile_steps import has_tiles

OVERDUE_FACTOR = 2.0
_LEAST_S = 5.0
_LEAST_SHARDS = 3
_REMEMBERED = 99


class WorkTimes:
    """The times of the last shards: `add` what was done, then ask `is_overdue` of what is not."""

    def __init__(self) -> None:
        self._per_image: deque[float] = deque(maxlen=_REMEMBERED)
        self._usual: float | None = None  # the median, once it was asked for

    def add(self, work: Work, seconds: float) -> None:
        """Count a work item that was done."""
        if _is_compared(work):
            self._per_image.append(seconds / len(work.shard.images))
            self._usual = None

    def is_overdue(self, work: Work, seconds: float) -> bool:
        """Whether work that has taken `seconds` takes much longer than others did.

        A driver asks this of all its labellers again and again: what costs most is looked at last.
        """
        if seconds <= _LEAST_S or not isinstance(work, LabelWhole) or len(self._per_image) < _LEAST_SHARDS:
            return False
        if self._usual is None:
            self._usual = median(self._per_image)
        is_late = seconds > OVERDUE_FACTOR * self._usual * len(work.shard.images)
        return is_late and _is_compared(work)


def _is_compared(work: Work) -> TypeGuard[LabelWhole]:
    if not isinstance(work, LabelWhole) or work.alone:
        return False
    return not has_tiles(work.shard) and not is_video_shard(work.shard)
