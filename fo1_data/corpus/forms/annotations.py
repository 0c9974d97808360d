"""Records of the project's own form: lines of `annotations.jsonl`, rows of a Parquet list, sidecars.

One record per image: `image, width, height, regions[{box_xyxy, label, caption, detailed_caption,
text, example}], caption, phrases[{text, region_indices}], counts[{text, count}],
answers[{question, answer, reasoning, region_index}], examples[{region_index, region_indices}], id, meta`;
all are optional except `image` (or `uri`, `url`, `path`, `file_name`). Other fields of a record are kept in
`meta`. Boxes: pixels, x_min y_min x_max y_max, as the source has them.
"""

import json
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from fo1_data.corpus.forms.benchmarks import is_benchmark_record, read_records
from fo1_data.corpus.forms.record_fields import NAME_KEYS, fields_of_record, validation_text
from fo1_data.corpus.places import ImagePlaces, listing_reject
from fo1_data.storage.addresses import join, parent
from fo1_data.storage.streams import one_line, open_stream
from schemas.corpus import CorpusImage
from schemas.images import Reject


def places_beside(address: str) -> ImagePlaces:
    """Looks for the images of a listing file in its folder, then in `images/` there."""
    folder = parent(address)
    return ImagePlaces([folder, join(folder, "images")])


def read_annotations(address: str) -> Iterator[CorpusImage | Reject]:
    """The entries of a `.jsonl`: records, or names as JSON strings. An unreadable line is a reject."""
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
    return _parse_json(line)


def _records(address: str) -> Iterator[tuple[str, Any]]:
    with open_stream(address) as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield f"{address}:{number}", _parse_json(line)


def _parse_json(line: bytes) -> Any:
    try:
        return json.loads(line.decode("utf-8-sig"))
    except (UnicodeError, ValueError, RecursionError):
        return None


def _entry_of_line(line: bytes, where: str, places: ImagePlaces) -> CorpusImage | Reject:
    try:
        record = json.loads(line.decode("utf-8-sig"))
        if b"\\u" in line:
            json.dumps(
                record, ensure_ascii=False
            ).encode()  # fails for half of a surrogate pair, which cannot be stored
    except UnicodeError:
        return listing_reject(where, "bad_text", f"{where} is not UTF-8 text")
    except (ValueError, RecursionError) as error:
        return listing_reject(where, "bad_json", f"{where} is not JSON: {one_line(error)}")
    return entry_of_record({"image": record} if isinstance(record, str) else record, where, places)


def entry_of_record(record: Any, where: str, places: ImagePlaces) -> CorpusImage | Reject:
    """A record as an entry, or a reject; `where` names the record in the reject."""
    if not isinstance(record, dict):
        return listing_reject(where, "bad_record", f"{where} is not an object with an image")
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
