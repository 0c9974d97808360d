"""Reads one tile of an image: its pixels, and how boxes of them become boxes of the image.

The id of the image is that of its file, as everywhere. It is computed once a process, as a stream.
"""

import hashlib
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fo1_data.boxes import Bools, Boxes, WindowXyxy
from fo1_data.corpus.entry_bytes import read_bytes
from fo1_data.corpus.images import DecodedImage, InputLimits, image_id_of
from fo1_data.corpus.rendering import Rendering
from fo1_data.corpus.tile_grid import Place, TileGrid
from fo1_data.corpus.tile_names import TileName, image_of_tile
from fo1_data.corpus.tile_ownership import stays_in_tile
from fo1_data.corpus.windows import WindowedImage, open_windows
from fo1_data.errors import InputReject
from fo1_data.storage.addresses import local_path
from schemas.corpus import CorpusImage
from schemas.images import RejectStage

# The whole image is shrunk to this long edge: VLM-FO1 itself shrinks what is longer.
WHOLE_PX = 2048


@dataclass(frozen=True)
class Tile:
    """A tile of an image as it was read. place: its column and row; None: it is the whole image, shrunk.

    `shown_wh`: the size of its pixels.
    """

    grid: TileGrid
    place: Place | None
    window_xyxy: WindowXyxy
    shown_wh: tuple[int, int]

    @property
    def is_whole(self) -> bool:
        return self.place is None

    def boxes_to_image(self, boxes_shown: Boxes) -> Boxes:
        """(N, 4) boxes in pixels of the tile to pixels of the image."""
        left, top, right, bottom = self.window_xyxy
        across, down = (right - left) / self.shown_wh[0], (bottom - top) / self.shown_wh[1]
        boxes: Boxes = (boxes_shown * np.array([across, down] * 2) + [left, top] * 2).astype(np.float32)
        return boxes

    def boxes_from_image(self, boxes_xyxy: Boxes) -> Boxes:
        """(N, 4) boxes in pixels of the image to pixels of the tile, which they may leave by rounding."""
        left, top, right, bottom = self.window_xyxy
        across, down = self.shown_wh[0] / (right - left), self.shown_wh[1] / (bottom - top)
        boxes: Boxes = ((boxes_xyxy - [left, top] * 2) * np.array([across, down] * 2)).astype(np.float32)
        return boxes

    def stays(self, boxes_shown: Boxes) -> Bools:
        """(N,) which boxes that were found in the tile stay in it."""
        return stays_in_tile(self.grid, self.place, self.boxes_to_image(boxes_shown))


@dataclass(frozen=True)
class TileImage:
    """The pixels of a tile. is_empty: they show nothing, and need no label."""

    tile: Tile
    image: DecodedImage
    is_empty: bool


def read_tile(
    entry: CorpusImage,
    name: TileName,
    limits: InputLimits,
    rendering: Rendering = Rendering(),
    before_pixels: Callable[[int], None] = lambda _: None,
) -> TileImage:
    """Read the tile `name` of the image of `entry`. Raises InputReject.

    before_pixels: called with the number of pixels before they are read.
    """
    image = image_of_tile(entry)
    image_id = id_of_image(image, limits)
    with _windows.of(image, limits, rendering) as windows:
        grid = TileGrid(windows.image_wh, name.tile_px, name.overlap_px)
        place = None if name.window_xyxy is None else grid.place_of(name.window_xyxy)
        if name.window_xyxy is not None and place is None:
            width, height = windows.image_wh
            message = f"{entry.name}: an image of {width} x {height} pixels has no such tile: list it again"
            raise InputReject(RejectStage.DECODE, "other_size", message)
        window = name.window_xyxy or (0, 0, *windows.image_wh)
        wide, high = window[2] - window[0], window[3] - window[1]
        before_pixels(min(wide, WHOLE_PX) * min(high, WHOLE_PX))
        read = windows.read(window, WHOLE_PX if place is None else None)
        orientation, meta = windows.orientation, windows.meta
    tile = Tile(grid, place, window, read.rgb.size)
    decoded = DecodedImage(image_id, read.rgb, *read.rgb.size, orientation, read.rgb.size, meta=meta)
    return TileImage(tile, decoded, read.is_empty)


class _OpenImages:
    """Images whose tiles are read: each is opened once, and the last few stay open for their next tiles."""

    def __init__(self, most_open: int) -> None:
        self._most_open, self._lock = most_open, threading.Lock()
        self._open: OrderedDict[object, WindowedImage] = OrderedDict()
        self._num_readers: Counter[object] = Counter()

    @contextmanager
    def of(self, image: CorpusImage, limits: InputLimits, rendering: Rendering) -> Iterator[WindowedImage]:
        """The open image, which is not closed during the block. Raises InputReject."""
        key = (image.name, limits, rendering)
        with self._lock:
            if key not in self._open:
                self._open[key] = open_windows(image, limits, rendering)
            self._open.move_to_end(key)
            windows = self._open[key]
            self._num_readers[key] += 1
        try:
            yield windows
        finally:
            with self._lock:
                self._num_readers[key] -= 1
                self._close_oldest()

    def _close_oldest(self) -> None:
        unread = [key for key in self._open if not self._num_readers[key]]
        for key in unread[: max(0, len(self._open) - self._most_open)]:
            self._open.pop(key).__exit__(None, None, None)
            del self._num_readers[key]


_windows = _OpenImages(most_open=2)


def id_of_image(image: CorpusImage, limits: InputLimits) -> str:
    """The id of an image, which a process computes once for each file. Raises InputReject."""
    with _lock:
        return _id_of_image(image.uri, image.inner, image.inner_span, limits)


_lock = threading.Lock()


@lru_cache(maxsize=64)
def _id_of_image(uri: str, inner: str | None, inner_span: tuple[int, int] | None, limits: InputLimits) -> str:
    path = local_path(uri) if inner is None else None
    if path is not None and path.is_file():
        with suppress(OSError), path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    return image_id_of(read_bytes(CorpusImage(uri=uri, inner=inner, inner_span=inner_span), limits))
