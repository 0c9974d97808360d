"""Which row belongs to which gold image, and which region to which gold region.

Boxes: absolute pixels of the EXIF-oriented image, x_min y_min x_max y_max; gold is brought into that frame
by the rule that labelling follows. A region and a gold region belong together at IoU 0.5 or more, best pairs
first, each used once; of equal boxes those that agree best in what they say.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from fo1_data.boxes import as_boxes, iou_matrix
from fo1_data.corpus.frames import BoxFrame, oriented_entry
from fo1_data.corpus.images import ImageFrame
from fo1_data.judging.equal_boxes import agreement_of
from fo1_data.judging.words import words_of
from schemas.corpus import CorpusImage, CorpusPhrase
from schemas.images import ImageRow
from schemas.labels import Source

MATCH_IOU = 0.5
_OWN_BOX_IOU = 0.99
# Copies of an image in other sizes have the same aspect ratio but for whole pixels.
_RATIO_TOLERANCE = 0.02


@dataclass(frozen=True)
class Pair:
    """A row with its gold. `gold_of[i]`: index of the gold region of the row's i-th region, or None.

    `overlaps`: (regions, gold regions) IoU.
    """

    row: ImageRow
    gold: CorpusImage
    gold_of: list[int | None]
    overlaps: npt.NDArray[Any]

    @cached_property
    def region_places(self) -> dict[str, int]:
        """Index of the row's region by region id; of regions with equal boxes the last."""
        return {region.region_id: index for index, region in enumerate(self.row.regions)}

    @cached_property
    def gold_phrases(self) -> dict[str, CorpusPhrase]:
        """Gold's phrases by text without case, of equal ones the first."""
        return {phrase.text.casefold(): phrase for phrase in reversed(self.gold.phrases)}

    @cached_property
    def gold_words(self) -> list[set[str]]:
        """The words of the label and caption of each gold region; empty if none has any text."""
        regions = self.gold.regions or []
        if not any(region.label or region.caption for region in regions):
            return []
        return [set(words_of(f"{region.label or ''} {region.caption or ''}")) for region in regions]

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
    """Finds a row's gold: by address, else by content (an id that is the hash of the image's bytes), else by
    the id that the corpus gave the image, else by the end of its path.

    An id that is a number proves nothing: two files both count from 1. Of paths the entry with the most equal
    parts from the end is taken, if it is the only one; its declared size must not contradict the row's.
    """

    def __init__(self, gold: Iterable[CorpusImage], box_frame: BoxFrame = "auto") -> None:
        entries = list(gold)
        self._box_frame: BoxFrame = box_frame
        self._by_address = {name: entry for entry in entries for name in (entry.origin_name, entry.name)}
        self._by_id = _unique((entry.id, entry) for entry in entries if not _is_number(entry.id))
        self._by_file: dict[str, list[CorpusImage]] = {}
        for entry in entries:
            self._by_file.setdefault(PurePosixPath(entry.origin_name).name, []).append(entry)

    def pair(self, row: ImageRow) -> Pair | None:
        """The row with its gold; None if it has none."""
        entries = [self._by_address[uri] for uri in row.uris if uri in self._by_address]
        entry = entries[0] if entries else self._by_id.get(row.image_id) or self._by_id.get(row.source_id)
        if entry is None:
            entry = next(filter(None, (self._by_path(uri, row) for uri in row.uris)), None)
        return make_pair(row, entry, self._box_frame) if entry is not None else None

    def entries_of(self, uris: Sequence[str], row: ImageRow | None = None) -> list[CorpusImage]:
        """Every gold entry of an image at `uris`: one for each of its addresses that gold lists.

        `row`: the image's row, if it has one.
        """
        listed = [self._by_address[uri] for uri in uris if uri in self._by_address]
        if listed:
            return listed
        by_id = [self._by_id.get(name) for name in ((row.image_id, row.source_id) if row is not None else ())]
        return [entry for entry in (*by_id, *(self._by_path(uri, row) for uri in uris)) if entry is not None]

    def _by_path(self, uri: str, row: ImageRow | None) -> CorpusImage | None:
        """The entry whose path ends most like `uri`; None if there is none, or several."""
        alike = self._by_file.get(PurePosixPath(uri).name, [])
        if row is not None:
            alike = [entry for entry in alike if _may_be_same_size(entry, row)]
        lengths = [_num_equal_parts(entry.origin_name, uri) for entry in alike]
        longest = [entry for entry, length in zip(alike, lengths, strict=True) if length == max(lengths)]
        return longest[0] if len(longest) == 1 else None


def _is_number(text: str | None) -> bool:
    return text is not None and text.strip().isdecimal()


def _num_equal_parts(first: str, second: str) -> int:
    """How many parts of two paths are equal, counted from the end."""
    parts = zip(reversed(PurePosixPath(first).parts), reversed(PurePosixPath(second).parts), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], parts))


def _may_be_same_size(entry: CorpusImage, row: ImageRow) -> bool:
    """False if gold declares a size of another shape than the row's, upright or turned."""
    if not entry.width or not entry.height:
        return True
    ratio, own = entry.width / entry.height, row.width / row.height
    return any(abs(ratio / other - 1) < _RATIO_TOLERANCE for other in (own, 1 / own))


def make_pair(row: ImageRow, entry: CorpusImage, box_frame: BoxFrame = "auto") -> Pair:
    """A row and its gold, in one frame, with their regions matched."""
    turned = row.orientation >= 5
    stored_wh = (row.height, row.width) if turned else (row.width, row.height)
    image = ImageFrame(row.width, row.height, row.orientation, stored_wh, row.image_id)
    gold, _ = oriented_entry(entry, image, box_frame)
    boxes = as_boxes([region.box_xyxy for region in row.regions])
    true = as_boxes([region.box_xyxy for region in gold.regions or []])
    overlaps = iou_matrix(boxes, true)
    agreement = agreement_of(row.regions, gold.regions or [], overlaps)
    return Pair(row, gold, match(overlaps, agreement), overlaps)


def has_own_boxes(pair: Pair) -> bool:
    """True if the row's boxes came with the corpus and are gold's: compared with gold they prove nothing."""
    if not pair.row.regions or not pair.overlaps.size:
        return False
    from_corpus = all(region.box_source is Source.CORPUS for region in pair.row.regions)
    return from_corpus and bool((pair.overlaps.max(axis=0) >= _OWN_BOX_IOU).all())


def match(
    overlaps: npt.NDArray[Any], agreement: npt.NDArray[Any] | None = None, least_iou: float = MATCH_IOU
) -> list[int | None]:
    """For each row of (rows, columns) overlaps its column or None: best pairs first, each used once.

    `agreement`, of the same shape: which of equal overlaps is better. Order decides what is left.
    """
    columns: list[int | None] = [None] * overlaps.shape[0]
    used: set[int] = set()
    ties = np.zeros_like(overlaps) if agreement is None else agreement
    for flat in np.lexsort((-ties.ravel(), -overlaps.ravel())).tolist():
        row, column = divmod(flat, overlaps.shape[1])
        if overlaps[row, column] < least_iou:
            break
        if columns[row] is None and column not in used:
            columns[row] = column
            used.add(column)
    return columns


def nothing_matches(num_rows: int, num_gold: int) -> str:
    """The message if no row of a dataset has gold."""
    return (
        f"no image of the dataset ({num_rows}) is in the gold ({num_gold}): they are matched by address, by "
        "content, by an id that is no plain number, or by the end of the path"
    )


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
