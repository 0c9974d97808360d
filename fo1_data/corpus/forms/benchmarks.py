"""Files of referring and counting benchmarks, one record a phrase: read as one entry an image.

    HumanRef        {"image_name", "referring", "answer_boxes", "candidate_boxes", "domain"}: x_min y_min
                    x_max y_max; no answer box: absent; the domain is kept as the phrase's kind
    RefCOCO-style   {"image", "bbox", and sent | expression | referring | phrase | caption | sentences |
                    answer}: x y width height, unless `bbox_format` is "xyxy" or the key is `bbox_xyxy`
    RefCOCO, MDETR  COCO JSON whose images carry an expression (`dataset_name` refcoco...) or that has `refs`
    CountBench,     {"image" | "image_url", "count" | "number", and noun | label | object | category |
    PixMo-Count     text}; of a text that starts with a number, what follows the number is counted

Records of the same image are put together in the order of the file, which is held whole. A phrase that
occurs twice in an image keeps its first meaning.
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
    """True for a record of one of the forms above; the project's own records are none."""
    return isinstance(record, dict) and "regions" not in record and _reader_of(record) is not None


def read_records(records: Iterable[tuple[str, Any]], places: ImagePlaces) -> Iterator[CorpusImage | Reject]:
    """The images of (where, record) pairs, each once; a record that cannot be read is a reject."""
    gathered: dict[str, _Gathered] = {}
    for where, record in records:
        reader = _reader_of(record) if isinstance(record, dict) else None
        name = _name_of(record) if isinstance(record, dict) else None
        if reader is None or name is None:
            yield listing_reject(where, "bad_record", f"{where} is no record with an image and what is asked")
            continue
        try:
            image = gathered.setdefault(name, _Gathered(record))
            reader(image, record)
        except (ValueError, TypeError, KeyError, ValidationError) as error:
            yield listing_reject(where, "bad_record", f"{where}: {validation_text(error)}")
    for name, image in gathered.items():
        yield image.entry(places.find(name))


@dataclass
class _Gathered:
    """What the records of one image say together."""

    first: Record
    regions: list[CorpusRegion] = field(default_factory=list)
    phrases: dict[str, CorpusPhrase] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    counts: dict[str, CorpusCount] = field(default_factory=dict)
    has_boxes: bool = False

    def place_of(self, box: tuple[float, float, float, float], label: str | None = None) -> int:
        """The index of a box, which joins the regions where it is new."""
        self.has_boxes = True
        for place, region in enumerate(self.regions):
            if region.box_xyxy == box:
                return place
        self.regions.append(CorpusRegion(box_xyxy=box, label=label))
        return len(self.regions) - 1

    def say(self, phrase: str, places: list[int], kind: str | None = None) -> None:
        """Take a phrase in, unless the image has it already."""
        self.has_boxes = True
        if phrase not in self.phrases:
            self.phrases[phrase] = CorpusPhrase(text=phrase, region_indices=places)
            if kind:
                self.kinds[phrase] = kind

    def entry(self, uri: str) -> CorpusImage:
        """The image with all that was said of it."""
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
    found = (record.get(key) for key in _IMAGE_KEYS)
    named = (one.get("path") if isinstance(one, dict) else one for one in found)
    return next((one for one in named if isinstance(one, str) and one), None)


def _add_humanref(image: _Gathered, record: Record) -> None:
    for box in record.get("candidate_boxes") or []:
        image.place_of(box_of(box), "person")
    places = [image.place_of(box_of(box), "person") for box in record["answer_boxes"] or [] if box]
    image.say(str(record["referring"]), places, text_of(record.get("domain")))


def _add_referring(image: _Gathered, record: Record) -> None:
    key = _first(record, _BOX_KEYS) or ""
    left, top, right, bottom = box_of(record[key])
    corners = key in ("bbox_xyxy", "box_xyxy") or record.get("bbox_format") == "xyxy"
    box = (left, top, right, bottom) if corners else (left, top, left + right, top + bottom)
    place = image.place_of(box)
    for phrase in _phrases_of(record[_first(record, _EXPRESSIONS) or ""]):
        image.say(phrase, [place])


def _phrases_of(value: Any) -> list[str]:
    """Expressions as text: one, several, or RefCOCO's own `[{"sent": ...}]`."""
    several = value if isinstance(value, list) else [value]
    texts = (one.get("sent") or one.get("raw") if isinstance(one, dict) else one for one in several)
    return [str(text).strip() for text in texts if text and str(text).strip()]


def _add_count(image: _Gathered, record: Record) -> None:
    number = whole_or_zero(record[_first(record, _NUMBERS) or ""])
    key = _first(record, _NOUNS) or ""
    noun = str(record[key]).strip()
    noun = _LEADING_NUMBER.sub("", noun) if key == "text" else noun
    if number is None or not noun:
        raise ValueError("it counts nothing that can be asked for")
    image.counts.setdefault(noun, CorpusCount(text=noun, count=number))


def whole_or_zero(value: Any) -> int | None:
    """A whole number from 0 on, None for anything else."""
    if isinstance(value, bool):
        return None
    return 0 if value in (0, "0") else whole_number(value)


def is_referring_coco(document: Record) -> bool:
    """True for COCO JSON that asks for expressions: MDETR's files, or one with RefCOCO's `refs`."""
    images = document.get("images") or []
    first = images[0] if images and isinstance(images[0], dict) else {}
    named = str(first.get("dataset_name", "")).lower().startswith("refcoco")
    return isinstance(document.get("refs"), list) or (named and "caption" in first)


def referring_records(document: Record) -> Iterator[tuple[str, Record]]:
    """The expressions of such a file, as records of one box each, in the file's order."""
    images = {id_of(one.get("id")): one for one in objects_of(document, "images")}
    annotations = objects_of(document, "annotations")
    if isinstance(document.get("refs"), list):
        by_id = {id_of(one.get("id")): one for one in annotations}
        for number, ref in enumerate(document["refs"]):
            said = ref if isinstance(ref, dict) else {}  # what is no object names no image: a reject
            image, annotation = images.get(id_of(said.get("image_id"))), by_id.get(id_of(said.get("ann_id")))
            yield (
                f"refs/{number}",
                {**_image_part(image), **_box_part(annotation), "sentences": said.get("sentences")},
            )
        return
    for number, annotation in enumerate(annotations):
        image = images.get(id_of(annotation.get("image_id")))
        sent = {"sent": (image or {}).get("caption")}
        yield f"annotations/{number}", {**_image_part(image), **_box_part(annotation), **sent}


def _image_part(image: Record | None) -> Record:
    known = ("file_name", "width", "height")
    return {key: image[key] for key in known if key in image} if image else {}


def _box_part(annotation: Record | None) -> Record:
    return {"bbox": annotation["bbox"]} if annotation and "bbox" in annotation else {}
