"""From a raster's values to colours on white: palettes, levels, opacity. Arrays only; opens nothing."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from fo1_data.corpus.raster_stretch import Values, to_levels
from schemas.rasters import RasterRecord

_WHITE = 255
_Bytes = npt.NDArray[np.uint8]


def palette_colours(
    indices: Values, palette: Mapping[int, tuple[int, int, int, int]]
) -> tuple[_Bytes, _Bytes]:
    """(H, W, 3) colours and (H, W) opacities; an index without a colour is black."""
    table = np.zeros((max(max(palette), int(indices.max(initial=0))) + 1, 4), dtype=np.uint8)
    table[:, 3] = 255
    for index, colour in palette.items():
        table[index] = colour
    found = table[indices]
    return found[..., :3], found[..., 3]


def level_colours(values: Values, record: RasterRecord) -> tuple[_Bytes, _Bytes]:
    """(H, W, 3) colours of one band (grey) or three, by the record's limits, and (H, W) opacities: full."""
    levels = to_levels(values, record.limits)
    if record.white_is_zero:
        levels = 255 - levels
    colours = np.moveaxis(np.broadcast_to(levels, (3, *levels.shape[1:])), 0, -1)
    return colours, np.full(colours.shape[:2], 255, dtype=np.uint8)


def alpha_opacity(alpha: Values, top: float | None) -> _Bytes:
    """(H, W) opacities by an alpha band whose value `top` is opaque; None: 255 is."""
    share = (alpha.astype(np.float64) * (255.0 / (top or 255.0))).clip(0.0, 255.0)
    opacity: _Bytes = np.rint(share).astype(np.uint8)
    return opacity


def on_white(colours: _Bytes, opacity: _Bytes) -> _Bytes:
    """(H, W, 3) colours seen on white: what is half transparent is half white."""
    if opacity.min(initial=255) == 255:
        return np.ascontiguousarray(colours)
    weight = opacity[..., None].astype(np.uint32)
    return ((colours * weight + _WHITE * (255 - weight) + 127) // 255).astype(np.uint8)


class ColourExtent:
    """Whether the pixels of a window have data, and the extremes of their colours."""

    def __init__(self) -> None:
        self._low, self._high = np.full(3, 255), np.zeros(3, dtype=int)

    def add(self, colours: _Bytes, opacity: _Bytes) -> None:
        """Take in (H, W, 3) colours; pixels of opacity 0 have no data."""
        shown = colours[opacity > 0]
        if shown.size:
            self._low = np.minimum(self._low, shown.min(axis=0))
            self._high = np.maximum(self._high, shown.max(axis=0))

    @property
    def has_data(self) -> bool:
        """Whether any pixel has data."""
        return bool((self._high >= self._low).all())

    @property
    def is_empty(self) -> bool:
        """Whether no pixel has data, or all that have are of one colour."""
        return bool((self._high <= self._low).all())
