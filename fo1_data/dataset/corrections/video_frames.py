"""The frames of one video while its tracks are corrected: their shots, their times and what lies inside them.

Frames count from 0. Boxes: pixels of the frame as shown, float32.
"""

from collections.abc import Mapping

import numpy as np

from fo1_data.boxes import as_boxes, clip_boxes, have_area
from schemas.regions import Box
from schemas.tracks import VideoRow


class VideoFrames:
    """The frames of a video. times_s: of those frames whose time is known."""

    def __init__(self, video: VideoRow, times_s: Mapping[int, float]) -> None:
        self._video, self._times_s = video, times_s

    def shot_of(self, frame: int) -> int | None:
        """The number of the shot that holds a frame."""
        numbers = (number for number in range(len(self._video.shots)) if self.is_in_shot(number, frame))
        return next(numbers, None)

    def is_in_shot(self, number: int, frame: int) -> bool:
        """Whether the shot of this number, if there is one, holds a frame."""
        shots = self._video.shots
        return number < len(shots) and shots[number].first_frame <= frame <= shots[number].last_frame

    def clipped(self, box: Box) -> Box:
        """The part of a box that is inside the frame; it may have no area."""
        clipped = clip_boxes(as_boxes([box]), (self._video.width, self._video.height))
        x_min, y_min, x_max, y_max = clipped[0].tolist()
        return x_min, y_min, x_max, y_max

    def inside(self, box: Box) -> Box | None:
        """A box as it is stored, clipped; None if no part of it is inside the frame."""
        clipped = self.clipped(box)
        return clipped if have_area(as_boxes([clipped]))[0] else None

    def time_s(self, frame: int, said_s: float | None) -> float:
        """The time of a frame: as known, as said, or by the rate; between known ones if the rate varies."""
        if frame in self._times_s:
            return self._times_s[frame]
        if said_s is not None:
            return said_s
        if self._video.constant_rate or not self._times_s:
            return frame / self._video.fps if self._video.fps > 0 else 0.0
        frames = sorted(self._times_s)
        return float(np.interp(frame, frames, [self._times_s[number] for number in frames]))
