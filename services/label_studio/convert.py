"""Converts what is shown to Label Studio: LsTasks with their predictions.

The shape, texts, phrases and verdict of a region share one result id: its `mark`. Pure functions.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from fo1_data.plurals import counted
from services.label_studio.answers import answer_entries
from services.label_studio.brushes import brush_value
from services.label_studio.closeups import closeups_html
from services.label_studio.counts import counts_text
from services.label_studio.labelling_config import (
    ANSWERS,
    BOX,
    CAPTION,
    CLOSEUPS,
    COUNTS,
    DOUBTFUL_LABEL,
    IMAGE,
    LABEL,
    MASK,
    PHRASES,
    TEXT_FIELDS,
    VIDEO,
)
from services.label_studio.shapes import box_to_percent
from services.label_studio.shown import (
    ShownClip,
    ShownImage,
    ShownPhrase,
    ShownRegion,
    box_words,
    shortened,
)
from services.label_studio.task_lists import KEY
from services.label_studio.video_results import track_value


def phrase_aliases(shown: ShownImage) -> list[str]:
    """Return the alias of every phrase, by which results name it."""
    return [f"p{index}" for index in range(len(shown.phrases))]


def ls_task(shown: ShownImage, fo1_key: str, url: str, model_version: str) -> dict[str, Any]:
    """Return the LsTask of one item: its data, and one prediction with everything that is shown.

    url: the address of the image, or of the video, that a browser loads.
    """
    data: dict[str, Any] = {
        KEY: fo1_key,
        "image_id": shown.image_id,
        "title": shown.title,
        "why": _why(shown),
        "phrases": phrase_choices(shown),
    }
    if shown.clip is not None:
        data |= {"video": url, "fps": shown.clip.fps}
    else:
        data |= {"image": url, CLOSEUPS: closeups_html(shown, url)}
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
        results.append(_whole_result(shown, "caption", CAPTION, [shown.caption]))
    if shown.counts:
        results.append(_whole_result(shown, "counts", COUNTS, [counts_text(shown.counts)]))
    if shown.answers:
        results.append(_whole_result(shown, "answers", ANSWERS, answer_entries(shown)))
    return results


def _region_results(shown: ShownImage, region: ShownRegion, phrases: list[str]) -> list[dict[str, Any]]:
    if shown.clip is not None and region.track is not None:
        return _track_results(shown.clip, shown.picture_wh, region)
    width, height = shown.picture_wh
    labels = [DOUBTFUL_LABEL if region.doubtful else LABEL]
    frame = {"original_width": width, "original_height": height, "image_rotation": 0}
    common = {"id": region.mark, "to_name": IMAGE, **frame}
    place: dict[str, Any] = {}
    if region.mask_rle is not None:
        value = brush_value(region.mask_rle) | {"brushlabels": labels}
        shape = {**common, "from_name": MASK, "type": "brushlabels", "value": value}
    else:
        place = box_to_percent(shown.in_picture(region.box_xyxy), width, height) | {"rotation": 0}
        value = {**place, "rectanglelabels": labels}
        shape = {**common, "from_name": BOX, "type": "rectanglelabels", "value": value}
    results = [shape | _meta(region)]
    for kind, text in region.texts.items():
        if text:
            value = {**place, "text": [text]}
            results.append({**common, "from_name": TEXT_FIELDS[kind], "type": "textarea", "value": value})
    if phrases:
        value = {**place, "choices": phrases}
        results.append({**common, "from_name": PHRASES, "type": "choices", "value": value})
    return results


def _track_results(clip: ShownClip, picture_wh: tuple[int, int], region: ShownRegion) -> list[dict[str, Any]]:
    """The results of a track: its key frames, and its texts."""
    assert region.track is not None
    value = track_value(region.track, clip, picture_wh)
    common = {"id": region.mark, "to_name": VIDEO}
    labels = [DOUBTFUL_LABEL if region.doubtful else LABEL]
    box = {**common, "from_name": BOX, "type": "videorectangle", "value": value | {"labels": labels}}
    texts = [
        {**common, "from_name": TEXT_FIELDS[kind], "type": "textarea", "value": {"text": [text]}}
        for kind, text in region.texts.items()
        if text
    ]
    return [box | _meta(region), *texts]


def _meta(region: ShownRegion) -> dict[str, Any]:
    """Why a box is doubtful, and what a detector calls it."""
    details = [f"detector: {shortened(region.detector_label)}"] if region.detector_label else []
    lines = [*details, *region.reasons]
    return {"meta": {"text": "\n".join(lines)}} if lines else {}


def _whole_result(shown: ShownImage, result_id: str, name: str, entries: list[str]) -> dict[str, Any]:
    """A result about the whole image or video."""
    to_name = IMAGE if shown.clip is None else VIDEO
    value = {"text": entries}
    return {"id": result_id, "to_name": to_name, "from_name": name, "type": "textarea", "value": value}


def phrase_choices(shown: ShownImage) -> list[dict[str, str]]:
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
    lines = list(shown.reasons)
    if num_doubtful := sum(region.doubtful for region in shown.regions):
        lines.insert(0, f"{counted(num_doubtful, 'box', 'boxes')} in doubt: choose one to see why")
    return "\n".join(lines) or "Please check every box and its caption."
