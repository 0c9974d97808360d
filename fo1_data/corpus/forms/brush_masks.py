"""The box around a mask of Label Studio's brush, from its run-length code.

The code is a string of bits, given as bytes: the number of values (32 bits), the bits of a value less one
(5), and four lengths less one (4 bits each). Then blocks: a bit that says whether the values are all equal,
two bits that choose one of the lengths, the number of values less one, and the value or values. The values
are the bytes of an RGBA picture; what is not transparent is the mask.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fo1_data.corpus.forms.shapes import BoxXyxy

_CHANNELS = 4
# A mask is decoded whole, at a byte a value.
_MOST_PIXELS = 50_000_000


def box_of_brush(code: Any, width: Any, height: Any) -> BoxXyxy | None:
    """The box around a mask, in its pixels; None if it is empty, damaged, too large or of another size."""
    try:
        width, height = int(width), int(height)
        if not 0 < width * height <= _MOST_PIXELS:
            return None
        values = _decode(code, width * height * _CHANNELS)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    rows, columns = np.nonzero(values.reshape(height, width, _CHANNELS)[..., -1])
    if not len(rows):
        return None
    corners = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return tuple(float(corner) for corner in corners)  # type: ignore[return-value]


class _Bits:
    def __init__(self, code: Sequence[int]) -> None:
        self._bits = "".join(f"{byte:08b}" for byte in bytes(code))
        self._at = 0

    def read(self, length: int) -> int:
        """The number in the next `length` bits. Raises ValueError at the end."""
        self._at += length
        return int(self._bits[self._at - length : self._at], 2)


def _decode(code: Sequence[int], num_values: int) -> npt.NDArray[np.uint8]:
    """The values, uint8. Raises ValueError unless there are `num_values`."""
    bits = _Bits(code)
    if bits.read(32) != num_values:
        raise ValueError("the mask is of another size")
    word_size = bits.read(5) + 1
    lengths = [bits.read(4) + 1 for _ in range(4)]
    values = np.zeros(num_values, dtype=np.uint8)
    at = 0
    while at < num_values:
        are_equal = bits.read(1)
        end = at + 1 + bits.read(lengths[bits.read(2)])
        values[at:end] = (
            bits.read(word_size)
            if are_equal
            else [bits.read(word_size) for _ in range(min(end, num_values) - at)]
        )
        at = end
    return values
