"""Records in the forms of the Hugging Face hub, as records of the project's own form.

An image folder's `metadata` and detection datasets keep boxes in `objects`: a list of objects, or an object
of lists, with `bbox` (x, y, width, height in pixels, as in COCO) and `categories`, `category`, `label`, ...;
`text` of a record that names its image by `file_name`, or embeds it, is the image's caption. Class numbers
become names if the source has them.
"""

from collections.abc import Mapping
from datetime import date, time
from typing import Any

from fo1_data.corpus.forms.record_fields import box_of, text_of

# A text, several, or what other readers made of one.
_TEXTS = (str, list, int, float, date, time)
_CATEGORIES = ("categories", "category", "labels", "label", "classes", "class", "category_id")


def from_hub(record: Any, class_names: Mapping[int, str] | None = None) -> Any:
    """The record with `objects` as `regions` and `text` as `caption`; any other record unchanged."""
    if not isinstance(record, dict):
        return record
    result = dict(record)
    names_image = "file_name" in record or isinstance(record.get("image"), dict)
    if names_image and "caption" not in record and _is_text(record.get("text")):
        result["caption"] = result.pop("text")
    rows = _objects(record.get("objects"))
    if rows is not None and record.get("regions") is None:
        result["regions"] = [_region(row, class_names or {}) for row in rows]
        rest = _not_of_rows(record["objects"], len(rows))
        result.pop("objects")
        if rest:
            result["objects"] = rest
    return result


def _is_text(value: Any) -> bool:
    return isinstance(value, _TEXTS) and not isinstance(value, bool)


def _objects(value: Any) -> list[dict[str, Any]] | None:
    """The objects, one dict each; None if the value has no boxes."""
    if isinstance(value, list) and value and all(isinstance(row, dict) and "bbox" in row for row in value):
        return value
    boxes = value.get("bbox") if isinstance(value, dict) else None
    if not isinstance(boxes, list):
        return None
    columns = {key: column for key, column in value.items() if _is_column(column, len(boxes))}
    return [{key: column[number] for key, column in columns.items()} for number in range(len(boxes))]


def _is_column(column: Any, num_rows: int) -> bool:
    return isinstance(column, list) and len(column) == num_rows


def _not_of_rows(value: Any, num_rows: int) -> dict[str, Any]:
    """Fields of an object of lists that are not one value for each box."""
    columns = value if isinstance(value, dict) else {}
    return {key: column for key, column in columns.items() if not _is_column(column, num_rows)}


def _region(row: dict[str, Any], class_names: Mapping[int, str]) -> dict[str, Any]:
    left, top, width, height = box_of(row["bbox"])
    key = next((name for name in _CATEGORIES if row.get(name) is not None), None)
    category = row[key] if key is not None else None
    label = class_names.get(category) if isinstance(category, int) else None
    rest = {name: value for name, value in row.items() if name not in ("bbox", key)}
    box = (left, top, left + width, top + height)
    return {**rest, "box_xyxy": box, "label": label or text_of(category)}


def class_names_of(features: Any) -> dict[int, str]:
    """The names of the classes of `objects`, by number, from the description of a dataset's features."""
    objects = features.get("objects") if isinstance(features, dict) else None
    names = _find_names(objects)
    return dict(enumerate(names)) if names else {}


def _find_names(value: Any) -> list[str] | None:
    if isinstance(value, dict):
        if value.get("_type") == "ClassLabel" and isinstance(value.get("names"), list):
            return [str(name) for name in value["names"]]
        parts = [value[key] for key in (*_CATEGORIES, "feature", "_feature") if key in value]
        return next((names for part in parts if (names := _find_names(part))), None)
    if isinstance(value, list):
        return next((names for part in value if (names := _find_names(part))), None)
    return None
