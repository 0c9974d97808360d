"""Shapes that labelling tools draw, as the upright box around each. Frame and unit: those of the input.

A shape without an extent (a point, a line without length) has no box: None. Angles are in degrees, clockwise
as seen on the screen.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from fo1_data.corpus.forms.record_fields import text_of

BoxXyxy = tuple[float, float, float, float]

_LABEL_NAMES = ("label", "class", "category", "name", "type", "object")
_CAPTION_NAMES = ("caption", "description")
_TEXT_NAMES = ("transcription", "text", "ocr")


def numbers(values: Any) -> list[float] | None:
    """The values as finite numbers; None if one of them is not."""
    try:
        result = [float(value) for value in values]
    except (TypeError, ValueError, OverflowError):
        return None
    return result if all(math.isfinite(value) for value in result) else None


def number_of(value: Any) -> float | None:
    """The value as a finite number; None if it is no number (a text of one is none)."""
    found = numbers([value]) if isinstance(value, int | float) and not isinstance(value, bool) else None
    return found[0] if found else None


def rate_of(value: Any) -> float | None:
    """The value as a number of frames a second; None if it is none."""
    rate = number_of(value)
    return rate if rate is not None and rate > 0 else None


def box_around(points: Iterable[Any]) -> BoxXyxy | None:
    """The box around points (x, y)."""
    try:
        pairs = [numbers(point) for point in points]
    except TypeError:
        return None
    if not pairs or any(pair is None or len(pair) < 2 for pair in pairs):
        return None
    xs, ys = zip(*((pair[0], pair[1]) for pair in pairs if pair is not None), strict=True)
    box = (min(xs), min(ys), max(xs), max(ys))
    return box if box[2] > box[0] or box[3] > box[1] else None


def box_of_flat_points(values: Any) -> BoxXyxy | None:
    """The box around points written as x, y, x, y, ..."""
    flat = numbers(values)
    return None if flat is None or len(flat) % 2 else box_around(zip(flat[::2], flat[1::2], strict=True))


def box_of_xywh(values: Any) -> BoxXyxy | None:
    """The box of left, top, width, height."""
    flat = numbers(values)
    if flat is None or len(flat) != 4:
        return None
    left, top, width, height = flat
    return left, top, left + width, top + height


def turned_box(box: BoxXyxy, angle_deg: float, pivot: tuple[float, float]) -> BoxXyxy:
    """The box around `box` turned about `pivot`."""
    if not angle_deg:
        return box
    cos, sin = _cosine_and_sine(angle_deg)
    corners = [(x - pivot[0], y - pivot[1]) for x in box[::2] for y in box[1::2]]
    xs = [pivot[0] + x * cos - y * sin for x, y in corners]
    ys = [pivot[1] + x * sin + y * cos for x, y in corners]
    return min(xs), min(ys), max(xs), max(ys)


def box_of_ellipse(centre: tuple[float, float], radii: tuple[float, float], angle_deg: float = 0) -> BoxXyxy:
    """The box around an ellipse turned about its centre."""
    cos, sin = _cosine_and_sine(angle_deg)
    across, down = math.hypot(radii[0] * cos, radii[1] * sin), math.hypot(radii[0] * sin, radii[1] * cos)
    return centre[0] - across, centre[1] - down, centre[0] + across, centre[1] + down


def _cosine_and_sine(angle_deg: float) -> tuple[float, float]:
    """Not a number for an angle that is none, so that the box is none either."""
    if not math.isfinite(angle_deg):
        return math.nan, math.nan
    return math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))


def texts_of_attributes(
    attributes: Mapping[str, Any], label: str | None = None
) -> tuple[dict[str, str | None], dict[str, Any]]:
    """What a tool's free attributes say as label, caption and text, and the attributes that are neither.

    `label`: what the shape itself is called; no attribute is the label then. Without it that is the attribute
    with a usual name for it (`label`, `class`, ...), or the only attribute.
    """
    rest = dict(attributes)
    texts: dict[str, str | None] = {}
    label_names = _LABEL_NAMES if label is None else ()
    for key, names in (("caption", _CAPTION_NAMES), ("text", _TEXT_NAMES), ("label", label_names)):
        name = next((name for name in rest if name.lower() in names and attribute_text(rest[name])), None)
        texts[key] = attribute_text(rest.pop(name)) if name is not None else None
    if label is not None:
        texts["label"] = label
    elif not any(texts.values()) and len(rest) == 1:
        texts["label"] = attribute_text(rest.popitem()[1])
    return texts, rest


def _ticked(key: Any, value: Any) -> str:
    return str(key) if isinstance(value, bool | int | float) else f"{key}: {value}"


def attribute_text(value: Any) -> str | None:
    """An attribute as text: of check boxes, the names of those that are ticked."""
    if isinstance(value, dict):
        return ", ".join(_ticked(key, part) for key, part in value.items() if part) or None
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or None
    return text_of(value)
