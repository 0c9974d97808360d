"""Serves images to browsers in the EXIF-oriented frame of the dataset's boxes.

An upright JPEG, PNG, WebP or GIF is served unchanged. An image that EXIF rotates, a format that browsers do
not know, or a smaller version (`width` pixels) is decoded and encoded again, upright and without EXIF. Of a
large image a rectangle is served (`view`), shrunk to VIEW_PX. These versions are cached on disk. Reads
storage: call its methods in threads.
"""

import hashlib
import io
import json
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from PIL import Image

from fo1_data.boxes import WindowXyxy
from fo1_data.corpus.images import InputLimits
from fo1_data.corpus.windows import WindowedImage
from fo1_data.dataset.pixels import decode_row, image_bytes, suffix_of_bytes
from fo1_data.dataset.row_windows import open_row
from fo1_data.errors import DatasetError, InputReject
from fo1_data.storage.addresses import is_web
from fo1_data.storage.reach import public_only
from schemas.dataset import Manifest
from schemas.images import EncodedImage, ImageRow, RejectStage
from schemas.rasters import RASTER_KEY, RasterRecord
from services.datasets.image_cache import ImageCache
from services.datasets.image_place import BROWSER_TYPES, ImagePlace, embedded_bytes, recorded_raster
from services.problems import Problem
from services.storage_roots import OutsideRoots, StorageRoots

# The long edge of a view.
VIEW_PX = 2048


class Width(IntEnum):
    """The widths of smaller versions, in pixels."""

    SMALL = 320
    MEDIUM = 640
    LARGE = 1280


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
        self._cache, self._limits = ImageCache(folder), limits
        self._private_addresses = private_addresses

    def serve(
        self, place: ImagePlace, manifest: Manifest, roots: StorageRoots, width: int | None
    ) -> ServedImage:
        """Return the image, at most `width` pixels wide. Raises a Problem of 403, 404 or 422."""
        if (cached := self._cache.read(place.image_id, width)) is not None:
            return _served(cached, place.image_id, width)
        data = self.original(place, manifest, roots)
        if width is None and place.orientation == 1 and suffix_of_bytes(data) in BROWSER_TYPES:
            return _served(data, place.image_id, None)
        record = recorded_raster(place, manifest)
        name = _name_of(place, record)
        if record is not None and (cached := self._cache.read(name, width)) is not None:
            return _served(cached, name, width)
        row = _row_of(place.image_id, _allowed(place, roots), _meta_of(record))
        encoded = self._encode(row, data, width)
        self._cache.write(name, width, encoded)
        return _served(encoded, name, width)

    def serve_view(
        self, place: ImagePlace, manifest: Manifest, roots: StorageRoots, view_xyxy: WindowXyxy
    ) -> ServedImage:
        """Return a rectangle of the image in its own pixels, shrunk to VIEW_PX. Raises a Problem of 403, 404
        or 422."""
        record = recorded_raster(place, manifest)
        name = f"{_name_of(place, record)}-{'-'.join(map(str, view_xyxy))}"
        if (cached := self._cache.read(name, None)) is not None:
            return _served(cached, name, None)
        buffer = io.BytesIO()
        self._view(place, manifest, roots, record, view_xyxy).save(buffer, format="PNG", compress_level=1)
        self._cache.write(name, None, buffer.getvalue())
        return _served(buffer.getvalue(), name, None)

    def _view(
        self,
        place: ImagePlace,
        manifest: Manifest,
        roots: StorageRoots,
        record: RasterRecord | None,
        view_xyxy: WindowXyxy,
    ) -> Image.Image:
        embedded = embedded_bytes(place, manifest)
        allowed = _allowed(place, roots)
        if embedded is None and not allowed:
            raise Problem(403, "the image is outside the storage roots of this service")
        row = _row_of(place.image_id, allowed, _meta_of(record))
        row.image.bytes = embedded
        try:
            with public_only(not self._private_addresses), open_row(row, self._limits) as windows:
                return _cut(windows, view_xyxy)
        except InputReject as error:
            if error.stage is RejectStage.FETCH:
                raise Problem(404, error.message) from None
            raise Problem(422, f"the image cannot be decoded: {error.message}") from None

    def original(self, place: ImagePlace, manifest: Manifest, roots: StorageRoots) -> bytes:
        """Return the encoded bytes that were labelled. Raises a Problem of 403 or 404."""
        embedded = embedded_bytes(place, manifest)
        if embedded is not None:
            return embedded
        allowed = _allowed(place, roots)
        if not allowed:
            raise Problem(403, "the image is outside the storage roots of this service")
        try:
            with public_only(not self._private_addresses):
                return image_bytes(_row_of(place.image_id, allowed), self._limits)
        except DatasetError as error:
            raise Problem(404, str(error)) from None

    def _encode(self, row: ImageRow, data: bytes, width: int | None) -> bytes:
        try:
            with public_only(not self._private_addresses):
                image = decode_row(row, data, self._limits).rgb
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


def _name_of(place: ImagePlace, record: RasterRecord | None) -> str:
    """Return the name of a picture in the cache. Datasets may show the same raster in other colours."""
    if record is None:
        return place.image_id
    return f"{place.image_id[:16]}-{hashlib.sha256(record.model_dump_json().encode()).hexdigest()[:16]}"


def _meta_of(record: RasterRecord | None) -> str | None:
    """Return the `meta` of a row that has this record."""
    return None if record is None else json.dumps({RASTER_KEY: record.model_dump(mode="json")})


def _cut(windows: WindowedImage, view_xyxy: WindowXyxy) -> Image.Image:
    width, height = windows.image_wh
    x_min, y_min, x_max, y_max = view_xyxy
    if not (x_min < x_max <= width and y_min < y_max <= height):
        raise Problem(422, f"view is not inside the image of {width} x {height} pixels")
    return windows.read(view_xyxy, VIEW_PX).rgb


def _allowed(place: ImagePlace, roots: StorageRoots) -> list[str]:
    return [uri for uri in place.uris if _may_read(uri, roots)]


def _row_of(image_id: str, uris: list[str], meta: str | None = None) -> ImageRow:
    """Return a row that says of an image only where it is and how it is shown."""
    return ImageRow(
        image_id=image_id,
        uri=uris[0] if uris else "",
        uris=uris,
        corpus="",
        split="",
        meta=meta,
        image=EncodedImage(path=uris[0] if uris else None),
        width=1,
        height=1,
    )


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
    media_type = BROWSER_TYPES.get(suffix_of_bytes(data), "application/octet-stream")
    name = image_id if len(image_id) < 64 else image_id[:32]
    return ServedImage(data, media_type, f'"{name}-{int(width) if width else "full"}"')
