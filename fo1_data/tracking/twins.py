"""Leaves out things that were followed twice, because two words name them. Boxes are xyxy in pixels."""

import numpy as np

from fo1_data.boxes import Floats, areas
from fo1_data.tracking.shot_tracks import FollowedThing, ShotThings

# How much the boxes of one thing overlap in a frame, where no setting says it.
DEFAULT_TWIN_IOU = 0.7
# Two things are one if they overlap in this share of the frames of the shorter one.
_SHARE = 0.5


def drop_twins(found: ShotThings, least_iou: float) -> ShotThings:
    """The things without those that are the same as a longer one, or a surer one of equal length, under
    another label; their boxes count as dropped. least_iou: how much boxes of one thing overlap in a frame."""
    strongest = sorted(found.things, key=lambda thing: (-len(thing.frames), -float(thing.scores.mean())))
    kept: list[FollowedThing] = []
    num_dropped = found.num_dropped
    for thing in strongest:
        if any(other.label != thing.label and _is_twin(thing, other, least_iou) for other in kept):
            num_dropped += len(thing.frames)
        else:
            kept.append(thing)
    return ShotThings(sorted(kept, key=lambda thing: int(thing.frames[0])), num_dropped)


def _is_twin(thing: FollowedThing, longer: FollowedThing, least_iou: float) -> bool:
    _, of_thing, of_longer = np.intersect1d(
        thing.frames, longer.frames, assume_unique=True, return_indices=True
    )
    overlaps = _ious(thing.boxes_xyxy[of_thing], longer.boxes_xyxy[of_longer])
    return int((overlaps >= least_iou).sum()) >= _SHARE * len(thing.frames)


def _ious(first: Floats, second: Floats) -> Floats:
    """The IoU (N,) of each box of the first (N, 4) with the one at its place in the second."""
    overlap_wh = np.minimum(first[:, 2:], second[:, 2:]) - np.maximum(first[:, :2], second[:, :2])
    shared = np.clip(overlap_wh, 0, None).prod(axis=1)
    ious: Floats = shared / np.maximum(areas(first) + areas(second) - shared, 1e-6)
    return ious
