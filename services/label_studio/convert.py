"""Between what is shown and Label Studio: LsTasks with predictions out, results of annotations in.

Label Studio's boxes are x, y, width, height in percent of the EXIF-oriented image; they live in this file
only. Box, texts, phrases and verdict of a region share one result id: its `mark`. Pure functions.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.labels import LabelKind
from schemas.regions import Box
from services.label_studio.answers import answer_entries, read_answers
from services.label_studio.labelling_config import (
    ANSWERS,
    BOX,
    CAPTION,
    COMMENT,
    COUNTS,
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


@dataclass
class SaidRegion:
    """A region as a person left it. `phrases`: aliases of those that mean it."""

    box_xyxy: Box
    texts: dict[LabelKind, str] = field(default_factory=dict)
    verdict: bool | None = None
    phrases: frozenset[str] = frozenset()


@dataclass
class Said:
    """An annotation taken apart: regions by result id, and what is said of the whole image.

    `answers`: by their place in what was shown, as `read_answers` gives them.
    """

    regions: dict[str, SaidRegion] = field(default_factory=dict)
    caption: str | None = None
    counts: str | None = None
    answers: dict[int, str] = field(default_factory=dict)
    comment: str | None = None


def box_to_percent(box_xyxy: Box, width: int, height: int) -> dict[str, float]:
    """A box in pixels as Label Studio's x, y, width, height in percent, inside the image."""
    x_min, y_min, x_max, y_max = box_xyxy
    left, top = _clamp(x_min / width * 100), _clamp(y_min / height * 100)
    right, bottom = _clamp(x_max / width * 100), _clamp(y_max / height * 100)
    return {"x": left, "y": top, "width": right - left, "height": bottom - top}


def percent_to_box(value: Mapping[str, Any], width: int, height: int) -> Box | None:
    """Label Studio's box in pixels, clipped to the image; None where nothing of it is inside.

    Of a turned box (degrees clockwise about its corner) the upright one around it.
    """
    left, top = _number(value.get("x")), _number(value.get("y"))
    wide, high = _number(value.get("width")), _number(value.get("height"))
    if left is None or top is None or wide is None or high is None:
        return None
    x, y = left * width / 100, top * height / 100
    w, h = wide * width / 100, high * height / 100
    turn = math.radians(_number(value.get("rotation")) or 0.0)
    cos, sin = math.cos(turn), math.sin(turn)
    corners = [(x + a * cos - b * sin, y + a * sin + b * cos) for a in (0.0, w) for b in (0.0, h)]
    xs, ys = [corner[0] for corner in corners], [corner[1] for corner in corners]
    box = (
        _within(min(xs), width),
        _within(min(ys), height),
        _within(max(xs), width),
        _within(max(ys), height),
    )
    return box if box[2] > box[0] and box[3] > box[1] else None


def phrase_aliases(shown: ShownImage) -> list[str]:
    """The alias of every phrase: what a result names it by."""
    return [f"p{index}" for index in range(len(shown.phrases))]


def counts_text(counts: Sequence[ShownCount]) -> str:
    """The counts as a reviewer edits them: one a line."""
    return "\n".join(f"{part.phrase} = {part.count}" for part in counts)


def ls_task(shown: ShownImage, fo1_key: str, image_url: str, model_version: str) -> dict[str, Any]:
    """The LsTask of one item: its data, and one prediction that carries everything shown."""
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
    """What is shown as the result list of a prediction."""
    aliases = phrase_aliases(shown)
    found: list[dict[str, Any]] = []
    for region in shown.regions:
        named = [a for a, part in zip(aliases, shown.phrases, strict=True) if region.mark in part.marks]
        found += _region_results(shown, region, named)
    if shown.caption:
        found.append(_whole("caption", CAPTION, [shown.caption]))
    if shown.counts:
        found.append(_whole("counts", COUNTS, [counts_text(shown.counts)]))
    if shown.answers:
        found.append(_whole("answers", ANSWERS, answer_entries(shown)))
    return found


def _region_results(shown: ShownImage, region: ShownRegion, phrases: list[str]) -> list[dict[str, Any]]:
    place = box_to_percent(region.box_xyxy, shown.width, shown.height) | {"rotation": 0}
    frame = {"original_width": shown.width, "original_height": shown.height, "image_rotation": 0}
    common = {"id": region.mark, "to_name": IMAGE, **frame}
    box: dict[str, Any] = {
        **common,
        "from_name": BOX,
        "type": "rectanglelabels",
        "value": {**place, "rectanglelabels": [LABEL]},
    }
    if region.reasons:
        box["meta"] = {"text": region.reasons}
    found = [box]
    for kind, text in region.texts.items():
        if text:
            value = {**place, "text": [text]}
            found.append({**common, "from_name": TEXT_FIELDS[kind], "type": "textarea", "value": value})
    if phrases:
        value = {**place, "choices": phrases}
        found.append({**common, "from_name": PHRASES, "type": "choices", "value": value})
    return found


def _whole(result_id: str, name: str, entries: list[str]) -> dict[str, Any]:
    value = {"text": entries}
    return {"id": result_id, "to_name": IMAGE, "from_name": name, "type": "textarea", "value": value}


def _phrase_choices(shown: ShownImage) -> list[dict[str, str]]:
    """The phrases to tick. Two that read the same are told apart by their kinds."""
    boxes = box_words(shown)
    texts = [_phrase_in_words(part, boxes) for part in shown.phrases]
    aliases = phrase_aliases(shown)
    longer = [f"{text} ({part.kind.value.replace('_', ' ')}, {alias})"
              for text, part, alias in zip(texts, shown.phrases, aliases, strict=True)]  # fmt: skip
    taken = Counter([*texts, *longer])
    told = [
        text if taken[text] == 1 else more
        for text, more in zip(texts, longer, strict=True)
    ]  # fmt: skip
    return [{"value": text, "alias": alias} for text, alias in zip(told, aliases, strict=True)]


def _phrase_in_words(part: ShownPhrase, boxes: Mapping[str, str]) -> str:
    """The phrase; that of a visual example, which is the id of its region, by its box."""
    box = boxes.get(part.example_mark or "")
    return part.phrase if box is None else f"more like {box}"


def _why(shown: ShownImage) -> str:
    marked = [f"box {place}: {'; '.join(region.reasons)}"
              for place, region in enumerate(shown.regions, start=1) if region.reasons]  # fmt: skip
    return " | ".join([*shown.reasons, *marked]) or "Please check every box and its caption."


def read_result(result: Sequence[Any], shown: ShownImage) -> Said:
    """The result list of an annotation taken apart, without regions that have no box inside the image."""
    said = Said()
    for one in result:
        if isinstance(one, dict) and one.get("from_name") == BOX:
            box = percent_to_box(_value(one), shown.width, shown.height)
            if box is not None:
                said.regions[str(one.get("id"))] = SaidRegion(box)
    aliases = {choice["value"]: choice["alias"] for choice in _phrase_choices(shown)}
    for one in result:
        if isinstance(one, dict):
            _take(said, one, aliases)
    entries = [text for one in result if isinstance(one, dict) and one.get("from_name") == ANSWERS
               for text in _texts(_value(one))]  # fmt: skip
    said.answers = read_answers(entries, shown)
    return said


def _take(said: Said, one: Mapping[str, Any], aliases: Mapping[str, str]) -> None:
    name, value = one.get("from_name"), _value(one)
    region = said.regions.get(str(one.get("id")))
    if name == CAPTION:
        said.caption = _text(value)
    elif name == COUNTS:
        said.counts = _text(value)
    elif name == COMMENT:
        said.comment = _text(value)
    elif region is None:
        return
    elif name in _KIND_OF_FIELD:
        region.texts[_KIND_OF_FIELD[str(name)]] = _text(value)
    elif name == PHRASES:
        chosen = [str(choice) for choice in value.get("choices") or []]
        known = set(aliases.values())  # a phrase may read as the alias of another
        region.phrases = frozenset(one if one in known else aliases.get(one, one) for one in chosen)
    elif name == VERDICT:
        region.verdict = {RIGHT: True, WRONG: False}.get((value.get("choices") or [""])[0])


def _value(one: Mapping[str, Any]) -> Mapping[str, Any]:
    value = one.get("value")
    return value if isinstance(value, dict) else {}


def _text(value: Mapping[str, Any]) -> str:
    return "\n".join(_texts(value))


def _texts(value: Mapping[str, Any]) -> list[str]:
    text = value.get("text")
    return [str(one) for one in text] if isinstance(text, list) else [str(text or "")]


def _number(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known else None


def _clamp(percent: float) -> float:
    return min(max(percent, 0.0), 100.0)


def _within(value: float, most: int) -> float:
    return min(max(value, 0.0), float(most))
