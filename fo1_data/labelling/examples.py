"""Regions that a corpus marks as examples, among the boxes that the model is shown.

Given boxes keep their mark. A detector knows nothing of it: the detection that overlaps an example by
half or more stands for it, and where there is none the example's own box joins the list at its end.
Boxes: (N, 4) float32, pixels of the EXIF-oriented image.
"""

import numpy as np

from fo1_data.boxes import as_boxes, iou_matrix
from fo1_data.proposals.proposer import Proposals
from schemas.corpus import CorpusImage

SAME_IOU = 0.5


def with_examples(entry: CorpusImage, proposals: Proposals) -> tuple[Proposals, list[int]]:
    """The proposals, every example of the entry among them, and the indices of those that are examples."""
    if proposals.regions is not None:
        return proposals, [place for place, region in enumerate(proposals.regions) if region.example]
    marked = as_boxes([region.box_xyxy for region in entry.regions or [] if region.example])
    if not len(marked):
        return proposals, []
    boxes = proposals.boxes_xyxy
    overlaps = iou_matrix(marked, boxes) if len(boxes) else np.zeros((len(marked), 0), np.float32)
    found = [int(row.argmax()) if row.size and row.max() >= SAME_IOU else None for row in overlaps]
    missing = marked[[place is None for place in found]]
    following = iter(range(len(boxes), len(boxes) + len(missing)))
    indices = [place if place is not None else next(following) for place in found]
    scores = proposals.objectness
    if scores is not None:
        scores = np.concatenate([scores, np.ones(len(missing), np.float32)])
    return Proposals(np.concatenate([boxes, missing]), scores), sorted(set(indices))
