"""Which row belongs to which gold image, and which region to which gold region.

Boxes: absolute pixels of the EXIF-oriented image, x_min y_min x_max y_max; gold is brought into that frame
by the rule that labelling follows. A region and a gold region belong together at IoU 0.5 or more, best pairs
first, each used once.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from fo1_data.boxes import as_boxes, iou_matrix
from fo1_data.corpus.frames import BoxFrame, oriented_entry
from fo1_data.corpus.images import DecodedImage
from schemas.corpus import CorpusImage
from schemas.images import ImageRow

MATCH_IOU = 0.5


@dataclass(frozen=True)
class Pair:
    """A row with its gold. `gold_of[i]`: index of the gold region of the row's i-th region, or None.

    `overlaps`: (regions, gold regions) IoU.
    """

    row: ImageRow
    gold: CorpusImage
    gold_of: list[int | None]
    overlaps: npt.NDArray[Any]

    @property
    def region_of(self) -> dict[int, int]:
        """Index of the row's region by index of the gold region, of those that were matched."""
        return {gold: index for index, gold in enumerate(self.gold_of) if gold is not None}


def pair_rows(
    rows: Iterable[ImageRow], gold: Iterable[CorpusImage], box_frame: BoxFrame = "auto"
) -> Iterator[Pair]:
    """Every row that has gold, with its gold."""
    index = GoldIndex(gold, box_frame)
    for row in rows:
        pair = index.pair(row)
        if pair is not None:
            yield pair


class GoldIndex:
    """Finds a row's gold: by address, content, the corpus' own id, or a unique file name, in this order.

    A dataset of the project that serves as gold says the content and the addresses of its images in `meta`.
    """

    def __init__(self, gold: Iterable[CorpusImage], box_frame: BoxFrame = "auto") -> None:
        entries = list(gold)
        self._box_frame: BoxFrame = box_frame
        self._by_address = {uri: entry for entry in entries for uri in _meta_texts(entry, "uris")}
        self._by_address |= {entry.name: entry for entry in entries}
        self._by_content = {key: entry for entry in entries for key in _meta_texts(entry, "image_id")}
        self._by_id = _unique((entry.id, entry) for entry in entries)
        self._by_file = _unique((PurePosixPath(entry.name).name, entry) for entry in entries)

    def pair(self, row: ImageRow) -> Pair | None:
        """The row with its gold; None if it has none."""
        entries = [self._by_address[uri] for uri in row.uris if uri in self._by_address]
        file_name = PurePosixPath(row.uri).name
        entry = entries[0] if entries else self._by_content.get(row.image_id)
        entry = entry or self._by_id.get(row.source_id) or self._by_file.get(file_name)
        return make_pair(row, entry, self._box_frame) if entry is not None else None

    def entries_of(self, uris: Sequence[str], source_id: str | None = None) -> list[CorpusImage]:
        """Every gold entry of an image at `uris`: one for each of its addresses that gold lists."""
        files = [PurePosixPath(uri).name for uri in uris]
        entries = [self._by_id.get(source_id), *(self._by_file.get(file) for file in files)]
        entries = [self._by_address[uri] for uri in uris if uri in self._by_address] or entries
        return [entry for entry in entries if entry is not None]


def _meta_texts(entry: CorpusImage, key: str) -> list[str]:
    value = (entry.meta or {}).get(key)
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str)]


def make_pair(row: ImageRow, entry: CorpusImage, box_frame: BoxFrame = "auto") -> Pair:
    """A row and its gold, in one frame, with their regions matched."""
    turned = row.orientation >= 5
    stored_wh = (row.height, row.width) if turned else (row.width, row.height)
    no_pixels = Image.new("RGB", (1, 1))
    image = DecodedImage(row.image_id, no_pixels, row.width, row.height, row.orientation, stored_wh)
    gold, _ = oriented_entry(entry, image, box_frame)
    boxes = as_boxes([region.box_xyxy for region in row.regions])
    true = as_boxes([region.box_xyxy for region in gold.regions or []])
    overlaps = iou_matrix(boxes, true)
    return Pair(row, gold, match(overlaps), overlaps)


def match(overlaps: npt.NDArray[Any]) -> list[int | None]:
    """For each row of (rows, columns) overlaps its column or None: best pairs first, each used once."""
    columns: list[int | None] = [None] * overlaps.shape[0]
    used: set[int] = set()
    for flat in np.argsort(-overlaps, axis=None, kind="stable").tolist():
        row, column = divmod(flat, overlaps.shape[1])
        if overlaps[row, column] < MATCH_IOU:
            break
        if columns[row] is None and column not in used:
            columns[row] = column
            used.add(column)
    return columns


def share(right: int, num: int) -> float | None:
    """`right / num`, rounded; None if `num` is 0."""
    return round(right / num, 6) if num else None


def _unique(pairs: Iterable[tuple[str | None, CorpusImage]]) -> dict[str | None, CorpusImage]:
    by_key: dict[str | None, CorpusImage] = {}
    repeated: set[str | None] = {None}
    for key, entry in pairs:
        repeated |= {key} if key in by_key else set()
        by_key[key] = entry
    return {key: entry for key, entry in by_key.items() if key not in repeated}
