"""A detector as a proposer: score floor, class-agnostic NMS, and the best by score.

Detections are clipped to their image; those without area or with a score that is no number are
dropped. The order is that of the scores, highest first.
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from fo1_data.boxes import Boxes, as_boxes, clip_boxes, have_area
from fo1_data.proposals.proposer import Proposals
from schemas.corpus import CorpusImage

Scores = npt.NDArray[np.float32]


class Detector(Protocol):
    """Finds boxes: for each upright RGB image (N, 4) float32 pixels and (N,) float32 scores, unfiltered."""

    sha256: str
    licence: str | None
    default_score_floor: float
    default_nms_iou: float

    def detect(self, images: list[Image.Image]) -> list[tuple[Boxes, Scores]]: ...


class DetectorBoxes:
    """Proposals of a detector; `score_floor` and `nms_iou` None: the detector's own."""

    detects = True

    def __init__(
        self,
        name: str,
        detector: Detector,
        score_floor: float | None,
        nms_iou: float | None,
        max_proposals: int,
    ) -> None:
        self._detector = detector
        self.name = name
        self.sha256 = detector.sha256
        self.licence = detector.licence
        self.score_floor = detector.default_score_floor if score_floor is None else score_floor
        self.nms_iou = detector.default_nms_iou if nms_iou is None else nms_iou
        self.max_proposals = max_proposals

    def give(self, entries: list[CorpusImage]) -> list[CorpusImage]:
        """The entries as they are."""
        return entries

    def propose(self, images: list[Image.Image], entries: list[CorpusImage]) -> list[Proposals]:
        """Detections of each image; what the entries say is not looked at."""
        found = self._detector.detect(images) if images else []
        return [
            select_boxes(
                boxes, scores, image.size, self.score_floor, self.nms_iou, max_proposals=self.max_proposals
            )
            for image, (boxes, scores) in zip(images, found, strict=True)
        ]


def select_boxes(
    boxes_xyxy: Boxes,
    scores: Scores,
    image_wh: tuple[int, int],
    score_floor: float,
    nms_iou: float,
    *,
    max_proposals: int,
) -> Proposals:
    """The boxes to keep of (N, 4) and (N,): see the module's docstring."""
    import torch
    from torchvision.ops import nms

    boxes = clip_boxes(as_boxes(boxes_xyxy), image_wh)
    scores = np.asarray(scores, dtype=np.float32).reshape(-1)
    sound = have_area(boxes) & np.isfinite(scores) & (scores >= np.float32(score_floor))
    boxes, scores = boxes[sound], scores[sound].clip(0.0, 1.0)
    # Equal scores in a fixed order: NMS itself promises none.
    order = np.argsort(-scores, kind="stable")
    boxes, scores = boxes[order], scores[order]
    kept = nms(torch.from_numpy(boxes), torch.from_numpy(scores), nms_iou).numpy()
    kept = np.sort(kept)[:max_proposals]
    return Proposals(boxes[kept], scores[kept], None)
