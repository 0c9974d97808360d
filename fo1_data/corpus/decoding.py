"""Decoding of a corpus' bytes, whatever they are: a plain picture by Pillow, a raster by rasterio.

The one place that decides which decoder reads a file, so that a run, training, reports and the service show
an image alike. `Rendering` says how values become colours.
"""

import io
from collections.abc import Callable, Mapping

from fo1_data.corpus.images import (
    JPEG2000_MAX_PIXELS,
    DecodedImage,
    InputLimits,
    decode_rgb,
    read_oriented_wh,
)
from fo1_data.corpus.raster_files import read_sidecars
from fo1_data.corpus.raster_kind import driver_of, is_jpeg2000, is_tiff, num_pixels, raster_trait
from fo1_data.corpus.rendering import Rendering
from fo1_data.errors import InputReject
from fo1_data.storage.ranges import open_ranges
from schemas.corpus import CorpusImage


def decode_image(
    data: bytes,
    limits: InputLimits,
    rendering: Rendering = Rendering(),
    image_id: str | None = None,
    before_pixels: Callable[[int], None] = lambda _: None,
    sidecars: Mapping[str, bytes] | None = None,
) -> DecodedImage:
    """Decode the bytes of an image. `sidecars`: of a raster, by their endings (see `raster_files`).

    The other arguments, and the InputReject that is raised: see `decode_rgb`.
    """
    if is_raster(data, rendering, sidecars):
        from fo1_data.corpus.rasters import decode_raster

        return decode_raster(data, limits, rendering, image_id, before_pixels, sidecars)
    return decode_rgb(data, limits, image_id, before_pixels)


def is_raster(data: bytes, rendering: Rendering, sidecars: Mapping[str, bytes] | None = None) -> bool:
    """Whether bytes are read as a raster: a TIFF or JPEG 2000 with a raster's header or sidecars, or whose
    bands or stretch are told."""
    start = data[:12]
    if not (is_tiff(start) or is_jpeg2000(start)):
        return False
    return rendering.is_told or bool(sidecars) or raster_trait(data) is not None


def is_read_by_blocks(address: str, limits: InputLimits, rendering: Rendering) -> bool:
    """Whether the file at an address is read through rasterio, block by block: a raster is, and any file of a
    format that rasterio reads so if it is over `max_pixels` or `max_bytes`. Reads its header alone.

    Raises InputReject (stage `fetch`).
    """
    with open_ranges(
        address, max_whole_bytes=limits.max_bytes, timeout_s=limits.download_timeout_s
    ) as stream:
        start = stream.read(12)
        if driver_of(start) is None:
            return False
        if is_tiff(start) or is_jpeg2000(start):
            if rendering.is_told or raster_trait(stream) is not None:
                return True
            if read_sidecars(address, limits.download_timeout_s):
                return True
        if stream.seek(0, io.SEEK_END) > limits.max_bytes:
            return True
        most = min(limits.max_pixels, JPEG2000_MAX_PIXELS) if is_jpeg2000(start) else limits.max_pixels
        return num_pixels(stream) > most


def read_image_wh(data: bytes, limits: InputLimits) -> tuple[int, int]:
    """Width and height of the upright image, without its pixels. Raises InputReject."""
    if is_raster(data, Rendering()):
        from fo1_data.corpus.rasters import open_raster_bytes

        with open_raster_bytes(data, Rendering()) as raster:
            return raster.image_wh
    return read_oriented_wh(data, limits)


def sidecars_of(entry: CorpusImage, data: bytes, limits: InputLimits) -> dict[str, bytes]:
    """The sidecars beside an entry's file, if it can have some. Raises InputReject (stage `fetch`)."""
    start = data[:12]
    if entry.inner is not None or not (is_tiff(start) or is_jpeg2000(start)):
        return {}
    return read_sidecars(entry.origin.uri, limits.download_timeout_s)


def sidecars_at(uris: list[str], data: bytes, limits: InputLimits) -> dict[str, bytes]:
    """The sidecars beside the first address that has some; what cannot be read counts as absent."""
    for uri in uris:
        try:
            found = sidecars_of(CorpusImage(uri=uri), data, limits)
        except InputReject:
            continue
        if found:
            return found
    return {}
