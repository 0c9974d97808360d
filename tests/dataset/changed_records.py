"""Records of rows with one value changed, in every way that the columns of a file can hold."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from factories import make_answer, make_count, make_label, make_row

from schemas.images import ImageRow
from schemas.labels import Decision, LabelKind, Signal, Source
from schemas.parquet import IMAGE_SCHEMA

WORDS = ("", "accept", "corpus", "count", "nobody/1-2-3-4")
NUMBERS = (float("nan"), float("inf"), -1.0, -0.005, 0.5, 1.5, 12.34, 64.005, 1e30)


def full_row(seed: int = 0, **fields: Any) -> ImageRow:
    """A sound row with every part, of which the second and third region have equal boxes."""
    boxes = [(0.0, 1.5, 20.0, 30.25), (3.0, 4.0, 64.0, 48.0), (3.0, 4.0, 64.0, 48.0)]
    row = make_row(seed, boxes=boxes, decisions=[Decision.ACCEPT, None, Decision.REVIEW], **fields)
    names = [region.region_id for region in row.regions]
    row.regions[0].labels[0].signals = [Signal(name="margin", value=0.5), Signal(name="area", value=2.0)]
    row.regions[1].labels.append(make_label(LabelKind.OCR, "EXIT", source=Source.CORPUS, reasons=["given"]))
    row.counts, row.answers = [make_count(row.regions)], [make_answer(names[1]), make_answer()]
    row.caption_label = make_label(LabelKind.GROUNDED_CAPTION, source=Source.HUMAN)
    row.decision = Decision.REVIEW
    return row


def changed_records(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The record with each of its values changed, one at a time."""
    names = [region["region_id"] for region in record["regions"]]
    for field in IMAGE_SCHEMA:
        if field.name in record:
            for value in _changed(field.type, record[field.name], names):
                yield {**record, field.name: value}


def of_image(value: Any, old: str, new: str) -> Any:
    """A record with the ids of another image and its regions: `new` for `old` at their start."""
    if isinstance(value, str):
        return value.replace(old, new)
    if isinstance(value, dict):
        return {name: of_image(member, old, new) for name, member in value.items()}
    return [of_image(member, old, new) for member in value] if isinstance(value, list) else value


def _changed(kind: pa.DataType, value: Any, names: list[str]) -> Iterator[Any]:
    yield None
    if pa.types.is_string(kind):
        yield from (*WORDS, *names[:2], f"{names[1]}/01", f"{value}x", str(value).upper())
    elif pa.types.is_floating(kind):
        yield from map(float, np.float32(NUMBERS))
    elif pa.types.is_integer(kind):
        yield from (-1, 0, 1, 2, 9, 48)
    elif pa.types.is_boolean(kind):
        yield not value
    elif pa.types.is_binary(kind):
        yield b"other"
    elif pa.types.is_struct(kind) and value is not None:
        for field in kind:
            if field.name in value:
                yield from (
                    {**value, field.name: new} for new in _changed(field.type, value[field.name], names)
                )
    elif value is not None:
        yield from _changed_list(kind, list(value), names)


def _changed_list(kind: pa.DataType, values: list[Any], names: list[str]) -> Iterator[list[Any]]:
    is_box = pa.types.is_fixed_size_list(kind)
    yield values[::-1]
    if not is_box:
        yield from ([], values[1:], values * 2)
    for place, value in enumerate(values[:2] if not is_box else values):
        for new in _changed(kind.value_type, value, names):
            if new is not None or not is_box:
                yield [*values[:place], new, *values[place + 1 :]]
