"""Gold images that no row speaks of (rejected, or never labelled), and what they cost.

The figures of the dataset are over images that have a row. Those whose meaning the field fixes are given
again with every missing image as one that was answered with nothing: its boxes, phrases and counts are
misses. Only what rows of the dataset were asked is missed. Precision and captions do not know of them.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fo1_data.boxes import as_boxes
from fo1_data.evaluation.coco_figures import score_detections, score_recall
from fo1_data.evaluation.counting import score_counts
from fo1_data.evaluation.detection import score_groundings, score_proposals
from fo1_data.evaluation.phrase_figures import score_phrases
from fo1_data.judging.matching import GoldIndex, Pair, make_pair
from schemas.corpus import CorpusImage
from schemas.images import Count, EncodedImage, Grounding, ImageRow, Reject, RejectStage
from schemas.labels import MOST_COUNT, Label, LabelKind

_PROPOSALS = ("recall", "recall_75", "coco_mar_1", "coco_mar_10", "coco_mar_100")
_DETECTIONS = ("map", "map_50", "map_75", "mar_100")
_REFERRING = ("accuracy_50", "recall_50", "density_f1_50", "density_f1")
# A count that is never right: nobody answered.
_NO_COUNT = -1
_ANY_FRAME = (1000, 1000)


def score_missing(
    pairs: Sequence[Pair], gold: Sequence[CorpusImage], index: GoldIndex, rejects: Iterable[Reject] = ()
) -> dict[str, object]:
    """How many gold images have no row, how many of these were rejected, and the figures with them.

    `counted_as_misses` is there only where an image is missing.
    """
    found = {entry.name for pair in pairs for entry in index.entries_of(pair.row.uris, pair.row.source_id)}
    missing = [entry for entry in gold if entry.name not in found]
    refused = {
        entry.name
        for reject in rejects
        if reject.stage is not RejectStage.BOX
        for entry in index.entries_of([reject.uri])
    }
    counted = {"counted_as_misses": _counted(pairs, missing)} if missing else {}
    rejected = sum(entry.name in refused for entry in missing)
    return {"images": len(missing), "rejected": rejected, "gold_images": len(gold), **counted}


def _counted(pairs: Sequence[Pair], missing: Sequence[CorpusImage]) -> dict[str, object]:
    asked = _Asked(pairs)
    every = [*pairs, *(_unanswered(entry, asked) for entry in missing)]
    document: dict[str, object] = {
        "proposals": _some({**score_proposals(every), **score_recall(every)}, _PROPOSALS)
    }
    if asked.detected:
        document["detections"] = _some(score_detections(every), _DETECTIONS)
    if asked.detected or asked.grounded:
        referring = _some(score_phrases(every), _REFERRING)
        document["groundings"] = {**_some(score_groundings(every), ("recall",)), **referring}
    if any(pair.row.counts for pair in every[len(pairs) :]):
        document["counts"] = _some(score_counts(every), ("exact",))
    return document


def _some(figures: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: figures[name] for name in names if name in figures}


class _Asked:
    """What the rows of a dataset were asked, by which follows what would have been asked of the others."""

    def __init__(self, pairs: Sequence[Pair]) -> None:
        groundings = [part for pair in pairs for part in pair.row.groundings]
        self.detected = sorted({part.phrase for part in groundings if part.kind is LabelKind.DETECT})
        self.grounded = any(part.kind is LabelKind.GROUND for part in groundings)
        self._counted = {count.phrase.casefold() for pair in pairs for count in pair.row.counts}
        # Each image is asked for what its own gold counts (`--vocabulary @corpus`), or all for the same.
        self._own_counts = bool(self._counted) and all(
            count.phrase.casefold() in {one.text.casefold() for one in pair.gold.counts}
            for pair in pairs
            for count in pair.row.counts
        )

    def counted(self, phrase: str) -> bool:
        """Whether an image whose gold counts `phrase` would have been asked for it."""
        return self._own_counts or phrase.casefold() in self._counted


def _unanswered(gold: CorpusImage, asked: _Asked) -> Pair:
    """A missing image as a row that says nothing to what it would have been asked."""

    def none_of(phrase: str, kind: LabelKind) -> Grounding:
        return Grounding(phrase=phrase, kind=kind, region_ids=[], label=Label(kind=kind, text=""))

    width, height = _frame(gold)
    grounded = [phrase.text for phrase in gold.phrases] if asked.grounded else []
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
            *(none_of(phrase, LabelKind.GROUND) for phrase in grounded),
            *(none_of(phrase, LabelKind.DETECT) for phrase in asked.detected),
        ],
        counts=[
            Count(
                phrase=one.text,
                count=_NO_COUNT,
                region_ids=[],
                label=Label(kind=LabelKind.COUNT, text=""),
            )
            for one in gold.counts
            if asked.counted(one.text)
        ],
    )
    return make_pair(row, gold)


def _frame(gold: CorpusImage) -> tuple[int, int]:
    """Width and height as declared, else what holds every box: only the number of sound boxes matters."""
    if gold.width and gold.height:
        return gold.width, gold.height
    if gold.box_unit == "share":
        return _ANY_FRAME
    boxes = as_boxes([region.box_xyxy for region in gold.regions or []])
    ends = boxes[np.isfinite(boxes).all(axis=1), 2:].astype(np.float64)
    width, height = np.clip(np.ceil(ends.max(axis=0, initial=1)), 1, MOST_COUNT).tolist()
    return int(width), int(height)
