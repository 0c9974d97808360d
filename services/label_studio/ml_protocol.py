"""The ML backend protocol of Label Studio: its requests to live questions, answers to its results. Pure.

A drawn box is captioned; a clicked point is the smallest proposed box around it; a text is a phrase whose
regions are found; nothing drawn: every proposed box is captioned. Percent is Label Studio's frame.
"""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from schemas.labels import LabelKind
from schemas.live import LiveAnswer, LiveQuestion
from schemas.regions import Box, Region
from services.label_studio.convert import box_to_percent
from services.label_studio.labelling_config import CAPTION, COMMENT, COUNTS, TEXT_FIELDS

_SMALLEST = 1e-3
# What people write into the other fields of a review is not a phrase to look for.
_NO_PHRASES = {CAPTION, COUNTS, COMMENT, *TEXT_FIELDS.values()}


@dataclass(frozen=True)
class ControlNames:
    """What the project's labelling configuration calls its controls; `caption` is of a region."""

    image_key: str = "image"
    image: str = "image"
    box: str = "box"
    label: str = "region"
    caption: str = "brief_caption"


@dataclass(frozen=True)
class Drawn:
    """What the person drew or wrote, in percent: boxes, a point, a phrase."""

    boxes: tuple[tuple[float, float, float, float], ...] = ()
    point: tuple[float, float] | None = None
    phrase: str | None = None

    @property
    def is_nothing(self) -> bool:
        return not self.boxes and self.point is None and self.phrase is None


def names_of(label_config: str) -> ControlNames:
    """The names in a labelling configuration; our own where it tells none."""
    found = ControlNames()
    if "<!" in label_config:  # no entities, no document type
        return found
    try:
        root = ElementTree.fromstring(label_config)
    except ElementTree.ParseError:
        return found
    image, box = root.find(".//Image"), root.find(".//RectangleLabels")
    label = box.find("Label") if box is not None else None
    captions = [area for area in root.iter("TextArea") if area.get("perRegion") == "true"]
    return ControlNames(
        image_key=(image.get("value", "$image") if image is not None else "$image").lstrip("$"),
        image=image.get("name", found.image) if image is not None else found.image,
        box=box.get("name", found.box) if box is not None else found.box,
        label=label.get("value", found.label) if label is not None else found.label,
        caption=captions[0].get("name", found.caption) if captions else found.caption,
    )


def drawn_in(context: dict[str, Any] | None) -> Drawn:
    """What the last gesture of the person was; results that are no gesture are passed over."""
    results = (context or {}).get("result")
    boxes, point, phrase = [], None, None
    for result in results if isinstance(results, list) else []:
        value = result.get("value") if isinstance(result, dict) else None
        if not isinstance(value, dict):
            continue
        numbers = [value.get(name) for name in ("x", "y", "width", "height")]
        kind = str(result.get("type", ""))
        if kind.startswith("rectangle") and all(isinstance(number, int | float) for number in numbers):
            x, y, width, height = (float(number or 0) for number in numbers)
            boxes.append((x, y, x + width, y + height))
        elif kind.startswith("keypoint") and all(isinstance(n, int | float) for n in numbers[:2]):
            point = (float(numbers[0] or 0), float(numbers[1] or 0))
        elif kind == "textarea" and value.get("text") and result.get("from_name") not in _NO_PHRASES:
            text = value["text"]
            phrase = str(text[-1] if isinstance(text, list) else text).strip()[:500] or None
    return Drawn(tuple(boxes[-20:]), point, phrase)


def question_for(drawn: Drawn, width: int, height: int) -> LiveQuestion | None:
    """The live question of a gesture on an image of these pixels; None where its boxes have no area."""
    if drawn.phrase is not None:
        return LiveQuestion(kinds=[LabelKind.GROUND], phrases=[drawn.phrase])
    if drawn.boxes:
        boxes = [box for one in drawn.boxes if (box := _box(one, width, height)) is not None]
        return LiveQuestion(kinds=[LabelKind.BRIEF_CAPTION], boxes_xyxy=boxes) if boxes else None
    return LiveQuestion(kinds=[LabelKind.BRIEF_CAPTION])


def results_of(answer: LiveAnswer, drawn: Drawn, names: ControlNames) -> list[dict[str, Any]]:
    """The results that Label Studio shows: a box and its caption share an id."""
    results: list[dict[str, Any]] = []
    for region, text in _shown(answer, drawn):
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


def _shown(answer: LiveAnswer, drawn: Drawn) -> Iterator[tuple[Region, str]]:
    regions = {region.region_id: region for region in answer.regions}
    if drawn.phrase is not None:
        for grounding in answer.groundings:
            yield from ((regions[one], grounding.phrase) for one in grounding.region_ids if one in regions)
    elif drawn.point is not None and not drawn.boxes:
        x, y = drawn.point[0] * answer.width / 100, drawn.point[1] * answer.height / 100
        around = [one for one in answer.regions if _holds(one.box_xyxy, x, y)]
        if around:
            smallest = min(around, key=lambda one: _area(one.box_xyxy))
            yield smallest, smallest.brief_caption or ""
    else:
        yield from ((region, region.brief_caption or "") for region in answer.regions)


def _box(percent: tuple[float, float, float, float], width: int, height: int) -> Box | None:
    scales = (width / 100, height / 100, width / 100, height / 100)
    x0, y0, x1, y1 = (
        min(max(value * scale, 0.0), scale * 100) for value, scale in zip(percent, scales, strict=True)
    )
    return (x0, y0, x1, y1) if x1 - x0 > _SMALLEST and y1 - y0 > _SMALLEST else None


def _holds(box: Box, x: float, y: float) -> bool:
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
