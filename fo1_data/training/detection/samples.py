"""What the detector learns from: images of which every box is known, whole or in tiles, in varied views."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from fo1_data.boxes import Boxes, WindowXyxy, as_boxes, scale_boxes
from fo1_data.errors import DatasetError, InputReject
from fo1_data.plurals import counted
from fo1_data.training.detection.views import (
    LIMITS,
    LeftOut,
    View,
    boxes_of_row,
    boxes_within,
    survey,
)
from fo1_data.training.samples.augmentation import relight
from fo1_data.training.samples.open_examples import open_example
from fo1_data.training.samples.source import ExampleSource
from fo1_data.training.samples.tiled_rows import read_window
from schemas.images import ImageRow

_MIRRORED_SHARE = 0.5
# Of the image's sides, to learn things of other sizes too.
_SMALLEST, LARGEST = 0.8, 1.25
_LIGHT_JITTER = 0.2
# Views without boxes in an epoch, as a part of those with boxes: most tiles of a large image show nothing.
_EMPTY_SHARE = 1 / 3
# Decoded images whose tiles are shown one after another.
_MOST_HELD = 2
_REASONS = {
    LeftOut.NO_BOX: "it has no box",
    LeftOut.BOXES: "not every box is of the corpus, of a person, or accepted: review them first",
    LeftOut.SHARED: "the same is validated or tested on",
    LeftOut.UNREADABLE: "it cannot be read",
}


@dataclass(frozen=True)
class BoxedImage:
    """An upright image with all of its boxes, (N, 4) in its pixels."""

    rgb: Image.Image
    boxes_xyxy: Boxes


class BoxedImages:
    """The views of those images of a source of which every box is known. `len`: how many views.

    `tile_px`: cut images that are larger; `excluded`: ids of images that are not used; `purpose`: what they
    are for, in messages. `found`: the images behind the views, and how many others there are; `unread`: views
    that could not be read. Raises DatasetError if no image is left.
    """

    def __init__(
        self,
        source: ExampleSource,
        seed: int = 0,
        tile_px: int | None = None,
        excluded: Collection[str] = (),
        purpose: str = "train on",
    ) -> None:
        self._source, self._seed = source, seed
        self.found = survey(source, tile_px, excluded)
        self.unread = set[int]()
        self._open = lru_cache(_MOST_HELD)(self._open_image)
        self._are_empty = np.array([view.is_empty for view in self.found.views], bool)
        if not self.found.views:
            raise DatasetError(f"no image to {purpose}: {'; '.join(self.left_out())}")

    def __len__(self) -> int:
        return len(self.found.views)

    def left_out(self) -> list[str]:
        """How many images are left out, and why, in words."""
        counts = self.found.left_out.items()
        return [f"{counted(number, 'image')} left out: {_REASONS[reason]}" for reason, number in counts]

    @property
    def num_empty(self) -> int:
        """How many views show no box."""
        return int(self._are_empty.sum())

    @property
    def epoch_views(self) -> int:
        """How many views an epoch shows: all that have a box, and a third as many others at most."""
        num_boxed = len(self) - self.num_empty
        return num_boxed + min(self.num_empty, math.ceil(_EMPTY_SHARE * max(1, num_boxed)))

    def sample(self, most: int) -> list[int]:
        """The numbers of at most `most` views, drawn by the seed from those of an epoch, in order."""
        return sorted(self._drawn(np.random.default_rng(self._seed))[:most].tolist())

    def _drawn(self, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """The numbers of the views of an epoch, shuffled; which of the empty ones, is drawn."""
        numbers = rng.permutation(len(self))
        are_empty = self._are_empty[numbers]
        most_empty = self.epoch_views - (len(self) - self.num_empty)
        return numbers[~(are_empty & (np.cumsum(are_empty) > most_empty))]

    def as_it_is(self, number: int) -> BoxedImage | None:
        """A view by its number; None if it cannot be read."""
        try:
            return self._read(self.found.views[number])
        except InputReject:
            self.unread.add(number)
            return None

    def _read(self, view: View) -> BoxedImage:
        """The pixels and boxes of a view. Raises InputReject."""
        window = view.window_xyxy
        if window is None:
            return self._open(view.place)
        row = self._source.at(view.place).whole_row
        if row is not None:
            return _read_tile(row, window)
        whole = self._open(view.place)
        return BoxedImage(whole.rgb.crop(window), boxes_within(whole.boxes_xyxy, window))

    def _open_image(self, place: int) -> BoxedImage:
        """The whole image at a place. Raises InputReject."""
        image, entry = open_example(self._source.at(place), LIMITS)
        return BoxedImage(image.rgb, as_boxes([region.box_xyxy for region in entry.regions or []]))

    def varied(self, draw: int, long_edge_max_px: int) -> BoxedImage | None:
        """A view of the endless series of shuffled epochs, mirrored, scaled and relit at random; see `vary`.

        All random draws depend only on the seed and `draw`.
        """
        epoch, rest = divmod(draw, self.epoch_views)
        number = int(self._drawn(np.random.default_rng([self._seed, epoch]))[rest])
        image = self.as_it_is(number)
        rng = np.random.default_rng([self._seed, epoch, rest])
        return None if image is None else vary(image, rng, long_edge_max_px)


def _read_tile(row: ImageRow, window_xyxy: WindowXyxy) -> BoxedImage:
    """A part of a row's image, shrunk if it is large. Raises InputReject."""
    rgb = read_window(row, window_xyxy, LIMITS).rgb
    x, y, right, bottom = window_xyxy
    boxes = boxes_within(boxes_of_row(row), window_xyxy)
    return BoxedImage(rgb, scale_boxes(boxes, (right - x, bottom - y), rgb.size))


def vary(image: BoxedImage, rng: np.random.Generator, long_edge_max_px: int) -> BoxedImage:
    """Mirror, scale and relight an image at random; the boxes move with it.

    `long_edge_max_px`: to which a larger image is shrunk before it is scaled, by at most `LARGEST`.
    """
    rgb, boxes = image.rgb, image.boxes_xyxy
    if rng.random() < _MIRRORED_SHARE:
        rgb = ImageOps.mirror(rgb)
        boxes = np.stack([rgb.width - boxes[:, 2], boxes[:, 1], rgb.width - boxes[:, 0], boxes[:, 3]], axis=1)
    scale = float(np.exp(rng.uniform(np.log(_SMALLEST), np.log(LARGEST))))
    scale *= min(1.0, long_edge_max_px / max(rgb.size))
    width, height = (max(1, round(side * scale)) for side in rgb.size)
    scaled = scale_boxes(boxes, rgb.size, (width, height))
    resized = rgb.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return BoxedImage(relight(resized, rng, _LIGHT_JITTER), scaled)
