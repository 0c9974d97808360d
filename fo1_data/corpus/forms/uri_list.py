"""Lists of image addresses: a `.txt` with one per line, or a Parquet file with a column of them.

A relative address is looked for in the list's folder, then in `images/` in that folder. A Parquet row may
contain any field of `annotations`; other columns go to `meta`.
"""

import os
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fo1_data.corpus.forms.annotations import items_of_record, places_beside
from fo1_data.corpus.forms.benchmarks import is_benchmark_record, read_records
from fo1_data.corpus.forms.embedded_images import (
    EmbeddedPlaces,
    at_rows,
    columns_without_bytes,
    image_columns,
    with_names_of_rows,
)
from fo1_data.corpus.forms.folder import ONE_IMAGE, plain_image
from fo1_data.corpus.forms.record_fields import NAME_KEYS
from fo1_data.corpus.listing import Found, Item, Note, Refused, WantedImages
from fo1_data.corpus.parquet_images import BROKEN_PARQUET
from fo1_data.corpus.places import ImagePlaces, listing_reject
from fo1_data.errors import CorpusError, one_line
from fo1_data.storage.streams import open_seekable, open_stream
from schemas.sources import ContentKind

_BATCH_ROWS = 1024


def read_text_list(address: str) -> Iterator[Item]:
    """One address per line; a local name may consist of any bytes."""
    places = places_beside(address)
    with open_stream(address) as stream:
        for number, line in enumerate(stream, 1):
            name = os.fsdecode(line.removeprefix(b"\xef\xbb\xbf").strip())
            if not name:
                continue
            try:
                yield plain_image(address, places.find(name))
            except (ValueError, OSError) as error:
                where = f"{address}:{number}"
                reject = listing_reject(where, "bad_record", f"{where}: {one_line(error)}")
                yield Found(address, ONE_IMAGE)
                yield Refused(address, ONE_IMAGE, reject)


def has_image_column(address: str) -> bool:
    """Whether a Parquet file names images or holds them. Raises CorpusError if it is not Parquet."""
    with open_seekable(address) as file:
        try:
            schema = pq.read_schema(file)
        except BROKEN_PARQUET as error:
            raise CorpusError(f"{address} is not a Parquet file: {one_line(error)}") from error
    return bool(set(NAME_KEYS) & set(schema.names) or image_columns(schema))


def read_parquet_list(
    address: str, places: ImagePlaces | None = None, wanted: WantedImages | None = None
) -> Iterator[Item]:
    """One row per image, which the row holds, or names in the first of the columns in `NAME_KEYS`.

    `places`: where the images are, if not beside the file. `wanted`: rows of other images are left out.
    """
    places = places or places_beside(address)
    with open_seekable(address) as file:
        try:
            parquet = pq.ParquetFile(file)
        except BROKEN_PARQUET as error:
            raise CorpusError(f"{address} is not a Parquet file: {one_line(error)}") from error
        columns = image_columns(parquet.schema_arrow)
        if columns:
            embedded = EmbeddedPlaces(places, address)
            yield from at_rows(_read_rows(parquet, address, embedded, None, holds_images=True), address)
            if len(columns) > 1:
                message = f"the images of {', '.join(columns[1:])} are not read, only those of {columns[0]}"
                yield Note(address, message)
            return
        is_benchmark = is_benchmark_record(_first_row(parquet, address, holds_images=False))
        if not is_benchmark and not set(NAME_KEYS) & set(parquet.schema_arrow.names):
            names = ", ".join(parquet.schema_arrow.names)
            raise CorpusError(f"{address} has no column {', '.join(NAME_KEYS)} (it has {names})")
        yield from _read_rows(parquet, address, places, wanted, holds_images=False)


def _read_rows(
    parquet: pq.ParquetFile,
    address: str,
    places: ImagePlaces,
    wanted: WantedImages | None,
    *,
    holds_images: bool,
) -> Iterator[Item]:
    if is_benchmark_record(_first_row(parquet, address, holds_images)):
        yield from read_records(_rows(parquet, address, holds_images), address, places)
        return
    number = 0
    try:
        for where, row in _rows(parquet, address, holds_images):
            number += 1
            yield from items_of_record(row, address, where, places, wanted)
    except BROKEN_PARQUET as error:
        where = f"{address}#{number}"
        message = f"{where} and all rows after it: {one_line(error)}"
        missing = {ContentKind.IMAGES: parquet.metadata.num_rows - number}
        yield Found(address, missing)
        yield Refused(address, missing, listing_reject(where, "bad_rows", message))


def _first_row(parquet: pq.ParquetFile, address: str, holds_images: bool) -> Any:
    try:
        return next((row for _, row in _rows(parquet, address, holds_images, 1)), None)
    except BROKEN_PARQUET:
        return None


def _rows(
    parquet: pq.ParquetFile, address: str, holds_images: bool, batch_rows: int = _BATCH_ROWS
) -> Iterator[tuple[str, Any]]:
    """The place and the record of each row, without the bytes of images."""
    columns = columns_without_bytes(parquet.schema_arrow) if holds_images else None
    batches = parquet.iter_batches(batch_rows, columns=columns)
    rows = (
        (f"{address}#{number}", row) for number, row in enumerate(row for b in batches for row in rows_of(b))
    )
    return with_names_of_rows(rows, parquet, address) if holds_images else rows


def rows_of(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """The rows as Python values; a value that Python has no type for (nanoseconds, year 20000) as text."""
    names = batch.schema.names
    columns = [_values(batch.column(number)) for number in range(len(names))]
    for values in zip(*columns, strict=True):
        yield dict(zip(names, values, strict=True))


def _values(column: pa.Array) -> list[Any]:
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError):
        return [_value(scalar) for scalar in column]
    return values


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError):
        return str(scalar)
