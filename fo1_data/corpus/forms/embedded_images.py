"""Rows of a Parquet file that holds the images themselves, read without their bytes.

A column of images is a struct of `bytes` and `path`, as Hugging Face writes it, or a binary column of a usual
name. A row with bytes names its image by the file, the column and the row, see `corpus.parquet_images`; of a
row without, `path` is the name. If several columns hold images, `image` counts, else the first.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fo1_data.corpus.forms.folder import ONE_IMAGE
from fo1_data.corpus.forms.hub_records import class_names_of, from_hub
from fo1_data.corpus.listing import Found, Item, Piece, PlainImage
from fo1_data.corpus.parquet_images import bytes_column, embedded_rows, inner_of_row
from fo1_data.corpus.places import ImagePlaces
from schemas.corpus import CorpusImage

_BINARY_NAMES = ("image", "img", "image_bytes", "bytes", "jpg", "jpeg", "png", "webp")


def image_columns(schema: pa.Schema) -> list[str]:
    """The columns that hold images, the one that counts first."""
    columns = [
        name
        for name in schema.names
        if bytes_column(schema, name) not in (None, name)
        or (name in _BINARY_NAMES and _is_plain(schema, name))
    ]
    return sorted(columns, key=lambda name: name != "image")


def _is_plain(schema: pa.Schema, name: str) -> bool:
    return bytes_column(schema, name) == name


class EmbeddedPlaces(ImagePlaces):
    """Places of images where a name may be that of a row of the file itself."""

    def __init__(self, places: ImagePlaces, address: str) -> None:
        super().__init__([])
        self._places = places
        self._prefix = f"{address}::"

    def find(self, name: str) -> str:
        """The address of an image, or the name of a row."""
        return name if name.startswith(self._prefix) else self._places.find(name)


def with_names_of_rows(
    rows: Iterable[tuple[str, dict[str, Any]]], parquet: pq.ParquetFile, address: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows as records whose `image` names the row that holds it. Rows of one path are one image."""
    schema = parquet.schema_arrow
    column = image_columns(schema)[0]
    leaf = bytes_column(schema, column)
    assert leaf is not None
    class_names = class_names_of(_features(schema))
    names: dict[str, str] = {}
    for number, ((where, row), is_embedded) in enumerate(
        zip(rows, embedded_rows(parquet, leaf), strict=False)
    ):
        value = row.pop(column, None)
        path = value.get("path") if isinstance(value, dict) else None
        name = path
        if is_embedded:
            own = f"{address}::{inner_of_row(column, number)}"
            name = names.setdefault(path, own) if path else own
            if path and row.get("id") is None:
                row["id"] = path
        yield where, from_hub({"image": {"path": name}, **row}, class_names)


def columns_without_bytes(schema: pa.Schema) -> list[str]:
    """What to read of each row: all columns, of images only what is not their bytes."""
    columns: list[str] = []
    images = image_columns(schema)
    for name in schema.names:
        if name not in images:
            columns.append(name)
        elif bytes_column(schema, name) != name:
            fields = schema.field(name).type
            columns += [f"{name}.{field.name}" for field in fields if field.name != "bytes"]
    return columns


def at_rows(items: Iterable[Item], address: str) -> Iterator[Item]:
    """The items with the images of rows as entries: the file, and the column and row within it."""
    for item in items:
        if isinstance(item, PlainImage) and item.uri.startswith(f"{address}::"):
            yield Found(item.source, ONE_IMAGE)
            item = Piece(item.source, CorpusImage(uri=item.uri))
        if isinstance(item, Piece) and item.entry.uri.startswith(f"{address}::"):
            inner = item.entry.uri.removeprefix(f"{address}::")
            entry = item.entry.model_copy(update={"uri": address, "inner": inner})
            yield Piece(item.source, entry, item.sidecars)
        else:
            yield item


def _features(schema: pa.Schema) -> Any:
    try:
        return json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
