"""Regions that a corpus marks as visual examples, among the boxes that the model is shown.

Boxes of the corpus keep their mark. A detector does not know the mark: the detection with an IoU of at
least 0.5 with an example stands for it; without one, the example's own box is appended to the list.
Boxes: (N, 4) float32, pixels of the EXIF-oriented image.
"""

import numpy as np

from fo1_data.boxes import as_boxes, iou_matrix
from fo1_data.proposals.proposer import Proposals
from schemas.corpus import CorpusImage

SAME_IOU = 0.5


def with_examples(entry: CorpusImage, proposals: Proposals) -> tuple[Proposals, list[int]]:
    """The proposals with every example of the entry among them, and the indices of the examples."""
    if proposals.regions is not None:
        return proposals, [index for index, region in enumerate(proposals.regions) if region.example]
    marked = as_boxes([region.box_xyxy for region in entry.regions or [] if region.example])
    if not len(marked):
        return proposals, []
    boxes = proposals.boxes_xyxy
    overlaps = iou_matrix(marked, boxes) if len(boxes) else np.zeros((len(marked), 0), np.float32)
    matches = [int(row.argmax()) if row.size and row.max() >= SAME_IOU else None for row in overlaps]
    missing = marked[[match is None for match in matches]]
    following = iter(range(len(boxes), len(boxes) + len(missing)))
    indices = [match if match is not None else next(following) for match in matches]
    scores = proposals.objectness
    if scores is not None:
        scores = np.concatenate([scores, np.ones(len(missing), np.float32)])
    labels, masks = proposals.labels, proposals.masks
    nothing = [None] * len(missing)
    shown = Proposals(
        np.concatenate([boxes, missing]),
        scores,
        None,
        None if labels is None else [*labels, *nothing],
        None if masks is None else [*masks, *nothing],
    )
    return shown, sorted(set(indices))
