"""A dataset of the project itself as a corpus or as gold, published or not.

What came with its corpus and what people wrote or confirmed is kept; what a model said is left out and
counted in a note, unless `with_model_labels`. A region stays if it came with the corpus, if a person drew it
or spoke of it, or if a statement that stays names it. Phrases, counts and answers likewise.

Boxes are given in stored pixels, so that they are right whatever the image's EXIF orientation is. The image
is the embedded one, else the one at the row's address. `meta` has the row's `image_id` and `uris`.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import pyarrow.parquet as pq
from pydantic import ValidationError

from fo1_data.boxes import as_boxes
from fo1_data.corpus.forms.record_fields import keep_region_meta, validation_text
from fo1_data.corpus.forms.uri_list import rows_of
from fo1_data.corpus.frames import orient_boxes
from fo1_data.corpus.listing import Found, Item, Note, Piece, Refused, contents_of
from fo1_data.corpus.parquet_images import BROKEN_PARQUET, embedded_rows, inner_of_row
from fo1_data.corpus.places import listing_reject
from fo1_data.errors import CorpusError, one_line
from fo1_data.storage.addresses import join
from fo1_data.storage.streams import open_seekable, read_whole
from schemas.corpus import (
    CorpusAnswer,
    CorpusCount,
    CorpusExample,
    CorpusImage,
    CorpusPhrase,
    CorpusRegion,
)
from schemas.dataset import FILES_PART
from schemas.labels import LabelKind, Source
from schemas.sources import ContentKind

MANIFEST = "manifest.json"
_COLUMN = "image"
_BATCH_ROWS = 64
# The EXIF orientation that undoes each.
_INVERSE = {6: 8, 8: 6}

# What values of other types or places than ours raise.
_BAD = (ValidationError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)

Row = dict[str, Any]
Part = TypeVar("Part")


def load_own_manifest(folder: str) -> Row | None:
    """The manifest of a dataset of the project; None if the folder's `manifest.json` is another one."""
    try:
        manifest = json.loads(read_whole(join(folder, MANIFEST)))
    except (ValueError, RecursionError, CorpusError):
        return None
    keys = {"schema_version", "fingerprint", "files", "version"}
    is_ours = isinstance(manifest, dict) and keys <= manifest.keys()
    return manifest if is_ours and isinstance(manifest.get("config") or {}, dict) else None


def read_own_dataset(folder: str, manifest: Row, with_model_labels: bool = False) -> Iterator[Item]:
    """The images of a dataset in its order. Raises CorpusError if one of its files cannot be read."""
    config = manifest.get("config") or {}
    is_boxed = config.get("proposals") == "corpus"
    labels = config.get("labels")
    asks_caption = isinstance(labels, list) and LabelKind.GROUNDED_CAPTION.value in labels
    left_out: Counter[str] = Counter()
    for path in _paths(folder, manifest):
        if path.startswith("data/"):
            for where, row, inner in _rows(join(folder, path)):
                reader = _RowReader(row, with_model_labels, is_boxed, asks_caption, left_out)
                yield from _items(folder, where, reader, inner)
    if +left_out:
        parts = ", ".join(f"{count} {kind}" for kind, count in sorted((+left_out).items()))
        yield Note(folder, f"{parts} of a model are left out: no person wrote or confirmed them")


def _paths(folder: str, manifest: Row) -> Iterator[str]:
    """The files that a manifest lists, also those that it lists in parts."""
    try:
        for path in map(_path_of, manifest["files"]):
            if path.startswith(FILES_PART):
                yield from map(_path_of, map(json.loads, read_whole(join(folder, path)).splitlines()))
            else:
                yield path
    except _BAD as error:
        raise CorpusError(
            f"{join(folder, MANIFEST)}: its list of files cannot be read: {_fault(error)}"
        ) from error


def _path_of(file: Row) -> str:
    path = file["path"]
    if not isinstance(path, str) or ".." in path.split("/"):
        raise ValueError(f"{str(path)[:80]!a} is no file of the dataset")
    path.encode()
    return path


def _rows(address: str) -> Iterator[tuple[str, Row, tuple[str, str] | None]]:
    """Each row without its pixels, and, if it has any, where they are."""
    with open_seekable(address) as file:
        try:
            parquet = pq.ParquetFile(file)
            columns = [name for name in parquet.schema_arrow.names if name != _COLUMN]
            batches = parquet.iter_batches(_BATCH_ROWS, columns=columns)
            rows = (row for batch in batches for row in rows_of(batch))
            embedded = embedded_rows(parquet, f"{_COLUMN}.bytes")
            for number, (row, is_embedded) in enumerate(zip(rows, embedded, strict=True)):
                inner = (address, inner_of_row(_COLUMN, number)) if is_embedded else None
                yield f"{address}#{number}", row, inner
        except BROKEN_PARQUET as error:
            raise CorpusError(f"cannot read {address}: {one_line(error)}") from error


def _items(folder: str, where: str, reader: "_RowReader", inner: tuple[str, str] | None) -> Iterator[Item]:
    try:
        entry = reader.entry(inner)
    except _BAD as error:
        counts = {ContentKind.IMAGES: 1}
        yield Found(folder, counts)
        message = f"{where}: {_fault(error)}"
        yield Refused(folder, counts, listing_reject(where, "bad_record", message))
        return
    refused = Counter(fault.kind for fault in reader.faults)
    yield Found(folder, contents_of(entry) + refused)
    for kind, reason, text in reader.faults:
        yield Refused(folder, {kind: 1}, listing_reject(entry.name, reason, f"{where}: {text}"))
    yield Piece(folder, entry)


def _fault(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it has no {one_line(error)}"
    return validation_text(error)


class _Fault(NamedTuple):
    """A part of a row that is refused, and why."""

    kind: ContentKind
    reason: str
    text: str


class _RowReader:
    """What of a row is kept. `left_out` counts what is not. `faults`: parts that cannot be read."""

    def __init__(
        self, row: Row, with_model_labels: bool, is_boxed: bool, asks_caption: bool, left_out: Counter[str]
    ) -> None:
        self._row = row
        self._all = with_model_labels
        self._is_boxed = is_boxed
        self._asks_caption = asks_caption
        self._left_out = left_out
        self.faults: list[_Fault] = []

    def entry(self, inner: tuple[str, str] | None) -> CorpusImage:
        """The row as an entry of a corpus."""
        row = self._row
        groundings = self._parts("groundings", ContentKind.PHRASES, _grounding)
        answers = self._parts("answers", ContentKind.ANSWERS, _answer)
        counts = self._parts("counts", ContentKind.COUNTS, _count)
        named: set[str | None] = {region_id for _, _, ids in groundings for region_id in ids}
        # The phrase of a visual example is its region's id.
        named |= {part.text for kind, part, _ in groundings if kind == LabelKind.VISUAL_EXAMPLE}
        named |= {region_id for _, region_id in answers}
        regions = [region for region in row["regions"] or () if self._keeps(region, named)]
        self._left_out["boxes"] += len(row["regions"] or ()) - len(regions)
        index_of = {region["region_id"]: index for index, region in enumerate(regions)}
        groundings = [part for part in groundings if self._is_of_row(part[1].text, _ids(part), index_of)]
        examples = [part for part in groundings if part[0] == LabelKind.VISUAL_EXAMPLE]
        phrases = [
            (kind, _naming(phrase, ids, index_of))
            for kind, phrase, ids in groundings
            if kind != LabelKind.VISUAL_EXAMPLE
        ]
        meta = json.loads(row["meta"]) if row.get("meta") else {}
        meta |= {"image_id": row["image_id"], "uris": list(row["uris"] or [row["uri"]])}
        uri, member = inner if inner is not None else _place(row["uri"])
        boxes = self._stored_boxes(regions)
        keep_region_meta(meta, [{"region_id": region["region_id"]} for region in regions])
        turned = (row["orientation"] or 1) >= 5
        return CorpusImage(
            uri=uri,
            inner=member,
            id=row["source_id"] or row["image_id"],
            width=row["height"] if turned else row["width"],
            height=row["width"] if turned else row["height"],
            regions=[self._region(*pair) for pair in zip(regions, boxes, strict=True)]
            if regions or self._is_boxed
            else None,
            caption=self._caption(),
            caption_phrases=[part for kind, part in phrases if kind == LabelKind.GROUNDED_CAPTION],
            phrases=_first_of_each(part for kind, part in phrases if kind != LabelKind.GROUNDED_CAPTION),
            counts=counts,
            examples=[
                CorpusExample(
                    region_index=index_of[part.text], region_indices=[index_of[name] for name in ids]
                )
                for _, part, ids in examples
            ],
            answers=[
                answer.model_copy(update={"region_index": None if name is None else index_of[name]})
                for answer, name in answers
                if name is None or self._is_of_row(answer.question, [name], index_of, ContentKind.ANSWERS)
            ],
            meta=meta,
        )

    def _is_kept(self, label: Row | None) -> bool:
        if label is None:
            return False
        return self._all or label["source"] != Source.MODEL or label["annotator"] is not None

    def _parts(self, column: str, kind: ContentKind, read: Callable[[Row], Part]) -> list[Part]:
        """What is kept of a column of lists; a part that cannot be read is a fault."""
        parts = []
        for number, part in enumerate(self._row[column] or ()):
            try:
                if self._is_kept(part["label"]):
                    parts.append(read(part))
                else:
                    self._left_out[kind.value] += 1
            except _BAD as error:
                self.faults.append(_Fault(kind, "bad_part", f"{column}.{number}: {_fault(error)}"))
        return parts

    def _is_of_row(
        self,
        text: str,
        ids: Iterable[str],
        index_of: Mapping[str, int],
        kind: ContentKind = ContentKind.PHRASES,
    ) -> bool:
        """Whether the row has the regions that a phrase or answer names; if not, it is a fault."""
        unknown = [name for name in ids if name not in index_of]
        if unknown:
            message = f"{text!r} names regions that the row does not have: {', '.join(map(str, unknown))}"
            self.faults.append(_Fault(kind, "unknown_region", message))
        return not unknown

    def _keeps(self, region: Row, named: set[str | None]) -> bool:
        is_given = self._all or region["box_source"] != Source.MODEL or region["region_id"] in named
        return is_given or any(self._is_kept(label) for label in region["labels"] or ())

    def _stored_boxes(self, regions: list[Row]) -> list[tuple[float, ...]]:
        orientation = self._row["orientation"] or 1
        boxes = as_boxes([region["box_xyxy"] for region in regions])
        if orientation != 1 and regions:
            wh = (self._row["width"], self._row["height"])
            boxes = orient_boxes(boxes, wh, _INVERSE.get(orientation, orientation))
        return [tuple(box) for box in boxes.tolist()]

    def _region(self, region: Row, box: tuple[float, ...]) -> CorpusRegion:
        texts = {label["kind"]: label["text"] for label in region["labels"] or () if self._is_kept(label)}
        num_left_out = sum(not self._is_kept(label) for label in region["labels"] or ())
        if num_left_out:
            self._left_out["captions and texts"] += num_left_out
        return CorpusRegion(
            box_xyxy=box,  # type: ignore[arg-type]
            # A detector's name of its box is a guess, which nobody has confirmed.
            label=region["source_label"] if region["box_source"] != Source.MODEL else None,
            caption=texts.get(LabelKind.BRIEF_CAPTION) or region["source_caption"],
            detailed_caption=texts.get(LabelKind.DETAILED_CAPTION),
            text=texts.get(LabelKind.OCR),
        )

    def _caption(self) -> str | None:
        row = self._row
        if self._all or self._is_kept(row.get("caption_label")) or not self._asks_caption:
            caption: str | None = row["caption"]
            return caption
        if row["caption"] and row["caption"] != row.get("source_caption"):
            self._left_out["captions and texts"] += 1
        return row.get("source_caption")


def _grounding(part: Row) -> tuple[str, CorpusPhrase, list[str]]:
    return part["kind"], CorpusPhrase(text=part["phrase"]), list(part["region_ids"] or ())


def _ids(part: tuple[str, CorpusPhrase, list[str]]) -> list[str]:
    """The regions that a grounding is about: of a visual example also the example."""
    kind, phrase, ids = part
    return [phrase.text, *ids] if kind == LabelKind.VISUAL_EXAMPLE else ids


def _naming(phrase: CorpusPhrase, ids: list[str], index_of: Mapping[str, int]) -> CorpusPhrase:
    return phrase.model_copy(update={"region_indices": [index_of[name] for name in ids]})


def _answer(part: Row) -> tuple[CorpusAnswer, str | None]:
    answer = CorpusAnswer(question=part["question"], answer=part["answer"], reasoning=part["reasoning"])
    return answer, part["region_id"]


def _count(part: Row) -> CorpusCount:
    return CorpusCount(text=part["phrase"], count=part["count"])


def _first_of_each(phrases: Iterable[CorpusPhrase]) -> list[CorpusPhrase]:
    """Each phrase once: of two kinds of question about one phrase, the first."""
    first: dict[str, CorpusPhrase] = {}
    for phrase in phrases:
        first.setdefault(phrase.text, phrase)
    return list(first.values())


def _place(uri: str) -> tuple[str, str | None]:
    """A row's address as that of a file, and the member or frame within it."""
    file, _, member = uri.partition("::")
    return file, member or None
