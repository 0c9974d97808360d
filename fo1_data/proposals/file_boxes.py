"""Boxes from a JSONL or Parquet file, keyed by the file names of the images.

A record is either an image with `boxes` (a list of [x_min, y_min, x_max, y_max]) or with `regions` as in
`annotations.jsonl`, or a single box (`box_xyxy`, `label` and so on). Records of the same image add up, in
their order. The key `image`, `file_name`, `uri`, `url` or `path` names the image. A declared `width` and
`height` determine the frame of the boxes, as in a corpus.

A name matches by as much of the path as the file gives (`a/x.jpg` is not `b/x.jpg`). If the paths in the file
are from another machine, the last part matches, provided that only one image of the file has it.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from fo1_data.corpus.forms.record_fields import NAME_KEYS, fields_of_record, whole_number
from fo1_data.errors import ConfigError
from fo1_data.proposals.corpus_boxes import boxes_of_entry
from fo1_data.proposals.proposer import Proposals
from fo1_data.storage.addresses import normalise, suffix_of
from fo1_data.storage.streams import one_line, read_whole
from schemas.corpus import CorpusImage, CorpusRegion


class FileBoxes:
    """`--proposals FILE`: the boxes of a file; an image that the file does not name gets no boxes.

    Raises ConfigError if the file is not of this form, CorpusError if it cannot be read.
    """

    licence: str | None = None
    detects = False

    def __init__(self, address: str) -> None:
        self.name = address
        data = read_whole(normalise(address))
        self.sha256 = hashlib.sha256(data).hexdigest()
        self._by_name: dict[str, _ImageBoxes] = {}
        for location, record in _records(data, address):
            self._add(location, record)
        self._by_last_part = _unique_last_parts(self._by_name)

    def attach_boxes(self, entries: list[CorpusImage]) -> list[CorpusImage]:
        """The entries with the boxes and the declared size of the file in place of their own."""
        return [self._replace_boxes(entry) for entry in entries]

    def propose(self, images: list[Image.Image], entries: list[CorpusImage]) -> list[Proposals]:
        """The boxes that `attach_boxes` put into the entries."""
        return [boxes_of_entry(entry) for entry in entries]

    def _replace_boxes(self, entry: CorpusImage) -> CorpusImage:
        boxes = self._find(entry)
        # The region indices of phrases refer to the regions that are replaced.
        phrases = [phrase.model_copy(update={"region_indices": None}) for phrase in entry.phrases]
        update: dict[str, Any] = {"regions": boxes.regions, "box_unit": "pixel", "phrases": phrases}
        if boxes.width is not None and boxes.height is not None:
            update |= {"width": boxes.width, "height": boxes.height}
        return entry.model_copy(update=update)

    def _find(self, entry: CorpusImage) -> "_ImageBoxes":
        for name in (entry.name, entry.inner or entry.uri):
            parts = _parts(name)
            for start in range(len(parts)):
                boxes = self._by_name.get("/".join(parts[start:]))
                if boxes is not None:
                    return boxes
        return self._by_last_part.get(_parts(entry.inner or entry.uri)[-1]) or _ImageBoxes()

    def _add(self, location: str, record: Any) -> None:
        fields = record if isinstance(record, dict) else {}
        name = next((fields[key] for key in NAME_KEYS if fields.get(key)), None)
        if not isinstance(name, str):
            raise ConfigError(f"{location} names no image (looked for {', '.join(NAME_KEYS)})")
        boxes = self._by_name.setdefault("/".join(_parts(name)), _ImageBoxes())
        boxes.width = whole_number(fields.get("width")) or boxes.width
        boxes.height = whole_number(fields.get("height")) or boxes.height
        boxes.regions += _regions(location, fields)


class _ImageBoxes:
    """The boxes that the file holds of one image, and the size it declares."""

    def __init__(self) -> None:
        self.regions: list[CorpusRegion] = []
        self.width: int | None = None
        self.height: int | None = None


def _records(data: bytes, address: str) -> Iterator[tuple[str, Any]]:
    """Each record with its location, for messages."""
    if suffix_of(address) == ".parquet":
        try:
            rows = pq.read_table(pa.BufferReader(data)).to_pylist()
        except pa.ArrowException as error:
            raise ConfigError(f"{address} is not a Parquet file: {one_line(error)}") from error
        yield from ((f"{address}#{number}", row) for number, row in enumerate(rows))
        return
    for number, line in enumerate(data.decode("utf-8-sig", "replace").split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield f"{address}:{number}", json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{address}:{number} is not JSON: {one_line(error)}") from error


def _regions(location: str, record: dict[str, Any]) -> list[CorpusRegion]:
    listed, boxes = record.get("regions"), record.get("boxes")
    if listed is None and isinstance(boxes, list):
        listed = [{"box_xyxy": box} for box in boxes]
    if listed is None and "box_xyxy" in record:
        listed = [record]
    if listed is None:
        raise ConfigError(f"{location} has no boxes (looked for boxes, regions and box_xyxy)")
    try:
        regions: list[CorpusRegion] = fields_of_record({"regions": listed})["regions"]
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{location}: {one_line(error)}") from error
    return regions


def _parts(name: str) -> list[str]:
    return [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")] or [name]


def _unique_last_parts(by_name: dict[str, _ImageBoxes]) -> dict[str, _ImageBoxes]:
    by_last_part: dict[str, _ImageBoxes | None] = {}
    for name, boxes in by_name.items():
        part = _parts(name)[-1]
        by_last_part[part] = None if part in by_last_part else boxes
    return {part: boxes for part, boxes in by_last_part.items() if boxes is not None}
