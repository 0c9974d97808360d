"""Which images the detector can learn from, and the views that show them: whole, or in tiles.

A box of a corpus or of a person is known, and one of a detector whose label a person gave or confirmed, or
which was accepted. An image with any other box is left out, because nobody knows what it shows and what else
is there.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from fo1_data.boxes import Boxes, WindowXyxy, areas, as_boxes, clip_boxes
from fo1_data.corpus.images import InputLimits
from fo1_data.corpus.tile_grid import TileGrid
from fo1_data.dataset.human_labels import is_locked
from fo1_data.dataset.prefetch import map_ahead
from fo1_data.errors import InputReject
from fo1_data.training.samples.open_examples import TrainingExample, open_example, read_content
from fo1_data.training.samples.source import ExampleSource
from fo1_data.training.samples.tiled_rows import grid_of, windows_of
from schemas.images import ImageRow
from schemas.input_settings import DEFAULT_TILE_OVERLAP
from schemas.labels import Decision, Source
from schemas.regions import Region

LIMITS = InputLimits()
_SETTLED = (Decision.ACCEPT, Decision.AUDIT)
_READERS = 4
# A tile shows a box if so much of its area is in it.
_SHOWN_SHARE = 0.5
# An image is shrunk to 512 px: a longer one than this to less than half.
LARGE_PX = 1024


class LeftOut(StrEnum):
    """Why an image is not used."""

    NO_BOX = "without_box"
    BOXES = "boxes_not_known"
    SHARED = "also_validated_or_tested"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class View:
    """A part of the image at a place of a source's first epoch; `window_xyxy` None: all of it.

    `is_empty`: it shows no box.
    """

    place: int
    window_xyxy: WindowXyxy | None = None
    is_empty: bool = False


@dataclass
class Survey:
    """The views of a source's usable images.

    `num_images`: how many those are; `num_shrunk`: how many of them are large and shown whole; `ids`: of the
    content of all; `left_out`: how many others there are, by the reason.
    """

    views: list[View] = field(default_factory=list)
    num_images: int = 0
    num_shrunk: int = 0
    ids: set[str] = field(default_factory=set)
    left_out: Counter[LeftOut] = field(default_factory=Counter)


def survey(source: ExampleSource, tile_px: int | None = None, excluded: Collection[str] = ()) -> Survey:
    """Find the views of all usable images, in the order of the first epoch.

    A row that was labelled in tiles is shown by them. `tile_px`: cut other images that are larger.
    `excluded`: ids of images that are not to be used. Reads every image of a corpus once; no pixels, but of
    those to cut.
    """
    found, cut_rows = Survey(), set[str]()
    if source.num_without_box:
        found.left_out[LeftOut.NO_BOX] = source.num_without_box
    for place, example, content in _contents(source):
        if isinstance(content, LeftOut):
            found.left_out[content] += 1
            continue
        image_id, image_wh = content
        if image_id in excluded:
            found.left_out[LeftOut.SHARED] += 1
            continue
        if example.window_xyxy is not None:
            if image_id in cut_rows:
                continue  # another part of a row whose views are all there
            cut_rows.add(image_id)
        try:
            views = _views(place, example, image_wh, tile_px)
        except InputReject:
            found.left_out[LeftOut.UNREADABLE] += 1
            continue
        found.ids.add(image_id)
        found.num_images += 1
        found.num_shrunk += views == [View(place)] and max(image_wh) > LARGE_PX
        found.views += views
    return found


def _contents(
    source: ExampleSource,
) -> Iterator[tuple[int, TrainingExample, tuple[str, tuple[int, int]] | LeftOut]]:
    """Each example with the id and the size of its image, or why it is left out."""

    def read(
        numbered: tuple[int, TrainingExample],
    ) -> tuple[int, TrainingExample, tuple[str, tuple[int, int]] | LeftOut]:
        place, example = numbered
        if not boxes_are_known(example):
            return place, example, LeftOut.BOXES
        try:
            return place, example, read_content(example, LIMITS)
        except InputReject:
            return place, example, LeftOut.UNREADABLE

    examples = ((place, source.at(place)) for place in range(len(source)))
    return map_ahead(read, examples, _READERS)


def _views(
    place: int, example: TrainingExample, image_wh: tuple[int, int], tile_px: int | None
) -> list[View]:
    """What shows an image: itself, or its tiles, and itself too if a box is whole in no tile."""
    row = example.whole_row
    grid = grid_of(row.meta, image_wh) if row is not None and example.window_xyxy is not None else None
    if row is not None and grid is not None:
        boxes = boxes_of_row(row)
    elif tile_px is not None and max(image_wh) > tile_px:
        grid = TileGrid(image_wh, tile_px, round(tile_px * DEFAULT_TILE_OVERLAP))
        _, entry = open_example(example, LIMITS)
        boxes = as_boxes([region.box_xyxy for region in entry.regions or []])
    if grid is None:
        return [View(place)]
    whole = (0, 0, *image_wh)
    shows_whole = whole in windows_of(grid, boxes)
    windows = [*map(grid.window, grid.places()), *([whole] if shows_whole else [])]
    return [View(place, window, not len(boxes_within(boxes, window))) for window in windows]


def boxes_of_row(row: ImageRow) -> Boxes:
    """(N, 4) all boxes of a row, in pixels of its upright image."""
    return as_boxes([region.box_xyxy for region in row.regions])


def boxes_within(boxes_xyxy: Boxes, window_xyxy: WindowXyxy) -> Boxes:
    """(M, 4) the boxes of an image that a window shows at least half of, cut to it, in its pixels."""
    x, y, right, bottom = window_xyxy
    moved = boxes_xyxy - np.array([x, y, x, y], np.float32)
    cut = clip_boxes(moved, (right - x, bottom - y))
    shown: Boxes = cut[areas(cut) >= _SHOWN_SHARE * np.maximum(areas(boxes_xyxy), 1e-6)]
    return shown


def boxes_are_known(example: TrainingExample) -> bool:
    """Whether every box of an image is known; see the module docstring. Gold's are."""
    return example.whole_row is None or all(map(_is_known, example.whole_row.regions))


def _is_known(region: Region) -> bool:
    settled = region.decision in _SETTLED or any(map(is_locked, region.labels))
    return region.box_source is not Source.MODEL or settled
