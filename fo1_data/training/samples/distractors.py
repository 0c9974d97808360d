"""Distractors: a proposer's boxes where nothing is labelled, shown besides the labelled boxes.

A model trained only on boxes that have an answer expects one for every box it is shown. No caption is asked
for a distractor, because it may show something that nobody has named; no phrase means it, as the labels say.
Ground-truth boxes mixed with a detector's, in one shuffled order: ChatRex (arXiv 2411.18363).
"""

from collections.abc import Sequence

from PIL import Image

from fo1_data.boxes import areas, as_boxes, iou_matrix
from fo1_data.corpus.frames import oriented_entry
from fo1_data.corpus.images import DecodedImage
from fo1_data.proposals.load import load_proposer
from fo1_data.proposals.proposer import Proposer
from fo1_data.training.samples.open_examples import MAX_BOXES, TrainingExample
from fo1_data.training.settings import TrainConfig
from schemas.corpus import CorpusImage, CorpusRegion

# A proposal with more overlap may be the labelled thing itself, boxed less well, or a part of it.
_MAX_IOU = 0.3
_MAX_SHARE_INSIDE = 0.5


class Distractors:
    """The proposals of a proposer that hardly overlap any labelled box."""

    def __init__(self, proposer: Proposer) -> None:
        self._proposer = proposer

    def propose(
        self, example: TrainingExample, image: DecodedImage, rgb: Image.Image, regions: Sequence[CorpusRegion]
    ) -> list[CorpusRegion]:
        """Distractors in pixels of `rgb`, best first, so many that the image has at most 100 boxes in all.

        Each has an IoU of at most 0.3 with each of `regions`, and at most half of its area inside any.
        """
        (entry,) = self._proposer.attach_boxes([example.entry])
        frame = example.box_frame if self._proposer.detects else "auto"
        oriented, _ = oriented_entry(entry, image, frame)
        (proposals,) = self._proposer.propose([rgb], [oriented])
        labelled = as_boxes([region.box_xyxy for region in regions])
        ious = iou_matrix(proposals.boxes_xyxy, labelled)
        # Intersection over own area, from iou = intersection / (own + labelled - intersection).
        area_sums = areas(proposals.boxes_xyxy)[:, None] + areas(labelled)[None, :]
        inside = ious / (1 + ious) * area_sums / areas(proposals.boxes_xyxy)[:, None]
        is_apart = ((ious <= _MAX_IOU) & (inside <= _MAX_SHARE_INSIDE)).all(axis=1)
        room = max(0, MAX_BOXES - len(regions))
        boxes: list[list[float]] = proposals.boxes_xyxy[is_apart][:room].tolist()
        return [CorpusRegion.model_validate({"box_xyxy": box}) for box in boxes]


def load_distractors(config: TrainConfig) -> Distractors | None:
    """Load the proposer of distractors; None if the settings ask for none.

    Raises CheckpointError, ConfigError or CorpusError as `load_proposer` does.
    """
    if not config.distractor_share:
        return None
    return Distractors(load_proposer(config.distractor_proposals, device=config.device))


def with_distractors(entry: CorpusImage, distractors: Sequence[CorpusRegion]) -> CorpusImage:
    """The entry with distractors after its own regions, whose indices stay valid."""
    return entry.model_copy(update={"regions": [*(entry.regions or []), *distractors]})
