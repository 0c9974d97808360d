"""What the detector learns from: images of which every box is known, in varied views.

A box of a corpus or of a person is known, and one of a detector whose label a person gave or confirmed, or
which was accepted. An image with any other box is left out, because nobody knows what it shows and what else
is there.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from fo1_data.boxes import Boxes, as_boxes, scale_boxes
from fo1_data.corpus.images import InputLimits
from fo1_data.dataset.human_labels import is_locked
from fo1_data.errors import DatasetError, InputReject
from fo1_data.training.samples.augmentation import relight
from fo1_data.training.samples.open_examples import TrainingExample, open_example
from fo1_data.training.samples.source import ExampleSource
from schemas.labels import Decision, Source
from schemas.regions import Region

_LIMITS = InputLimits()
_SETTLED = (Decision.ACCEPT, Decision.AUDIT)
_MIRRORED_SHARE = 0.5
# Of the image's sides, to learn things of other sizes too.
_SMALLEST, _LARGEST = 0.8, 1.25
_LIGHT_JITTER = 0.2


@dataclass(frozen=True)
class BoxedImage:
    """An upright image with all of its boxes, (N, 4) in its pixels."""

    rgb: Image.Image
    boxes_xyxy: Boxes


class BoxedImages:
    """The images of a source of which every box is known. `left_out`: how many others there are."""

    def __init__(self, source: ExampleSource, seed: int = 0) -> None:
        self._source, self._seed = source, seed
        order = source.order_of(0)
        self._places = [place for place in range(len(order)) if boxes_are_known(source.at(place))]
        self.left_out = len(order) - len(self._places)
        if not self._places:
            raise DatasetError(
                "no image of which every box is of the corpus, of a person, or accepted: review some first"
            )

    def __len__(self) -> int:
        return len(self._places)

    def as_it_is(self, number: int) -> BoxedImage | None:
        """An image by its number; None if it cannot be read."""
        try:
            image, entry = open_example(self._source.at(self._places[number]), _LIMITS)
        except InputReject:
            return None
        return BoxedImage(image.rgb, as_boxes([region.box_xyxy for region in entry.regions or []]))

    def varied(self, draw: int) -> BoxedImage | None:
        """An image of the endless series of shuffled epochs, mirrored, scaled and relit at random.

        All random draws depend only on the seed and `draw`.
        """
        epoch, rest = divmod(draw, len(self))
        number = int(np.random.default_rng([self._seed, epoch]).permutation(len(self))[rest])
        image = self.as_it_is(number)
        return None if image is None else vary(image, np.random.default_rng([self._seed, epoch, rest]))


def boxes_are_known(example: TrainingExample) -> bool:
    """Whether every box of an image is known; see the module docstring. Gold's are."""
    return example.row is None or all(map(_is_known, example.row.regions))


def _is_known(region: Region) -> bool:
    settled = region.decision in _SETTLED or any(map(is_locked, region.labels))
    return region.box_source is not Source.MODEL or settled


def vary(image: BoxedImage, rng: np.random.Generator) -> BoxedImage:
    """Mirror, scale and relight an image at random; the boxes move with it."""
    rgb, boxes = image.rgb, image.boxes_xyxy
    if rng.random() < _MIRRORED_SHARE:
        rgb = ImageOps.mirror(rgb)
        boxes = np.stack([rgb.width - boxes[:, 2], boxes[:, 1], rgb.width - boxes[:, 0], boxes[:, 3]], axis=1)
    scale = float(np.exp(rng.uniform(np.log(_SMALLEST), np.log(_LARGEST))))
    width, height = (max(1, round(side * scale)) for side in rgb.size)
    scaled = scale_boxes(boxes, rgb.size, (width, height))
    resized = rgb.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0)
    return BoxedImage(relight(resized, rng, _LIGHT_JITTER), scaled)
