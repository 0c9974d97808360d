"""How well a frame shows the things in it: numbers of each box, so that no pixels need be kept.

Sizes are in pixels of the frame.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from fo1_data.boxes import Boxes, Floats, areas, clip_boxes

# A crop is looked at in at most about so many rows and columns.
_CROP_PX = 96
_EDGE_PX = 2.0


class Views(NamedTuple):
    """Of N boxes of a frame, (N,) float32 each.

    `area_px`: of the box. `sharpness`: the mean step of brightness between neighbouring pixels of the crop,
    0 to 255. `cut`: 1 where the frame's edge cuts the box, else 0. `covered`: the share of the box that lies
    in other boxes, at most 1.
    """

    area_px: Floats
    sharpness: Floats
    cut: Floats
    covered: Floats

    def take(self, places: npt.NDArray[np.intp]) -> "Views":
        """The views of the boxes at these places."""
        return Views(*(values[places] for values in self))


def measure_views(image: Image.Image, boxes_xyxy: Boxes) -> Views:
    """The views of the boxes (N, 4) of a frame."""
    boxes = clip_boxes(boxes_xyxy, image.size)
    grey = np.asarray(image.convert("L"))
    sharpness = np.array([_sharpness(grey, box) for box in boxes], np.float32)
    return views_of_boxes(boxes, image.size)._replace(sharpness=sharpness)


def views_of_boxes(boxes_xyxy: Boxes, image_wh: tuple[int, int]) -> Views:
    """What boxes (N, 4) tell without pixels; their sharpness counts as 1."""
    edges = np.array([0, 0, *image_wh], np.float32)
    cut = (np.abs(boxes_xyxy - edges) <= _EDGE_PX).any(axis=1).astype(np.float32)
    return Views(areas(boxes_xyxy), np.ones(len(cut), np.float32), cut, _covered(boxes_xyxy))


def _sharpness(grey: npt.NDArray[np.uint8], box: Floats) -> float:
    left, top = np.floor(box[:2]).astype(int)
    right, bottom = np.ceil(box[2:]).astype(int)
    step = max(1, (right - left) // _CROP_PX, (bottom - top) // _CROP_PX)
    crop = grey[top:bottom, left:right].astype(np.int16)
    if min(crop.shape) < 2:
        return 0.0
    steps = np.diff(crop[::step], axis=1), np.diff(crop[:, ::step], axis=0)
    return float(sum(np.abs(step).mean() for step in steps)) / 2


def _covered(boxes: Boxes) -> Floats:
    """The share of each box that lies in the others; what two of them cover counts twice, up to 1."""
    overlap_wh = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:]) - np.maximum(
        boxes[:, None, :2], boxes[None, :, :2]
    )
    shared = np.clip(overlap_wh, 0, None).prod(axis=2)
    np.fill_diagonal(shared, 0)
    share: Floats = np.minimum(shared.sum(axis=1) / np.maximum(areas(boxes), 1e-6), 1).astype(np.float32)
    return share
