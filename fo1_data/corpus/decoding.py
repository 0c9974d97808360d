"""Decoding of a corpus' bytes, whatever they are: a plain picture by Pillow, a raster by rasterio.

The one place that decides which decoder reads a file, so that a run, training, reports and the service show
an image alike. `Rendering` says how values become colours.
"""

from collections.abc import Callable, Mapping

from fo1_data.corpus.images import DecodedImage, InputLimits, decode_rgb, read_oriented_wh
from fo1_data.corpus.raster_files import read_sidecars
from fo1_data.corpus.raster_kind import is_jpeg2000, is_tiff, raster_trait
from fo1_data.corpus.rendering import Rendering
from fo1_data.errors import InputReject
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
    return read_sidecars(entry.uri, limits.download_timeout_s)


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
