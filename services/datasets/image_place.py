"""Where an image's bytes are, and what its row in Parquet holds of it: embedded bytes, a raster's record."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from fo1_data.corpus.images import image_id_of
from fo1_data.corpus.rendering import raster_record
from fo1_data.dataset.reader import data_files
from fo1_data.storage.addresses import suffix_of
from fo1_data.storage.store import open_store
from schemas.dataset import Manifest
from schemas.rasters import RasterRecord

# A file that is gone, or is no longer the one that was indexed.
_UNREADABLE = (OSError, IndexError, KeyError, pa.ArrowException)
BROWSER_TYPES = {"jpg": "image/jpeg", "png": "image/png", "gif": "image/gif", "webp": "image/webp"}


@dataclass(frozen=True)
class ImagePlace:
    """Where an image's bytes are: its addresses, and its row in Parquet, which may embed them."""

    image_id: str
    uris: tuple[str, ...]
    orientation: int
    dataset_address: str
    file: int
    row_group: int
    row: int


def recorded_raster(place: ImagePlace, manifest: Manifest) -> RasterRecord | None:
    """Return what the row of a raster records of its colours; None for other images.

    Reads storage, unless the image's name is that of a picture for browsers.
    """
    if all(suffix_of(uri).removeprefix(".") in (*BROWSER_TYPES, "jpeg") for uri in place.uris):
        return None
    files = data_files(manifest)
    if place.file >= len(files):
        return None
    try:
        with open_store(place.dataset_address).open_input(files[place.file].path) as source:
            column = pq.ParquetFile(source).read_row_group(place.row_group, columns=["meta"]).column("meta")
            return raster_record(column[place.row].as_py())
    except _UNREADABLE:
        return None


def embedded_bytes(place: ImagePlace, manifest: Manifest) -> bytes | None:
    """Return the encoded bytes in the row of an image; None if it embeds none or cannot be read.

    Bytes of another image are none: what is made of them is kept by the image's id, for all projects.
    """
    files = data_files(manifest)
    if place.file >= len(files):
        return None
    try:
        with open_store(place.dataset_address).open_input(files[place.file].path) as source:
            parquet = pq.ParquetFile(source)
            if not _has_pixels(parquet, place.row_group):
                return None
            column = parquet.read_row_group(place.row_group, columns=["image.bytes"]).column("image")
            data = column[place.row].as_py()["bytes"]
    except _UNREADABLE:
        return None
    is_it = isinstance(data, bytes) and image_id_of(data) == place.image_id
    return data if is_it else None


def _has_pixels(parquet: pq.ParquetFile, group: int) -> bool:
    columns = parquet.metadata.row_group(group)
    for index in range(columns.num_columns):
        column = columns.column(index)
        if column.path_in_schema == "image.bytes":
            # A column of nulls takes a few dozen bytes.
            return bool(column.total_uncompressed_size > 64 + 8 * columns.num_rows)
    return False
