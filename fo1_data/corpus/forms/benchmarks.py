"""Files of referring and counting benchmarks, with one record per phrase, read as one entry per image.

    HumanRef        {"image_name", "referring", "answer_boxes", "candidate_boxes", "domain"}: x_min y_min
                    x_max y_max; without answer box: absent; the domain becomes the phrase's kind
    RefCOCO-style   {"image", "bbox", and sent | expression | referring | phrase | caption | sentences |
                    answer}: x y width height, unless `bbox_format` is "xyxy" or the key is `bbox_xyxy`
    CountBench,     {"image" | "image_url", "count" | "number", and noun | label | object | category |
    PixMo-Count     text}; of a text that starts with a number, what follows the number is counted

Records of the same image follow each other, in the order of the first one; the file is held in memory. A
phrase that occurs twice in an image names the boxes of both; RefCOCO's own files are read in `referring`.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from fo1_data.corpus.forms.record_fields import NAME_KEYS, box_of, text_of, validation_text, whole_number
from fo1_data.corpus.listing import Found, Item, Piece, Refused
from fo1_data.corpus.places import ImagePlaces, listing_reject
from fo1_data.plurals import counted
from schemas.corpus import CorpusCount, CorpusImage, CorpusPhrase, CorpusRegion
from schemas.sources import ContentKind

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


def read_records(records: Iterable[tuple[str, Any]], source: str, places: ImagePlaces) -> Iterator[Item]:
    """The contents of (where, record) pairs by image; a reject for a record that cannot be read."""
    by_image: dict[str, list[Item]] = {}
    for where, record in records:
        counts = _count(record)
        reader = _reader_of(record) if isinstance(record, dict) else None
        name = _name_of(record) if isinstance(record, dict) else None
        try:
            if reader is None or name is None:
                raise ValueError("no record with an image and a phrase")
            entry = CorpusImage(
                uri=places.find(name),
                id=text_of(record.get("image_id")),
                width=whole_number(record.get("width")),
                height=whole_number(record.get("height")),
                **reader(record),
            )
        except (ValueError, TypeError, KeyError, OSError, ValidationError) as error:
            yield Found(source, counts)
            message = f"{where}: {validation_text(error)}"
            yield Refused(source, counts, listing_reject(where, "bad_record", message))
        else:
            items = by_image.setdefault(entry.name, [])
            items.append(Found(source, counts))
            if unread := counts[ContentKind.PHRASES] - len(entry.phrases):
                message = f"{where}: {counted(unread, 'expression is', 'expressions are')} no text"
                reject = listing_reject(where, "bad_expression", message)
                items.append(Refused(source, {ContentKind.PHRASES: unread}, reject))
            items.append(Piece(source, entry, may_repeat=True))
    for items in by_image.values():
        yield from items


def _count(record: Any) -> Counter[ContentKind]:
    """How much a record holds; the boxes that are the answer and a candidate count once."""
    counts = Counter({ContentKind.IMAGES: 1})
    reader = _reader_of(record) if isinstance(record, dict) else None
    if reader is _humanref:
        boxes = [*_list(record.get("candidate_boxes")), *_list(record.get("answer_boxes"))]
        counts[ContentKind.BOXES] = len({repr(box) for box in boxes if box})
        counts[ContentKind.PHRASES] = 1
    elif reader is _referring:
        counts[ContentKind.BOXES] = 1
        expressions = record[_first(record, _EXPRESSIONS) or ""]
        counts[ContentKind.PHRASES] = len(phrases_of(expressions)) + num_unread(expressions)
    elif reader is _counting:
        counts[ContentKind.COUNTS] = 1
    return counts


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _reader_of(record: Record) -> Any:
    if "referring" in record and "answer_boxes" in record:
        return _humanref
    if _first(record, _BOX_KEYS) and _first(record, _EXPRESSIONS):
        return _referring
    number = _first(record, _NUMBERS)
    if number and whole_or_zero(record[number]) is not None and _first(record, _NOUNS):
        return _counting
    return None


def _first(record: Record, keys: Iterable[str]) -> str | None:
    return next((key for key in keys if record.get(key) is not None), None)


def _name_of(record: Record) -> str | None:
    values = (record.get(key) for key in _IMAGE_KEYS)
    names = (value.get("path") if isinstance(value, dict) else value for value in values)
    return next((name for name in names if isinstance(name, str) and name), None)


def _humanref(record: Record) -> dict[str, Any]:
    indices: dict[str, int] = {}
    regions: list[CorpusRegion] = []
    candidates, answers = _list(record.get("candidate_boxes")), _list(record["answer_boxes"])
    for box in (*candidates, *answers):
        if box and repr(box) not in indices:
            indices[repr(box)] = len(regions)
            regions.append(CorpusRegion(box_xyxy=box_of(box), label="person"))
    phrase, domain = str(record["referring"]), text_of(record.get("domain"))
    answer_indices = list(dict.fromkeys(indices[repr(box)] for box in answers if box))
    return {
        "regions": regions,
        "phrases": [CorpusPhrase(text=phrase, region_indices=answer_indices)],
        "meta": {"phrase_kinds": {phrase: domain}} if domain else None,
    }


def _referring(record: Record) -> dict[str, Any]:
    key = _first(record, _BOX_KEYS) or ""
    left, top, right, bottom = box_of(record[key])
    is_xyxy = key in ("bbox_xyxy", "box_xyxy") or record.get("bbox_format") == "xyxy"
    box = (left, top, right, bottom) if is_xyxy else (left, top, left + right, top + bottom)
    phrases = phrases_of(record[_first(record, _EXPRESSIONS) or ""])
    return {
        "regions": [CorpusRegion(box_xyxy=box)],
        "phrases": [CorpusPhrase(text=phrase, region_indices=[0]) for phrase in phrases],
    }


def phrases_of(value: Any) -> list[str]:
    """Expressions as text, each once: a single one, a list, or RefCOCO's own `[{"sent": ...}]`."""
    values = value if isinstance(value, list) else [value]
    texts = (item.get("sent") or item.get("raw") if isinstance(item, dict) else item for item in values)
    return list(dict.fromkeys(str(text).strip() for text in texts if text and str(text).strip()))


def num_unread(value: Any) -> int:
    """How many objects stand among expressions that hold none."""
    values = value if isinstance(value, list) else [value]
    return sum(isinstance(item, dict) and bool(item) and not phrases_of(item) for item in values)


def _counting(record: Record) -> dict[str, Any]:
    number = whole_or_zero(record[_first(record, _NUMBERS) or ""])
    key = _first(record, _NOUNS) or ""
    noun = str(record[key]).strip()
    noun = _LEADING_NUMBER.sub("", noun) if key == "text" else noun
    if number is None or not noun:
        raise ValueError("it has no count of a named object")
    return {"counts": [CorpusCount(text=noun, count=number)]}


def whole_or_zero(value: Any) -> int | None:
    """A whole number of at least 0; None for anything else."""
    if isinstance(value, bool):
        return None
    return 0 if value in (0, "0") else whole_number(value)
