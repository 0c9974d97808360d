"""How fast a job labelled over time, from its progress events. Pure functions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

MAX_POINTS = 60


@dataclass(frozen=True)
class SpeedPoint:
    """`seconds`: since the first event. `images_per_s`: the mean since the point before."""

    seconds: float
    images_per_s: float


def speed_over_time(progress: Sequence[tuple[datetime, int]]) -> list[SpeedPoint]:
    """Return at most MAX_POINTS points of rising time, from (time, images so far) in order.

    Images that were lost with a worker and labelled again count as no speed, not as a negative one.
    """
    if len(progress) < 2:
        return []
    step = -(-(len(progress) - 1) // MAX_POINTS)
    chosen = [*progress[:-1:step], progress[-1]]
    begun, points = chosen[0][0], []
    for (before, images_before), (at, images) in pairwise(chosen):
        seconds = (at - before).total_seconds()
        if seconds > 0:
            speed = max(0, images - images_before) / seconds
            points.append(SpeedPoint((at - begun).total_seconds(), speed))
    return points
