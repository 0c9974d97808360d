"""Proposals, the boxes of an image that the model is asked about, and the interface of their sources.

Boxes are `xyxy` in absolute pixels of the EXIF-oriented original image, in the order in which the model sees
them. Boxes of the corpus or of a file are all kept, in their order; the score floor, NMS and the limit of 100
apply to detectors only.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from schemas.corpus import CorpusImage, CorpusRegion
from schemas.regions import MaskRle


@dataclass(frozen=True)
class Proposals:
    """The boxes of one image.

    `boxes_xyxy`: (N, 4) float32. `objectness`: (N,) float32, 0 to 1; None for boxes of the corpus or of a
    file. `regions`: the corpus' region of each box; None for detections. `labels`: the detector's name of
    each box; None where it names nothing. `masks`: of each box, in pixels of the image; None without masks.
    `track_ids`: the thing in a video that each box shows; None for images that are of no video. `asked`:
    whether questions about single boxes are asked of each; None: of all.
    """

    boxes_xyxy: npt.NDArray[np.float32]
    objectness: npt.NDArray[np.float32] | None = None
    regions: list[CorpusRegion] | None = None
    labels: list[str | None] | None = None
    masks: list[MaskRle | None] | None = None
    track_ids: list[str] | None = None
    asked: list[bool] | None = None

    def take(self, places: npt.NDArray[np.intp]) -> "Proposals":
        """The proposals at these places, in their order."""

        def chosen(values: list[Any] | None) -> list[Any] | None:
            return None if values is None else [values[place] for place in places]

        objectness = None if self.objectness is None else self.objectness[places]
        of_box = [
            chosen(values) for values in (self.regions, self.labels, self.masks, self.track_ids, self.asked)
        ]
        return Proposals(self.boxes_xyxy[places], objectness, *of_box)


class Proposer(Protocol):
    """A source of boxes.

    `sha256` identifies the weights or the file; `licence` is the licence of a detector's weights; `detects`
    is False if all boxes come from the corpus or a file.
    """

    name: str
    sha256: str
    licence: str | None
    detects: bool

    def attach_boxes(self, entries: list[CorpusImage]) -> list[CorpusImage]:
        """The entries with this source's boxes, called before boxes are converted to the oriented frame.

        A file of boxes replaces the regions of the corpus by its own, if a name of the file fits only one of
        the entries; every other source changes nothing.
        """
        ...

    def propose(self, images: list[Image.Image], entries: list[CorpusImage]) -> list[Proposals]:
        """The proposals of each upright RGB image. The regions of the entries are oriented and clipped."""
        ...
