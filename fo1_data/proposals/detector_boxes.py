"""A detector as a proposer: a score floor, class-agnostic NMS, and the best detections by score.

Detections are clipped to their image. Those without area, or whose score is not a finite number, are dropped.
The order is by score, the highest first.
"""

import numpy as np
from PIL import Image

from fo1_data.boxes import as_boxes, clip_boxes, have_area
from fo1_data.proposals.detections import Detections, Detector
from fo1_data.proposals.proposer import Proposals
from fo1_data.proposals.sought_words import SoughtWords
from schemas.corpus import CorpusImage


class DetectorBoxes:
    """Proposals of a detector. If `score_floor` or `nms_iou` is None, the detector's default is used.

    words: what a detector that is told what to look for is told.
    """

    detects = True

    def __init__(
        self,
        name: str,
        detector: Detector,
        score_floor: float | None,
        nms_iou: float | None,
        max_proposals: int,
        words: SoughtWords | None = None,
    ) -> None:
        self._detector = detector
        self._words = words or SoughtWords()
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
        """Detections of each image. Of the entries, only the phrases and counts are looked at."""
        words = [self._words.of(entry) for entry in entries]
        found = self._detector.detect(images, words) if images else []
        return [
            select_boxes(
                detections, image.size, self.score_floor, self.nms_iou, max_proposals=self.max_proposals
            )
            for image, detections in zip(images, found, strict=True)
        ]


def select_boxes(
    found: Detections, image_wh: tuple[int, int], score_floor: float, nms_iou: float, *, max_proposals: int
) -> Proposals:
    """The proposals to keep of detections, see the module docstring."""
    import torch
    from torchvision.ops import nms

    boxes = clip_boxes(as_boxes(found.boxes_xyxy), image_wh)
    scores = np.asarray(found.scores, dtype=np.float32).reshape(-1)
    places = np.flatnonzero(have_area(boxes) & np.isfinite(scores) & (scores >= np.float32(score_floor)))
    # A stable order of equal scores, which NMS itself does not guarantee.
    places = places[np.argsort(-scores[places].clip(0.0, 1.0), kind="stable")]
    kept = nms(
        torch.from_numpy(boxes[places]), torch.from_numpy(scores[places].clip(0.0, 1.0)), nms_iou
    ).numpy()
    places = places[np.sort(kept)[:max_proposals]]
    labels: list[str | None] | None = None
    if found.labels is not None:
        labels = [found.labels[place] for place in places]
    masks = None if found.masks is None else [found.masks[place]() for place in places]
    return Proposals(boxes[places], scores[places].clip(0.0, 1.0), None, labels, masks)
