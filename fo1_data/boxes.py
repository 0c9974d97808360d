"""Arithmetic on boxes: (N, 4) arrays, in pixels of an image that the caller chooses.

`xyxy` is x_min, y_min, x_max, y_max; `xywh` is x_min, y_min, width, height; `cxcywh` is the centre,
width, height; `norm` is divided by the image's width and height. Edges are real numbers, so a box
from 0 to 1 is one pixel wide. Nothing here rounds, sorts corners or drops boxes.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]
# Whole pixels: x_min, y_min, x_max, y_max.
WindowXyxy = tuple[int, int, int, int]


def as_boxes(rows: Iterable[Sequence[float]] | npt.ArrayLike) -> Boxes:
    """Rows of four numbers as (N, 4) float32; no rows give (0, 4)."""
    array = np.asarray(rows if isinstance(rows, np.ndarray) else list(rows), dtype=np.float64)  # type: ignore[arg-type]
    with np.errstate(over="ignore"):  # a number beyond float32 becomes infinite
        boxes: Boxes = array.reshape(-1, 4).astype(np.float32)
    return boxes


def xyxy_to_xywh(boxes_xyxy: Boxes) -> Boxes:
    """(N, 4) corners to corner and size."""
    return np.concatenate([boxes_xyxy[:, :2], boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]], axis=1)


def cxcywh_to_xyxy(boxes_cxcywh: Boxes) -> Boxes:
    """(N, 4) centre and size to corners."""
    half = boxes_cxcywh[:, 2:] / 2
    return np.concatenate([boxes_cxcywh[:, :2] - half, boxes_cxcywh[:, :2] + half], axis=1)


def scale_boxes(boxes_xyxy: Boxes, from_wh: tuple[int, int], to_wh: tuple[int, int]) -> Boxes:
    """Boxes of an image of `from_wh` pixels, after the image is resized to `to_wh` pixels."""
    ratio_w, ratio_h = to_wh[0] / from_wh[0], to_wh[1] / from_wh[1]
    scaled: Boxes = (boxes_xyxy * np.array([ratio_w, ratio_h, ratio_w, ratio_h])).astype(np.float32)
    return scaled


def norm_to_xyxy(boxes_norm: Boxes, image_wh: tuple[int, int]) -> Boxes:
    """Boxes as shares of the image's width and height to pixels."""
    return scale_boxes(boxes_norm, (1, 1), image_wh)


def clip_boxes(boxes_xyxy: Boxes, image_wh: tuple[int, int]) -> Boxes:
    """Boxes clipped to the image; a box outside it gets no area. NaN stays NaN."""
    width, height = image_wh
    upper = np.array([width, height, width, height], dtype=np.float32)
    clipped: Boxes = np.clip(boxes_xyxy, np.float32(0), upper)
    return clipped


def areas(boxes_xyxy: Boxes) -> Floats:
    """(N,) areas; an inverted box has 0."""
    sides = np.maximum(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0)
    result: Floats = sides[:, 0] * sides[:, 1]
    return result


def have_area(boxes_xyxy: Boxes) -> Bools:
    """(N,) whether each box is finite, not inverted and not empty."""
    wide = boxes_xyxy[:, 2] > boxes_xyxy[:, 0]
    high = boxes_xyxy[:, 3] > boxes_xyxy[:, 1]
    return are_finite(boxes_xyxy) & wide & high


def are_finite(boxes_xyxy: Boxes) -> Bools:
    """(N,) whether all four numbers of each box are finite."""
    result: Bools = np.logical_and.reduce(np.isfinite(boxes_xyxy), axis=1)
    return result


def iou_matrix(boxes_xyxy: Boxes, others_xyxy: Boxes) -> Floats:
    """(N, M) intersection over union; 0 if neither box has an area."""
    low = np.maximum(boxes_xyxy[:, None, :2], others_xyxy[None, :, :2])
    high = np.minimum(boxes_xyxy[:, None, 2:], others_xyxy[None, :, 2:])
    sides = np.maximum(high - low, 0)
    intersection = sides[..., 0] * sides[..., 1]
    union = areas(boxes_xyxy)[:, None] + areas(others_xyxy)[None, :] - intersection
    result: Floats = np.divide(intersection, union, out=np.zeros_like(intersection), where=union > 0)
    return result
