"""A detector as a proposer: a score floor, class-agnostic NMS, and the best detections by score.

Detections are clipped to their image. Those without area, or whose score is not a finite number, are dropped.
The order is by score, the highest first.
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
    """Finds boxes. For each upright RGB image, `detect` returns `boxes_xyxy` (N, 4) float32 in pixels and
    scores (N,) float32, unfiltered."""

    sha256: str
    licence: str | None
    default_score_floor: float
    default_nms_iou: float

    def detect(self, images: list[Image.Image]) -> list[tuple[Boxes, Scores]]: ...


class DetectorBoxes:
    """Proposals of a detector. If `score_floor` or `nms_iou` is None, the detector's default is used."""

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

    def attach_boxes(self, entries: list[CorpusImage]) -> list[CorpusImage]:
        """The entries unchanged."""
        return entries

    def propose(self, images: list[Image.Image], entries: list[CorpusImage]) -> list[Proposals]:
        """Detections of each image. The entries are ignored."""
        detections = self._detector.detect(images) if images else []
        return [
            select_boxes(
                boxes, scores, image.size, self.score_floor, self.nms_iou, max_proposals=self.max_proposals
            )
            for image, (boxes, scores) in zip(images, detections, strict=True)
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
    """The proposals to keep of detections `boxes_xyxy` (N, 4) and `scores` (N,), see the module docstring."""
    import torch
    from torchvision.ops import nms

    boxes = clip_boxes(as_boxes(boxes_xyxy), image_wh)
    scores = np.asarray(scores, dtype=np.float32).reshape(-1)
    valid = have_area(boxes) & np.isfinite(scores) & (scores >= np.float32(score_floor))
    boxes, scores = boxes[valid], scores[valid].clip(0.0, 1.0)
    # A stable order of equal scores, which NMS itself does not guarantee.
    order = np.argsort(-scores, kind="stable")
    boxes, scores = boxes[order], scores[order]
    kept = nms(torch.from_numpy(boxes), torch.from_numpy(scores), nms_iou).numpy()
    kept = np.sort(kept)[:max_proposals]
    return Proposals(boxes[kept], scores[kept], None)
