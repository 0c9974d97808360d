"""Converts between what is shown and Label Studio: LsTasks with predictions, results of annotations.

Label Studio's boxes are x, y, width, height in percent of the EXIF-oriented image; only this file knows
that frame. Box, texts, phrases and verdict of a region share one result id: its `mark`. Pure functions.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.labels import LabelKind
from schemas.regions import Box, numbered_id
from services.label_studio.answers import answer_entries, parse_answers
from services.label_studio.labelling_config import (
    ANSWERS,
    BOX,
    CAPTION,
    COMMENT,
    COUNTS,
    FIND,
    IMAGE,
    LABEL,
    PHRASES,
    RIGHT,
    TEXT_FIELDS,
    VERDICT,
    WRONG,
)
from services.label_studio.shown import ShownCount, ShownImage, ShownPhrase, ShownRegion, box_words

KEY = "fo1_key"
_KIND_OF_FIELD = {name: kind for kind, name in TEXT_FIELDS.items()}
_SHAPES = ("rectangle", "polygon", "ellipse")
_CONTROLS = {BOX, VERDICT, PHRASES, CAPTION, COUNTS, ANSWERS, COMMENT, FIND, *_KIND_OF_FIELD}


@dataclass
class AnnotatedRegion:
    """A region of an annotation. `phrases`: aliases of the phrases that name it.

    `label`: a class that somebody gave it with a control or label of their own; None: none.
    """

    box_xyxy: Box
    texts: dict[LabelKind, str] = field(default_factory=dict)
    verdict: bool | None = None
    phrases: frozenset[str] = frozenset()
    label: str | None = None


@dataclass
class ParsedAnnotation:
    """A parsed annotation: regions by result id, and the texts of the whole image.

    `answers`: by index in `ShownImage.answers`, as `parse_answers` returns them. `not_read`: controls, which
    somebody added to the project, with results that have no form here.
    """

    regions: dict[str, AnnotatedRegion] = field(default_factory=dict)
    caption: str | None = None
    counts: str | None = None
    answers: dict[int, str] = field(default_factory=dict)
    comment: str | None = None
    not_read: list[str] = field(default_factory=list)


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
    left, top = _number(value.get("x")), _number(value.get("y"))
    box_width, box_height = _number(value.get("width")), _number(value.get("height"))
    if left is None or top is None or box_width is None or box_height is None:
        return None
    x, y = left * width / 100, top * height / 100
    w, h = box_width * width / 100, box_height * height / 100
    angle = math.radians(_number(value.get("rotation")) or 0.0)
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


def _shape_to_box(value: Mapping[str, Any], width: int, height: int) -> Box | None:
    """Convert a rectangle, polygon or ellipse to the box around it; None if there is none."""
    points = value.get("points") or value.get("vertices")
    if isinstance(points, list):
        pairs = [(p.get("x"), p.get("y")) if isinstance(p, dict) else tuple(p)[:2] for p in points]
        xs, ys = [_number(x) for x, _ in pairs], [_number(y) for _, y in pairs]
        numbers_x, numbers_y = [x for x in xs if x is not None], [y for y in ys if y is not None]
        if not numbers_x or not numbers_y:
            return None
        x, y = min(numbers_x), min(numbers_y)
        around = {"x": x, "y": y, "width": max(numbers_x) - x, "height": max(numbers_y) - y}
        return percent_to_box(around, width, height)
    x_radius, y_radius = _number(value.get("radiusX")), _number(value.get("radiusY"))
    x_centre, y_centre = _number(value.get("x")), _number(value.get("y"))
    if None not in (x_radius, y_radius, x_centre, y_centre):
        angle = math.radians(_number(value.get("rotation")) or 0.0)
        a, b = x_radius * width, y_radius * height  # type: ignore[operator]
        half_width = math.hypot(a * math.cos(angle), b * math.sin(angle)) / width
        half_height = math.hypot(a * math.sin(angle), b * math.cos(angle)) / height
        around = {
            "x": x_centre - half_width,  # type: ignore[operator]
            "y": y_centre - half_height,  # type: ignore[operator]
            "width": 2 * half_width,
            "height": 2 * half_height,
        }
        return percent_to_box(around, width, height)
    return percent_to_box(value, width, height)


def phrase_aliases(shown: ShownImage) -> list[str]:
    """Return the alias of every phrase, by which results name it."""
    return [f"p{index}" for index in range(len(shown.phrases))]


def counts_text(counts: Sequence[ShownCount]) -> str:
    """Return the counts as a reviewer edits them: one per line."""
    return "\n".join(f"{part.phrase} = {part.count}" for part in counts)


def ls_task(shown: ShownImage, fo1_key: str, image_url: str, model_version: str) -> dict[str, Any]:
    """Return the LsTask of one item: its data, and one prediction with everything that is shown."""
    data = {
        "image": image_url,
        KEY: fo1_key,
        "image_id": shown.image_id,
        "title": shown.title,
        "why": _why(shown),
        "phrases": _phrase_choices(shown),
    }
    score = min(max(shown.score, 0.0), 1.0)
    prediction = {"model_version": model_version, "score": score, "result": result_of(shown)}
    return {"data": data, "predictions": [prediction]}


def result_of(shown: ShownImage) -> list[dict[str, Any]]:
    """Return what is shown as the result list of a prediction."""
    aliases = phrase_aliases(shown)
    results: list[dict[str, Any]] = []
    for region in shown.regions:
        phrases = [
            alias for alias, part in zip(aliases, shown.phrases, strict=True) if region.mark in part.marks
        ]
        results += _region_results(shown, region, phrases)
    if shown.caption:
        results.append(_image_result("caption", CAPTION, [shown.caption]))
    if shown.counts:
        results.append(_image_result("counts", COUNTS, [counts_text(shown.counts)]))
    if shown.answers:
        results.append(_image_result("answers", ANSWERS, answer_entries(shown)))
    return results


def _region_results(shown: ShownImage, region: ShownRegion, phrases: list[str]) -> list[dict[str, Any]]:
    box_value = box_to_percent(region.box_xyxy, shown.width, shown.height) | {"rotation": 0}
    frame = {"original_width": shown.width, "original_height": shown.height, "image_rotation": 0}
    common = {"id": region.mark, "to_name": IMAGE, **frame}
    box: dict[str, Any] = {
        **common,
        "from_name": BOX,
        "type": "rectanglelabels",
        "value": {**box_value, "rectanglelabels": [LABEL]},
    }
    if region.reasons:
        box["meta"] = {"text": region.reasons}
    results = [box]
    for kind, text in region.texts.items():
        # In the list of regions, a field has one line: a browser would take line breaks out of it.
        text = one_line(text) if kind is LabelKind.BRIEF_CAPTION else text
        if text:
            value = {**box_value, "text": [text]}
            results.append({**common, "from_name": TEXT_FIELDS[kind], "type": "textarea", "value": value})
    if phrases:
        value = {**box_value, "choices": phrases}
        results.append({**common, "from_name": PHRASES, "type": "choices", "value": value})
    return results


def one_line(text: str) -> str:
    """Return a text with spaces for its line breaks."""
    return " ".join(text.splitlines())


def _image_result(result_id: str, name: str, entries: list[str]) -> dict[str, Any]:
    value = {"text": entries}
    return {"id": result_id, "to_name": IMAGE, "from_name": name, "type": "textarea", "value": value}


def _phrase_choices(shown: ShownImage) -> list[dict[str, str]]:
    """Return the phrases to tick. Phrases with equal text are distinguished by kind and alias."""
    boxes = box_words(shown)
    texts = [_phrase_text(part, boxes) for part in shown.phrases]
    aliases = phrase_aliases(shown)
    longer = [f"{text} ({part.kind.value.replace('_', ' ')}, {alias})"
              for text, part, alias in zip(texts, shown.phrases, aliases, strict=True)]  # fmt: skip
    uses = Counter([*texts, *longer])
    unique = [
        text if uses[text] == 1 else longer_text
        for text, longer_text in zip(texts, longer, strict=True)
    ]  # fmt: skip
    return [{"value": text, "alias": alias} for text, alias in zip(unique, aliases, strict=True)]


def _phrase_text(part: ShownPhrase, boxes: Mapping[str, str]) -> str:
    """Return the phrase. A visual example's phrase is a region id, so this names the region's box instead."""
    box = boxes.get(part.example_mark or "")
    return part.phrase if box is None else f"more like {box}"


def _why(shown: ShownImage) -> str:
    of_regions = [f"box {number}: {'; '.join(region.reasons)}"
                  for number, region in enumerate(shown.regions, start=1) if region.reasons]  # fmt: skip
    return " | ".join([*shown.reasons, *of_regions]) or "Please check every box and its caption."


def parse_result(result: Sequence[Any], shown: ShownImage) -> ParsedAnnotation:
    """Parse the result list of an annotation. Regions without a box inside the image are left out.

    Shapes of controls that somebody added to the project become the boxes around them.
    """
    entries = _with_marks(result)
    annotated = ParsedAnnotation()
    for entry in entries:
        kind = str(entry.get("type"))
        is_ours = entry.get("from_name") in _CONTROLS
        if entry.get("from_name") == BOX or (not is_ours and kind.removesuffix("labels") in _SHAPES):
            box = _shape_to_box(_value(entry), shown.width, shown.height)
            if box is not None:
                annotated.regions.setdefault(entry["id"], AnnotatedRegion(box))
        elif not is_ours and kind != "labels":
            annotated.not_read.append(f"{entry.get('from_name')} ({kind})")
    aliases = {choice["value"]: choice["alias"] for choice in _phrase_choices(shown)}
    for entry in entries:
        _add_entry(annotated, entry, aliases)
    answers = [
        text for entry in entries if entry.get("from_name") == ANSWERS for text in _texts(_value(entry))
    ]
    annotated.answers = parse_answers(answers, shown)
    return annotated


def _with_marks(result: Sequence[Any]) -> list[dict[str, Any]]:
    """Return the entries with the marks of their regions as ids.

    Regions of older reviews whose ids Label Studio has cut at a `#` come back with one id; each begins with
    its box, by which they are counted.
    """
    uses: Counter[str] = Counter()
    entries = []
    for entry in result:
        if isinstance(entry, dict):
            cut_id = str(entry.get("id")).partition("#")[0]
            uses[cut_id] += entry.get("from_name") == BOX
            entries.append({**entry, "id": numbered_id(cut_id, max(uses[cut_id], 1))})
    return entries


def _add_entry(annotated: ParsedAnnotation, entry: Mapping[str, Any], aliases: Mapping[str, str]) -> None:
    name, value = entry.get("from_name"), _value(entry)
    region = annotated.regions.get(entry["id"])
    if name == CAPTION:
        annotated.caption = _text(value)
    elif name == COUNTS:
        annotated.counts = _text(value)
    elif name == COMMENT:
        annotated.comment = _text(value)
    elif region is None:
        return
    elif name == BOX or (name not in _CONTROLS and str(entry.get("type")).endswith("labels")):
        labels = value.get(str(entry.get("type")))
        chosen = [str(label) for label in labels if label != LABEL] if isinstance(labels, list) else []
        region.label = chosen[-1] if chosen else region.label
    elif name in _KIND_OF_FIELD:
        region.texts[_KIND_OF_FIELD[str(name)]] = _text(value)
    elif name == PHRASES:
        choices = [str(choice) for choice in value.get("choices") or []]
        all_aliases = set(aliases.values())  # a phrase's text may equal another phrase's alias
        region.phrases = frozenset(
            choice if choice in all_aliases else aliases.get(choice, choice) for choice in choices
        )
    elif name == VERDICT:
        region.verdict = {RIGHT: True, WRONG: False}.get((value.get("choices") or [""])[0])


def _value(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    value = entry.get("value")
    return value if isinstance(value, dict) else {}


def _text(value: Mapping[str, Any]) -> str:
    return "\n".join(_texts(value))


def _texts(value: Mapping[str, Any]) -> list[str]:
    text = value.get("text")
    return [str(part) for part in text] if isinstance(text, list) else [str(text or "")]


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number else None


def _clamp(percent: float) -> float:
    return min(max(percent, 0.0), 100.0)


def _within(value: float, maximum: int) -> float:
    return min(max(value, 0.0), float(maximum))
