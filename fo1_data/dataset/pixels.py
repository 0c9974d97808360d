"""The encoded bytes of a row's image: embedded, or fetched and checked by hash.

`decode_row` is the picture that was labelled, whatever the file is; training, reports and the service use it.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator
from typing import Any

from fo1_data.corpus.decoding import decode_image, sidecars_at
from fo1_data.corpus.entry_bytes import read_bytes
from fo1_data.corpus.images import DecodedImage, InputLimits, has_plain_colours
from fo1_data.corpus.rejects import named
from fo1_data.corpus.rendering import Rendering
from fo1_data.dataset.prefetch import map_ahead
from fo1_data.errors import DatasetError, InputReject
from fo1_data.storage.store_faults import store_failed
from schemas.corpus import CorpusImage
from schemas.images import ImageRow

FETCHERS = 8

_JPEG: dict[str, Any] = {"format": "JPEG", "quality": 95, "subsampling": 0}
_PNG: dict[str, Any] = {"format": "PNG"}

# The first bytes of encoded images, and the suffix that readers know them by.
_SUFFIXES = {
    b"\xff\xd8\xff": "jpg",
    b"\x89PNG": "png",
    b"GIF8": "gif",
    b"II*\x00": "tif",
    b"MM\x00*": "tif",
    b"II+\x00": "tif",
    b"MM\x00+": "tif",
    b"BM": "bmp",
    b"\x00\x00\x00\x0cjP  ": "jp2",
    b"\xff\x4f\xff\x51": "j2k",
    b"\x00\x00\x01\x00": "ico",
    **dict.fromkeys((b"P1", b"P4"), "pbm"),
    **dict.fromkeys((b"P2", b"P5"), "pgm"),
    **dict.fromkeys((b"P3", b"P6"), "ppm"),
    **dict.fromkeys((b"PF", b"Pf"), "pfm"),
    b"P7": "pam",
}


def image_bytes(row: ImageRow, limits: InputLimits) -> bytes:
    """The bytes whose SHA-256 is the row's `image_id`, from the row or the first address that has them.

    Raises DatasetError if no address has them; the message lists what each address gave.
    """
    if row.image.bytes is not None:
        return row.image.bytes
    reasons, failed = [], None
    for entry in (entry for uri in row.uris or [row.uri] for entry in entries_of(uri)):
        try:
            data = read_bytes(entry, limits)
        except InputReject as reject:
            reasons.append(named(reject.message, entry.name))
            failed = reject if store_failed(reject) else failed
            continue
        if hashlib.sha256(data).hexdigest() == row.image_id:
            return data
        reasons.append(f"{entry.name}: holds another image now than the one that was labelled")
    raise DatasetError(f"image {row.image_id[:16]} cannot be had: {'; '.join(reasons)}") from failed


def read_uri(uri: str, limits: InputLimits) -> bytes:
    """The bytes at an address as rows write it. Raises InputReject (stage `fetch`)."""
    *members, file = entries_of(uri)
    for member in members:
        try:
            return read_bytes(member, limits)
        except InputReject as reject:
            refused = reject
    try:
        return read_bytes(file, limits)
    except InputReject as reject:
        raise (refused if members else reject) from None


def with_bytes(rows: Iterable[ImageRow], limits: InputLimits) -> Iterator[tuple[ImageRow, bytes]]:
    """The rows in order, each with its image's bytes; a few are fetched ahead, in threads."""
    return map_ahead(lambda row: (row, image_bytes(row, limits)), rows, FETCHERS)


def decode_row(row: ImageRow, data: bytes, limits: InputLimits) -> DecodedImage:
    """The upright picture of a row, as it was labelled: values become colours as the row's `meta` records.

    Raises InputReject if the image does not decode.
    """
    rendering = Rendering.of_row(row.meta)
    sidecars = sidecars_at(row.uris or [row.uri], data, limits) if rendering.raster is not None else {}
    return decode_image(data, limits, rendering, row.image_id, sidecars=sidecars)


def upright(row: ImageRow, data: bytes, limits: InputLimits) -> bytes:
    """The picture that was labelled, in the frame of the row's boxes, encoded for other programs.

    `data` itself where they see that picture in it; a JPEG of an image that EXIF turns; a PNG of a raster
    and of an image whose colours they see otherwise (`has_plain_colours`).

    Raises DatasetError if the image does not decode.
    """
    try:
        is_plain = Rendering.of_row(row.meta).raster is None and has_plain_colours(data)
        if is_plain and row.orientation == 1:
            return data
        rgb = decode_row(row, data, limits).rgb
    except InputReject as reject:
        raise DatasetError(f"image {row.image_id[:16]} does not decode: {reject.message}") from reject
    buffer = io.BytesIO()
    rgb.save(buffer, **(_JPEG if is_plain else _PNG))
    return buffer.getvalue()


def suffix_of_bytes(data: bytes) -> str:
    """The usual file suffix of an encoded image by its first bytes, without the dot; `img` if unknown."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    if data[4:8] == b"ftyp":
        return "avif" if data[8:12] in (b"avif", b"avis") else "heic"
    return next((suffix for start, suffix in _SUFFIXES.items() if data.startswith(start)), "img")


def entries_of(uri: str) -> list[CorpusImage]:
    """The entries an address can mean: a member of an archive (`archive::member`), a file of that name."""
    archive, _, inner = uri.partition("::")
    members = [CorpusImage(uri=archive, inner=inner)] if inner else []
    return [*members, CorpusImage(uri=uri)]
