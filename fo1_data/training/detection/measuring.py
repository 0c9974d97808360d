"""How many boxes of some images a detector finds, and how many of those it gives are right.

A box counts as found if a detection overlaps it by an IoU of 0.5 or more, each detection for one box only;
detections are those that labelling would keep.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fo1_data.boxes import Boxes, iou_matrix
from fo1_data.proposals.detector_boxes import DetectorBoxes
from fo1_data.proposals.tiny_detector import TinyDetector
from fo1_data.training.detection.samples import BoxedImages

FOUND_IOU = 0.5
_WELL_FOUND_IOU = 0.75
_MAX_PROPOSALS = 100
_SAY_EVERY_S = 10.0


@dataclass(frozen=True)
class Found:
    """Numbers of boxes of some images: `known`, `detected`, and `hits`, detected ones that are known.

    `hits_75`: those with an overlap of 0.75 or more; `images`: how many images were read.
    """

    known: int
    detected: int
    hits: int
    hits_75: int = 0
    images: int = 0

    @property
    def recall(self) -> float:
        """The share of the known boxes that were found."""
        return self.hits / self.known if self.known else 0.0

    @property
    def precision(self) -> float:
        """The share of the detections that are known boxes."""
        return self.hits / self.detected if self.detected else 0.0

    @property
    def f1(self) -> float:
        """The harmonic mean of recall and precision."""
        total = self.known + self.detected
        return 2 * self.hits / total if total else 0.0

    def document(self) -> dict[str, float | int]:
        """The figures, rounded to four digits."""
        recall_75 = self.hits_75 / self.known if self.known else 0.0
        shares = {
            "recall": self.recall,
            "recall_75": recall_75,
            "precision": self.precision,
            "f1": self.f1,
        }
        return {**{name: round(share, 4) for name, share in shares.items()}, "boxes": self.known}


def count_found(
    detector: TinyDetector,
    images: BoxedImages,
    numbers: Sequence[int],
    request: Callable[[], str | None] = lambda: None,
    say: Callable[[str], None] = lambda line: None,
) -> Found | str:
    """The detector's figures on the views with some numbers; those that cannot be read are left out.

    `request`: asked before each image; a name ends the measurement, and is returned. `say`: told how far it
    is, every ten seconds.
    """
    proposer = DetectorBoxes("detector", detector, None, None, _MAX_PROPOSALS)
    num_images = known = detected = hits = hits_75 = 0
    said_s = time.monotonic()
    for place, number in enumerate(numbers):
        if time.monotonic() - said_s >= _SAY_EVERY_S:
            said_s = time.monotonic()
            say(f"measuring: {place} of {len(numbers)}")
        if (stopped := request()) is not None:
            return stopped
        image = images.as_it_is(number)
        if image is None:
            continue
        (proposals,) = proposer.propose([image.rgb], [])
        kept = proposals.boxes_xyxy
        num_images += 1
        known += len(image.boxes_xyxy)
        detected += len(kept)
        hits += count_hits(kept, image.boxes_xyxy)
        hits_75 += count_hits(kept, image.boxes_xyxy, _WELL_FOUND_IOU)
    return Found(known, detected, hits, hits_75, num_images)


def count_hits(detections: Boxes, boxes: Boxes, least_iou: float = FOUND_IOU) -> int:
    """How many of the boxes are found, the best pairs first, each box and detection used once."""
    overlaps = iou_matrix(detections, boxes)
    hits = 0
    while overlaps.size and overlaps.max() >= least_iou:
        detection, box = np.unravel_index(overlaps.argmax(), overlaps.shape)
        overlaps[detection], overlaps[:, box] = 0, 0
        hits += 1
    return hits
