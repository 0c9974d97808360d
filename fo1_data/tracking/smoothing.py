"""Takes the trembling of a detector out of a track's boxes: each becomes a fit over its neighbours in time.

Over runs of frames without a gap, centres follow a parabola over five frames, sizes a line over seven
(Savitzky-Golay), so that a steady motion stays as it is. Boxes are xyxy in pixels.
"""

from dataclasses import replace

import numpy as np

from fo1_data.tracking.shot_tracks import FollowedThing

_CENTRE_FRAMES, _CENTRE_ORDER = 5, 2
_SIZE_FRAMES, _SIZE_ORDER = 7, 1


def smooth(thing: FollowedThing, every: int) -> FollowedThing:
    """The thing with smooth boxes. every: between the frames that were looked at. Shorter runs than five
    frames stay as they are."""
    from scipy.signal import savgol_filter  # comes with the trackers

    boxes = thing.boxes_xyxy.astype(np.float64)
    ends = np.flatnonzero(np.diff(thing.frames) > every) + 1
    for run in np.split(np.arange(len(boxes)), ends):
        if len(run) < _CENTRE_FRAMES:
            continue
        window = _SIZE_FRAMES if len(run) >= _SIZE_FRAMES else _CENTRE_FRAMES
        centres, sizes = boxes[run, :2] + boxes[run, 2:], boxes[run, 2:] - boxes[run, :2]
        centres = savgol_filter(centres, _CENTRE_FRAMES, _CENTRE_ORDER, axis=0) / 2
        halves = np.maximum(savgol_filter(sizes, window, _SIZE_ORDER, axis=0), 1) / 2
        boxes[run] = np.concatenate([centres - halves, centres + halves], axis=1)
    return replace(thing, boxes_xyxy=boxes.astype(np.float32))
