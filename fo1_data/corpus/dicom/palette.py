"""Colours of DICOM images: palettes, and samples of more than 8 bits (PS3.3, C.7.6.3.1.5 and C.7.9)."""

from typing import Any

import numpy as np
import numpy.typing as npt

from fo1_data.corpus.dicom.files import load_pydicom

_CHANNELS = ("Red", "Green", "Blue")
_STRIP_ROWS = 256

Values = npt.NDArray[Any]


def to_colours(values: Values, header: Any) -> npt.NDArray[np.uint8]:
    """Pixels that are numbers of colours (H, W) as RGB (H, W, 3)."""
    first, table = _table(header)
    places = np.clip(values.astype(np.int32) - first, 0, len(table) - 1)
    return np.asarray(table[places])


def _table(header: Any) -> tuple[int, npt.NDArray[np.uint8]]:
    """The number of the first colour, and the colours (N, 3)."""
    length, first, bits = (int(value) for value in header.RedPaletteColorLookupTableDescriptor)
    length = length or 2**16
    if "RedPaletteColorLookupTableData" in header:
        columns = [_column(header, channel, length) for channel in _CHANNELS]
        table = np.stack(columns, axis=1)
        # Entries of 8 bits may lie in 16, in the lower or in the upper half.
        bits = 8 if bits == 8 and table.max() < 256 else table.dtype.itemsize * 8
    else:
        numbers = np.arange(first, first + length)
        table = load_pydicom().pixels.apply_color_lut(numbers, header)[:, :3]
    return first, to_8_bits(table, bits)


def _column(header: Any, channel: str, length: int) -> Values:
    """The entries of one colour. pydicom 3.0.2 reads those of files in big endian in the other order."""
    data = bytes(header[f"{channel}PaletteColorLookupTableData"].value)
    words = np.frombuffer(data, "<u2" if header.original_encoding[1] else ">u2").astype("<u2")
    return words[:length] if len(data) >= 2 * length else words.view(np.uint8)[:length]


def to_8_bits(values: Values, bits: int) -> npt.NDArray[np.uint8]:
    """Samples of the full range of `bits` bits as 8 bits, in strips of rows: floats take 8 bytes a sample."""
    if bits == 8:
        return np.ascontiguousarray(values.astype(np.uint8, copy=False))
    result = np.empty(values.shape, np.uint8)
    for row in range(0, len(values), _STRIP_ROWS):
        strip = values[row : row + _STRIP_ROWS]
        result[row : row + _STRIP_ROWS] = np.rint(strip * (255.0 / (2**bits - 1))).clip(0, 255)
    return result
