"""Signals of a region's box: how sure the proposer was of it, and how it lies among the others."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fo1_data.boxes import Boxes, areas, as_boxes, iou_matrix

# A side so near to the image's border lies on it: what it shows may go on outside.
_AT_BORDER_PX = 1.0
_ROWS_AT_ONCE = 256


def box_signals(
    boxes_xyxy: Sequence[Sequence[float]],
    image_wh: tuple[int, int],
    objectness: Sequence[float | None],
) -> list[dict[str, float]]:
    """The signals of each box, in pixels of an image of `image_wh`; `objectness` only where it is known."""
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
    found = np.zeros(len(boxes), np.float32)
    for start in range(0, len(boxes), _ROWS_AT_ONCE):
        part = boxes[start : start + _ROWS_AT_ONCE]
        overlaps = iou_matrix(part, boxes)
        overlaps[np.arange(len(part)), np.arange(start, start + len(part))] = 0
        found[start : start + len(part)] = overlaps.max(axis=1)
    return found
