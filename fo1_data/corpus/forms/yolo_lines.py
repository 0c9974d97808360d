"""Lines of YOLO label files. All numbers after the class are shares of the image's width and height.

    class cx cy w h                        a box
    class cx cy w h confidence             a box of a prediction
    class cx cy w h confidence track       the same, tracked: the last is a whole number
    class cx cy w h x y [visibility] ...   key points after a box: if the YAML says so, or if every third
                                           number is 0, 1 or 2
    class x y x y x y ...                  a polygon; the box around it is kept

Key points without visibility look like a polygon, as which Ultralytics reads them too without `kpt_shape` in
the YAML. Confidence, track and key points go to the region's meta.
"""

from typing import Any

import numpy as np

from fo1_data.boxes import as_boxes, cxcywh_to_xyxy
from schemas.corpus import CorpusRegion

# Annotation tools round; Ultralytics allows the same.
_TOLERANCE = 0.01
_VISIBILITIES = (0.0, 1.0, 2.0)


class NotShares(ValueError):
    """A line whose numbers are not shares of the image."""


def region_of_line(
    fields: list[str], names: dict[int, str], has_keypoints: bool
) -> tuple[CorpusRegion, dict[str, Any]]:
    """The region of a line split at spaces, and its meta. Raises ValueError, and NotShares for pixels."""
    index = float(fields[0])
    if not index.is_integer() or index < 0:
        raise ValueError("the class is not a whole number")
    values = [float(field) for field in fields[1:]]
    meta: dict[str, Any] = {}
    if len(values) == 4:
        pass
    elif len(values) == 5:
        meta = {"confidence": values[4]}
    elif _is_track(fields[1:], values):
        meta = {"confidence": values[4], "track_id": fields[6]}
    elif len(values) > 5 and (has_keypoints or _has_keypoints(values)):
        meta = {"keypoints": values[4:]}
    elif len(values) >= 6 and len(values) % 2 == 0:
        return _region(_around(values), index, names), {}
    else:
        raise ValueError("neither a box nor points")
    _check_shares(values[:4])
    return _region(cxcywh_to_xyxy(as_boxes([values[:4]]))[0], index, names), meta


def _region(box: Any, index: float, names: dict[int, str]) -> CorpusRegion:
    left, top, right, bottom = (float(value) for value in box)
    label = names.get(int(index), str(int(index)))
    return CorpusRegion(box_xyxy=(left, top, right, bottom), label=label)


def _around(values: list[float]) -> Any:
    _check_shares(values)
    points = np.array(values, dtype=np.float32).reshape(-1, 2)
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def _check_shares(values: list[float]) -> None:
    if not all(-_TOLERANCE <= value <= 1 + _TOLERANCE for value in values):
        raise NotShares("beyond 0..1")


def _is_track(fields: list[str], values: list[float]) -> bool:
    """Whether six numbers are a box, a confidence and a track (a whole number) and not three points."""
    if len(values) != 6 or not fields[5].isdigit():
        return False
    return values[5] > 1 + _TOLERANCE or _is_box_inside(values)


def _is_box_inside(values: list[float]) -> bool:
    left, top, right, bottom = cxcywh_to_xyxy(as_boxes([values[:4]]))[0].tolist()
    low, high = -_TOLERANCE, 1 + _TOLERANCE
    return bool(low <= left < right <= high and low <= top < bottom <= high)


def _has_keypoints(values: list[float]) -> bool:
    """Whether what follows the first four numbers are key points of their box and not more of a polygon."""
    rest = values[4:]
    is_flagged = len(rest) % 3 == 0 and all(flag in _VISIBILITIES for flag in rest[2::3])
    return is_flagged and _is_box_inside(values)
