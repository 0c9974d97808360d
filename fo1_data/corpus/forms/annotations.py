"""Records of the project's own form: lines of `annotations.jsonl`, rows of a Parquet list, sidecars.

One record an image: `image, width, height, regions[{box_xyxy, label, caption, detailed_caption,
text, example}], caption, phrases[{text, region_indices}], counts[{text, count}],
answers[{question, answer, reasoning, region_index}], examples[{region_index, region_indices}], id, meta`;
all but `image` (or `uri`, `url`, `path`, `file_name`) optional. What else a record says is kept in `meta`.
Boxes: pixels, x_min y_min x_max y_max, as the source has them.
"""

import json
import math
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from fo1_data.corpus.addresses import join, parent
from fo1_data.corpus.places import ImagePlaces, listing_reject
from fo1_data.corpus.streams import one_line, open_stream
from schemas.corpus import CorpusImage, CorpusRegion
from schemas.images import Reject

NAME_KEYS = ("image", "uri", "url", "path", "file_name")
_REGION_KEYS = ("label", "caption", "detailed_caption", "text")
_NO_BOX = (math.nan, math.nan, math.nan, math.nan)


def places_beside(address: str) -> ImagePlaces:
    """Where the images of a file are looked for: beside it, then in `images/` beside it."""
    folder = parent(address)
    return ImagePlaces([folder, join(folder, "images")])


def read_annotations(address: str) -> Iterator[CorpusImage | Reject]:
    """The entries of a `.jsonl`: records, or bare names as JSON strings. A bad line is a reject."""
    from fo1_data.corpus.forms.benchmarks import is_benchmark_record, read_records

    places = places_beside(address)
    if is_benchmark_record(_first_record(address)):
        yield from read_records(_records(address), places)
        return
    with open_stream(address) as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield _entry_of_line(line, f"{address}:{number}", places)


def _first_record(address: str) -> Any:
    with open_stream(address) as stream:
        line = next((line for line in stream if line.strip()), b"")
    return _parsed(line)


def _records(address: str) -> Iterator[tuple[str, Any]]:
    with open_stream(address) as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield f"{address}:{number}", _parsed(line)


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line.decode("utf-8-sig"))
    except (UnicodeError, ValueError, RecursionError):
        return None


def _entry_of_line(line: bytes, where: str, places: ImagePlaces) -> CorpusImage | Reject:
    try:
        record = json.loads(line.decode("utf-8-sig"))
        if b"\\u" in line:
            json.dumps(record, ensure_ascii=False).encode()  # half of a surrogate pair cannot be stored
    except UnicodeError:
        return listing_reject(where, "bad_text", f"{where} is not UTF-8 text")
    except (ValueError, RecursionError) as error:
        return listing_reject(where, "bad_json", f"{where} is no JSON: {one_line(error)}")
    return entry_of_record({"image": record} if isinstance(record, str) else record, where, places)


def entry_of_record(record: Any, where: str, places: ImagePlaces) -> CorpusImage | Reject:
    """One record as an entry; `where` names it in a reject."""
    if not isinstance(record, dict):
        return listing_reject(where, "bad_record", f"{where} is no object with an image")
    name = next((record[key] for key in NAME_KEYS if record.get(key)), None)
    if isinstance(name, dict):
        name = name.get("path")  # Hugging Face's form of an image
    if not isinstance(name, str):
        return listing_reject(
            where, "no_image", f"{where} names no image (looked for {', '.join(NAME_KEYS)})"
        )
    try:
        return CorpusImage(uri=places.find(name), **fields_of_record(record))
    except (ValidationError, ValueError, TypeError, OSError) as error:
        return listing_reject(where, "bad_record", f"{where}: {validation_text(error)}")


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
