"""TODO-DOC."""

import math
from typing import Any

from pydantic import ValidationError

from fo1_data.storage.streams import one_line
from schemas.corpus import CorpusRegion

NAME_KEYS = ("image", "uri", "url", "path", "file_name")


_REGION_KEYS = ("label", "caption", "detailed_caption", "text")


_NO_BOX = (math.nan, math.nan, math.nan, math.nan)


def validation_text(error: Exception) -> str:
    """What is wrong with a record, on one line."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return one_line(error)


def fields_of_record(record: dict[str, Any]) -> dict[str, Any]:
    """The fields of a CorpusImage that a record gives, all but `uri`; the rest of it under `meta`."""
    given = record.get("meta")
    meta = dict(given) if isinstance(given, dict) else {} if given is None else {"meta": given}
    lists = ("phrases", "counts", "answers", "examples")
    known = {*NAME_KEYS, "width", "height", "regions", "caption", "id", "meta", *lists}
    meta |= {key: value for key, value in record.items() if key not in known}
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


def keep_region_meta(meta: dict[str, Any], of_regions: list[dict[str, Any]]) -> None:
    """Put what a source says of its regions beyond our fields under `region_meta`, in its order."""
    if any(of_regions):
        meta["region_meta"] = of_regions


def box_of(values: Any) -> tuple[float, float, float, float]:
    """Four numbers; not-a-number where they are not, so that the box is rejected and not the image."""
    try:
        left, top, right, bottom = (float(value) for value in values)
    except (TypeError, ValueError, OverflowError):
        return _NO_BOX
    return left, top, right, bottom


def whole_number(value: Any) -> int | None:
    """A positive integer, None for anything else."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number > 0 else None


def text_of(value: Any) -> str | None:
    """A label or caption as text; numbers are written out, an empty text is none."""
    return None if value is None or value == "" else str(value)


def objects_of(document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The objects listed under a key; what is no list, or no object in it, is left out."""
    listed = document.get(key)
    return [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []


def id_of(value: Any) -> Any:
    """An id of a file to look others up by, whatever stands in its place."""
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
