"""Signals of a region's box: the proposer's score, its size, its overlaps and its distance to the border.

Boxes are `xyxy` in absolute pixels of the EXIF-oriented image.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fo1_data.boxes import Boxes, areas, as_boxes, iou_matrix

# A side this close to the image's border lies on it: the object may continue outside the image.
_AT_BORDER_PX = 1.0
_BOXES_PER_BLOCK = 256


def box_signals(
    boxes_xyxy: Sequence[Sequence[float]],
    image_wh: tuple[int, int],
    objectness: Sequence[float | None],
) -> list[dict[str, float]]:
    """The signals of each box. `objectness`: the proposer's scores; None gives no `objectness` signal."""
    boxes = as_boxes(boxes_xyxy)
    width, height = image_wh
    shares = areas(boxes) / max(width * height, 1)
    overlaps = _largest_overlaps(boxes)
    low, high = boxes[:, :2], np.array([width, height], np.float32) - boxes[:, 2:]
    sides = (np.concatenate([low, high], axis=1) <= _AT_BORDER_PX).sum(axis=1)
    return [
        {
            **({"objectness": float(score)} if score is not None else {}),
            "area_share": float(shares[index]),
            "overlap_max": float(overlaps[index]),
            "border_sides": float(sides[index]),
        }
        for index, score in enumerate(objectness)
    ]


def _largest_overlaps(boxes: Boxes) -> npt.NDArray[np.float32]:
    """(N,) the largest IoU of each box with any other; 0 for a lone box."""
    largest = np.zeros(len(boxes), np.float32)
    for start in range(0, len(boxes), _BOXES_PER_BLOCK):
        block = boxes[start : start + _BOXES_PER_BLOCK]
        overlaps = iou_matrix(block, boxes)
        overlaps[np.arange(len(block)), np.arange(start, start + len(block))] = 0
        largest[start : start + len(block)] = overlaps.max(axis=1)
    return largest
