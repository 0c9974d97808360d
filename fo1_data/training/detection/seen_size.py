"""The size at which the detector is to see images.

One of its outputs looks at about 120 pixels of its input, so that it does not see where a larger thing ends.
"""

import numpy as np

from fo1_data.proposals.tiny_detector import LONG_EDGE_MAX_PX
from fo1_data.training.detection.samples import BoxedImages

# The median of the boxes' longer sides is to be seen at this size, or smaller.
_SEEN_PX = 96
_LEAST_PX = 128
_MOST_VIEWS = 60


def fitting_long_edge_px(images: BoxedImages) -> int:
    """The long edge to shrink larger images to, 128 to 512 px, by the boxes of at most 60 views."""
    shares: list[float] = []
    for number in images.sample(_MOST_VIEWS):
        view = images.as_it_is(number)
        if view is not None and len(view.boxes_xyxy):
            sides = (view.boxes_xyxy[:, 2:] - view.boxes_xyxy[:, :2]).max(axis=1)
            shares += (sides / max(view.rgb.size)).tolist()
    if not shares:
        return LONG_EDGE_MAX_PX
    fitting = _SEEN_PX / max(float(np.median(shares)), _SEEN_PX / LONG_EDGE_MAX_PX)
    return max(_LEAST_PX, 16 * round(fitting / 16))
