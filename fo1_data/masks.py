"""Masks: which pixels of an image show a thing, as (H, W) booleans and as COCO's compressed run lengths."""

from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.regions import Box, MaskRle

Mask = npt.NDArray[np.bool_]


def encode_mask(mask: Mask) -> MaskRle:
    """A mask (H, W) as run lengths."""
    from faster_coco_eval.core import mask as coco  # half a second of imports

    encoded = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    return MaskRle(size=list(mask.shape), counts=encoded["counts"].decode("ascii"))


def decode_mask(rle: MaskRle) -> Mask:
    """The mask (H, W) of run lengths. Raises ValueError if they are not those of its size."""
    from faster_coco_eval.core import mask as coco

    try:
        decoded: npt.NDArray[Any] = coco.decode({"size": rle.size, "counts": rle.counts.encode("ascii")})
    except (ValueError, RuntimeError, IndexError) as error:
        raise ValueError(f"a mask of {rle.size} cannot be read: {error}") from error
    return decoded.astype(bool)


def is_mask_of(rle: MaskRle, image_wh: tuple[int, int]) -> bool:
    """Whether these run lengths are a mask of an image of this size, and it has pixels."""
    try:
        return rle.size == [image_wh[1], image_wh[0]] and bool(decode_mask(rle).any())
    except ValueError:
        return False


def mask_area(rle: MaskRle) -> int:
    """How many pixels a mask has."""
    from faster_coco_eval.core import mask as coco

    return int(coco.area({"size": rle.size, "counts": rle.counts.encode("ascii")}))


def mask_box(rle: MaskRle) -> Box:
    """The box around a mask's pixels, in pixels; of an empty mask it has no area."""
    from faster_coco_eval.core import mask as coco

    x, y, width, height = coco.toBbox({"size": rle.size, "counts": rle.counts.encode("ascii")}).tolist()
    return x, y, x + width, y + height


def mask_iou(a: MaskRle, b: MaskRle) -> float:
    """The intersection over union of two masks of one image."""
    from faster_coco_eval.core import mask as coco

    first, second = ({"size": rle.size, "counts": rle.counts.encode("ascii")} for rle in (a, b))
    return float(coco.iou([first], [second], [0])[0][0])


def place_mask(rle: MaskRle, window_xyxy: tuple[int, int, int, int], image_wh: tuple[int, int]) -> MaskRle:
    """The mask of a part of an image as a mask of the whole. window_xyxy: the part's pixels in the image.

    If the part was shrunk, each of its pixels stands for several. Works on runs: the whole is never decoded.
    """
    from faster_coco_eval.core import mask as coco

    mask = decode_mask(rle)
    (x_min, y_min, x_max, y_max), (width, height) = window_xyxy, image_wh
    # A run of a column begins or ends where it differs from the pixel above.
    changes = np.diff(np.pad(mask.astype(np.int8), ((1, 1), (0, 0))), axis=0) != 0
    rows_of_column = [np.flatnonzero(column) for column in changes.T]
    step_x, step_y = mask.shape[1] / (x_max - x_min), (y_max - y_min) / mask.shape[0]
    bounds = []
    for x in range(max(x_min, 0), min(x_max, width)):
        rows = rows_of_column[min(int((x - x_min + 0.5) * step_x), mask.shape[1] - 1)]
        bounds.append(x * height + np.clip(np.rint(y_min + rows * step_y), 0, height).astype(np.int64))
    # Where one run ends and the next begins, there is no edge.
    edges, times = np.unique(np.concatenate([np.zeros(0, np.int64), *bounds]), return_counts=True)
    ends = np.concatenate([[0], edges[times % 2 == 1], [width * height]])
    counts = np.diff(ends).tolist()
    if counts[-1] == 0 and len(counts) > 1:
        counts.pop()
    placed = coco.frPyObjects({"size": [height, width], "counts": counts}, height, width)
    return MaskRle(size=[height, width], counts=placed["counts"].decode("ascii"))


def outline_path(mask: Mask, step_px: float = 1.0) -> str:
    """The edges between a mask (H, W) and what is around it, as the data of an SVG path.

    Each pixel of `mask` stands for a square of `step_px` pixels of the image.
    """
    padded = np.pad(mask, 1).astype(np.int8)
    lines = []
    for is_vertical in (False, True):
        pixels = padded.T if is_vertical else padded
        edges = pixels[1:] != pixels[:-1]  # between a row and the next one
        starts = np.argwhere(edges & ~np.pad(edges, ((0, 0), (1, 0)))[:, :-1])
        ends = np.argwhere(edges & ~np.pad(edges, ((0, 0), (0, 1)))[:, 1:])
        for (row, first), (_, last) in zip(starts.tolist(), ends.tolist(), strict=True):
            across, begin, end = (_number(at * step_px) for at in (row, first - 1, last))
            lines.append(f"M{across} {begin}V{end}" if is_vertical else f"M{begin} {across}H{end}")
    return "".join(lines)


def _number(value: float) -> str:
    return f"{round(value, 2):g}"
