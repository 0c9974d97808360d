"""Boxes from a JSONL or Parquet file, keyed by the file names of the images.

A record is either an image with `boxes` (a list of [x_min, y_min, x_max, y_max]) or with `regions` as in
`annotations.jsonl`, or a single box (`box_xyxy`, `label` and so on). Records of the same image add up, in
their order. The key `image`, `file_name`, `uri`, `url` or `path` names the image. A declared `width` and
`height` determine the frame of the boxes, as in a corpus.

A name matches by as much of the path as the file gives (`a/x.jpg` is not `b/x.jpg`). An absolute path or URL
may be from another machine: then the image of the file matches whose path has most last parts in common,
provided that it is only one. `pair_with` tells what matches nothing, and what matches several images.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from fo1_data.corpus.forms.record_fields import NAME_KEYS, fields_of_record, whole_number
from fo1_data.errors import ConfigError
from fo1_data.proposals.corpus_boxes import boxes_of_entry
from fo1_data.proposals.proposer import Proposals
from fo1_data.storage.addresses import normalise, scheme_of, suffix_of
from fo1_data.storage.streams import one_line, read_whole
from schemas.corpus import CorpusImage, CorpusRegion
from schemas.sources import ContentKind, SourceCounts

_MOST_NOTES = 20


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
        self._by_last_part: dict[str, list[str]] = {}
        for name in self._by_name:
            self._by_last_part.setdefault(_parts(name)[-1], []).append(name)

    def attach_boxes(self, entries: list[CorpusImage]) -> list[CorpusImage]:
        """The entries with the boxes and the declared size of the file in place of their own."""
        return [self._replace_boxes(entry) for entry in entries]

    def propose(self, images: list[Image.Image], entries: list[CorpusImage]) -> list[Proposals]:
        """The boxes that `attach_boxes` put into the entries."""
        return [boxes_of_entry(entry) for entry in entries]

    def pair_with(self, entries: Iterable[CorpusImage]) -> SourceCounts:
        """The account of the file for a whole corpus: its boxes that belong to an image, and the others."""
        images: dict[str, list[str]] = {name: [] for name in self._by_name}
        for entry in entries:
            name = self._find(entry)
            if name is not None:
                images[name].append(entry.name)
        tallies = [Counter[ContentKind](), Counter[ContentKind]()]
        for name, boxes in self._by_name.items():
            content = {ContentKind.IMAGES: 1, ContentKind.BOXES: len(boxes.regions)}
            tallies[0 if images[name] else 1].update(content)
        return SourceCounts(
            source=self.name,
            found=tallies[0] + tallies[1],
            attached=+tallies[0],
            rejected=+tallies[1],
            notes=_pairing_notes(images),
        )

    def _replace_boxes(self, entry: CorpusImage) -> CorpusImage:
        name = self._find(entry)
        boxes = _ImageBoxes() if name is None else self._by_name[name]
        # The region indices of phrases refer to the regions that are replaced.
        phrases = [phrase.model_copy(update={"region_indices": None}) for phrase in entry.phrases]
        update: dict[str, Any] = {"regions": boxes.regions, "box_unit": "pixel", "phrases": phrases}
        if boxes.width is not None and boxes.height is not None:
            update |= {"width": boxes.width, "height": boxes.height}
        return entry.model_copy(update=update)

    def _find(self, entry: CorpusImage) -> str | None:
        """The name in the file of a corpus image; None if the file does not name it."""
        parts_of_names = [_parts(name) for name in (entry.name, entry.inner or entry.uri)]
        for parts in parts_of_names:
            for start in range(len(parts)):
                name = "/".join(parts[start:])
                if name in self._by_name:
                    return name
        parts = parts_of_names[-1]
        lengths = {
            name: _num_common(_parts(name), parts)
            for name in self._by_last_part.get(parts[-1], [])
            if self._by_name[name].is_absolute
        }
        best = [name for name, length in lengths.items() if length == max(lengths.values())]
        return best[0] if len(best) == 1 else None

    def _add(self, location: str, record: Any) -> None:
        fields = record if isinstance(record, dict) else {}
        name = next((fields[key] for key in NAME_KEYS if fields.get(key)), None)
        if not isinstance(name, str):
            raise ConfigError(f"{location} names no image (looked for {', '.join(NAME_KEYS)})")
        boxes = self._by_name.setdefault("/".join(_parts(name)), _ImageBoxes())
        boxes.is_absolute = _is_absolute(name)
        boxes.width = whole_number(fields.get("width")) or boxes.width
        boxes.height = whole_number(fields.get("height")) or boxes.height
        boxes.regions += _regions(location, fields)


class _ImageBoxes:
    """The boxes that the file holds of one image, the size it declares, and the kind of its path."""

    def __init__(self) -> None:
        self.regions: list[CorpusRegion] = []
        self.is_absolute = False
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


def _is_absolute(name: str) -> bool:
    return bool(scheme_of(name)) or name.startswith(("/", "\\")) or name[1:3] in (":\\", ":/")


def _num_common(first: list[str], second: list[str]) -> int:
    """How many last parts two paths have in common."""
    pairs = zip(reversed(first), reversed(second), strict=False)
    return next((number for number, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))


def _pairing_notes(images: dict[str, list[str]]) -> list[str]:
    """What a person should know. `images`: the images of the corpus that each name of the file matches."""
    missing = [name for name, matches in images.items() if not matches]
    notes = []
    if missing:
        notes.append(f"{len(missing)} of its {len(images)} images are not listed, such as {missing[0]}")
    for name, matches in [(name, matches) for name, matches in images.items() if len(matches) > 1][
        :_MOST_NOTES
    ]:
        notes.append(
            f"{name} names {len(matches)} images, which all get its boxes ({', '.join(matches[:3])}): "
            "write more of the path"
        )
    return notes
