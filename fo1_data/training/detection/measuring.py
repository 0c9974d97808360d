"""How many boxes of some images a detector finds, and how many of those it gives are right.

A box counts as found if a detection overlaps it by an IoU of 0.5 or more, each detection for one box only;
detections are those that labelling would keep. Scores are low at first on things that it has not seen, so
that labelling keeps nothing: the surest detections, as many as there are boxes, are judged besides.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fo1_data.boxes import Boxes, iou_matrix
from fo1_data.judging.matching import match
from fo1_data.proposals.detections import Scores
from fo1_data.proposals.detector_boxes import select_boxes
from fo1_data.proposals.tiny_detector import STRIDE_PX, TinyDetector
from fo1_data.training.detection.samples import BoxedImage, BoxedImages

FOUND_IOU = 0.5
_WELL_FOUND_IOU = 0.75
_MAX_PROPOSALS = 100
# A smaller side is under two cells of the detector's output.
_TINY_PX = 2 * STRIDE_PX
_SAY_EVERY_S = 10.0


@dataclass(frozen=True)
class Found:
    """Numbers of boxes of some images: `known`, `detected`, and `hits`, detected ones that are known.

    `hits_75`: those with an overlap of 0.75 or more; `images`: how many images were read; `surest_hits`: how
    many of the surest detections are known boxes, of as many as there are known boxes, whatever their scores;
    `tiny`: how many boxes are too small for the detector to tell from their surroundings.
    """

    known: int
    detected: int
    hits: int
    hits_75: int = 0
    images: int = 0
    surest_hits: int = 0
    tiny: int = 0

    @property
    def surest(self) -> float:
        """The share of known boxes among as many of the surest detections."""
        return self.surest_hits / self.known if self.known else 0.0

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
    judged: list[_Judged] = []
    said_s = time.monotonic()
    for place, number in enumerate(numbers):
        if time.monotonic() - said_s >= _SAY_EVERY_S:
            said_s = time.monotonic()
            say(f"measuring: {place} of {len(numbers)}")
        if (stopped := request()) is not None:
            return stopped
        image = images.as_it_is(number)
        if image is not None:
            judged.append(_judged(detector, image))
    known = sum(len(one.boxes_xyxy) for one in judged)
    scores = np.sort(np.concatenate([np.zeros(0, np.float32), *(one.scores for one in judged)]))
    surest = float(scores[-known]) if 0 < known <= len(scores) else 0.0
    kept = [(one.detections(detector.default_score_floor)[:_MAX_PROPOSALS], one.boxes_xyxy) for one in judged]
    return Found(
        known=known,
        detected=sum(len(detections) for detections, _ in kept),
        hits=sum(count_hits(detections, boxes) for detections, boxes in kept),
        hits_75=sum(count_hits(detections, boxes, _WELL_FOUND_IOU) for detections, boxes in kept),
        images=len(judged),
        surest_hits=sum(count_hits(one.detections(surest), one.boxes_xyxy) for one in judged),
        tiny=sum(one.tiny for one in judged),
    )


@dataclass(frozen=True)
class _Judged:
    """The boxes of an image, `tiny` of them too small, and the detections with their scores, best first."""

    boxes_xyxy: Boxes
    found_xyxy: Boxes
    scores: Scores
    tiny: int

    def detections(self, least_score: float) -> Boxes:
        """Those with a score of `least_score` or more."""
        return self.found_xyxy[self.scores >= np.float32(least_score)]


def _judged(detector: TinyDetector, image: BoxedImage) -> _Judged:
    (found,) = detector.detect([image.rgb])
    kept = select_boxes(found, image.rgb.size, 0.0, detector.default_nms_iou, max_proposals=len(found.scores))
    boxes = image.boxes_xyxy
    shrunk_by = max(1.0, max(image.rgb.size) / detector.long_edge_max_px)
    sides = (boxes[:, 2:] - boxes[:, :2]).min(axis=1)
    tiny = int((sides < _TINY_PX * shrunk_by).sum())
    return _Judged(boxes, kept.boxes_xyxy, np.asarray(kept.objectness, np.float32), tiny)


def count_hits(detections: Boxes, boxes: Boxes, least_iou: float = FOUND_IOU) -> int:
    """How many of the boxes are found, the best pairs first, each box and detection used once."""
    found = match(iou_matrix(detections, boxes), least_iou=least_iou)
    return sum(box is not None for box in found)
