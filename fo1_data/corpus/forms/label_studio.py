"""Label Studio's exports JSON and JSON-MIN.

Boxes are in percent of the image as shown; with `original_width` and `original_height` they become pixels of
that size, else shares. A turned rectangle, a polygon, an ellipse or a brush's mask gives the upright box
around it; a point none. A text area of a region is its `text` if its control is named so (`transcription`,
`ocr`, `text`), else its `caption`; one of the image is the image's caption. Choices and all other controls
are kept in `meta` by the name of the control.

Of several annotations of a task the one marked as ground truth counts, else the one updated last; the others,
cancelled ones and predictions are refused. A task without an annotation leaves boxes unknown.
"""

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from fo1_data.corpus.forms.annotated_image import AnnotatedImage, items_of_image
from fo1_data.corpus.forms.brush_masks import box_of_brush
from fo1_data.corpus.forms.image_lookup import ImageLookup, has_image_suffix
from fo1_data.corpus.forms.record_fields import objects_of, text_of
from fo1_data.corpus.forms.shapes import BoxXyxy, box_around, box_of_ellipse, numbers, turned_box
from fo1_data.corpus.listing import Found, Item, Refused
from fo1_data.corpus.places import listing_reject
from schemas.sources import ContentKind

_TEXT_CONTROLS = ("transcription", "ocr", "text", "recognized_text")
_DETAILED_CONTROLS = ("detailed_caption",)
_GEOMETRY = (
    "x",
    "y",
    "width",
    "height",
    "rotation",
    "points",
    "radiusX",
    "radiusY",
    "closed",
    "format",
    "rle",
)
_MIN_KEYS = ("annotator", "annotation_id", "created_at", "updated_at", "lead_time")
_SHAPE_KEYS = {"x", "y", "points", "rle"}


def is_label_studio(document: Any) -> bool:
    """Whether a JSON document is Label Studio's JSON or JSON-MIN export."""
    task = document[0] if isinstance(document, list) and document else None
    if not isinstance(task, dict):
        return False
    is_full = isinstance(task.get("data"), dict) and ("annotations" in task or "completions" in task)
    return is_full or {"annotation_id", "annotator"} <= task.keys()


def read_label_studio(document: list[Any], address: str, lookup: ImageLookup) -> Iterator[Item]:
    """The images of an export, in its order."""
    for number, task in enumerate(document):
        where = f"{address}#{task.get('id', number) if isinstance(task, dict) else number}"
        if not isinstance(task, dict):
            yield Refused(address, {}, listing_reject(where, "bad_record", f"{where} is not a task"))
        elif isinstance(task.get("data"), dict):
            yield from _items_of_task(address, where, task, lookup)
        else:
            yield from _items_of_min(address, where, task, lookup)


@dataclass
class _Region:
    """The results of one region: its shape, labels, texts, and other controls by name."""

    shape: dict[str, Any]
    kind: str
    labels: list[str] = field(default_factory=list)
    texts: dict[str, str | None] = field(default_factory=dict)
    other: dict[str, Any] = field(default_factory=dict)


def _items_of_task(address: str, where: str, task: dict[str, Any], lookup: ImageLookup) -> Iterator[Item]:
    annotations = _with_result(task, "annotations") or _with_result(task, "completions")
    valid = [part for part in annotations if not part.get("was_cancelled")]
    chosen = max(
        valid,
        key=lambda part: (bool(part.get("ground_truth")), str(part.get("updated_at") or "")),
        default=None,
    )
    for part in annotations:
        if part is not chosen:
            reason = "cancelled" if part.get("was_cancelled") else "other_annotation"
            message = f"{where}: annotation {part.get('id')} is left out: " + (
                "it was cancelled" if part.get("was_cancelled") else "another one of the task counts"
            )
            yield from _left_out(address, where, part, reason, message)
    for part in _with_result(task, "predictions"):
        message = f"{where}: a model's prediction is no annotation"
        yield from _left_out(address, where, part, "prediction", message)
    data = task["data"]
    image = AnnotatedImage(where, _names(data, task.get("file_upload")), id=text_of(task.get("id")))
    image.meta = _other_data(data) | {key: task[key] for key in ("meta",) if task.get(key)}
    if chosen is not None:
        image.regions = []
        _add_results(image, [part for part in chosen["result"] if isinstance(part, dict)])
    yield from items_of_image(address, image, lookup, _num_shapes(chosen))


def _with_result(task: dict[str, Any], key: str) -> list[dict[str, Any]]:
    return [part for part in objects_of(task, key) if isinstance(part.get("result"), list)]


def _left_out(address: str, where: str, part: dict[str, Any], reason: str, message: str) -> Iterator[Item]:
    counts = {ContentKind.BOXES: _num_shapes(part)}
    if part["result"]:
        yield Found(address, counts)
        yield Refused(address, counts, listing_reject(where, reason, message))


def _num_shapes(part: dict[str, Any] | None) -> int:
    """How many regions with a shape there are: results of one region share its id."""
    results = part["result"] if part is not None else []
    results = [item for item in results if isinstance(item, dict)]
    return len({_id_of(item, n) for n, item in enumerate(results) if _is_shape(item.get("value"))})


def _id_of(result: dict[str, Any], number: int) -> str:
    """The id of the region of a result; of a result without one, its number."""
    return str(result.get("id") or f"#{number}")


def _is_shape(value: Any) -> bool:
    return isinstance(value, dict) and bool(_SHAPE_KEYS & value.keys())


def _add_results(image: AnnotatedImage, results: list[dict[str, Any]]) -> None:
    regions: dict[str, _Region] = {}
    for number, result in enumerate(results):
        value = result.get("value")
        if _is_shape(value):
            regions.setdefault(_id_of(result, number), _Region({}, str(result.get("type"))))
    for number, result in enumerate(results):
        value = result.get("value")
        region = regions.get(_id_of(result, number))
        if not isinstance(value, dict):
            other = {key: result[key] for key in ("from_id", "to_id", "direction", "labels") if key in result}
            image.meta.setdefault(str(result.get("type")), []).append(other)
        elif region is not None:
            if _is_shape(value):
                region.shape = region.shape or {**result, **value}
            _add_value(region, str(result.get("from_name")), str(result.get("type")), value)
        else:
            _add_image_value(image, str(result.get("from_name")), str(result.get("type")), value)
    _add_regions(image, regions.items())


def _add_value(region: _Region, control: str, kind: str, value: dict[str, Any]) -> None:
    for key, part in value.items():
        if key in _GEOMETRY:
            continue
        if key.endswith("labels") and isinstance(part, list):
            region.labels += [str(label) for label in part]
        elif kind == "textarea" and key == "text":
            _add_text(region, control, part)
        else:
            region.other[control] = part


def _add_text(region: _Region, control: str, part: Any) -> None:
    text = " ".join(str(line) for line in part) if isinstance(part, list) else text_of(part)
    is_text, is_detailed = control.lower() in _TEXT_CONTROLS, control.lower() in _DETAILED_CONTROLS
    key = "text" if is_text else "detailed_caption" if is_detailed else "caption"
    if region.texts.get(key):
        region.other[control] = part
    else:
        region.texts[key] = text or None


def _add_image_value(image: AnnotatedImage, control: str, kind: str, value: dict[str, Any]) -> None:
    if kind == "textarea" and isinstance(value.get("text"), list | str):
        texts = value["text"] if isinstance(value["text"], list) else [value["text"]]
        image.captions += [str(text) for text in texts if text]
        return
    image.meta[control] = next(iter(value.values())) if len(value) == 1 else value


def _add_regions(image: AnnotatedImage, regions: Collection[tuple[str | None, _Region]]) -> None:
    """Add regions with the ids of their results. The size of the image is that of any region that has it."""
    sizes = (
        numbers([region.shape.get("original_width"), region.shape.get("original_height")])
        for _, region in regions
    )
    size = next((size for size in sizes if size is not None and min(size) > 0), None)
    if size is not None:
        image.width, image.height = size
    elif regions:
        image.unit = "share"
    for result_id, region in regions:
        _add_region(image, region, result_id, size or [1.0, 1.0])


def _add_region(image: AnnotatedImage, region: _Region, result_id: str | None, size: list[float]) -> None:
    shape = region.shape
    box = _box(shape, size[0] / 100, size[1] / 100)
    meta = {
        "id": result_id,
        "shape": region.kind.removesuffix("labels"),
        "labels": region.labels if len(region.labels) > 1 else None,
        "rotation": shape.get("rotation") or None,
        **region.other,
    }
    label = region.labels[0] if region.labels else None
    image.add_shape(box, f"a shape of type {region.kind}", {"label": label, **region.texts}, meta)


def _box(shape: dict[str, Any], across: float, down: float) -> BoxXyxy | None:
    """The box of a shape in percent, scaled: `across` and `down` are pixels (or shares) per percent."""
    if "rle" in shape:
        return box_of_brush(shape["rle"], shape.get("original_width"), shape.get("original_height"))
    points = shape.get("points")
    if isinstance(points, list):
        around = box_around(points)
        return (
            (around[0] * across, around[1] * down, around[2] * across, around[3] * down) if around else None
        )
    corner = numbers([shape.get("x"), shape.get("y")])
    angle = (numbers([shape.get("rotation") or 0]) or [0.0])[0]
    radii = numbers([shape.get("radiusX"), shape.get("radiusY")])
    if corner is None:
        return None
    x, y = corner[0] * across, corner[1] * down
    if radii is not None:
        return box_of_ellipse((x, y), (radii[0] * across, radii[1] * down), angle)
    extent = numbers([shape.get("width"), shape.get("height")])
    if extent is None or "keypointlabels" in shape:
        return None
    return turned_box((x, y, x + extent[0] * across, y + extent[1] * down), angle, (x, y))


def _items_of_min(address: str, where: str, task: dict[str, Any], lookup: ImageLookup) -> Iterator[Item]:
    """A task of JSON-MIN: each control's values under its name; those of one region have the same shape."""
    data = {key: value for key, value in task.items() if not _holds_shapes(value)}
    names = _names({key: value for key, value in data.items() if key not in (*_MIN_KEYS, "id")}, None)
    image = AnnotatedImage(where, names, id=text_of(task.get("id")), regions=[])
    regions: dict[str, _Region] = {}
    for control, values in task.items():
        for value in values if _holds_shapes(values) else ():
            key = json.dumps([value.get(name) for name in (*_GEOMETRY[:8], "rle")])
            kind = next((name for name in value if name.endswith("labels")), "rectangle")
            region = regions.setdefault(key, _Region(value, kind))
            same = {name: part for name, part in value.items() if not name.startswith("original_")}
            _add_value(region, control, "textarea" if "text" in same else "", same)
    for control, value in data.items():
        if control in (*_MIN_KEYS, "id") or _is_name(value):
            continue
        texts = value if isinstance(value, list) else [value]
        is_text = control.lower() in _TEXT_CONTROLS and all(isinstance(text, str) for text in texts)
        if is_text and len(texts) == len(regions):
            for region, text in zip(regions.values(), texts, strict=True):
                _add_text(region, control, text)
        elif control.lower() in ("caption", "description") and all(isinstance(text, str) for text in texts):
            image.captions += [text for text in texts if text]
        else:
            image.meta[control] = value
    _add_regions(image, [(None, region) for region in regions.values()])
    yield from items_of_image(address, image, lookup, len(regions))


def _holds_shapes(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_shape(item) for item in value)


def _names(data: dict[str, Any], upload: Any) -> list[str]:
    """Where the image of a task may be: its path, its name, and the name before it was uploaded."""
    values = [upload, *(value for value in data.values() if _is_name(value))]
    names: list[str] = []
    for value in values:
        if not isinstance(value, str) or not value:
            continue
        parts = urlsplit(value)
        path = unquote((parse_qs(parts.query).get("d") or [parts.path])[0])
        name = PurePosixPath(path).name
        prefix, _, original = name.partition("-")
        is_upload = len(prefix) == 8 and all(digit in "0123456789abcdef" for digit in prefix)
        names += [path, *([original] if is_upload and original else [])]
        names += [value] if parts.scheme in ("http", "https", "s3", "gs") else []
    return list(dict.fromkeys(names))


def _is_name(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    path = value.partition("?")[0]
    return has_image_suffix(path) or value.startswith(("/data/", "http://", "https://", "s3://", "gs://"))


def _other_data(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if not _is_name(value) and value not in (None, "")}
