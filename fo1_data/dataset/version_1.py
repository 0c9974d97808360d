"""Rows of schema version 1, read as rows of version 2.

Version 1 had no columns for what people said of the image's caption and for the corpus' own caption
(both stood in `meta`), nor for a moved box and the time of an annotation (both stand in the `reasons` of
a label, where they stay for people to read). Works on the records of a Parquet file; writes nothing.
"""

import json
from collections.abc import Container, Iterator, Sequence
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from fo1_data.dataset.human_labels import ANNOTATED_AT, BOX_MOVED, CONFIRMED, WRITTEN
from schemas.labels import Label
from schemas.parquet import IMAGE_SCHEMA

_ADDED_COLUMNS = ("caption_label", "source_caption")
_ADDED_TO_STRUCTS = ("box_moved", "annotated_at", "mask_rle", "track_id")
_CAPTION_LABEL = "fo1_caption_label"
_SOURCE_CAPTION = "source_caption"


def _as_in_version_1(kind: pa.DataType) -> pa.DataType:
    """A type of version 2 without the members of labels and regions that were added."""
    if pa.types.is_list(kind):
        return pa.list_(_as_in_version_1(kind.value_type))
    if pa.types.is_struct(kind):
        fields = (field for field in kind if field.name not in _ADDED_TO_STRUCTS)
        return pa.struct([field.with_type(_as_in_version_1(field.type)) for field in fields])
    return kind


VERSION_1_SCHEMA = pa.schema(
    [
        field.with_type(_as_in_version_1(field.type))
        for field in IMAGE_SCHEMA
        if field.name not in _ADDED_COLUMNS
    ]
)


def is_version_1(columns: Container[str]) -> bool:
    """True if the columns of a file, or the members of a record, lack those that version 2 added."""
    return "caption_label" not in columns


def upgrade_record(record: dict[str, Any]) -> dict[str, Any]:
    """A record of version 1 with the columns of version 2; the labels in it are changed in place."""
    meta, caption_label, source_caption = split_meta(record.get("meta"))
    for label in _labels(record):
        reasons = label.get("reasons") or []
        label["box_moved"] = BOX_MOVED in reasons
        label["annotated_at"] = _annotated_at(reasons)
    return {**record, "meta": meta, "caption_label": caption_label, "source_caption": source_caption}


def split_meta(meta: str | None) -> tuple[str | None, dict[str, Any] | None, str | None]:
    """What is left of `meta`, the label of the caption and the corpus' caption; None for what is absent."""
    try:
        entries = json.loads(meta) if meta else None
    except ValueError:
        return meta, None, None
    if not isinstance(entries, dict):
        return meta, None, None
    caption_label = _valid_label(entries.get(_CAPTION_LABEL))
    source_caption = entries.get(_SOURCE_CAPTION)
    if not isinstance(source_caption, str):
        source_caption = None
    if caption_label is not None:
        del entries[_CAPTION_LABEL]
    if source_caption is not None:
        del entries[_SOURCE_CAPTION]
    if caption_label is not None or source_caption is not None:
        meta = json.dumps(entries, ensure_ascii=False, sort_keys=True) if entries else None
    return meta, caption_label, source_caption


def _valid_label(value: object) -> dict[str, Any] | None:
    try:
        label = Label.model_validate(value)
    except ValidationError:
        return None
    return label.model_copy(update={"annotated_at": _annotated_at(label.reasons)}).model_dump()


def _annotated_at(reasons: Sequence[str | None]) -> str | None:
    """The time in the reasons of a label that a person wrote or confirmed."""
    if WRITTEN not in reasons and CONFIRMED not in reasons:
        return None
    at = (reason for reason in reasons if reason is not None and reason.startswith(ANNOTATED_AT))
    return next((reason.removeprefix(ANNOTATED_AT) for reason in at), None)


def _labels(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The labels that are not null, of regions and parts that are not null."""
    for region in filter(None, record.get("regions") or []):
        yield from filter(None, region.get("labels") or [])
    for column in ("groundings", "counts", "answers"):
        labels = (part.get("label") for part in filter(None, record.get(column) or []))
        yield from filter(None, labels)
