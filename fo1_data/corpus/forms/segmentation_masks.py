"""COCO segmentations as masks: compressed or plain run lengths, or polygons of x, y in turn.

A mask is of the whole frame, in pixels.
"""

from typing import Any

import numpy as np

from schemas.regions import MaskRle

_MOST_PIXELS = 2**31
# A ring has three corners at least.
_FEWEST_NUMBERS = 6


def mask_of_segmentation(segmentation: Any, height: int | None, width: int | None) -> MaskRle | None:
    """The mask; None if there is none, if it cannot be read, or for polygons of a frame of unknown size."""
    try:
        if isinstance(segmentation, dict):
            return _mask_of_runs(segmentation)
        if isinstance(segmentation, list) and segmentation and height and width:
            rings = segmentation if isinstance(segmentation[0], list) else [segmentation]
            return _mask_of_rings(rings, height, width)
    except (TypeError, ValueError, KeyError, IndexError, OverflowError, AttributeError):
        pass
    return None


def _mask_of_runs(segmentation: dict[str, Any]) -> MaskRle | None:
    from faster_coco_eval.core import mask as coco  # half a second of imports

    height, width = (int(side) for side in segmentation["size"])
    counts = segmentation["counts"]
    if not 0 < height * width < _MOST_PIXELS or height < 0:
        return None
    if isinstance(counts, str):
        return MaskRle(size=[height, width], counts=counts)
    runs = np.asarray(counts, np.int64)
    if runs.ndim != 1 or (runs < 0).any() or runs.sum() != height * width:
        return None
    return _rle(coco.frPyObjects({"size": [height, width], "counts": runs.tolist()}, height, width))


def _mask_of_rings(rings: list[Any], height: int, width: int) -> MaskRle | None:
    from faster_coco_eval.core import mask as coco

    usable = []
    for ring in rings:
        numbers = np.asarray(ring, np.float64)
        # Filling takes time and memory by the length of the edges.
        near = np.abs(numbers) <= 4 * max(height, width)
        if numbers.ndim != 1 or len(numbers) < _FEWEST_NUMBERS or len(numbers) % 2 or not near.all():
            return None
        usable.append(numbers.tolist())
    return _rle(coco.merge(coco.frPyObjects(usable, height, width)))


def _rle(encoded: dict[str, Any]) -> MaskRle:
    return MaskRle(size=[int(side) for side in encoded["size"]], counts=encoded["counts"].decode("ascii"))
