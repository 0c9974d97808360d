"""Serves images to browsers in the EXIF-oriented frame of the dataset's boxes.

An upright JPEG, PNG, WebP or GIF is served unchanged. An image that EXIF rotates, a format that browsers do
not know, or a smaller version (`width` pixels) is decoded and encoded again, upright and without EXIF. These
versions are cached on disk, up to CACHE_BYTES. Reads storage: call its methods in threads.
"""

import io
import os
import uuid
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image

from fo1_data.corpus.images import InputLimits, decode_rgb
from fo1_data.dataset.pixels import image_bytes, suffix_of_bytes
from fo1_data.dataset.reader import data_files
from fo1_data.errors import DatasetError, InputReject
from fo1_data.storage.addresses import is_web
from fo1_data.storage.reach import public_only
from fo1_data.storage.store import open_store
from schemas.dataset import Manifest
from schemas.images import EncodedImage, ImageRow
from services.problems import Problem
from services.settings import open_private
from services.storage_roots import OutsideRoots, StorageRoots

_BROWSER_TYPES = {"jpg": "image/jpeg", "png": "image/png", "gif": "image/gif", "webp": "image/webp"}
CACHE_BYTES = 2 * 2**30
_PRUNE_EVERY = 200


class Width(IntEnum):
    """The widths of smaller versions, in pixels."""

    SMALL = 320
    MEDIUM = 640
    LARGE = 1280


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


@dataclass(frozen=True)
class ServedImage:
    """An image for a browser. `etag` is quoted."""

    data: bytes
    media_type: str
    etag: str


class ImageShelf:
    """Reads images, and caches the versions it has encoded under `folder`.

    Its methods get the storage roots of the project that the dataset belongs to. `private_addresses`: whether
    images may be fetched from private networks and this machine's own ports.
    """

    def __init__(self, folder: Path, limits: InputLimits, private_addresses: bool = False) -> None:
        self._folder, self._limits = folder, limits
        self._private_addresses = private_addresses
        self._num_cached = 0

    def serve(
        self, place: ImagePlace, manifest: Manifest, roots: StorageRoots, width: int | None
    ) -> ServedImage:
        """Return the image, at most `width` pixels wide. Raises a Problem of 403, 404 or 422."""
        cached = self._folder / place.image_id[:2] / f"{place.image_id}-{int(width) if width else 'full'}"
        with suppress(OSError):
            return _served(cached.read_bytes(), place.image_id, width)
        data = self.original(place, manifest, roots)
        if width is None and place.orientation == 1 and suffix_of_bytes(data) in _BROWSER_TYPES:
            return _served(data, place.image_id, None)
        encoded = self._encode(data, width)
        self._cache(cached, encoded)
        return _served(encoded, place.image_id, width)

    def original(self, place: ImagePlace, manifest: Manifest, roots: StorageRoots) -> bytes:
        """Return the encoded bytes that were labelled. Raises a Problem of 403 or 404."""
        embedded = _embedded(place, manifest)
        if embedded is not None:
            return embedded
        allowed = [uri for uri in place.uris if _may_read(uri, roots)]
        if not allowed:
            raise Problem(403, "the image is outside the storage roots of this service")
        row = ImageRow(
            image_id=place.image_id,
            uri=allowed[0],
            uris=allowed,
            corpus="",
            split="",
            image=EncodedImage(path=allowed[0]),
            width=1,
            height=1,
        )
        try:
            with public_only(not self._private_addresses):
                return image_bytes(row, self._limits)
        except DatasetError as error:
            raise Problem(404, str(error)) from None

    def _encode(self, data: bytes, width: int | None) -> bytes:
        try:
            image = decode_rgb(data, self._limits).rgb
        except InputReject as error:
            raise Problem(422, f"the image cannot be decoded: {error.message}") from None
        if width is not None and image.width > width:
            height = max(1, round(image.height * width / image.width))
            image = image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
        buffer = io.BytesIO()
        if width is None and suffix_of_bytes(data) != "jpg":
            image.save(buffer, format="PNG")
        else:
            image.save(buffer, format="JPEG", quality=95 if width is None else 85, subsampling=0)
        return buffer.getvalue()

    def _cache(self, path: Path, data: bytes) -> None:
        with suppress(OSError):
            for folder in (self._folder.parent, self._folder, path.parent):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            written = path.with_name(f".{uuid.uuid4().hex}")
            with open_private(written, "xb") as file:
                file.write(data)
            written.replace(path)
            self._num_cached += 1
            if self._num_cached % _PRUNE_EVERY == 0:
                _prune(self._folder)


def _may_read(uri: str, roots: StorageRoots) -> bool:
    if is_web(uri):
        return True
    archive, _, member = uri.partition("::")
    try:
        # `a::b` is the member b of the archive a, or a file with that name.
        for address in (archive, uri) if member else (uri,):
            roots.check(address)
    except OutsideRoots:
        return False
    return True


def _served(data: bytes, image_id: str, width: int | None) -> ServedImage:
    media_type = _BROWSER_TYPES.get(suffix_of_bytes(data), "application/octet-stream")
    return ServedImage(data, media_type, f'"{image_id[:32]}-{int(width) if width else "full"}"')


def _embedded(place: ImagePlace, manifest: Manifest) -> bytes | None:
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
    except (OSError, IndexError):
        return None
    return data if isinstance(data, bytes) else None


def _has_pixels(parquet: pq.ParquetFile, group: int) -> bool:
    columns = parquet.metadata.row_group(group)
    for index in range(columns.num_columns):
        column = columns.column(index)
        if column.path_in_schema == "image.bytes":
            # A column of nulls takes a few dozen bytes.
            return bool(column.total_uncompressed_size > 64 + 8 * columns.num_rows)
    return False


def _prune(folder: Path) -> None:
    """Delete the files read longest ago until the cache is within CACHE_BYTES."""
    files = []
    for path in folder.glob("*/*"):
        with suppress(OSError):
            info = os.stat(path)  # noqa: PTH116
            files.append((info.st_atime, info.st_size, path))
    total_bytes = sum(num_bytes for _, num_bytes, _ in files)
    for _, num_bytes, path in sorted(files):
        if total_bytes <= CACHE_BYTES:
            return
        with suppress(OSError):
            path.unlink()
            total_bytes -= num_bytes
