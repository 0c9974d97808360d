"""The layout of a scene: canvas size, free positions, towers of touching squares.

Boxes are `xyxy` in whole pixels with the origin at the top left.
"""

import math

import numpy as np

BoxPx = tuple[int, int, int, int]

SHORT_EDGE_MIN_PX = 64
LONG_EDGE_MAX_PX = 336
DENSE_LONG_EDGE_MAX_PX = 480


def draw_canvas(object_area_px: float, num_objects: int, rng: np.random.Generator) -> tuple[int, int]:
    """(width, height) with room for objects of this total area; the aspect ratio is 1:4 to 4:1."""
    area = object_area_px / float(rng.uniform(0.18, 0.3))
    aspect = 4.0 ** float(rng.uniform(-1, 1))
    limit = DENSE_LONG_EDGE_MAX_PX if num_objects > 30 else LONG_EDGE_MAX_PX
    width, height = math.sqrt(area * aspect), math.sqrt(area / aspect)
    short = max(SHORT_EDGE_MIN_PX, min(width, height), area / limit)
    long = max(short, min(limit, area / short))
    sides = (min(round(long), limit), min(round(short), limit))
    return sides if width >= height else (sides[1], sides[0])


def intersection_px(a: BoxPx, b: BoxPx) -> int:
    """The area that two boxes share, in pixels."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(0, width) * max(0, height)


def area_px(box: BoxPx) -> int:
    """The area of a box, in pixels."""
    return (box[2] - box[0]) * (box[3] - box[1])


def find_place(
    object_wh: tuple[int, int],
    canvas_wh: tuple[int, int],
    taken: list[BoxPx],
    rng: np.random.Generator,
    max_shared: float = 0.0,
    tries: int = 40,
) -> BoxPx | None:
    """A random box of size `object_wh` inside the canvas, or None if no try finds room.

    It shares with each of the boxes `taken` at most `max_shared` of the smaller box's area.
    """
    width, height = object_wh
    gap = 1 if max_shared == 0 else 0
    if width >= canvas_wh[0] or height >= canvas_wh[1]:
        return None
    for _ in range(tries):
        x = int(rng.integers(0, canvas_wh[0] - width + 1))
        y = int(rng.integers(0, canvas_wh[1] - height + 1))
        box = (x, y, x + width, y + height)
        if _near_a_third(box, canvas_wh):
            continue
        wide = (x - gap, y - gap, x + width + gap, y + height + gap)
        if all(
            intersection_px(wide, other) <= max_shared * min(area_px(box), area_px(other)) for other in taken
        ):
            return box
    return None


def next_in_tower(
    below: BoxPx, object_wh: tuple[int, int], canvas_wh: tuple[int, int], taken: list[BoxPx]
) -> BoxPx | None:
    """The box on top of `below` that touches it; None if it would lie outside the canvas or overlap a box."""
    width, height = object_wh
    x, y = below[0], below[1] - height
    box = (x, y, x + width, y + height)
    if y < 0 or x + width > canvas_wh[0] or _near_a_third(box, canvas_wh):
        return None
    return box if all(intersection_px(box, other) == 0 for other in taken) else None


def _near_a_third(box: BoxPx, canvas_wh: tuple[int, int]) -> bool:
    """Whether the centre is so close to a border of the 3 x 3 grid that the cell's name would be unclear."""
    centre = ((box[0] + box[2]) / 2 / canvas_wh[0], (box[1] + box[3]) / 2 / canvas_wh[1])
    return any(abs(value - border) < 0.012 for value in centre for border in (1 / 3, 2 / 3))
