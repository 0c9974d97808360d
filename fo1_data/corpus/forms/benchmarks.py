"""Files of referring and counting benchmarks, with one record per phrase, read as one entry per image.

    HumanRef        {"image_name", "referring", "answer_boxes", "candidate_boxes", "domain"}: x_min y_min
                    x_max y_max; without answer box: absent; the domain becomes the phrase's kind
    RefCOCO-style   {"image", "bbox", and sent | expression | referring | phrase | caption | sentences |
                    answer}: x y width height, unless `bbox_format` is "xyxy" or the key is `bbox_xyxy`
    RefCOCO, MDETR  COCO JSON whose images carry an expression (`dataset_name` refcoco...) or that has `refs`
    CountBench,     {"image" | "image_url", "count" | "number", and noun | label | object | category |
    PixMo-Count     text}; of a text that starts with a number, what follows the number is counted

Records of the same image are merged in the order of the file, which is held in memory. A phrase that occurs
twice in an image keeps its first boxes.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from fo1_data.corpus.forms.record_fields import (
    NAME_KEYS,
    box_of,
    id_of,
    objects_of,
    text_of,
    validation_text,
    whole_number,
)
from fo1_data.corpus.places import ImagePlaces, listing_reject
from schemas.corpus import CorpusCount, CorpusImage, CorpusPhrase, CorpusRegion
from schemas.images import Reject

_IMAGE_KEYS = (*NAME_KEYS, "image_name", "image_url", "image_path", "img")
_BOX_KEYS = ("bbox", "bbox_xyxy", "bbox_xywh", "box_xyxy")
_EXPRESSIONS = ("sent", "expression", "referring", "phrase", "sentences", "answer", "caption")
_NUMBERS = ("count", "number")
_NOUNS = ("noun", "label", "object", "category", "text")
_NUMBER_WORDS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty"
)
_LEADING_NUMBER = re.compile(rf"^\s*(?:\d+|{'|'.join(_NUMBER_WORDS.split())})\s+", re.IGNORECASE)

Record = dict[str, Any]


def is_benchmark_record(record: Any) -> bool:
    """Whether a record has one of the forms above; the project's own records have not."""
    return isinstance(record, dict) and "regions" not in record and _reader_of(record) is not None


def read_records(records: Iterable[tuple[str, Any]], places: ImagePlaces) -> Iterator[CorpusImage | Reject]:
    """The images of (where, record) pairs, each once; a reject for a record that cannot be read."""
    images: dict[str, _MergedRecords] = {}
    for where, record in records:
        reader = _reader_of(record) if isinstance(record, dict) else None
        name = _name_of(record) if isinstance(record, dict) else None
        if reader is None or name is None:
            yield listing_reject(where, "bad_record", f"{where} is not a record with an image and a phrase")
            continue
        try:
            image = images.setdefault(name, _MergedRecords(record))
            reader(image, record)
        except (ValueError, TypeError, KeyError, ValidationError) as error:
            yield listing_reject(where, "bad_record", f"{where}: {validation_text(error)}")
    for name, image in images.items():
        yield image.entry(places.find(name))


@dataclass
class _MergedRecords:
    """The records of one image, merged."""

    first: Record
    regions: list[CorpusRegion] = field(default_factory=list)
    phrases: dict[str, CorpusPhrase] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    counts: dict[str, CorpusCount] = field(default_factory=dict)
    has_boxes: bool = False

    def add_box(self, box: tuple[float, float, float, float], label: str | None = None) -> int:
        """The index of a box in the regions; a new box is added."""
        self.has_boxes = True
        for index, region in enumerate(self.regions):
            if region.box_xyxy == box:
                return index
        self.regions.append(CorpusRegion(box_xyxy=box, label=label))
        return len(self.regions) - 1

    def add_phrase(self, phrase: str, indices: list[int], kind: str | None = None) -> None:
        """Add a phrase with the indices of its boxes, unless the image already has it."""
        self.has_boxes = True
        if phrase not in self.phrases:
            self.phrases[phrase] = CorpusPhrase(text=phrase, region_indices=indices)
            if kind:
                self.kinds[phrase] = kind

    def entry(self, uri: str) -> CorpusImage:
        """The image with all its boxes, phrases and counts."""
        return CorpusImage(
            uri=uri,
            id=text_of(self.first.get("image_id")),
            width=whole_number(self.first.get("width")),
            height=whole_number(self.first.get("height")),
            regions=self.regions if self.has_boxes else None,
            phrases=list(self.phrases.values()),
            counts=list(self.counts.values()),
            meta={"phrase_kinds": self.kinds} if self.kinds else None,
        )


def _reader_of(record: Record) -> Any:
    if "referring" in record and "answer_boxes" in record:
        return _add_humanref
    if _first(record, _BOX_KEYS) and _first(record, _EXPRESSIONS):
        return _add_referring
    number = _first(record, _NUMBERS)
    if number and whole_or_zero(record[number]) is not None and _first(record, _NOUNS):
        return _add_count
    return None


def _first(record: Record, keys: Iterable[str]) -> str | None:
    return next((key for key in keys if record.get(key) is not None), None)


def _name_of(record: Record) -> str | None:
    values = (record.get(key) for key in _IMAGE_KEYS)
    names = (value.get("path") if isinstance(value, dict) else value for value in values)
    return next((name for name in names if isinstance(name, str) and name), None)


def _add_humanref(image: _MergedRecords, record: Record) -> None:
    for box in record.get("candidate_boxes") or []:
        image.add_box(box_of(box), "person")
    indices = [image.add_box(box_of(box), "person") for box in record["answer_boxes"] or [] if box]
    image.add_phrase(str(record["referring"]), indices, text_of(record.get("domain")))


def _add_referring(image: _MergedRecords, record: Record) -> None:
    key = _first(record, _BOX_KEYS) or ""
    left, top, right, bottom = box_of(record[key])
    is_xyxy = key in ("bbox_xyxy", "box_xyxy") or record.get("bbox_format") == "xyxy"
    box = (left, top, right, bottom) if is_xyxy else (left, top, left + right, top + bottom)
    index = image.add_box(box)
    for phrase in _phrases_of(record[_first(record, _EXPRESSIONS) or ""]):
        image.add_phrase(phrase, [index])


def _phrases_of(value: Any) -> list[str]:
    """Expressions as text: a single one, a list, or RefCOCO's own `[{"sent": ...}]`."""
    values = value if isinstance(value, list) else [value]
    texts = (item.get("sent") or item.get("raw") if isinstance(item, dict) else item for item in values)
    return [str(text).strip() for text in texts if text and str(text).strip()]


def _add_count(image: _MergedRecords, record: Record) -> None:
    number = whole_or_zero(record[_first(record, _NUMBERS) or ""])
    key = _first(record, _NOUNS) or ""
    noun = str(record[key]).strip()
    noun = _LEADING_NUMBER.sub("", noun) if key == "text" else noun
    if number is None or not noun:
        raise ValueError("it has no count of a named object")
    image.counts.setdefault(noun, CorpusCount(text=noun, count=number))


def whole_or_zero(value: Any) -> int | None:
    """A whole number of at least 0; None for anything else."""
    if isinstance(value, bool):
        return None
    return 0 if value in (0, "0") else whole_number(value)


def is_referring_coco(document: Record) -> bool:
    """Whether COCO JSON contains referring expressions: MDETR's files, or a file with RefCOCO's `refs`."""
    images = document.get("images") or []
    first = images[0] if images and isinstance(images[0], dict) else {}
    is_refcoco = str(first.get("dataset_name", "")).lower().startswith("refcoco")
    return isinstance(document.get("refs"), list) or (is_refcoco and "caption" in first)


def referring_records(document: Record) -> Iterator[tuple[str, Record]]:
    """The expressions of such a file as (where, record) pairs with one box each, in the file's order."""
    images = {id_of(image.get("id")): image for image in objects_of(document, "images")}
    annotations = objects_of(document, "annotations")
    if isinstance(document.get("refs"), list):
        by_id = {id_of(annotation.get("id")): annotation for annotation in annotations}
        for number, ref in enumerate(document["refs"]):
            fields = ref if isinstance(ref, dict) else {}  # without an image it becomes a reject
            ref_image = images.get(id_of(fields.get("image_id")))
            annotation = by_id.get(id_of(fields.get("ann_id")))
            sentences = {"sentences": fields.get("sentences")}
            yield f"refs/{number}", {**_image_part(ref_image), **_box_part(annotation), **sentences}
        return
    for number, annotation in enumerate(annotations):
        own_image = images.get(id_of(annotation.get("image_id")))
        sent = {"sent": (own_image or {}).get("caption")}
        yield f"annotations/{number}", {**_image_part(own_image), **_box_part(annotation), **sent}


def _image_part(image: Record | None) -> Record:
    keys = ("file_name", "width", "height")
    return {key: image[key] for key in keys if key in image} if image else {}


def _box_part(annotation: Record | None) -> Record:
    return {"bbox": annotation["bbox"]} if annotation and "bbox" in annotation else {}
