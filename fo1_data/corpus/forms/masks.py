"""The box around a COCO segmentation: polygons, or a run-length encoded mask.

Pixels, x_min y_min x_max y_max.
"""

from typing import Any

import numpy as np

Box = tuple[float, float, float, float]


def box_of_segmentation(segmentation: Any) -> Box | None:
    """The box around polygons (lists of x, y in turn) or a mask; None if it has no area."""
    try:
        if isinstance(segmentation, dict):
            return _box_of_mask(segmentation)
        return _box_of_polygons(segmentation)
    except (TypeError, ValueError, KeyError, IndexError, OverflowError, AttributeError):
        return None


def _box_of_polygons(polygons: Any) -> Box | None:
    if not isinstance(polygons, list) or not polygons:
        return None
    rings = polygons if isinstance(polygons[0], list) else [polygons]
    points = np.concatenate([np.asarray(ring, dtype=np.float64).reshape(-1, 2) for ring in rings])
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return (left, top, right, bottom) if right > left and bottom > top else None


def _box_of_mask(mask: dict[str, Any]) -> Box | None:
    """Runs of zeros and ones in turn, down the columns of a mask of `size` height, width."""
    height = int(mask["size"][0])
    if height < 1:
        return None
    counts = mask["counts"]
    runs = counts if isinstance(counts, list) else _runs_of_text(counts)
    ends = np.cumsum(np.asarray(runs, dtype=np.int64))
    starts, stops = ends[0::2][: len(ends) // 2], ends[1::2]
    is_run = stops > starts
    starts, last = starts[is_run], stops[is_run] - 1
    if not len(starts):
        return None
    spans = last // height > starts // height
    tops = np.where(spans, 0, starts % height)
    bottoms = np.where(spans, height - 1, last % height)
    left, right = (starts // height).min(), (last // height).max()
    return float(left), float(tops.min()), float(right + 1), float(bottoms.max() + 1)


def _runs_of_text(text: str) -> list[int]:
    """Run lengths of COCO's compressed form: 5 bits a character, and from the third on differences."""
    runs: list[int] = []
    position = 0
    codes = text.encode("ascii")
    while position < len(codes):
        value, shift, more = 0, 0, True
        while more:
            code = codes[position] - 48
            value |= (code & 0x1F) << shift
            more = bool(code & 0x20)
            position += 1
            shift += 5
            if not more and code & 0x10:
                value |= -1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
    return runs
