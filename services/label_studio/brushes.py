"""Masks of regions as Label Studio's brush results: run lengths of red, green, blue and alpha, row by row.

The browser paints with soft edges: a pixel is of the mask if its alpha is at least half. A mask covers the
picture that is shown, in its pixels. The SDK's encoder is imported late: it takes seconds. Pure functions.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fo1_data.masks import decode_mask, encode_mask
from schemas.regions import MaskRle

_NUM_BYTES, _PAINTED, _HALF = 4, 255, 128


def brush_value(mask_rle: MaskRle) -> dict[str, Any]:
    """The value of a `brushlabels` result without its labels. Raises ValueError if the mask is unreadable."""
    from label_studio_sdk.converter.brush import mask2rle

    return {"format": "rle", "rle": mask2rle(decode_mask(mask_rle).astype(np.uint8) * _PAINTED)}


def painted_mask(value: Mapping[str, Any], picture_wh: tuple[int, int]) -> MaskRle | None:
    """The mask of a brush result's value; None if nothing is painted, or not of a picture of this size."""
    from label_studio_sdk.converter.brush import decode_rle

    width, height = picture_wh
    rle = value.get("rle")
    if not isinstance(rle, list) or not all(isinstance(byte, int) and 0 <= byte < 256 for byte in rle):
        return None
    # The length comes first: nothing is allocated for another one.
    if int.from_bytes(bytes(rle[:_NUM_BYTES])) != width * height * 4:
        return None
    try:
        alpha = decode_rle(rle).reshape(height, width, 4)[:, :, 3]
    except (ValueError, IndexError, OverflowError):
        return None
    mask = alpha >= _HALF
    return encode_mask(mask) if mask.any() else None


def is_same_mask(a: MaskRle | None, b: MaskRle | None) -> bool:
    """Whether two masks have the same pixels, however their run lengths are written."""
    if a is None or b is None:
        return a is b
    return a == b or (a.size == b.size and encode_mask(decode_mask(a)) == encode_mask(decode_mask(b)))
