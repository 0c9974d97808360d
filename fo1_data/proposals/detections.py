"""What a detector finds in an image, before anything is left out.

Boxes: (N, 4) float32 `xyxy` in pixels of the upright image that was given; they may stick out of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from fo1_data.boxes import Boxes
from schemas.regions import MaskRle

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Detections:
    """Boxes (N, 4) with scores (N,), 0 to 1.

    `labels`: the detector's name for each; None if it names nothing. `masks`: what makes the mask of each,
    for those that are kept; None if it knows no masks.
    """

    boxes_xyxy: Boxes
    scores: Scores
    labels: list[str] | None = None
    masks: list[Callable[[], MaskRle | None]] | None = None

    def take(self, places: npt.NDArray[np.intp]) -> "Detections":
        """The detections at these places, in their order."""
        labels = None if self.labels is None else [self.labels[place] for place in places]
        masks = None if self.masks is None else [self.masks[place] for place in places]
        return Detections(self.boxes_xyxy[places], self.scores[places], labels, masks)


class Detector(Protocol):
    """Finds boxes, unfiltered. `words`: what to look for in each image, for a detector that is told."""

    sha256: str
    licence: str | None
    default_score_floor: float
    default_nms_iou: float

    def detect(self, images: list[Image.Image], words: Sequence[Sequence[str]]) -> list[Detections]: ...


def merge_twins(found: Detections) -> Detections:
    """One detection for each box: the one with the highest score of those whose corners are all equal.

    Some detectors give a row for each box and class, so that a box comes back once for every class.
    """
    order = np.argsort(-found.scores, kind="stable")
    _, first = np.unique(found.boxes_xyxy[order], axis=0, return_index=True)
    return found.take(order[np.sort(first)])


def unite(parts: Sequence[Detections]) -> Detections:
    """The detections of several questions about one image, at least one."""
    labels = [part.labels for part in parts if part.labels is not None]
    masks = [part.masks for part in parts if part.masks is not None]
    return Detections(
        np.concatenate([part.boxes_xyxy for part in parts]),
        np.concatenate([part.scores for part in parts]),
        list(chain.from_iterable(labels)) if len(labels) == len(parts) else None,
        list(chain.from_iterable(masks)) if len(masks) == len(parts) else None,
    )
