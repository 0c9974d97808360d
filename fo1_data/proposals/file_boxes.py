"""Boxes from a JSONL or Parquet file, keyed by the file names of the images.

A record is either an image with `boxes` (a list of [x_min, y_min, x_max, y_max]) or with `regions` as in
`annotations.jsonl`, or a single box (`box_xyxy`, `label` and so on). Records of the same image add up, in
their order. The key `image`, `file_name`, `uri`, `url` or `path` names the image. A declared `width` and
`height` determine the frame of the boxes, as in a corpus.

`pairing` says which image a name means. The corpus is paired as a whole when a run is planned: what means no
image, or several, is told there.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from fo1_data.corpus.account import MOST_REASONS
from fo1_data.corpus.forms.record_fields import NAME_KEYS, fields_of_record, whole_number
from fo1_data.corpus.parquet_images import BROKEN_PARQUET
from fo1_data.corpus.places import listing_reject
from fo1_data.errors import ConfigError, one_line
from fo1_data.plurals import counted
from fo1_data.proposals.corpus_boxes import boxes_of_entry, with_other_boxes
from fo1_data.proposals.pairing import Pairing, pair_names
from fo1_data.proposals.proposer import Proposals
from fo1_data.storage.addresses import normalise, suffix_of
from fo1_data.storage.streams import read_whole
from schemas.corpus import CorpusImage, CorpusRegion
from schemas.images import Reject
from schemas.sources import ContentKind, SourceCounts


class FileBoxes:
    """`--proposals FILE`: the boxes of a file; an image that the file does not name gets no boxes.

    Raises ConfigError if the file is not of this form, CorpusError if it cannot be read.
    """

    licence: str | None = None
    detects = False

    def __init__(self, address: str, data: bytes | None = None) -> None:
        self.name = address
        data = read_whole(normalise(address)) if data is None else data
        self.sha256 = hashlib.sha256(data).hexdigest()
        self._by_name: dict[str, _ImageBoxes] = {}
        for location, record in _records(data, address):
            self._add(location, record)

    def attach_boxes(self, entries: list[CorpusImage]) -> list[CorpusImage]:
        """The entries with the boxes and the declared size of the file in place of their own."""
        return self._replace_boxes(entries, pair_names(self._by_name, entries))

    def pair_with(
        self, entries: list[CorpusImage], *, is_whole: bool = True
    ) -> tuple[list[CorpusImage], list[Reject], SourceCounts]:
        """The entries of a corpus with the boxes of the file, the boxes that belong to none, and the account.

        is_whole: whether `entries` are all images of the corpus, so that a name that fits none is a reject.
        """
        pairing = pair_names(self._by_name, entries)
        missing = [name for name in self._by_name if name not in pairing.images | pairing.ambiguous]
        rejects, notes = [self._ambiguous(name, entries, at) for name, at in pairing.ambiguous.items()], []
        if missing:
            names = counted(len(missing), "name fits", "names fit")
            text = f"{names} no image that is listed, such as {missing[0]}"
            if is_whole:
                rejects.append(listing_reject(self.name, "not_listed", text))
            else:
                notes.append(text)
        rejected = self._tally([*pairing.ambiguous, *missing])
        account = SourceCounts(
            source=self.name,
            found=self._tally(self._by_name),
            attached=self._tally(pairing.images),
            rejected=rejected,
            rejects=len(rejects),
            reasons=[reject.message for reject in rejects[:MOST_REASONS]],
            notes=notes,
        )
        return self._replace_boxes(entries, pairing), rejects, account

    def propose(self, images: list[Image.Image], entries: list[CorpusImage]) -> list[Proposals]:
        """The boxes that `attach_boxes` put into the entries."""
        return [boxes_of_entry(entry) for entry in entries]

    def _replace_boxes(self, entries: list[CorpusImage], pairing: Pairing) -> list[CorpusImage]:
        boxes_of = [_ImageBoxes() for _ in entries]
        for name, boxes in self._by_name.items():
            if name in pairing.images:
                boxes_of[pairing.images[name]].add(boxes)
        return [boxes.replace_in(entry) for boxes, entry in zip(boxes_of, entries, strict=True)]

    def _tally(self, names: Iterable[str]) -> dict[ContentKind, int]:
        boxes = [len(self._by_name[name].regions) for name in names]
        return +Counter({ContentKind.IMAGES: len(boxes), ContentKind.BOXES: sum(boxes)})

    def _ambiguous(self, name: str, entries: list[CorpusImage], indices: list[int]) -> Reject:
        examples = ", ".join(entries[index].name for index in indices[:3])
        num_boxes = counted(len(self._by_name[name].regions), "box", "boxes")
        text = f"{name} names {len(indices)} images ({examples}), which get none of its {num_boxes}"
        return listing_reject(self.name, "ambiguous_name", f"{text}: write more of the path")

    def _add(self, location: str, record: Any) -> None:
        fields = record if isinstance(record, dict) else {}
        name = next((fields[key] for key in NAME_KEYS if fields.get(key)), None)
        if not isinstance(name, str):
            raise ConfigError(f"{location} names no image (looked for {', '.join(NAME_KEYS)})")
        width, height = (whole_number(fields.get(key)) for key in ("width", "height"))
        boxes = _ImageBoxes(_regions(location, fields), width, height)
        self._by_name.setdefault(name, _ImageBoxes()).add(boxes)


@dataclass
class _ImageBoxes:
    """The boxes that the file holds of one image, and the size it declares."""

    regions: list[CorpusRegion] = field(default_factory=list)
    width: int | None = None
    height: int | None = None

    def add(self, more: "_ImageBoxes") -> None:
        """Add what another record of the same image holds."""
        self.regions += more.regions
        self.width, self.height = more.width or self.width, more.height or self.height

    def replace_in(self, entry: CorpusImage) -> CorpusImage:
        has_size = self.width is not None and self.height is not None
        size = {"width": self.width, "height": self.height} if has_size else {}
        return with_other_boxes(entry, self.regions, **size)


def _records(data: bytes, address: str) -> Iterator[tuple[str, Any]]:
    """Each record with its location, for messages."""
    if suffix_of(address) == ".parquet":
        try:
            rows = pq.read_table(pa.BufferReader(data)).to_pylist()
        except (*BROKEN_PARQUET, OverflowError) as error:
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
