"""Boxes from a file: JSONL or Parquet, keyed by the images' file names.

A record is an image with `boxes` (a list of x_min, y_min, x_max, y_max) or with `regions` as in
`annotations.jsonl`, or it is one box (`box_xyxy`, with `label` and so on); records of the same image
add up in their order. The image is named by `image`, `file_name`, `uri`, `url` or `path`; a declared
`width` and `height` tell the boxes' frame as they do in a corpus.

A name is matched by as much of its path as the file gives (`a/x.jpg` is not `b/x.jpg`); where the
file's paths are of another machine, by the last part if only one image of the file has it.
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
from fo1_data.proposals.corpus_boxes import given_boxes
from fo1_data.proposals.proposer import Proposals
from fo1_data.storage.addresses import normalise, suffix_of
from fo1_data.storage.streams import one_line, read_whole
from schemas.corpus import CorpusImage, CorpusRegion


class FileBoxes:
    """`--proposals FILE`: an image that the file does not name gets no boxes.

    Raises ConfigError where the file holds something else, CorpusError where it cannot be read.
    """

    licence: str | None = None
    detects = False

    def __init__(self, address: str) -> None:
        self.name = address
        data = read_whole(normalise(address))
        self.sha256 = hashlib.sha256(data).hexdigest()
        self._by_name: dict[str, _Given] = {}
        for where, record in _records(data, address):
            self._add(where, record)
        self._by_last = _unique_last_parts(self._by_name)

    def give(self, entries: list[CorpusImage]) -> list[CorpusImage]:
        """The entries with the file's boxes, and its declared size, in place of the corpus'."""
        return [self._given(entry) for entry in entries]

    def propose(self, images: list[Image.Image], entries: list[CorpusImage]) -> list[Proposals]:
        """The boxes that `give` has put into the entries."""
        return [given_boxes(entry) for entry in entries]

    def _given(self, entry: CorpusImage) -> CorpusImage:
        found = self._find(entry)
        # Phrases and gold count the corpus' own regions, which these replace.
        phrases = [phrase.model_copy(update={"region_indices": None}) for phrase in entry.phrases]
        update: dict[str, Any] = {"regions": found.regions, "box_unit": "pixel", "phrases": phrases}
        if found.width is not None and found.height is not None:
            update |= {"width": found.width, "height": found.height}
        return entry.model_copy(update=update)

    def _find(self, entry: CorpusImage) -> "_Given":
        for name in (entry.name, entry.inner or entry.uri):
            parts = _parts(name)
            for start in range(len(parts)):
                found = self._by_name.get("/".join(parts[start:]))
                if found is not None:
                    return found
        return self._by_last.get(_parts(entry.inner or entry.uri)[-1]) or _Given()

    def _add(self, where: str, record: Any) -> None:
        name = (
            next((record[key] for key in NAME_KEYS if record.get(key)), None) if _is_object(record) else None
        )
        if not isinstance(name, str):
            raise ConfigError(f"{where} names no image (looked for {', '.join(NAME_KEYS)})")
        given = self._by_name.setdefault("/".join(_parts(name)), _Given())
        given.width = whole_number(record.get("width")) or given.width
        given.height = whole_number(record.get("height")) or given.height
        given.regions += _regions(where, record)


class _Given:
    """What the file says of one image."""

    def __init__(self) -> None:
        self.regions: list[CorpusRegion] = []
        self.width: int | None = None
        self.height: int | None = None


def _is_object(record: Any) -> bool:
    return isinstance(record, dict)


def _records(data: bytes, address: str) -> Iterator[tuple[str, Any]]:
    if suffix_of(address) == ".parquet":
        try:
            rows = pq.read_table(pa.BufferReader(data)).to_pylist()
        except pa.ArrowException as error:
            raise ConfigError(f"{address} is no Parquet file: {one_line(error)}") from error
        yield from ((f"{address}#{number}", row) for number, row in enumerate(rows))
        return
    for number, line in enumerate(data.decode("utf-8-sig", "replace").split("\n"), 1):
        if not line.strip():
            continue
        try:
            yield f"{address}:{number}", json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{address}:{number} is no JSON: {one_line(error)}") from error


def _regions(where: str, record: dict[str, Any]) -> list[CorpusRegion]:
    given, boxes = record.get("regions"), record.get("boxes")
    if given is None and isinstance(boxes, list):
        given = [{"box_xyxy": box} for box in boxes]
    if given is None and "box_xyxy" in record:
        given = [record]
    if given is None:
        raise ConfigError(f"{where} has no boxes (looked for boxes, regions and box_xyxy)")
    try:
        regions: list[CorpusRegion] = fields_of_record({"regions": given})["regions"]
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {one_line(error)}") from error
    return regions


def _parts(name: str) -> list[str]:
    return [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")] or [name]


def _unique_last_parts(by_name: dict[str, _Given]) -> dict[str, _Given]:
    last: dict[str, _Given | None] = {}
    for name, given in by_name.items():
        part = _parts(name)[-1]
        last[part] = None if part in last else given
    return {part: given for part, given in last.items() if given is not None}
