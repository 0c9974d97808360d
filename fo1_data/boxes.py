"""Arithmetic of boxes: (N, 4) arrays, in pixels of whatever image the caller means.

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


def as_boxes(rows: Iterable[Sequence[float]] | npt.ArrayLike) -> Boxes:
    """Rows of four numbers as (N, 4) float32; (0, 4) where there are none."""
    array = np.asarray(rows if isinstance(rows, np.ndarray) else list(rows), dtype=np.float64)  # type: ignore[arg-type]
    with np.errstate(over="ignore"):  # beyond float32 is infinite, and told as such
        boxes: Boxes = array.reshape(-1, 4).astype(np.float32)
    return boxes


def xyxy_to_xywh(boxes_xyxy: Boxes) -> Boxes:
    """(N, 4) corners to corner and size."""
    return np.concatenate([boxes_xyxy[:, :2], boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]], axis=1)


def xywh_to_xyxy(boxes_xywh: Boxes) -> Boxes:
    """(N, 4) corner and size to corners."""
    return np.concatenate([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]], axis=1)


def cxcywh_to_xyxy(boxes_cxcywh: Boxes) -> Boxes:
    """(N, 4) centre and size to corners."""
    half = boxes_cxcywh[:, 2:] / 2
    return np.concatenate([boxes_cxcywh[:, :2] - half, boxes_cxcywh[:, :2] + half], axis=1)


def xyxy_to_cxcywh(boxes_xyxy: Boxes) -> Boxes:
    """(N, 4) corners to centre and size."""
    low, high = boxes_xyxy[:, :2], boxes_xyxy[:, 2:]
    return np.concatenate([(low + high) / 2, high - low], axis=1)


def scale_boxes(boxes_xyxy: Boxes, from_wh: tuple[int, int], to_wh: tuple[int, int]) -> Boxes:
    """Boxes of an image of `from_wh` pixels in the same image resized to `to_wh`."""
    ratio_w, ratio_h = to_wh[0] / from_wh[0], to_wh[1] / from_wh[1]
    scaled: Boxes = (boxes_xyxy * np.array([ratio_w, ratio_h, ratio_w, ratio_h])).astype(np.float32)
    return scaled


def norm_to_xyxy(boxes_norm: Boxes, image_wh: tuple[int, int]) -> Boxes:
    """Boxes in shares of the image's size to pixels."""
    return scale_boxes(boxes_norm, (1, 1), image_wh)


def clip_boxes(boxes_xyxy: Boxes, image_wh: tuple[int, int]) -> Boxes:
    """Boxes limited to the image; what lies outside ends with no area. NaN stays."""
    width, height = image_wh
    top = np.array([width, height, width, height], dtype=np.float32)
    clipped: Boxes = np.clip(boxes_xyxy, np.float32(0), top)
    return clipped


def areas(boxes_xyxy: Boxes) -> Floats:
    """(N,) areas; 0 for an inverted box."""
    sides = np.maximum(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0)
    result: Floats = sides[:, 0] * sides[:, 1]
    return result


def have_area(boxes_xyxy: Boxes) -> Bools:
    """(N,) true where a box is finite, not inverted and not empty."""
    wide = boxes_xyxy[:, 2] > boxes_xyxy[:, 0]
    high = boxes_xyxy[:, 3] > boxes_xyxy[:, 1]
    return are_finite(boxes_xyxy) & wide & high


def are_finite(boxes_xyxy: Boxes) -> Bools:
    """(N,) true where all four numbers are finite."""
    result: Bools = np.logical_and.reduce(np.isfinite(boxes_xyxy), axis=1)
    return result


def iou_matrix(boxes_xyxy: Boxes, others_xyxy: Boxes) -> Floats:
    """(N, M) intersection over union; 0 where neither box has an area."""
    low = np.maximum(boxes_xyxy[:, None, :2], others_xyxy[None, :, :2])
    high = np.minimum(boxes_xyxy[:, None, 2:], others_xyxy[None, :, 2:])
    sides = np.maximum(high - low, 0)
    shared = sides[..., 0] * sides[..., 1]
    union = areas(boxes_xyxy)[:, None] + areas(others_xyxy)[None, :] - shared
    result: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return result
