"""Gold images without a row, because they were rejected or never labelled, and their effect on the figures.

The figures of a dataset are over the images that have a row. The standard figures are also given with every
missing image counted as an image that was answered with nothing, so that its boxes, phrases and counts are
misses. Only questions that the rows of the dataset were asked count. Precision and captions are not affected.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fo1_data.boxes import as_boxes
from fo1_data.evaluation.coco_figures import score_detections, score_recall
from fo1_data.evaluation.counting import score_counts
from fo1_data.evaluation.detection import score_groundings, score_proposals
from fo1_data.evaluation.phrase_figures import score_phrases
from fo1_data.judging.matching import GoldIndex, Pair, has_own_boxes, make_pair
from schemas.corpus import CorpusImage
from schemas.images import Count, EncodedImage, Grounding, ImageRow, Reject, RejectStage
from schemas.labels import MOST_COUNT, Label, LabelKind

_PROPOSALS = ("recall", "recall_75", "coco_mar_1", "coco_mar_10", "coco_mar_100")
_DETECTIONS = ("map", "map_50", "map_75", "mar_100")
_REFERRING = ("accuracy_50", "recall_50", "density_f1_50", "density_f1")
# A count that is never right, for a question without an answer.
_NO_COUNT = -1
_ANY_SIZE_WH = (1000, 1000)


def score_missing(
    pairs: Sequence[Pair], gold: Sequence[CorpusImage], index: GoldIndex, rejects: Iterable[Reject] = ()
) -> dict[str, object]:
    """How many gold images have no row, how many of these were rejected, and the figures with them.

    `counted_as_misses` is present only if an image is missing.
    """
    with_row = {entry.name for pair in pairs for entry in index.entries_of(pair.row.uris, pair.row)}
    missing = [entry for entry in gold if entry.name not in with_row]
    rejected_names = {
        entry.name
        for reject in rejects
        if reject.stage is not RejectStage.BOX
        for entry in index.entries_of([reject.uri])
    }
    counted = {"counted_as_misses": _figures_with(missing, pairs)} if missing else {}
    num_rejected = sum(entry.name in rejected_names for entry in missing)
    return {"images": len(missing), "rejected": num_rejected, "gold_images": len(gold), **counted}


def _figures_with(missing: Sequence[CorpusImage], pairs: Sequence[Pair]) -> dict[str, object]:
    questions = _DatasetQuestions(pairs)
    every = [*pairs, *(_unanswered(entry, questions) for entry in missing)]
    document: dict[str, object] = {}
    if not all(map(has_own_boxes, pairs)):
        document["proposals"] = _select({**score_proposals(every), **score_recall(every)}, _PROPOSALS)
    if questions.detect_phrases:
        document["detections"] = _select(score_detections(every), _DETECTIONS)
    if questions.detect_phrases or questions.has_ground:
        referring = _select(score_phrases(every), _REFERRING)
        document["groundings"] = {**_select(score_groundings(every), ("recall",)), **referring}
    if any(pair.row.counts for pair in every[len(pairs) :]):
        document["counts"] = _select(score_counts(every), ("exact",))
    return document


def _select(figures: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: figures[name] for name in names if name in figures}


class _DatasetQuestions:
    """The questions that the rows of a dataset were asked, from which follow those of a missing image."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        groundings = [part for pair in pairs for part in pair.row.groundings]
        self.detect_phrases = sorted({part.phrase for part in groundings if part.kind is LabelKind.DETECT})
        self.has_ground = any(part.kind is LabelKind.GROUND for part in groundings)
        self._count_phrases = {count.phrase.casefold() for pair in pairs for count in pair.row.counts}
        # Either each image is asked for the phrases that its own gold counts (`--vocabulary @corpus`), or
        # all images are asked for the same phrases.
        self._counts_own_gold = bool(self._count_phrases) and all(
            count.phrase.casefold() in {gold_count.text.casefold() for gold_count in pair.gold.counts}
            for pair in pairs
            for count in pair.row.counts
        )

    def asks_count_of(self, phrase: str) -> bool:
        """Whether an image whose gold counts `phrase` would have been asked to count it."""
        return self._counts_own_gold or phrase.casefold() in self._count_phrases


def _unanswered(gold: CorpusImage, questions: _DatasetQuestions) -> Pair:
    """A missing image as a row with an empty answer to each question that it would have been asked."""

    def empty_grounding(phrase: str, kind: LabelKind) -> Grounding:
        return Grounding(phrase=phrase, kind=kind, region_ids=[], label=Label(kind=kind, text=""))

    width, height = _size_wh(gold)
    ground_phrases = [phrase.text for phrase in gold.phrases] if questions.has_ground else []
    row = ImageRow(
        image_id="",
        uri=gold.name,
        uris=[gold.name],
        corpus="",
        split="",
        image=EncodedImage(path=gold.name),
        width=width,
        height=height,
        groundings=[
            *(empty_grounding(phrase, LabelKind.GROUND) for phrase in ground_phrases),
            *(empty_grounding(phrase, LabelKind.DETECT) for phrase in questions.detect_phrases),
        ],
        counts=[
            Count(
                phrase=count.text,
                count=_NO_COUNT,
                region_ids=[],
                label=Label(kind=LabelKind.COUNT, text=""),
            )
            for count in gold.counts
            if questions.asks_count_of(count.text)
        ],
    )
    return make_pair(row, gold)


def _size_wh(gold: CorpusImage) -> tuple[int, int]:
    """The declared width and height, else a size that holds every box, so that each valid box counts."""
    if gold.width and gold.height:
        return gold.width, gold.height
    if gold.box_unit == "share":
        return _ANY_SIZE_WH
    boxes = as_boxes([region.box_xyxy for region in gold.regions or []])
    ends = boxes[np.isfinite(boxes).all(axis=1), 2:].astype(np.float64)
    width, height = np.clip(np.ceil(ends.max(axis=0, initial=1)), 1, MOST_COUNT).tolist()
    return int(width), int(height)
