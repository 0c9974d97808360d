"""All figures that `fo1 evaluate` reports, from rows and gold."""

from collections.abc import Iterable

from fo1_data.confidence.judged_kind import ReadSignals, own_signals
from fo1_data.corpus.frames import BoxFrame
from fo1_data.dataset.collection import without_collection
from fo1_data.errors import UsageError
from fo1_data.evaluation.answers import score_answers
from fo1_data.evaluation.captions import score_captions, score_texts
from fo1_data.evaluation.coco_figures import score_detections, score_recall
from fo1_data.evaluation.confidences import score_confidences
from fo1_data.evaluation.counting import score_counts
from fo1_data.evaluation.detection import score_groundings, score_proposals
from fo1_data.evaluation.missing_images import score_missing
from fo1_data.evaluation.phrase_figures import score_phrases
from fo1_data.judging.matching import GoldIndex, nothing_matches, share
from fo1_data.judging.texts import CaptionMatch
from schemas.corpus import CorpusImage
from schemas.images import ImageRow, Reject


def evaluate(
    rows: Iterable[ImageRow],
    gold: Iterable[CorpusImage],
    caption_match: CaptionMatch = "exact",
    box_frame: BoxFrame = "auto",
    rejects: Iterable[Reject] = (),
    read_signals: ReadSignals = own_signals,
) -> dict[str, object]:
    """One document of figures, over the images that have a row; `missing` covers the images that have none.

    `read_signals`: where the signals of labels come from if `rows` are light ones.
    Raises UsageError if no row has gold.
    """
    with without_collection():
        return _evaluate(rows, list(gold), caption_match, box_frame, rejects, read_signals)


def _evaluate(
    rows: Iterable[ImageRow],
    gold: list[CorpusImage],
    caption_match: CaptionMatch,
    box_frame: BoxFrame,
    rejects: Iterable[Reject],
    read_signals: ReadSignals,
) -> dict[str, object]:
    index = GoldIndex(gold, box_frame)
    every = [index.pair(row) for row in rows]
    pairs = [pair for pair in every if pair is not None]
    if not pairs:
        raise UsageError(nothing_matches(len(every), len(gold)))
    return {
        "gold": {"images": len(every), "with_gold": len(pairs), "share": share(len(pairs), len(every))},
        "proposals": {**score_proposals(pairs), **score_recall(pairs)},
        "detections": score_detections(pairs),
        "captions": score_captions(pairs, caption_match),
        "groundings": {**score_groundings(pairs), "referring": score_phrases(pairs)},
        "counts": score_counts(pairs),
        "text": score_texts(pairs),
        "answers": score_answers(pairs),
        "confidence": score_confidences(pairs, caption_match, read_signals=read_signals),
        "missing": score_missing(pairs, gold, index, rejects),
    }
