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
from fo1_data.corpus.forms.hub_records import from_hub
from fo1_data.corpus.forms.record_entry import entry_of_fields
from fo1_data.corpus.forms.record_fields import (
    NAME_KEYS,
    count_record,
    fields_of_record,
    name_key_of,
    validation_text,
)
from fo1_data.corpus.listing import Found, Item, Piece, PlainImage, Refused, WantedImages
from fo1_data.corpus.places import ImagePlaces, listing_reject
from fo1_data.errors import one_line
from fo1_data.storage.addresses import join, parent
from fo1_data.storage.streams import open_stream
from schemas.corpus import CorpusImage
from schemas.sources import ContentKind


def places_beside(address: str) -> ImagePlaces:
    """Looks for the images of a listing file in its folder, then in `images/` there."""
    folder = parent(address)
    return ImagePlaces([folder, join(folder, "images")])


def read_annotations(
    address: str, places: ImagePlaces | None = None, wanted: WantedImages | None = None
) -> Iterator[Item]:
    """The contents of a `.jsonl`: records, or names as JSON strings. An unreadable line is a reject.

    `places`: where their images are, if not beside the file. `wanted`: lines on other images are left out.
    """
    places = places or places_beside(address)
    if is_benchmark_record(_first_record(address)):
        yield from read_records(_records(address), address, places)
        return
    with open_stream(address) as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                yield from _items_of_line(line, address, number, places, wanted)


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


def _items_of_line(
    line: bytes, address: str, number: int, places: ImagePlaces, wanted: WantedImages | None
) -> Iterator[Item]:
    where = f"{address}:{number}"
    record = None
    try:
        record = json.loads(line.decode("utf-8-sig"))
        if b"\\u" in line:
            # Fails for half of a surrogate pair, which cannot be stored.
            json.dumps(record, ensure_ascii=False).encode()
    except UnicodeError:
        reject = listing_reject(where, "bad_text", f"{where} is not UTF-8 text")
    except (ValueError, RecursionError) as error:
        reject = listing_reject(where, "bad_json", f"{where} is not JSON: {one_line(error)}")
    else:
        record = {"image": record} if isinstance(record, str) else record
        yield from items_of_record(record, address, where, places, wanted)
        return
    counts = count_record(record)
    yield Found(address, counts)
    yield Refused(address, counts, reject)


def items_of_record(
    record: Any, source: str, where: str, places: ImagePlaces, wanted: WantedImages | None = None
) -> Iterator[Item]:
    """What a record says of an image, or its refusal; `where` names the record in a reject.

    `wanted`: nothing is yielded of a record on another image but its source.
    """
    record = from_hub(record)
    uri = _address_in(record, places)
    if uri is not None and wanted is not None and wanted.exclude(uri):
        yield Found(source, {})
        return
    if uri is not None and len(record) == 1 and uri.isascii():
        yield PlainImage(source, uri)
        return
    counts = count_record(record)
    yield Found(source, counts)
    try:
        name = _image_name(record, where)
        key = name_key_of(record)
        fields = {"uri": uri or places.find(name), **fields_of_record(record, key)}
        entry, refused = entry_of_fields(fields, source, where)
    except _BadRecord as error:
        yield Refused(source, counts, listing_reject(where, error.reason, str(error)))
    except (ValidationError, ValueError, TypeError, OSError, RecursionError) as error:
        message = f"{where}: {validation_text(error)}"
        yield Refused(source, counts, listing_reject(where, "bad_record", message))
    else:
        yield from refused
        yield from without_dangling(entry, source, where)


def _address_in(record: Any, places: ImagePlaces) -> str | None:
    """The address that a record names by a text; None if it names none or the place cannot be looked at."""
    name = record.get(name_key_of(record) or "") if isinstance(record, dict) else None
    if not isinstance(name, str):
        return None
    try:
        return places.find(name)
    except (ValueError, OSError, RecursionError):
        return None


class _BadRecord(Exception):
    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def _image_name(record: Any, where: str) -> str:
    if not isinstance(record, dict):
        raise _BadRecord("bad_record", f"{where} is not an object with an image")
    name = record.get(name_key_of(record) or "")
    if isinstance(name, dict):
        name = name.get("path")  # Hugging Face's form of an image
    if not isinstance(name, str):
        raise _BadRecord("no_image", f"{where} names no image (looked for {', '.join(NAME_KEYS)})")
    return name


def without_dangling(entry: CorpusImage, source: str, where: str) -> Iterator[Item]:
    """The entry as a piece; phrases and answers that name regions it does not have are refused."""
    num_regions = len(entry.regions or [])

    def is_known(index: int | None) -> bool:
        return index is None or 0 <= index < num_regions

    phrases, answers = [], []
    for phrase in entry.phrases:
        if all(is_known(index) for index in phrase.region_indices or []):
            phrases.append(phrase)
            continue
        message = f"{where}: phrase {phrase.text!r} names regions {phrase.region_indices} of {num_regions}"
        yield Refused(source, {ContentKind.PHRASES: 1}, listing_reject(entry.name, "unknown_region", message))
    for answer in entry.answers:
        if is_known(answer.region_index):
            answers.append(answer)
            continue
        message = f"{where}: {answer.question!r} is asked of region {answer.region_index} of {num_regions}"
        yield Refused(source, {ContentKind.ANSWERS: 1}, listing_reject(entry.name, "unknown_region", message))
    entry = entry.model_copy(update={"phrases": phrases, "answers": answers})
    yield Piece(source, entry, may_repeat=True)
