"""What follows the things of one shot, frame by frame: a detector with a tracker, or a model of videos.

Of a frame, boxes and a few numbers are kept, and masks as run lengths; pixels only until its boxes are known.
Boxes are in pixels of the frame.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from PIL import Image

from fo1_data.corpus.video.video import VideoFrame
from fo1_data.proposals.proposer import Proposals
from fo1_data.proposals.video_boxes import FollowedShot
from fo1_data.tracking.shot_tracks import ShotThings, ShotTracks
from fo1_data.tracking.smoothing import smooth
from fo1_data.tracking.trackers import Tracker
from fo1_data.tracking.twins import drop_twins
from fo1_data.tracking.views import measure_views

Detect = Callable[[list[Image.Image]], list[Proposals]]


class ShotFollower(Protocol):
    """Takes the frames of a shot that are looked at, in order, and ends with the things in them."""

    def add(self, frame: VideoFrame) -> None: ...

    def finish(self) -> ShotThings: ...


class DetectedThings:
    """Boxes of a detector, joined by a tracker of this shot, and smoothed.

    every: between the frames that are looked at. batch: frames that the detector is given at once.
    constant_rate: whether the frames of the video are evenly spaced.
    """

    def __init__(
        self, detect: Detect, tracker: Tracker, every: int, batch: int, *, constant_rate: bool
    ) -> None:
        self._detect, self._tracker, self._every, self._batch = detect, tracker, every, batch
        self._constant_rate = constant_rate
        self._tracks = ShotTracks()
        self._waiting: list[VideoFrame] = []

    def add(self, frame: VideoFrame) -> None:
        self._waiting.append(frame)
        if len(self._waiting) >= self._batch:
            self._look()

    def finish(self) -> ShotThings:
        self._look()
        found = self._tracks.finish(self._tracker.confirmed)
        return ShotThings([smooth(thing, self._every) for thing in found.things], found.num_dropped)

    def _look(self) -> None:
        """Find and follow the boxes of the frames that wait."""
        images = [frame.image for frame in self._waiting]
        found = self._detect(images) if images else []
        for frame, proposals in zip(self._waiting, found, strict=True):
            boxes, scores = proposals.boxes_xyxy, proposals.objectness
            scores = np.ones(len(boxes), np.float32) if scores is None else scores
            numbers = self._tracker.update(boxes, scores, None if self._constant_rate else frame.time_s)
            views = measure_views(frame.image, boxes)
            self._tracks.add(frame.number, numbers, boxes, scores, views, proposals.labels)
        self._waiting.clear()


class ModelledThings:
    """What a model of videos follows by itself. Of things that two words name, one is kept.

    twin_iou: how much the boxes of two things overlap that are one.
    """

    def __init__(self, shot: FollowedShot, twin_iou: float) -> None:
        self._shot, self._twin_iou = shot, twin_iou
        self._tracks = ShotTracks()
        self._waiting: deque[VideoFrame] = deque()

    def add(self, frame: VideoFrame) -> None:
        self._waiting.append(frame)
        self._take(self._shot.look(frame.image))

    def finish(self) -> ShotThings:
        self._take(self._shot.finish())
        found = self._tracks.finish()
        return drop_twins(found, self._twin_iou)

    def _take(self, settled: Sequence[Proposals]) -> None:
        """Keep the boxes of the frames that waited longest."""
        for proposals in settled:
            frame = self._waiting.popleft()
            boxes, scores, numbers = proposals.boxes_xyxy, proposals.objectness, proposals.track_ids
            assert scores is not None
            assert numbers is not None
            self._tracks.add(
                frame.number,
                np.array(numbers, np.int64),
                boxes,
                scores,
                measure_views(frame.image, boxes),
                proposals.labels,
                proposals.masks,
            )
