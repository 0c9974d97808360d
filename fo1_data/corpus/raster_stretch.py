"""From the values of a raster's bands to 8-bit levels: a straight line between the limits of each band.

Limits are of the whole raster, so that all windows of it agree. Only values with data count: nodata, masked
and not finite ones never do.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
Limits = tuple[float, float]

AS_IS = "none"
MIN_MAX = "minmax"
DEFAULT = "2,98"
# Floats have no full range: the smallest of these that holds them.
_FLOAT_TOPS = (1.0, 255.0, 65535.0)


def default_stretch(dtype: str) -> str:
    """Values of 8 bits are shown as they are, all others between their percentiles 2 and 98."""
    return AS_IS if dtype == "uint8" else DEFAULT


def band_limits(values: Values, valid: Mask, stretch: str, num_bits: int | None = None) -> Limits:
    """The values of one band that become 0 and 255. values, valid: (H, W), the whole raster or a sample.

    `2,98`: these percentiles; `minmax`: the extremes; `none`: the full range of the type, or of `num_bits`.
    Where percentiles meet, the extremes are taken, and of a single value the full range: a band without
    contrast gets none.
    """
    known = values[valid].astype(np.float64)
    known = known[np.isfinite(known)]
    full = _full_range(values.dtype, known, num_bits)
    if not known.size or stretch == AS_IS:
        return full
    low, high = float(known.min()), float(known.max())
    if stretch != MIN_MAX:
        shares = [float(part) for part in stretch.split(",")]
        cut = np.percentile(known, shares)
        low, high = (float(cut[0]), float(cut[1])) if cut[1] > cut[0] else (low, high)
    return (low, high) if high > low else full


def _full_range(dtype: np.dtype[Any], known: npt.NDArray[np.float64], num_bits: int | None) -> Limits:
    if num_bits is not None and np.issubdtype(dtype, np.unsignedinteger):
        return 0.0, float(2**num_bits - 1)
    if np.issubdtype(dtype, np.integer):
        info = np.iinfo(dtype)
        return float(info.min), float(info.max)
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    for top in _FLOAT_TOPS:
        if low >= 0 and high <= top:
            return 0.0, top
    return (low, high) if high > low else (low, low + 1.0)


def to_levels(values: Values, limits: Sequence[Limits]) -> npt.NDArray[np.uint8]:
    """(B, H, W) values to levels 0 to 255, by the limits of each band; not a number becomes 0."""
    levels = np.empty(values.shape, dtype=np.uint8)
    for band, (low, high) in enumerate(limits):
        if values.dtype == np.uint8 and (low, high) == (0.0, 255.0):
            levels[band] = values[band]
            continue
        with np.errstate(all="ignore"):  # values far outside overflow, and end at 0 or 255
            scaled = (values[band].astype(np.float64) - low) / (high - low) * 255.0
        scaled = np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0)
        levels[band] = np.rint(scaled.clip(0.0, 255.0)).astype(np.uint8)
    return levels


def alpha_top(values: Values) -> float:
    """The value of an alpha band that is opaque: 1 or 255 if none is greater, else the greatest of its type.

    values: of the whole raster or a sample. Some files have 255 for opaque in a band of 16 bits.
    """
    highest = float(values.max(initial=0))
    if values.dtype.kind == "f":
        return 1.0 if highest <= 1 else max(255.0, highest)
    return 255.0 if highest <= 255 else float(np.iinfo(values.dtype).max)
