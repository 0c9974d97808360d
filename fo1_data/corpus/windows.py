"""Windows of large images: rectangles read one by one, at full size or shrunk.

Windows and sizes are in pixels of the upright image: x_min, y_min, x_max, y_max, whole numbers. An image that
Pillow reads is decoded once a process and kept while its windows are read. Larger ones need a reader of
windows. Knows nothing of tiles.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from PIL import Image

from fo1_data.boxes import WindowXyxy
from fo1_data.corpus.decoding import decode_image, is_read_by_blocks
from fo1_data.corpus.entry_bytes import read_bytes
from fo1_data.corpus.images import DecodedImage, InputLimits
from fo1_data.corpus.rendering import Rendering
from schemas.corpus import CorpusImage

# Decoded images that are kept: that in work, and the next one, which is read ahead.
_MOST_HELD = 2
_STRIP_ROWS = 256


@dataclass(frozen=True)
class Window:
    """Upright RGB pixels of a window. is_empty: no pixel of it says anything, because all are without data,
    fully transparent, or of one value."""

    rgb: Image.Image
    is_empty: bool


class WindowedImage(Protocol):
    """An image of which windows are read. Any thread may read.

    `image_wh`: of the upright image; `orientation`: EXIF, 1 to 8; `meta`: how values became colours.
    """

    @property
    def image_wh(self) -> tuple[int, int]: ...

    @property
    def orientation(self) -> int: ...

    @property
    def meta(self) -> Mapping[str, Any] | None: ...

    def read(self, window_xyxy: WindowXyxy, longest_px: int | None = None) -> Window:
        """Read a window, which lies within the image, shrunk if its long edge exceeds `longest_px`.

        Raises InputReject if its pixels cannot be read.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class DecodedWindows:
    """Windows of an image whose pixels are all in memory."""

    def __init__(self, image: DecodedImage) -> None:
        self._image = image
        self.image_wh, self.orientation, self.meta = image.rgb.size, image.orientation, image.meta

    def read(self, window_xyxy: WindowXyxy, longest_px: int | None = None) -> Window:
        """See `WindowedImage.read`."""
        rgb = self._image.rgb
        rgb = rgb if window_xyxy == (0, 0, *rgb.size) else rgb.crop(window_xyxy)
        return Window(shrink(rgb, longest_px), _is_of_one_colour(rgb))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is open."""


def open_windows(
    entry: CorpusImage, limits: InputLimits, rendering: Rendering = Rendering()
) -> WindowedImage:
    """The image of an entry, to read windows of it: a raster by its blocks, another one decoded whole.

    An image over `max_pixels` or `max_bytes` is read by its blocks too, where rasterio is installed.
    Raises InputReject (stage `fetch` or `decode`).
    """
    if entry.inner is None and is_read_by_blocks(entry.uri, limits, rendering):
        from fo1_data.corpus.rasters import open_raster

        return open_raster(entry.uri, rendering, limits)
    return DecodedWindows(_decoded(entry, limits, rendering))


def _is_of_one_colour(rgb: Image.Image) -> bool:
    """Whether all pixels are equal; a strip of rows at a time, so that nothing large is copied."""
    colours = set()
    for top in range(0, rgb.height, _STRIP_ROWS):
        strip = rgb.crop((0, top, rgb.width, min(rgb.height, top + _STRIP_ROWS)))
        lows, highs = zip(*strip.getextrema(), strict=True)
        colours |= {lows, highs}
        if len(colours) > 1:
            return False
    return True


def shrink(rgb: Image.Image, longest_px: int | None) -> Image.Image:
    """The image with a long edge of at most `longest_px`; the same object if it is not longer."""
    longest = max(rgb.size)
    if longest_px is None or longest <= longest_px:
        return rgb
    width, height = (max(1, round(side * longest_px / longest)) for side in rgb.size)
    return rgb.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)


_lock = threading.Lock()
_held: OrderedDict[tuple[str, InputLimits, Rendering], DecodedImage] = OrderedDict()


def _decoded(entry: CorpusImage, limits: InputLimits, rendering: Rendering) -> DecodedImage:
    """The decoded image, which later calls find again. One is decoded at a time."""
    key = (entry.name, limits, rendering)
    with _lock:
        if key not in _held:
            _held[key] = decode_image(read_bytes(entry, limits), limits, rendering)
            while len(_held) > _MOST_HELD:
                _held.popitem(last=False)
        _held.move_to_end(key)
        return _held[key]
