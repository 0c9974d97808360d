"""Decoders: bytes of every format that is read, changed, give a picture within the limits or a reject."""

import io
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from changed_bytes import changed_bytes
from fuzz_target import Broken, Runner, check
from peak_memory import peak_bytes
from PIL import Image, features

from fo1_data.corpus.decoding import decode_image, read_image_wh
from fo1_data.corpus.images import InputLimits
from fo1_data.corpus.rendering import Rendering
from fo1_data.errors import InputReject
from schemas.images import RejectStage

LIMITS = InputLimits(max_pixels=2**18, max_bytes=2**20)
# What a decoder may need at once: some times the pixels, and what its library keeps.
MOST_BYTES = 40 * LIMITS.max_pixels + 24 * 2**20
_RENDERINGS = (Rendering(), Rendering(), Rendering(bands=(1,)), Rendering(stretch="minmax"))


@contextmanager
def pictures(folder: Path) -> Iterator[Runner]:
    samples = _samples(folder)
    names = list(samples)

    def run(chance: random.Random) -> str:
        name = chance.choice(names)
        data = changed_bytes(samples[name], samples[chance.choice(names)], chance)
        try:
            return _decoded(data, chance)
        except Broken as error:
            error.about = f"{name}:"
            raise

    yield run


def _decoded(data: bytes, chance: random.Random) -> str:
    rendering = chance.choice(_RENDERINGS)
    before = peak_bytes(begin=True)
    try:
        image = decode_image(data, LIMITS, rendering)
    except InputReject as reject:
        check(reject.stage == RejectStage.DECODE, reject.stage, "of", reject)
        check(bool(reject.reason and reject.message), "a reject without words")
        check("\n" not in reject.message and len(reject.message) < 1000, "more than a line:", reject)
        image = None
    used = peak_bytes() - before
    check(used < MOST_BYTES, f"{used / 2**20:.0f} MiB for {len(data)} bytes")
    try:
        shown_wh = read_image_wh(data, LIMITS)
    except InputReject:
        shown_wh = None
    if image is None:
        return "rejected"
    width, height = image.rgb.size
    check(image.rgb.mode == "RGB", image.rgb.mode)
    check(0 < width * height <= LIMITS.max_pixels, width, height)
    check((image.width, image.height) == (width, height), image.width, image.height)
    check(1 <= image.orientation <= 8, image.orientation)
    turned = image.stored_wh if image.orientation < 5 else image.stored_wh[::-1]
    check(turned == (width, height), image.stored_wh, image.orientation, width, height)
    check(shown_wh in ((width, height), None), shown_wh, "by the header", (width, height))
    return "decoded"


def _samples(folder: Path) -> dict[str, bytes]:
    """A small valid file of each kind."""
    rgb = Image.fromarray(np.random.default_rng(0).integers(0, 255, (18, 24, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds: dict[str, tuple[Image.Image, str, dict[str, object]]] = {
        "JPEG": (rgb, "JPEG", {}),
        "JPEG turned": (rgb, "JPEG", {"exif": exif}),
        "JPEG progressive": (rgb, "JPEG", {"progressive": True}),
        "JPEG CMYK": (rgb.convert("CMYK"), "JPEG", {}),
        "PNG": (rgb, "PNG", {}),
        "PNG turned": (rgb, "PNG", {"exif": exif}),
        "PNG palette": (rgb.convert("P"), "PNG", {"transparency": 3}),
        "PNG 16 bits": (Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20)), "PNG", {}),
        "PNG alpha": (rgb.convert("RGBA"), "PNG", {}),
        "PNG 1 bit": (rgb.convert("1"), "PNG", {}),
        "GIF": (rgb, "GIF", {"save_all": True, "append_images": [rgb]}),
        "BMP": (rgb, "BMP", {}),
        "TIFF": (rgb, "TIFF", {}),
        "TIFF turned": (rgb, "TIFF", {"exif": exif}),
        "TIFF LZW": (rgb, "TIFF", {"compression": "tiff_lzw"}),
        "TIFF float": (Image.fromarray(np.ones((9, 9), np.float32)), "TIFF", {}),
        "TIFF 16 bits": (Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20)), "TIFF", {}),
        "TIFF Lab": (Image.new("LAB", (9, 8)), "TIFF", {}),
        "PPM": (rgb, "PPM", {}),
        "TGA": (rgb, "TGA", {"compression": "tga_rle"}),
        "PCX": (rgb, "PCX", {}),
        "SGI": (rgb, "SGI", {}),
        "ICO": (rgb, "ICO", {"sizes": [(16, 16)]}),
        "DDS": (rgb, "DDS", {}),
        "QOI": (rgb, "QOI", {}),
        "MPO": (rgb, "MPO", {"save_all": True, "append_images": [rgb]}),
    }
    for feature, name, more in (
        ("webp", "WEBP", {"lossless": True}),
        ("webp", "WEBP", {}),
        ("jpg_2000", "JPEG2000", {}),
        ("avif", "AVIF", {}),
    ):
        if features.check(feature):
            kinds[f"{name} {' '.join(more)}".strip()] = (rgb, name, more)
    samples = {name: _encoded(image, form, more) for name, (image, form, more) in kinds.items()}
    return samples | _rasters(folder)


def _encoded(image: Image.Image, form: str, more: dict[str, object]) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **more)
    return buffer.getvalue()


def _rasters(folder: Path) -> dict[str, bytes]:
    from raster_samples import ramp, write_raster

    bands = np.stack([ramp(), ramp(), ramp(), ramp()])
    return {
        "GeoTIFF": write_raster(folder / "a.tif", bands[:3].astype(np.uint8)),
        "GeoTIFF float": write_raster(folder / "b.tif", bands[:1].astype(np.float32), nodata=-1.0),
        "GeoTIFF tiled": write_raster(
            folder / "c.tif",
            bands.astype(np.uint16),
            tiled=True,
            blockxsize=16,
            blockysize=16,
            compress="deflate",
        ),
    }
