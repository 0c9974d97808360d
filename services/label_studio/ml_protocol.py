"""The ML backend protocol of Label Studio: converts its requests to live questions, and answers to results.

A drawn box is captioned. A clicked point selects the smallest proposed box around it. A text is a phrase
whose regions are found. If nothing is drawn, every proposed box is captioned. Boxes in percent are in Label
Studio's frame. Pure functions.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from schemas.labels import LabelKind
from schemas.live import LiveAnswer, LiveQuestion
from schemas.regions import Box, Region
from services.label_studio.labelling_config import CAPTION, COMMENT, COUNTS, TEXT_FIELDS
from services.label_studio.shapes import box_to_percent, number_of, percent_to_box

_MIN_SIDE_PX = 1e-3
# Text in the other fields of a review is not a phrase to look for.
_NOT_PHRASES = {CAPTION, COUNTS, COMMENT, *TEXT_FIELDS.values()}


@dataclass(frozen=True)
class ControlNames:
    """Names of the controls in a project's labelling configuration. `caption`: of a region."""

    image_key: str = "image"
    image: str = "image"
    box: str = "box"
    label: str = "region"
    caption: str = "brief_caption"


@dataclass(frozen=True)
class DrawnBox:
    """A box in percent, turned by `degrees` clockwise about its corner at x, y."""

    x: float
    y: float
    width: float
    height: float
    degrees: float = 0.0


@dataclass(frozen=True)
class Gesture:
    """What the person drew or wrote: boxes and a point in percent, a phrase."""

    boxes: tuple[DrawnBox, ...] = ()
    point: tuple[float, float] | None = None
    phrase: str | None = None

    @property
    def is_empty(self) -> bool:
        return not self.boxes and self.point is None and self.phrase is None


def parse_control_names(label_config: str) -> ControlNames:
    """Return the names in a labelling configuration; names it lacks are those of our own configuration."""
    names = ControlNames()
    if "<!" in label_config:  # refuse entities and document types
        return names
    try:
        root = ElementTree.fromstring(label_config)
    except (ElementTree.ParseError, UnicodeEncodeError):
        return names
    image, box = root.find(".//Image"), root.find(".//RectangleLabels")
    label = box.find("Label") if box is not None else None
    captions = [area for area in root.iter("TextArea") if area.get("perRegion") == "true"]
    return ControlNames(
        image_key=(image.get("value", "$image") if image is not None else "$image").lstrip("$"),
        image=image.get("name", names.image) if image is not None else names.image,
        box=box.get("name", names.box) if box is not None else names.box,
        label=label.get("value", names.label) if label is not None else names.label,
        caption=captions[0].get("name", names.caption) if captions else names.caption,
    )


def parse_gesture(context: dict[str, Any] | None) -> Gesture:
    """Return the last gesture of the person in a request's context; other results are ignored."""
    results = (context or {}).get("result")
    boxes: list[DrawnBox] = []
    point, phrase = None, None
    for result in results if isinstance(results, list) else []:
        value = result.get("value") if isinstance(result, dict) else None
        if not isinstance(value, dict):
            continue
        kind = str(result.get("type", ""))
        if kind.startswith("rectangle"):
            boxes += _drawn(value)
        elif kind.startswith("keypoint"):
            x, y = number_of(value.get("x")), number_of(value.get("y"))
            point = (x, y) if x is not None and y is not None else point
        elif kind == "textarea" and value.get("text") and result.get("from_name") not in _NOT_PHRASES:
            text = value["text"]
            phrase = _whole(str(text[-1] if isinstance(text, list) else text)).strip()[:500] or None
    return Gesture(tuple(boxes[-20:]), point, phrase)


def _drawn(value: dict[str, Any]) -> list[DrawnBox]:
    """Return the box of a result in percent; none if it has no place that can be."""
    x, y, width, height = (number_of(value.get(name)) for name in ("x", "y", "width", "height"))
    degrees = number_of(value.get("rotation") or 0.0)
    if x is None or y is None or width is None or height is None or degrees is None:
        return []
    return [DrawnBox(x, y, width, height, degrees)]


def _whole(text: str) -> str:
    """Return a text without halves of surrogate pairs, which no question may hold."""
    return text.encode("utf-8", "ignore").decode()


def question_for(gesture: Gesture, width: int, height: int) -> LiveQuestion | None:
    """Return the live question of a gesture on an image of this size; None if its boxes have no area."""
    if gesture.phrase is not None:
        return LiveQuestion(kinds=[LabelKind.GROUND], phrases=[gesture.phrase])
    if gesture.boxes:
        boxes = [box for drawn in gesture.boxes if (box := _box(drawn, width, height)) is not None]
        return LiveQuestion(kinds=[LabelKind.BRIEF_CAPTION], boxes_xyxy=boxes) if boxes else None
    return LiveQuestion(kinds=[LabelKind.BRIEF_CAPTION])


def results_of(answer: LiveAnswer, gesture: Gesture, names: ControlNames) -> list[dict[str, Any]]:
    """Return the results that Label Studio shows: a box and its caption share an id."""
    results: list[dict[str, Any]] = []
    for region, text in _shown(answer, gesture):
        percent = box_to_percent(region.box_xyxy, answer.width, answer.height)
        shared = {
            "id": uuid.uuid4().hex[:10],
            "to_name": names.image,
            "original_width": answer.width,
            "original_height": answer.height,
            "image_rotation": 0,
        }
        place = {**percent, "rotation": 0}
        results.append(
            {
                **shared,
                "from_name": names.box,
                "type": "rectanglelabels",
                "value": {**place, "rectanglelabels": [names.label]},
            }
        )
        if text:
            value = {**place, "text": [text]}
            results.append({**shared, "from_name": names.caption, "type": "textarea", "value": value})
    return results


def _shown(answer: LiveAnswer, gesture: Gesture) -> Iterator[tuple[Region, str]]:
    regions = {region.region_id: region for region in answer.regions}
    if gesture.phrase is not None:
        for grounding in answer.groundings:
            yield from (
                (regions[region_id], grounding.phrase)
                for region_id in grounding.region_ids
                if region_id in regions
            )
    elif gesture.point is not None and not gesture.boxes:
        x, y = gesture.point[0] * answer.width / 100, gesture.point[1] * answer.height / 100
        around = [region for region in answer.regions if _contains(region.box_xyxy, x, y)]
        if around:
            smallest = min(around, key=lambda region: _area(region.box_xyxy))
            yield smallest, smallest.brief_caption or ""
    else:
        yield from ((region, region.brief_caption or "") for region in answer.regions)


def _box(drawn: DrawnBox, width: int, height: int) -> Box | None:
    """The upright box around a drawn one, in pixels; None if it has no area in the image."""
    value = {name: getattr(drawn, name) for name in ("x", "y", "width", "height")}
    box = percent_to_box(value | {"rotation": drawn.degrees}, width, height)
    if box is None or min(box[2] - box[0], box[3] - box[1]) <= _MIN_SIDE_PX:
        return None
    return box


def _contains(box: Box, x: float, y: float) -> bool:
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
