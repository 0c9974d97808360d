"""Fields of corpus records as typed values: boxes, numbers, texts, ids, and the rest as `meta`.

Values of a wrong type do not raise here: they become None, or a box of NaN that is rejected later.
"""

import math
from collections import Counter
from datetime import datetime, time
from typing import Any

from pydantic import ValidationError

from fo1_data.errors import one_line
from schemas.corpus import CorpusRegion
from schemas.problems import first_problem
from schemas.sources import ContentKind

NAME_KEYS = ("image", "uri", "url", "path", "file_name")
_LISTS = ("phrases", "counts", "answers", "examples")
_REGION_KEYS = ("label", "caption", "detailed_caption", "text")
_NO_BOX = (math.nan, math.nan, math.nan, math.nan)


def validation_text(error: Exception) -> str:
    """The first fault of a record, on one line."""
    return first_problem(error) if isinstance(error, ValidationError) else one_line(error)


def name_key_of(record: dict[str, Any]) -> str | None:
    """The key under which a record names its image."""
    return next((key for key in NAME_KEYS if record.get(key)), None)


def fields_of_record(record: dict[str, Any], name_key: str | None = None) -> dict[str, Any]:
    """The fields of a CorpusImage in a record, except `uri`; other fields of the record go to `meta`.

    `name_key`: the key that names the image; other names and addresses are kept in `meta`. Raises ValueError
    if `regions` is no list.
    """
    own_meta = record.get("meta")
    meta = dict(own_meta) if isinstance(own_meta, dict) else {} if own_meta is None else {"meta": own_meta}
    field_names = {name_key, "width", "height", "regions", "caption", "id", "meta", *_LISTS}
    meta |= {key: value for key, value in record.items() if key not in field_names}
    captions = _captions(record)
    if len(captions) > 1:
        meta["captions"] = captions
    first_captions = _texts(record.get("caption"))
    fields: dict[str, Any] = {
        "width": whole_number(record.get("width")),
        "height": whole_number(record.get("height")),
        "id": None if record.get("id") is None else str(record["id"]),
        "caption": first_captions[0] if first_captions else None,
        **{key: record.get(key) or [] for key in _LISTS},
    }
    regions = record.get("regions")
    if regions is not None:
        if not isinstance(regions, list | tuple):
            raise ValueError(f"regions is not a list: {str(regions)[:60]!r}")
        pairs = [_region(region) for region in regions]
        fields["regions"] = [region for region, _ in pairs]
        keep_region_meta(meta, [rest for _, rest in pairs])
    return fields | {"meta": meta or None}


def count_record(record: Any) -> Counter[ContentKind]:
    """How much a record holds of each kind, whatever of it can be read; the image counts too."""
    counts = Counter({ContentKind.IMAGES: 1})
    if not isinstance(record, dict):
        return counts
    regions = [region if isinstance(region, dict) else {} for region in _items(record.get("regions"))]
    counts[ContentKind.BOXES] = len(regions)
    counts[ContentKind.TEXTS] = sum(text_of(region.get("text")) is not None for region in regions)
    counts[ContentKind.CAPTIONS] = len(_captions(record)) + sum(
        text_of(region.get(key)) is not None for region in regions for key in ("caption", "detailed_caption")
    )
    for kind, key in (
        (ContentKind.PHRASES, "phrases"),
        (ContentKind.COUNTS, "counts"),
        (ContentKind.ANSWERS, "answers"),
    ):
        counts[kind] = len(_items(record.get(key)))
    return counts


def _items(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _captions(record: dict[str, Any]) -> list[str]:
    """All captions of an image: `caption` (one or a list), and `captions` of the record or its `meta`."""
    own_meta = record.get("meta")
    more = record.get("captions", own_meta.get("captions") if isinstance(own_meta, dict) else None)
    others = [text for text in _items(more) if isinstance(text, str) and text]
    return list((Counter(_texts(record.get("caption"))) | Counter(others)).elements())


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list | tuple) else [value]
    return [text for item in values if (text := text_of(item)) is not None]


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
    """A positive integer of 63 bits; None for anything else."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 < number < 2**63 else None


def text_of(value: Any) -> str | None:
    """A label or caption as text; an empty one and NaN give None.

    Numbers, days and times are converted: readers of JSON guess them from texts. A midnight is a day to them.
    """
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, datetime) and value.tzinfo is None and value.time() == time.min:
        value = value.date()
    return str(value)


def objects_of(document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The objects in the list at a key; anything that is not an object is left out."""
    items = document.get(key)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def id_of(value: Any) -> str | None:
    """An id as text, so that 1, 1.0 and "1" are the same; None if there is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return None if value is None else str(value)


def _region(record: Any) -> tuple[CorpusRegion, dict[str, Any]]:
    if not isinstance(record, dict):
        return CorpusRegion(box_xyxy=_NO_BOX), {"region": record}
    texts = {key: text_of(record.get(key)) for key in _REGION_KEYS}
    rest = {k: v for k, v in record.items() if k not in (*_REGION_KEYS, "box_xyxy", "example")}
    box = box_of(record.get("box_xyxy"))
    return CorpusRegion(box_xyxy=box, example=record.get("example") is True, **texts), rest
