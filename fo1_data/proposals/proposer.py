"""Proposals: the boxes of an image that the model will be asked about, and who makes them.

Boxes are absolute pixels of the EXIF-oriented original image, x_min, y_min, x_max, y_max, in the
order in which they are shown to the model. Boxes that were given (by the corpus or a file) are all
kept in their order; the score floor, NMS and the limit of 100 belong to detectors.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from schemas.corpus import CorpusImage, CorpusRegion


@dataclass(frozen=True)
class Proposals:
    """The boxes of one image.

    `boxes_xyxy` (N, 4) float32; `objectness` (N,) float32, 0 to 1, None where the boxes were given;
    `regions` what the corpus says of each box, None where they were detected.
    """

    boxes_xyxy: npt.NDArray[np.float32]
    objectness: npt.NDArray[np.float32] | None = None
    regions: list[CorpusRegion] | None = None


class Proposer(Protocol):
    """Makes the boxes of images.

    `sha256` tells the weights or the file apart from others; `licence` is that of a detector's
    weights; `detects` is False where all boxes are given.
    """

    name: str
    sha256: str
    licence: str | None
    detects: bool

    def give(self, entries: list[CorpusImage]) -> list[CorpusImage]:
        """Entries as this proposer wants them, before their boxes are brought into the oriented frame:
        a file of boxes puts its own in place of the corpus', everyone else changes nothing."""
        ...

    def propose(self, images: list[Image.Image], entries: list[CorpusImage]) -> list[Proposals]:
        """The proposals of each upright RGB image; the entries' regions are oriented and clipped."""
        ...
