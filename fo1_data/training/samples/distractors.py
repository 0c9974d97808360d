"""Boxes that a proposer finds where nothing is labelled, shown beside the labelled ones.

A model that has only seen boxes with an answer takes every box it is shown for one. Such a box is asked for
no caption, for it may hold something that nobody has named; a phrase leaves it out, as the data say.
Ground-truth boxes mixed with a detector's, in one shuffled order: ChatRex (arXiv 2411.18363).
"""

from collections.abc import Sequence

from PIL import Image

from fo1_data.boxes import areas, as_boxes, iou_matrix
from fo1_data.corpus.frames import oriented_entry
from fo1_data.corpus.images import DecodedImage
from fo1_data.proposals.load import load_proposer
from fo1_data.proposals.proposer import Proposer
from fo1_data.training.samples.open_examples import MAX_BOXES, Example
from fo1_data.training.settings import TrainConfig
from schemas.corpus import CorpusImage, CorpusRegion

# A box that shares this much with a labelled one, or lies in it by this much of itself, may be that very
# thing, boxed less well, or a part of it.
_MOST_IOU = 0.3
_MOST_INSIDE = 0.5


class Distractors:
    """The proposals of a proposer that lie apart from what is labelled."""

    def __init__(self, proposer: Proposer) -> None:
        self._proposer = proposer

    def of(
        self, example: Example, image: DecodedImage, rgb: Image.Image, regions: Sequence[CorpusRegion]
    ) -> list[CorpusRegion]:
        """Boxes in pixels of `rgb`, the best first, no more than an image's 100 boxes leave room for.

        Each has an IoU of at most 0.3 with every one of `regions`, and no more than half of it in any.
        """
        (entry,) = self._proposer.give([example.entry])
        frame = example.box_frame if self._proposer.detects else "auto"
        turned, _ = oriented_entry(entry, image, frame)
        (found,) = self._proposer.propose([rgb], [turned])
        labelled = as_boxes([region.box_xyxy for region in regions])
        ious = iou_matrix(found.boxes_xyxy, labelled)
        # Of iou = shared / (own + other - shared): the part of a box itself that is shared.
        both = areas(found.boxes_xyxy)[:, None] + areas(labelled)[None, :]
        inside = ious / (1 + ious) * both / areas(found.boxes_xyxy)[:, None]
        apart = ((ious <= _MOST_IOU) & (inside <= _MOST_INSIDE)).all(axis=1)
        room = max(0, MAX_BOXES - len(regions))
        boxes: list[list[float]] = found.boxes_xyxy[apart][:room].tolist()
        return [CorpusRegion.model_validate({"box_xyxy": box}) for box in boxes]


def load_distractors(config: TrainConfig) -> Distractors | None:
    """As the settings say. Raises CheckpointError, ConfigError or CorpusError as `load_proposer`."""
    if not config.distractor_share:
        return None
    return Distractors(load_proposer(config.distractor_proposals, device=config.device))


def with_distractors(entry: CorpusImage, distractors: Sequence[CorpusRegion]) -> CorpusImage:
    """The entry with more boxes behind its own, so that what it says of its own stays true."""
    return entry.model_copy(update={"regions": [*(entry.regions or []), *distractors]})
