"""The document and search terms that the index stores of a row.

A document is the row without pixels, signals and provenance; boxes as in the dataset. Pure functions.
"""

import json
import re
import zlib
from collections.abc import Iterator
from typing import Any

from fo1_data.dataset.equal_regions import number_equal_regions

_WORD = re.compile(r"\w+")
MAX_TERM_CHARACTERS = 200
# How the terms of a field begin: label kind, source of a label (`corpus`, `model`, `human`), split.
KIND, SOURCE, SPLIT = "k:", "o:", "p:"
_LABEL_FIELDS = ("kind", "text", "confidence", "decision", "reasons", "source", "annotator")
_ROW_FIELDS = (
    "image_id", "uri", "uris", "corpus", "split", "source_id", "width", "height", "orientation", "caption",
    "decision",
)  # fmt: skip
_REGION_FIELDS = (
    "region_id", "index", "box_xyxy", "objectness", "box_source", "source_label", "source_caption",
    "brief_caption", "detailed_caption", "text", "decision",
)  # fmt: skip
_PART_FIELDS = {
    "groundings": ("phrase", "kind", "region_ids"),
    "counts": ("phrase", "count", "region_ids"),
    "answers": ("question", "region_id", "answer", "reasoning"),
}


def document_of(record: dict[str, Any]) -> dict[str, Any]:
    """Return the document of a Parquet record; equal boxes of older datasets get ids of their own."""
    number_equal_regions(record)
    document = {name: record.get(name) for name in _ROW_FIELDS}
    document["regions"] = [_region(region) for region in record.get("regions") or []]
    for name, fields in _PART_FIELDS.items():
        document[name] = [
            {**{field: part.get(field) for field in fields}, "label": _label(part.get("label"))}
            for part in record.get(name) or []
        ]
    document["confidence"] = lowest_confidence(document)
    return document


def pack(document: dict[str, Any]) -> bytes:
    """Return the document as compressed JSON."""
    return zlib.compress(json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(), 3)


def unpack(data: bytes) -> bytes:
    """Return the JSON text of a packed document."""
    return zlib.decompress(data)


def lowest_confidence(document: dict[str, Any]) -> float | None:
    """Return the lowest confidence of the document's labels; None if no label has one."""
    confidences = [
        label["confidence"] for label in labels_of(document) if label.get("confidence") is not None
    ]
    return min(confidences, default=None)


def terms_of(document: dict[str, Any]) -> set[str]:
    """Return the terms: `w:` each word, `l:` each class, caption and phrase, casefolded; each field."""
    terms = {KIND + label["kind"] for label in labels_of(document) if label.get("kind")}
    terms |= {SOURCE + label["source"] for label in labels_of(document) if label.get("source")}
    terms |= {split_term(document["split"])} if document["split"] else set()
    for text in _short_texts(document):
        terms.add(label_term(text))
    for text in _texts(document):
        terms.update(word_terms(text))
    return terms


def word_terms(text: str) -> list[str]:
    """Return the terms of the words in a text."""
    return [f"w:{word}"[:MAX_TERM_CHARACTERS] for word in _WORD.findall(text.casefold())]


def label_term(text: str) -> str:
    """Return the term of a whole text."""
    return f"l:{' '.join(text.casefold().split())}".replace("\0", "")[:MAX_TERM_CHARACTERS]


def split_term(text: str) -> str:
    """Return the term of a split."""
    return f"{SPLIT}{text}".replace("\0", "")[:MAX_TERM_CHARACTERS]


def _region(region: dict[str, Any]) -> dict[str, Any]:
    return {
        **{field: region.get(field) for field in _REGION_FIELDS},
        "labels": [_label(label) for label in region.get("labels") or []],
    }


def _label(label: dict[str, Any] | None) -> dict[str, Any]:
    return {field: (label or {}).get(field) for field in _LABEL_FIELDS}


def labels_of(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every label of a document: of its regions, groundings, counts and answers."""
    for region in document["regions"]:
        yield from region["labels"]
    for name in _PART_FIELDS:
        for part in document[name]:
            yield part["label"]


def _short_texts(document: dict[str, Any]) -> Iterator[str]:
    for region in document["regions"]:
        yield from (region[field] for field in ("source_label", "brief_caption", "text") if region[field])
    for name in ("groundings", "counts"):
        yield from (part["phrase"] for part in document[name] if part["phrase"])


def _texts(document: dict[str, Any]) -> Iterator[str]:
    yield from _short_texts(document)
    if document["caption"]:
        yield document["caption"]
    for region in document["regions"]:
        yield from (region[field] for field in ("source_caption", "detailed_caption") if region[field])
    for part in document["answers"]:
        yield from (part[field] for field in ("question", "answer") if part[field])
