"""`--tile-px auto`: whether a corpus needs tiles, and of which size, by the boxes of a seeded sample.

A tile of 16 median boxes a side shows a box at a sixteenth of the tile, whatever size a detector and the
model shrink it to. The median is that of boxes which the proposer finds in windows at full size, and windows
grow until they are as large as the tiles that follow from them, because small windows cut large things. Tiles
are needed if the whole image, shrunk to the model's limit, shows clearly fewer of these boxes, or shows them
smaller than one cell of the model's image encoder. Boxes that a corpus gives are measured as they are. Sizes
are in pixels of the image.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fo1_data.boxes import Boxes, as_boxes, iou_matrix
from fo1_data.corpus.images import InputLimits
from fo1_data.corpus.rendering import Rendering
from fo1_data.corpus.tile_grid import TileGrid
from fo1_data.corpus.tile_listing import frame_of
from fo1_data.corpus.tile_reading import WHOLE_PX
from fo1_data.corpus.tracked_videos import is_tracked
from fo1_data.corpus.windows import WindowedImage, open_windows
from fo1_data.errors import InputReject
from fo1_data.labelling.word_lists import read_phrases, sought_words
from fo1_data.plurals import counted
from fo1_data.proposals.identity import is_boxes_file
from fo1_data.proposals.proposer import Proposer
from schemas.corpus import CorpusImage
from schemas.jobs import RunConfig

BOXES_A_SIDE = 16
# A cell of the model's image encoder; a box that is smaller after the limit shares it with its surroundings.
CELL_PX = 14
SHARE_FOUND = 0.8
_SIZE_STEP_PX, _LEAST_PX = 32, 256
_NUM_LISTED, _NUM_IMAGES, _NUM_WINDOWS = 64, 6, 6
_FIRST_WINDOW_PX, _GROWTH, _MOST_ROUNDS = 320, 1.5, 4
_FEWEST_BOXES = 12
_EDGE_PX = 4


@dataclass(frozen=True)
class TileChoice:
    """Whether tiles are needed, and what that was decided by.

    `tile_px`: None: no tiles. `longest_px`: the longest side of the images looked at; `median_px`: of the
    longer sides of `num_boxes` boxes, None if there are too few; `share_found`: which share of the boxes in
    windows the whole image shows as well, None if boxes are given.
    """

    tile_px: int | None
    longest_px: int
    median_px: float | None = None
    num_boxes: int = 0
    share_found: float | None = None

    def __str__(self) -> str:
        if self.median_px is None:
            boxes = counted(self.num_boxes, "box", "boxes")
            return f"no tiles: {boxes} in the sample of images up to {self.longest_px} px, too few to tell"
        after = self.median_px * min(1.0, WHOLE_PX / self.longest_px)
        facts = f"half of the boxes are under {self.median_px:.0f} px, or {after:.0f} px in the shrunk image"
        if self.share_found is not None:
            facts += f", which shows {self.share_found:.0%} of the boxes that windows show"
        return f"{facts}: " + (f"tiles of {self.tile_px} px" if self.tile_px else "no tiles are needed")

    def document(self) -> dict[str, Any]:
        """The choice as JSON-able data."""
        return {
            "needed": self.tile_px is not None,
            "tile_px": self.tile_px,
            "longest_px": self.longest_px,
            "median_box_px": self.median_px,
            "boxes": self.num_boxes,
            "share_found_in_whole": self.share_found,
        }


def choose_tiles(images: Sequence[CorpusImage], config: RunConfig) -> TileChoice:
    """The choice for a corpus. Loads the detector, if boxes come from one.

    Raises CheckpointError or ConfigError if the detector cannot be loaded.
    """
    limits = InputLimits(config.max_pixels, config.max_bytes, config.download_timeout_s)
    chosen = _largest(images, limits, random.Random(config.seed))
    if not chosen:
        return TileChoice(None, 0)
    longest_px = max(max(wh) for _, wh in chosen)
    given = [image for image, _ in chosen if _is_given(image, config)]
    if len(given) == len(chosen):
        boxes = as_boxes([region.box_xyxy for image in given for region in image.regions or []])
        return _decide(longest_px, _longer_sides(boxes), None)
    sample = _Sample(_proposer(config), limits, Rendering.of_run(config), random.Random(config.seed))
    for image, _ in chosen:
        if not _is_given(image, config):
            sample.add(image)
    return _decide(longest_px, np.array(sample.sides), sample.share_found)


def count_shrunk(images: Sequence[CorpusImage], config: RunConfig) -> int:
    """About how many images the model shrinks: of the whole corpus, by a seeded sample."""
    limits = InputLimits(config.max_pixels, config.max_bytes, config.download_timeout_s)
    sized = _sized(images, limits, random.Random(config.seed))
    num_longer = sum(max(wh) > WHOLE_PX for _, wh in sized)
    return -(-num_longer * len(images) // max(1, len(sized)))


def suggest_tiles(images: Sequence[CorpusImage], config: RunConfig) -> tuple[TileChoice, int]:
    """The choice for a corpus, and about how many pictures there are to label with it."""
    choice = choose_tiles(images, config)
    if choice.tile_px is None:
        return choice, len(images)
    cut = config.model_copy(update={"tile_px": str(choice.tile_px)})
    limits = InputLimits(config.max_pixels, config.max_bytes, config.download_timeout_s)
    sized = _sized(images, limits, random.Random(config.seed))
    grids = [TileGrid(wh, choice.tile_px, cut.overlap_px) for _, wh in sized]
    num_units = sum(1 if grid.is_single else grid.columns * grid.rows + 1 for grid in grids)
    return choice, round(num_units * len(images) / max(1, len(sized)))


def _largest(
    images: Sequence[CorpusImage], limits: InputLimits, draw: random.Random
) -> list[tuple[CorpusImage, tuple[int, int]]]:
    """The largest images of a sample, with their sizes."""
    return sorted(_sized(images, limits, draw), key=lambda pair: -max(pair[1]))[:_NUM_IMAGES]


def _sized(
    images: Sequence[CorpusImage], limits: InputLimits, draw: random.Random
) -> list[tuple[CorpusImage, tuple[int, int]]]:
    """A sample of the images that can be read, with their sizes."""
    places = sorted(draw.sample(range(len(images)), min(_NUM_LISTED, len(images))))
    sized = []
    for place in places:
        image = images[place]
        if is_tracked(image):
            continue
        try:
            frame = frame_of(image, limits)
        except InputReject:
            continue
        sized.append((image, (frame.width, frame.height)))
    return sized


def _is_given(image: CorpusImage, config: RunConfig) -> bool:
    is_listed = config.proposals == "auto" and image.regions is not None
    return is_listed or config.proposals == "corpus" or is_boxes_file(config.proposals)


def _proposer(config: RunConfig) -> Proposer:
    from fo1_data.runs.resource_limits import limit_resources

    limit_resources(config.cpus_per_actor)
    from fo1_data.model.device import choose_device
    from fo1_data.model.node_cache import local_model
    from fo1_data.proposals.load import load_proposer

    return load_proposer(
        local_model(config.proposals, False),
        device=choose_device(config.device),
        score_floor=config.score_floor,
        nms_iou=config.nms_iou,
        max_proposals=config.max_proposals,
        words=sought_words(config, read_phrases(config.phrases)),
    )


def _decide(longest_px: int, sides: "np.ndarray[Any, Any]", share_found: float | None) -> TileChoice:
    if len(sides) < _FEWEST_BOXES:
        return TileChoice(None, longest_px, num_boxes=len(sides))
    median = float(np.median(sides))
    is_lost = share_found is not None and share_found < SHARE_FOUND
    is_small = median * min(1.0, WHOLE_PX / longest_px) < CELL_PX
    tile_px = _tile_of(median)
    needed = (is_lost or is_small) and tile_px < longest_px
    return TileChoice(tile_px if needed else None, longest_px, median, len(sides), share_found)


def _tile_of(median_px: float) -> int:
    """The side of tiles for boxes of this median."""
    side = round(BOXES_A_SIDE * median_px / _SIZE_STEP_PX) * _SIZE_STEP_PX
    return min(WHOLE_PX, max(_LEAST_PX, side))


@dataclass
class _Sample:
    """What the proposer finds in windows of images, and how much of it in the whole image."""

    proposer: Proposer
    limits: InputLimits
    rendering: Rendering
    draw: random.Random
    sides: list[float] = field(default_factory=list)
    _num_found: int = 0
    _entry: CorpusImage = field(default_factory=lambda: CorpusImage(uri=""))

    @property
    def share_found(self) -> float | None:
        return self._num_found / len(self.sides) if self.sides else None

    def add(self, image: CorpusImage) -> None:
        """Look at an image; one that cannot be read is left out."""
        self._entry = image.model_copy(update={"regions": None})
        try:
            with open_windows(image, self.limits, self.rendering) as windows:
                boxes = self._boxes_at_full_size(windows)
                whole = self._propose(windows, (0, 0, *windows.image_wh))
        except InputReject:
            return
        self.sides += _longer_sides(boxes).tolist()
        if len(boxes) and len(whole):
            self._num_found += int((iou_matrix(boxes, whole).max(axis=1) >= 0.5).sum())

    def _boxes_at_full_size(self, windows: WindowedImage) -> Boxes:
        side_px, boxes = _FIRST_WINDOW_PX, as_boxes([])
        for _ in range(_MOST_ROUNDS):
            boxes = as_boxes(np.concatenate([as_boxes([]), *self._of_windows(windows, side_px)]))
            enough = len(boxes) >= _FEWEST_BOXES // 2
            wanted = _tile_of(float(np.median(_longer_sides(boxes)))) if enough else 2 * side_px
            if wanted <= _GROWTH * side_px or side_px >= min(WHOLE_PX, max(windows.image_wh)):
                break
            side_px = wanted
        return boxes

    def _of_windows(self, windows: WindowedImage, side_px: int) -> Iterator[Boxes]:
        """The boxes of some windows that no edge of their window cuts."""
        width, height = windows.image_wh
        for _ in range(_NUM_WINDOWS):
            left = self.draw.randint(0, max(0, width - side_px))
            top = self.draw.randint(0, max(0, height - side_px))
            window = (left, top, min(width, left + side_px), min(height, top + side_px))
            boxes = self._propose(windows, window)
            inner = [
                boxes[:, side] >= window[side] + _EDGE_PX if window[side] > 0 else boxes[:, side] >= 0
                for side in (0, 1)
            ]
            inner += [
                boxes[:, side] <= window[side] - _EDGE_PX
                if window[side] < windows.image_wh[side - 2]
                else boxes[:, side] >= 0
                for side in (2, 3)
            ]
            yield boxes[np.logical_and.reduce(inner)]

    def _propose(self, windows: WindowedImage, window: tuple[int, int, int, int]) -> Boxes:
        """The boxes of a window, in pixels of the image."""
        read = windows.read(window, WHOLE_PX)
        if read.is_empty:
            return as_boxes([])
        boxes = self.proposer.propose([read.rgb], [self._entry])[0].boxes_xyxy
        scale = (window[2] - window[0]) / read.rgb.width, (window[3] - window[1]) / read.rgb.height
        return as_boxes(boxes * np.array([*scale, *scale]) + [*window[:2], *window[:2]])


def _longer_sides(boxes_xyxy: Boxes) -> "np.ndarray[Any, Any]":
    sides: np.ndarray[Any, Any] = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).max(axis=1, initial=0)
    return sides
