"""Captions of predicted tracks against gold's, one a track.

A gold track and a predicted one may match if the boxes of the frames that both have overlap by an IoU of 0.5
on the mean. Of all ways to pair them one to one, the one with the most frames of IoU 0.5 or more is taken. A
gold track with a caption (or a label) that no track matches, or whose match has no caption, is not right.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from fo1_data.evaluation.track_scores import sequence_data
from fo1_data.judging.matching import MATCH_IOU, share
from fo1_data.judging.texts import CaptionMatch, says
from schemas.corpus import GivenTrack

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

    data = sequence_data(predicted, gold)
    shared, overlap, near = (np.zeros((len(gold), len(predicted))) for _ in range(3))
    frames = zip(data["gt_ids"], data["tracker_ids"], data["similarity_scores"], strict=True)
    for rows, columns, ious in frames:
        place = np.ix_(rows, columns)
        shared[place] += 1
        overlap[place] += ious
        near[place] += ious >= MATCH_IOU
    near[overlap < MATCH_IOU * shared] = 0
    rows, columns = linear_sum_assignment(-near)
    return {int(row): int(column) for row, column in zip(rows, columns, strict=True) if near[row, column] > 0}
