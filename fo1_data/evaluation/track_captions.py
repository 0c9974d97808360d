"""Captions of predicted tracks against gold's, one a track.

A gold track and a predicted one may match if the boxes of the frames that both have overlap by an IoU of 0.5
on the mean. Of all ways to pair them one to one, the one with the most frames of IoU 0.5 or more is taken. A
gold track with a caption (or a label) that no track matches, or whose match has no caption, is not right.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from fo1_data.judging.matching import MATCH_IOU, share
from fo1_data.judging.texts import CaptionMatch, says
from schemas.corpus import GivenTrack

Floats = npt.NDArray[np.float64]
Sides = tuple[Sequence[GivenTrack], Sequence[GivenTrack]]


def score_track_captions(videos: Iterable[Sides], how: CaptionMatch) -> dict[str, object]:
    """The share of gold's tracks with a right caption. `videos`: predicted and gold tracks of each."""
    num = matched = right = 0
    for predicted, gold in videos:
        match_of = match_tracks(predicted, gold)
        for place, track in enumerate(gold):
            if not (track.caption or track.label):
                continue
            num += 1
            match = match_of.get(place)
            if match is None:
                continue
            matched += 1
            caption = predicted[match].caption or predicted[match].label
            right += caption is not None and says(caption, (track.caption, track.label), how)
    return {
        "match": how,
        "right": share(right, num),
        "right_of_matched": share(right, matched),
        "num": num,
        "num_matched": matched,
    }


def match_tracks(predicted: Sequence[GivenTrack], gold: Sequence[GivenTrack]) -> dict[int, int]:
    """For each gold track that has a match, the number of the predicted one."""
    from scipy.optimize import linear_sum_assignment  # comes with the extra `tracks`

    shared = np.zeros((len(gold), len(predicted)))
    for row, gold_track in enumerate(gold):
        for column, track in enumerate(predicted):
            overlaps = _overlaps(gold_track, track)
            if overlaps.size and overlaps.mean() >= MATCH_IOU:
                shared[row, column] = (overlaps >= MATCH_IOU).sum()
    rows, columns = linear_sum_assignment(-shared)
    return {
        int(row): int(column) for row, column in zip(rows, columns, strict=True) if shared[row, column] > 0
    }


def _overlaps(one: GivenTrack, other: GivenTrack) -> Floats:
    """The IoU in each frame that both tracks have."""
    _, places, other_places = np.intersect1d(one.frames, other.frames, return_indices=True)
    boxes = np.asarray(one.boxes_xyxy, np.float64)[places]
    others = np.asarray(other.boxes_xyxy, np.float64)[other_places]
    low, high = np.maximum(boxes[:, :2], others[:, :2]), np.minimum(boxes[:, 2:], others[:, 2:])
    shared = np.maximum(high - low, 0).prod(axis=1)
    union = _areas(boxes) + _areas(others) - shared
    ious: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return ious


def _areas(boxes_xyxy: Floats) -> Floats:
    areas: Floats = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).prod(axis=1)
    return areas
