"""A part of a raster: what its bands hold in a window of stored pixels, and where they have data."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fo1_data.corpus.raster_bands import ShownBands
from fo1_data.corpus.raster_stretch import Mask, Values


@dataclass(frozen=True)
class RasterPart:
    """values, valid: (B, H, W); alpha: (H, W) values of the alpha band, None without one."""

    values: Values
    valid: Mask
    alpha: Values | None

    @property
    def is_seen(self) -> Mask:
        """(H, W): where the alpha band does not hide all; everywhere without one."""
        if self.alpha is None:
            return np.ones(self.valid.shape[1:], dtype=np.bool_)
        mask: Mask = self.alpha > 0
        return mask


def read_part(
    dataset: Any,
    shown: ShownBands,
    window: tuple[float, float, float, float],
    out_hw: tuple[int, int],
    smooth: bool,
) -> RasterPart:
    """The shown bands of a rasterio dataset in a window, brought to `out_hw`, averaged if `smooth`."""
    from rasterio.enums import MaskFlags, Resampling
    from rasterio.windows import Window as RasterWindow

    x_min, y_min, x_max, y_max = window
    place: dict[str, Any] = {
        "window": RasterWindow(x_min, y_min, x_max - x_min, y_max - y_min),
        "out_shape": out_hw,
    }
    numbers = list(shown.numbers)
    how = Resampling.average if smooth else Resampling.nearest
    values = dataset.read(numbers, **{**place, "out_shape": (len(numbers), *out_hw)}, resampling=how)
    valid = np.ones(values.shape, dtype=np.bool_)
    for band, number in enumerate(numbers):
        flags = dataset.mask_flag_enums[number - 1]
        if MaskFlags.all_valid not in flags and MaskFlags.alpha not in flags:
            valid[band] = dataset.read_masks(number, **place) != 0
    if values.dtype.kind == "f":
        valid &= np.isfinite(values)
    alpha = dataset.read(shown.alpha, **place) if shown.alpha is not None else None
    return RasterPart(values, valid, alpha)
