"""A track while it is corrected: in which frames its thing is seen, and which of these are keyframes."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from fo1_data.boxes import as_boxes
from schemas.labels import Source, strictest
from schemas.regions import Box
from schemas.tracks import Keyframe, Shot, Track


@dataclass(frozen=True)
class Seen:
    """A thing in a frame: when, where (pixels of the frame as shown), and with which score."""

    time_s: float
    box: Box
    score: float | None


@dataclass
class Thing:
    """A track with its frames by number.

    `begin`: no frame before it is its own. `keyframes`: by frame, with the name of the track in the row.
    `is_changed`: its frames are other ones than those of `track`.
    """

    track: Track
    begin: int
    seen: dict[int, Seen]
    keyframes: dict[int, tuple[Keyframe, str]]
    is_changed: bool = False

    @classmethod
    def of(cls, track: Track) -> "Thing":
        lists = zip(track.times_s, track.boxes_xyxy, track.scores, strict=True)
        seen = {frame: Seen(*of_frame) for frame, of_frame in zip(track.frames, lists, strict=True)}
        keyframes = {keyframe.frame: (keyframe, track.track_id) for keyframe in track.keyframes}
        return cls(track, 0, seen, keyframes)

    def forget(self, frame: int) -> None:
        """The thing is not seen in this frame."""
        del self.seen[frame]
        self.keyframes.pop(frame, None)
        self.is_changed = True

    def finished(self, every: int) -> Track:
        """The track, with lists, gaps and decision made anew. `every`: frames from one look to the next."""
        track = self.track
        if self.is_changed:
            frames = sorted(self.seen)
            step = 1 if track.box_source is Source.CORPUS else every
            track = track.model_copy(
                update={
                    "first_frame": frames[0],
                    "last_frame": frames[-1],
                    "frames": frames,
                    "times_s": [self.seen[frame].time_s for frame in frames],
                    "boxes_xyxy": [self.seen[frame].box for frame in frames],
                    "scores": [self.seen[frame].score for frame in frames],
                    "gaps": [
                        Shot(first_frame=first + 1, last_frame=last - 1)
                        for first, last in pairwise(frames)
                        if last - first > step
                    ],
                    "keyframes": [self.keyframes[frame][0] for frame in sorted(self.keyframes)],
                }
            )
        decision = strictest(label.decision for label in track.all_labels())
        return track if decision == track.decision else track.model_copy(update={"decision": decision})


def is_near(box: Box, other: Box, most_px: float = 0.01) -> bool:
    """Whether two boxes are equal but for rounding."""
    return bool(np.abs(as_boxes([box]) - as_boxes([other])).max() <= most_px)
