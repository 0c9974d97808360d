"""Divides what is asked about a large image into parts, each an item of its own with a view of the image.

An image is large if its long edge exceeds MOST_SHOWN_PX or it has more than MOST_REGIONS regions. Its regions
go by the centre of their box into square cells of PART_PX, which are divided again while they have more than
MOST_REGIONS. A part shows the regions of a cell, and as much of the image as holds them whole. What is said
of the whole image, and regions longer than a cell, are a part of their own that shows the whole image, with
the regions that its phrases name; a phrase that names more than MOST_REGIONS is not shown. Pixels of the
EXIF-oriented image. Pure functions.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.images import ImageRow
from schemas.labels import LabelKind
from schemas.regions import TEXT_COLUMNS, Region

MOST_SHOWN_PX = 4096
MOST_REGIONS = 300
PART_PX = 1024
_LEAST_PART_PX = 64
_MARGIN_PX = 64

View = tuple[int, int, int, int]


@dataclass(frozen=True)
class RowPart:
    """What is asked in one item. `name`: its cell, unique within the image; empty for an image that is not
    divided. `view_xyxy`: the rectangle of the image that is shown; None: the whole image, as it is."""

    row: ImageRow
    name: str = ""
    view_xyxy: View | None = None


def is_divided(row: ImageRow) -> bool:
    """Return whether an image is too large to be shown in one item."""
    return max(row.width, row.height) > MOST_SHOWN_PX or len(row.regions) > MOST_REGIONS


def parts_of(row: ImageRow) -> Iterator[RowPart]:
    """Yield the parts of a row: the row itself unless the image is large."""
    if not is_divided(row):
        yield RowPart(row)
        return
    small = [region for region in row.regions if _long_side(region) <= PART_PX]
    for name, regions in _cells(small, PART_PX):
        yield RowPart(_about(row, regions), name, _view(regions, (row.width, row.height)))
    whole = _about_the_whole(row, {region.region_id for region in small})
    if whole.answered_labels() or whole.caption or whole.regions:
        yield RowPart(whole, f"0-0-{row.width}-{row.height}", (0, 0, row.width, row.height))


def _cells(regions: Sequence[Region], cell_px: int) -> Iterator[tuple[str, list[Region]]]:
    """Yield the regions of each cell with the cell's name, row by row."""
    of_cell: dict[tuple[int, int], list[Region]] = defaultdict(list)
    for region in regions:
        x_min, y_min, x_max, y_max = region.box_xyxy
        of_cell[int((y_min + y_max) / 2 // cell_px), int((x_min + x_max) / 2 // cell_px)].append(region)
    for (down, across), inside in sorted(of_cell.items()):
        if len(inside) > MOST_REGIONS and cell_px > _LEAST_PART_PX:
            yield from _cells(inside, cell_px // 2)
        else:
            left, top = across * cell_px, down * cell_px
            yield f"{left}-{top}-{left + cell_px}-{top + cell_px}", inside


def _about(row: ImageRow, regions: Sequence[Region]) -> ImageRow:
    """The row with these regions and the answers about them, and nothing of the whole image."""
    ids = {region.region_id for region in regions}
    answers = [answer for answer in row.answers if answer.region_id in ids]
    parts = {"regions": list(regions), "groundings": [], "counts": [], "answers": answers, "caption": None}
    return row.model_copy(update=parts)


def _about_the_whole(row: ImageRow, ids_in_cells: set[str]) -> ImageRow:
    """The row with what is said of the whole image, and the small regions that its phrases name, textless."""
    groundings = [part for part in row.groundings if len(part.region_ids) <= MOST_REGIONS]
    named = {region_id for part in groundings for region_id in part.region_ids}
    named |= {part.phrase for part in groundings if part.kind is LabelKind.VISUAL_EXAMPLE}
    silent: dict[str, Any] = {"labels": [], **dict.fromkeys(TEXT_COLUMNS.values())}
    regions = [
        region.model_copy(update=silent) if region.region_id in ids_in_cells else region
        for region in row.regions
        if region.region_id not in ids_in_cells or region.region_id in named
    ]
    answers = [answer for answer in row.answers if answer.region_id not in ids_in_cells]
    return row.model_copy(update={"regions": regions, "groundings": groundings, "answers": answers})


def _long_side(region: Region) -> float:
    x_min, y_min, x_max, y_max = region.box_xyxy
    return max(x_max - x_min, y_max - y_min)


def _view(regions: Sequence[Region], image_wh: tuple[int, int]) -> View:
    """The whole pixels around the boxes, with a margin, inside the image."""
    x_min, y_min, x_max, y_max = zip(*(region.box_xyxy for region in regions), strict=True)
    return (
        max(0, int(min(x_min)) - _MARGIN_PX),
        max(0, int(min(y_min)) - _MARGIN_PX),
        min(image_wh[0], int(max(x_max)) + 1 + _MARGIN_PX),
        min(image_wh[1], int(max(y_max)) + 1 + _MARGIN_PX),
    )
