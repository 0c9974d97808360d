"""The things of a shot: gathers the boxes of its frames by the thing they show, and ends with tracks.

The boxes of a confirmed thing belong to it from the first one on. A thing that is never confirmed is a
short track if it was seen in two frames; its boxes are dropped otherwise, and counted.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fo1_data.boxes import Boxes, Floats, as_boxes
from fo1_data.tracking.trackers import NOTHING
from fo1_data.tracking.views import Views
from schemas.regions import MaskRle

LEAST_FRAMES = 2


@dataclass(frozen=True)
class FollowedThing:
    """A thing through a shot: an item for each of the N frames in which it was found, in order.

    `frames`: (N,) numbers in the video. `boxes_xyxy`: (N, 4) pixels of the frame. `scores`: (N,), 0 to 1.
    `label`: what the detector calls it most often, weighted by score; None if it names nothing. `masks`: in
    each frame, None where there is none; None as a whole if what found it knows no masks.
    """

    frames: npt.NDArray[np.int64]
    boxes_xyxy: Boxes
    scores: Floats
    views: Views
    label: str | None = None
    masks: list[MaskRle | None] | None = None

    def gaps(self, every: int) -> list[tuple[int, int]]:
        """First and last frame of each span in which it was not found. every: between frames looked at."""
        behind = np.flatnonzero(np.diff(self.frames) > every)
        return [(int(self.frames[place]) + 1, int(self.frames[place + 1]) - 1) for place in behind]


@dataclass(frozen=True)
class ShotThings:
    """The things of a shot, in the order in which they appear, and how many boxes belong to none."""

    things: list[FollowedThing]
    num_dropped: int


class ShotTracks:
    """Takes the boxes of a shot's frames, in order."""

    def __init__(self) -> None:
        self._frames: list[npt.NDArray[np.int64]] = []
        self._numbers: list[npt.NDArray[np.int64]] = []
        self._boxes: list[Boxes] = []
        self._scores: list[Floats] = []
        self._views: list[Views] = []
        self._labels: list[str | None] = []
        self._masks: list[MaskRle | None] = []

    def add(
        self,
        frame: int,
        numbers: npt.NDArray[np.int64],
        boxes_xyxy: Boxes,
        scores: Floats,
        views: Views,
        labels: Sequence[str | None] | None = None,
        masks: Sequence[MaskRle | None] | None = None,
    ) -> None:
        """Add the boxes (N, 4) of a frame, none if it shows nothing.

        numbers: (N,) of the thing that each box shows, -1: of none.
        """
        boxes = as_boxes(boxes_xyxy)
        self._numbers.append(numbers)
        self._frames.append(np.full(len(boxes), frame, np.int64))
        self._boxes.append(boxes)
        self._scores.append(np.asarray(scores, np.float32))
        self._views.append(views)
        self._labels += labels if labels is not None else [None] * len(boxes)
        self._masks += masks if masks is not None else [None] * len(boxes)

    def finish(self, confirmed: Collection[int] = ()) -> ShotThings:
        """The things of all frames that were added. confirmed: those that one frame is enough for."""
        if not self._frames:
            return ShotThings([], 0)
        numbers, frames = np.concatenate(self._numbers), np.concatenate(self._frames)
        boxes, scores = np.concatenate(self._boxes), np.concatenate(self._scores)
        views = Views(*(np.concatenate(values) for values in zip(*self._views, strict=True)))
        num_dropped = int((numbers == NOTHING).sum())
        things = []
        for number in np.unique(numbers[numbers != NOTHING]).tolist():
            places = np.flatnonzero(numbers == number)
            if number not in confirmed and len(places) < LEAST_FRAMES:
                num_dropped += len(places)
                continue
            masks = [self._masks[place] for place in places]
            things.append(
                FollowedThing(
                    frames[places],
                    boxes[places],
                    scores[places],
                    views.take(places),
                    _frequent([self._labels[place] for place in places], scores[places]),
                    masks if any(masks) else None,
                )
            )
        things.sort(key=lambda thing: int(thing.frames[0]))
        return ShotThings(things, num_dropped)


def _frequent(labels: Sequence[str | None], scores: Floats) -> str | None:
    """The label of the highest sum of scores, the first of equal ones."""
    weights: defaultdict[str, float] = defaultdict(float)
    for label, score in zip(labels, scores.tolist(), strict=True):
        if label is not None:
            weights[label] += score
    return max(weights, key=lambda label: weights[label]) if weights else None
