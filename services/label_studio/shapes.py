"""Shapes of Label Studio: x, y, width, height in percent of the EXIF-oriented image.

Only this file knows that frame; everywhere else boxes are pixels. Pure functions.
"""

import math
from collections.abc import Mapping
from typing import Any

from schemas.regions import Box

_MAX_NUMBER = 1e9


def box_to_percent(box_xyxy: Box, width: int, height: int) -> dict[str, float]:
    """Convert a box in pixels to Label Studio's x, y, width, height in percent, inside the image."""
    x_min, y_min, x_max, y_max = box_xyxy
    left, top = _clamp(x_min / width * 100), _clamp(y_min / height * 100)
    right, bottom = _clamp(x_max / width * 100), _clamp(y_max / height * 100)
    return {"x": left, "y": top, "width": right - left, "height": bottom - top}


def percent_to_box(value: Mapping[str, Any], width: int, height: int) -> Box | None:
    """Convert Label Studio's box to pixels, clipped to the image; None if nothing of it is inside.

    A rotated box (degrees clockwise about its corner) becomes the upright box around it.
    """
    left, top = number_of(value.get("x")), number_of(value.get("y"))
    box_width, box_height = number_of(value.get("width")), number_of(value.get("height"))
    degrees = number_of(value.get("rotation") or 0.0)
    if left is None or top is None or box_width is None or box_height is None or degrees is None:
        return None
    x, y = left * width / 100, top * height / 100
    w, h = box_width * width / 100, box_height * height / 100
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    corners = [(x + a * cos - b * sin, y + a * sin + b * cos) for a in (0.0, w) for b in (0.0, h)]
    xs, ys = [corner[0] for corner in corners], [corner[1] for corner in corners]
    box = (
        _within(min(xs), width),
        _within(min(ys), height),
        _within(max(xs), width),
        _within(max(ys), height),
    )
    return box if box[2] > box[0] and box[3] > box[1] else None


def shape_to_box(value: Mapping[str, Any], width: int, height: int) -> Box | None:
    """Convert a rectangle, polygon or ellipse to the box around it; None if part of it cannot be read."""
    if (points := value.get("points") or value.get("vertices")) is not None:
        around = _around_points(points)
    elif "radiusX" in value:
        around = _around_ellipse(value, width, height)
    else:
        return percent_to_box(value, width, height)
    return None if around is None else percent_to_box(around, width, height)


def _around_points(points: Any) -> dict[str, float] | None:
    pairs = [_point(point) for point in points] if isinstance(points, list) else []
    xs, ys = [number_of(x) for x, _ in pairs], [number_of(y) for _, y in pairs]
    numbers_x, numbers_y = [x for x in xs if x is not None], [y for y in ys if y is not None]
    if not numbers_x or len(numbers_x) + len(numbers_y) < 2 * len(pairs):
        return None
    x, y = min(numbers_x), min(numbers_y)
    return {"x": x, "y": y, "width": max(numbers_x) - x, "height": max(numbers_y) - y}


def _point(point: Any) -> tuple[Any, Any]:
    if isinstance(point, dict):
        return point.get("x"), point.get("y")
    return (point[0], point[1]) if isinstance(point, list) and len(point) > 1 else (None, None)


def _around_ellipse(value: Mapping[str, Any], width: int, height: int) -> dict[str, float] | None:
    x, y = number_of(value.get("x")), number_of(value.get("y"))
    x_radius, y_radius = number_of(value.get("radiusX")), number_of(value.get("radiusY"))
    degrees = number_of(value.get("rotation") or 0.0)
    if x is None or y is None or x_radius is None or y_radius is None or degrees is None:
        return None
    angle, a, b = math.radians(degrees), x_radius * width, y_radius * height
    half_width = math.hypot(a * math.cos(angle), b * math.sin(angle)) / width
    half_height = math.hypot(a * math.sin(angle), b * math.cos(angle)) / height
    return {"x": x - half_width, "y": y - half_height, "width": 2 * half_width, "height": 2 * half_height}


def number_of(value: Any) -> float | None:
    """Return a number of a result; None for what is none, and for one that no coordinate can be."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MAX_NUMBER
    return float(value) if is_number else None


def _clamp(percent: float) -> float:
    return min(max(percent, 0.0), 100.0)


def _within(value: float, maximum: int) -> float:
    return min(max(value, 0.0), float(maximum))
