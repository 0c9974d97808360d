"""Fields of corpus records as typed values: boxes, numbers, texts, ids, and the rest as `meta`.

Values of a wrong type do not raise here: they become None, or a box of NaN that is rejected later.
"""

import math
from typing import Any

from pydantic import ValidationError

from fo1_data.storage.streams import one_line
from schemas.corpus import CorpusRegion

NAME_KEYS = ("image", "uri", "url", "path", "file_name")
_REGION_KEYS = ("label", "caption", "detailed_caption", "text")
_NO_BOX = (math.nan, math.nan, math.nan, math.nan)


def validation_text(error: Exception) -> str:
    """The first fault of a record, on one line."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return one_line(error)


def fields_of_record(record: dict[str, Any]) -> dict[str, Any]:
    """The fields of a CorpusImage in a record, except `uri`; other fields of the record go to `meta`."""
    own_meta = record.get("meta")
    meta = dict(own_meta) if isinstance(own_meta, dict) else {} if own_meta is None else {"meta": own_meta}
    lists = ("phrases", "counts", "answers", "examples")
    field_names = {*NAME_KEYS, "width", "height", "regions", "caption", "id", "meta", *lists}
    meta |= {key: value for key, value in record.items() if key not in field_names}
    fields: dict[str, Any] = {
        "width": whole_number(record.get("width")),
        "height": whole_number(record.get("height")),
        "id": None if record.get("id") is None else str(record["id"]),
        "caption": _caption(record.get("caption"), meta),
        **{key: record.get(key) or [] for key in lists},
    }
    if record.get("regions") is not None:
        pairs = [_region(region) for region in record["regions"]]
        fields["regions"] = [region for region, _ in pairs]
        keep_region_meta(meta, [rest for _, rest in pairs])
    return fields | {"meta": meta or None}


def keep_region_meta(meta: dict[str, Any], region_meta: list[dict[str, Any]]) -> None:
    """Put the other fields of a source's regions under `region_meta`, one dict per region in order."""
    if any(region_meta):
        meta["region_meta"] = region_meta


def box_of(values: Any) -> tuple[float, float, float, float]:
    """Four numbers; NaN if they are not numbers, so that the box is rejected and not the image."""
    try:
        left, top, right, bottom = (float(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        return _NO_BOX
    return left, top, right, bottom


def whole_number(value: Any) -> int | None:
    """A positive integer; None for anything else."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number > 0 else None


def text_of(value: Any) -> str | None:
    """A label or caption as text; numbers are converted, an empty text gives None."""
    return None if value is None or value == "" else str(value)


def objects_of(document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The objects in the list at a key; anything that is not an object is left out."""
    items = document.get(key)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def id_of(value: Any) -> Any:
    """An id as a dictionary key; a value that cannot be one gives its text."""
    return value if isinstance(value, int | str | float) else repr(value)


def _region(record: Any) -> tuple[CorpusRegion, dict[str, Any]]:
    if not isinstance(record, dict):
        return CorpusRegion(box_xyxy=_NO_BOX), {"region": record}
    texts = {key: text_of(record.get(key)) for key in _REGION_KEYS}
    rest = {k: v for k, v in record.items() if k not in (*_REGION_KEYS, "box_xyxy", "example")}
    box = box_of(record.get("box_xyxy"))
    return CorpusRegion(box_xyxy=box, example=record.get("example") is True, **texts), rest


def _caption(value: Any, meta: dict[str, Any]) -> str | None:
    if isinstance(value, list):
        meta.setdefault("captions", value)
        return text_of(value[0]) if value else None
    return text_of(value)
