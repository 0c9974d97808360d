"""The annotation files of labelling tools, recognised by their contents whatever their names are.

.json           COCO, also with tracks, YouTube-VIS, Label Studio (JSON, JSON-MIN), LabelMe, VIA, Datumaro
.xml            CVAT for images, Pascal VOC
.csv            VIA, Open Images, a Hugging Face `metadata.csv`
.jsonl .parquet records with the name of an image (a Hugging Face `metadata.jsonl`), or with its bytes;
                videos with their tracks
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from fo1_data.corpus.forms import datumaro, label_studio, labelme, open_images, via
from fo1_data.corpus.forms.annotations import items_of_record, places_beside, read_annotations
from fo1_data.corpus.forms.benchmarks import is_benchmark_record
from fo1_data.corpus.forms.coco import is_coco_json, read_coco_json
from fo1_data.corpus.forms.cvat import read_cvat
from fo1_data.corpus.forms.image_lookup import FolderImages, FolderPlaces, ImageLookup, NearbyImages
from fo1_data.corpus.forms.record_fields import NAME_KEYS, name_key_of
from fo1_data.corpus.forms.track_items import items_of_track_json, items_of_track_lines
from fo1_data.corpus.forms.track_lines import NAME as TRACKS_NAME
from fo1_data.corpus.forms.track_lines import is_track_record
from fo1_data.corpus.forms.uri_list import has_image_column, read_parquet_list
from fo1_data.corpus.forms.voc import read_voc
from fo1_data.corpus.listing import Item, Refused, WantedImages
from fo1_data.corpus.places import ImagePlaces, children, join_verbatim, listing_reject
from fo1_data.errors import CorpusError, one_line
from fo1_data.storage.addresses import base_name, is_web, parent, suffix_of
from fo1_data.storage.streams import open_stream, read_whole

_JSON_FORMS: tuple[tuple[Callable[[Any], bool], Callable[[Any, str, ImageLookup], Iterator[Item]]], ...] = (
    (labelme.is_labelme, labelme.read_labelme),
    (datumaro.is_datumaro, datumaro.read_datumaro),
    (label_studio.is_label_studio, label_studio.read_label_studio),
    (via.is_via, via.read_via),
)
_HEAD_BYTES = 4096
# Where the values of a row are kept that are more than its header names.
_NOT_NAMED = "columns_without_a_name"
_RECORD_BYTES = 2**24


def items_of_json(document: Any, address: str, lookup: ImageLookup) -> Iterator[Item] | None:
    """The items of a JSON document of a labelling tool; None if it is of none of them."""
    for is_form, read in _JSON_FORMS:
        if is_form(document):
            return read(document, address, lookup)
    return None


def items_of_json_file(address: str, lookup: FolderImages) -> Iterator[Item] | None:
    """The items of a JSON file in a folder; None if it is of no known form. Raises CorpusError."""
    document = parse_json(address)
    items = items_of_json(document, address, lookup)
    if items is None:
        items = items_of_track_json(document, address, FolderPlaces(lookup, address))
    if items is None and is_coco_json(document):
        return read_coco_json(document, address, FolderPlaces(lookup, address))
    return items


def read_json(address: str, wanted: WantedImages | None = None) -> Iterator[Item]:
    """The contents of a JSON file that is given alone. `wanted`: records of other images may be left out."""
    document = parse_json(address)
    items = items_of_json(document, address, NearbyImages())
    items = items_of_track_json(document, address) if items is None else items
    yield from items if items is not None else read_coco_json(document, address, wanted=wanted)


def read_csv(address: str) -> Iterator[Item]:
    """The contents of a CSV file that is given alone; names of classes are taken from those beside it."""
    folder = parent(address)
    beside = [join_verbatim(folder, name) for name in children(folder)[0]] if not is_web(address) else []
    classes: dict[str, str] = {}
    for other in beside:
        if suffix_of(other) == ".csv" and other != address:
            classes |= load_class_list(other)
    items = items_of_csv(address, NearbyImages(), classes)
    if items is None:
        columns = ", ".join(csv_columns(address)) or "none"
        raise CorpusError(
            f"{address} is not a corpus: its columns ({columns}) are not those of VIA or Open Images, "
            f"and none names an image ({', '.join(NAME_KEYS)})"
        )
    yield from items


def read_xml(addresses: list[str]) -> Iterator[Item]:
    """The contents of XML files that are given alone: CVAT's, or Pascal VOC's."""
    for address in addresses:
        if is_cvat(address):
            yield from read_cvat(address, NearbyImages())
    yield from read_voc(address for address in addresses if not is_cvat(address))


def items_of_records(address: str, places: ImagePlaces) -> Iterator[Item] | None:
    """The items of a `.jsonl` or Parquet file in a folder; None if its records name no image."""
    if suffix_of(address) == ".parquet":
        return read_parquet_list(address, places) if has_image_column(address) else None
    try:
        record = json.loads(first_line(address, _RECORD_BYTES))
    except (ValueError, RecursionError):
        record = None
    if is_track_record(record) or base_name(address) == TRACKS_NAME:
        return items_of_track_lines(address, places)
    is_known = isinstance(record, dict) and (name_key_of(record) or is_benchmark_record(record))
    return read_annotations(address, places) if is_known else None


def items_of_csv(address: str, lookup: ImageLookup, classes: Mapping[str, str]) -> Iterator[Item] | None:
    """The items of a CSV file; None if its columns are of no known form. `classes`: names by id."""
    columns = set(csv_columns(address))
    if columns >= set(via.CSV_COLUMNS) or {"#filename"} | set(via.CSV_COLUMNS[1:]) <= columns:
        return _with_lines(address, lambda lines: via.read_via_csv(lines, address, lookup))
    if columns >= set(open_images.CSV_COLUMNS):
        return _with_lines(
            address, lambda lines: open_images.read_open_images(lines, address, classes, lookup)
        )
    if set(NAME_KEYS) & columns:
        places = FolderPlaces(lookup, address) if isinstance(lookup, FolderImages) else places_beside(address)
        return _with_lines(address, lambda lines: _records_of_csv(lines, address, places))
    return None


def _records_of_csv(lines: Iterable[str], address: str, places: ImagePlaces) -> Iterator[Item]:
    """Rows as records; a value that is a JSON list or object is taken as such."""
    for number, row in enumerate(csv.DictReader(lines, restkey=_NOT_NAMED)):
        record = {
            key: _parse_value(value) if isinstance(value, str) else value
            for key, value in row.items()
            if key and value not in (None, "")
        }
        yield from items_of_record(record, address, f"{address}#{number}", places)


def _parse_value(text: str) -> Any:
    try:
        return json.loads(text) if text[:1] in "[{" else text
    except (ValueError, RecursionError):
        return text


def csv_columns(address: str) -> list[str]:
    """The columns of a CSV file, by its first line."""
    return open_images.fields_of_line(first_line(address))


def first_line(address: str, most_bytes: int = _HEAD_BYTES) -> str:
    """The first line of a text file, at most `most_bytes` of it."""
    with open_stream(address) as stream:
        return stream.readline(most_bytes).decode("utf-8-sig", "replace").strip()


def is_cvat(address: str) -> bool:
    """Whether an XML file is CVAT's."""
    with open_stream(address) as stream:
        return b"<annotations" in stream.read(_HEAD_BYTES)


def parse_json(address: str) -> Any:
    """The document of a JSON file. Raises CorpusError if it is not JSON."""
    try:
        return json.loads(read_whole(address))
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{address} is not JSON: {one_line(error)}") from error


def load_class_list(address: str) -> dict[str, str]:
    """Class names of Open Images by id; none if the file is another one."""
    if not open_images.is_class_list(base_name(address), first_line(address)):
        return {}
    with _text_lines(address) as lines:
        return open_images.parse_class_list(lines)


def _with_lines(address: str, read: Callable[[Any], Iterator[Item]]) -> Iterator[Item]:
    with _text_lines(address) as lines:
        try:
            yield from read(lines)
        except csv.Error as error:
            message = f"{address} is not CSV up to its end: {one_line(error)}"
            yield Refused(address, {}, listing_reject(address, "bad_csv", message))


@contextmanager
def _text_lines(address: str) -> Iterator[io.TextIOWrapper]:
    with open_stream(address) as stream:
        yield io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="")
