"""Tracks that a source gives, in place of what a detector and a tracker find. No frame is decoded for them.

How well a frame shows a thing is measured by its box alone: size, cut by the frame's edge, covered by others.
"""

from collections.abc import Sequence

import numpy as np

from fo1_data.boxes import as_boxes, clip_boxes
from fo1_data.labelling.shot_following import FoundShot
from fo1_data.tracking.shot_tracks import FollowedThing
from fo1_data.tracking.views import Views, views_of_boxes
from schemas.corpus import GivenTrack


def given_shot(tracks: Sequence[GivenTrack], image_wh: tuple[int, int], num_frames: int) -> FoundShot:
    """The whole video as one shot, with a thing for each track, in their order."""
    boxes_of: dict[int, list[tuple[int, int]]] = {}
    for number, track in enumerate(tracks):
        for place, frame in enumerate(track.frames):
            boxes_of.setdefault(frame, []).append((number, place))
    columns = [np.ones((len(track.frames), len(Views._fields)), np.float32) for track in tracks]
    for members in boxes_of.values():
        boxes = as_boxes([tracks[number].boxes_xyxy[place] for number, place in members])
        values = np.stack(views_of_boxes(clip_boxes(boxes, image_wh), image_wh), axis=1)
        for (number, place), row in zip(members, values, strict=True):
            columns[number][place] = row
    things = [_thing(track, of_track) for track, of_track in zip(tracks, columns, strict=True)]
    return FoundShot(0, 0, num_frames - 1, things)


def _thing(track: GivenTrack, columns: "np.ndarray[tuple[int, int], np.dtype[np.float32]]") -> FollowedThing:
    scores = [np.nan if score is None else score for score in track.scores or [None] * len(track.frames)]
    return FollowedThing(
        np.array(track.frames, np.int64),
        as_boxes(track.boxes_xyxy),
        np.array(scores, np.float32),
        Views(*columns.T),
        track.label,
    )
