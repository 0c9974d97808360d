"""The tiles of a listing: of an image that is larger than a tile, an entry for each tile and for the whole.

Only headers are read, in threads. An image whose header cannot be read stays as it is: whoever reads its
pixels says what is wrong with it. Boxes that a source gives are brought into the upright frame here, and each
goes to one entry: the tile that owns it if that holds it whole, else the whole image. What a source says of
the image itself goes to the whole image; phrases and counts go to all entries, because all are asked.
"""

import mmap
import os
import stat
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from fo1_data.boxes import as_boxes
from fo1_data.corpus.decoding import is_read_by_blocks
from fo1_data.corpus.entry_bytes import must_embed, read_bytes
from fo1_data.corpus.entry_list import EntryList
from fo1_data.corpus.frames import OTHER_SIZE, BoxFrame, oriented_entry
from fo1_data.corpus.images import ImageFrame, InputLimits, read_frame
from fo1_data.corpus.region_meta import region_metas, with_region_metas
from fo1_data.corpus.rendering import Rendering
from fo1_data.corpus.tile_grid import TileGrid
from fo1_data.corpus.tile_names import TileName
from fo1_data.corpus.tracked_videos import is_tracked
from fo1_data.corpus.windows import open_windows
from fo1_data.errors import InputReject
from fo1_data.storage.addresses import local_path
from schemas.corpus import CorpusImage, CorpusRegion
from schemas.images import Reject

_THREADS = 16
_BLOCK = 1024
# A box may reach so far beyond its tile and counts as held: boxes of a corpus are rounded.
_ROUNDING_PX = 1.0


@dataclass(frozen=True)
class TileSettings:
    """How images are cut. boxes_given: whether an image's boxes are all known, so that tiles without any are
    left out; None: if its source lists them."""

    tile_px: int
    overlap_px: int
    box_frame: BoxFrame = "auto"
    boxes_given: bool | None = None


@dataclass
class TiledListing:
    """The entries to label: images, and the tiles of images that were cut. group_sizes: how many entries each
    image has, in order; rejects: boxes that cannot be used; num_cut: images that were cut."""

    entries: EntryList = field(default_factory=EntryList)
    group_sizes: "array[int]" = field(default_factory=lambda: array("I"))
    rejects: list[Reject] = field(default_factory=list)
    num_cut: int = 0

    @property
    def num_images(self) -> int:
        return len(self.group_sizes)

    def _add(self, entries: list[CorpusImage]) -> None:
        for entry in entries:
            self.entries.append(entry)
        self.group_sizes.append(len(entries))


def tile_listing(images: Iterable[CorpusImage], settings: TileSettings, limits: InputLimits) -> TiledListing:
    """The images, those that are larger than a tile cut into tiles; in their order."""
    listing = TiledListing()
    for image, frame in _with_frames(images, limits):
        grid = None
        if frame is not None:
            grid = TileGrid((frame.width, frame.height), settings.tile_px, settings.overlap_px)
        if frame is None or grid is None or grid.is_single:
            listing._add([image])
            continue
        entries, rejects = cut_entry(image, frame, grid, settings)
        listing.rejects += rejects
        if entries:
            listing._add(entries)
            listing.num_cut += 1
    return listing


def cut_entry(
    image: CorpusImage, frame: ImageFrame, grid: TileGrid, settings: TileSettings
) -> tuple[list[CorpusImage], list[Reject]]:
    """The entries of an image's tiles, row by row, and that of the whole image, which is the last.

    Their boxes are in pixels of the upright image. No entry if the boxes are of another size than the image:
    then the image is a reject, as is each box that cannot be used.
    """
    upright, rejects = oriented_entry(image, frame, settings.box_frame)
    if any(reject.reason == OTHER_SIZE for reject in rejects):
        return [], rejects
    regions = upright.regions or []
    metas = region_metas(upright.meta, len(regions)) or [{}] * len(regions)
    regions_of: dict[tuple[int, int] | None, list[CorpusRegion]] = defaultdict(list)
    metas_of: dict[tuple[int, int] | None, list[dict[str, Any]]] = defaultdict(list)
    for region, meta, place in zip(regions, metas, _holders(grid, regions), strict=True):
        regions_of[place].append(region)
        metas_of[place].append(meta)
    # Indices of regions in what follows are gold, which no question needs.
    phrases = [phrase.model_copy(update={"region_indices": None}) for phrase in upright.phrases]
    shared: dict[str, Any] = {"phrases": phrases, "examples": [], "answers": [], "caption_phrases": []}
    of_tile = shared | {"id": None, "caption": None}
    all_given = settings.boxes_given if settings.boxes_given is not None else upright.regions is not None
    entries = []
    for place in grid.places():
        if all_given and not regions_of[place]:
            continue
        own: dict[str, Any] = {"regions": regions_of[place] if upright.regions is not None else None}
        own["meta"] = with_region_metas(None, metas_of[place])
        name = TileName(grid.window(place), grid.tile_px, grid.overlap_px)
        entries.append(name.of(upright.model_copy(update=of_tile | own)))
    own = {"regions": regions_of[None] if upright.regions is not None else None}
    own["meta"] = with_region_metas(upright.meta, metas_of[None])
    whole = TileName(None, grid.tile_px, grid.overlap_px)
    return [*entries, whole.of(upright.model_copy(update=shared | own))], rejects


def _holders(grid: TileGrid, regions: list[CorpusRegion]) -> list[tuple[int, int] | None]:
    """The tile that each region goes to; None: the whole image."""
    if not regions:
        return []
    boxes = as_boxes([region.box_xyxy for region in regions])
    owners = grid.owners(boxes)
    is_held = np.min(grid.depths(boxes, owners), axis=1) >= -_ROUNDING_PX
    return [
        (int(column), int(row)) if held else None
        for (column, row), held in zip(owners.tolist(), is_held.tolist(), strict=True)
    ]


def _with_frames(
    images: Iterable[CorpusImage], limits: InputLimits
) -> Iterator[tuple[CorpusImage, ImageFrame | None]]:
    """Each image with its frame; None if its header cannot be read."""
    waiting = iter(images)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="header") as pool:
        while block := list(islice(waiting, _BLOCK)):
            yield from zip(block, pool.map(lambda image: _find_frame(image, limits), block), strict=True)


def _find_frame(image: CorpusImage, limits: InputLimits) -> ImageFrame | None:
    if must_embed(image) or is_tracked(image):  # a row of it holds the picture: it is not cut
        return None
    try:
        return frame_of(image, limits)
    except InputReject:
        return None


def frame_of(image: CorpusImage, limits: InputLimits) -> ImageFrame:
    """The frame of an image, of any size, from its header. Raises InputReject.

    A raster whose header Pillow does not read is opened.
    """
    try:
        return _frame_of_picture(image, limits)
    except InputReject:
        if image.inner is not None or not is_read_by_blocks(image.uri, limits, Rendering()):
            raise
    with open_windows(image, limits) as windows:
        width, height = windows.image_wh
        stored_wh = (height, width) if windows.orientation >= 5 else (width, height)
        return ImageFrame(width, height, windows.orientation, stored_wh)


def _frame_of_picture(image: CorpusImage, limits: InputLimits) -> ImageFrame:
    path = local_path(image.uri) if image.inner is None else None
    if path is None:
        return read_frame(read_bytes(image, limits))
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb"):
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError("not a regular file")
            with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as data:
                return read_frame(data)
    except (OSError, ValueError):
        return read_frame(read_bytes(image, limits))  # it says what is wrong
