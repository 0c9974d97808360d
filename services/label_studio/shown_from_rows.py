"""Makes what a reviewer is shown of a dataset's row, and says how doubtful the row is. Pure functions."""

import math
from collections.abc import Iterable, Mapping, Sequence

from fo1_data.confidence.reasons import MOST_REASONS
from fo1_data.confidence.review_cost import is_for_people
from fo1_data.confidence.routing import BEYOND_BUDGET
from fo1_data.masks import is_mask_of
from schemas.images import Answer, ImageRow
from schemas.labels import Decision, Label, LabelKind, Source
from schemas.regions import TEXT_COLUMNS, Region
from services.label_studio.shown import (
    REGION,
    UNKNOWN_CONFIDENCE,
    ShownAnswer,
    ShownCount,
    ShownImage,
    ShownPhrase,
    ShownRegion,
    box_words,
    shortened,
)

_MAX_REASON_CHARACTERS = 60
# Where no label of a kind is accepted, all of them are in review: below this confidence one stands out.
_SURE = 0.8
# The names of a region's labels before their reasons; the caption, which is next to them, has none.
_NAMES = {LabelKind.DETAILED_CAPTION: "detailed caption", LabelKind.OCR: "text"}


def only_asked(row: ImageRow) -> ImageRow:
    """Return the row without the answers that routing does not send to people. Every box stays visible."""
    regions = []
    for region in row.regions:
        labels = [label for label in region.labels if is_for_people(label)]
        kept = {TEXT_COLUMNS[label.kind] for label in labels if label.kind in TEXT_COLUMNS}
        removed = {column: None for column in TEXT_COLUMNS.values() if column not in kept}
        regions.append(region.model_copy(update={"labels": labels, **removed}))
    parts = {
        "regions": regions,
        "groundings": [part for part in row.groundings if is_for_people(part.label)],
        "counts": [part for part in row.counts if is_for_people(part.label)],
        "answers": [part for part in row.answers if is_for_people(part.label)],
        "caption": None,
    }
    return row.model_copy(update=parts)


def shown_image(row: ImageRow, blind: bool = False, masks: bool = False) -> ShownImage:
    """Return what is shown of `row`. `blind`: without reasons and score, so that they influence nobody.

    `masks`: regions that have a mask are shown as it, not as their box.
    """
    doubtful = [] if blind else _doubtful_labels(row)
    regions = _shown_regions(row, doubtful, blind)
    if masks:
        _show_masks(regions, row)
    marks = {region.mark for region in regions}
    shown = ShownImage(
        image_id=row.image_id,
        width=row.width,
        height=row.height,
        title=row.uri.rstrip("/").rpartition("/")[2] or row.uri,
        regions=regions,
        phrases=[
            ShownPhrase(
                kind=part.kind,
                phrase=part.phrase,
                marks=[region_id for region_id in part.region_ids if region_id in marks],
                region_ids=part.region_ids,
            )
            for part in row.groundings
        ],
        counts=[
            ShownCount(phrase=part.phrase, count=part.count, region_ids=part.region_ids)
            for part in row.counts
        ],
        answers=[
            ShownAnswer(
                question=part.question,
                answer=part.answer,
                mark=part.region_id,
            )
            for part in row.answers
            if part.region_id is None or part.region_id in marks
        ],
        caption=row.caption,
    )
    if not blind:
        boxes = box_words(shown)
        named = [
            *((boxes.get(part.phrase, part.phrase), part.label) for part in row.groundings),
            *((f"count of {part.phrase}", part.label) for part in row.counts),
            *((_question(part, boxes), part.label) for part in row.answers),
        ]
        shown.reasons = _reasons(named, doubtful)
        shown.score = 1.0 - doubt_of(row)
    return shown


def doubt_of(row: ImageRow) -> float:
    """Return how doubtful a row is, 0 to 1: 1 minus the lowest confidence of the labels sent to people.

    Without calibration, the geometric mean probability of an answer's tokens replaces its confidence.
    """
    answered = row.answered_labels()
    for_people = [label for label in answered if label.decision in (Decision.REVIEW, Decision.AUDIT)]
    confidences = [_confidence(label) for label in for_people or answered]
    return 1.0 - min(confidences, default=UNKNOWN_CONFIDENCE)


def _confidence(label: Label) -> float:
    value = label.confidence
    if value is None:
        mean = next((signal.value for signal in label.signals if signal.name == "logprob_mean"), None)
        value = math.exp(min(mean, 0.0)) if mean is not None else None
    if value is None or not math.isfinite(value):
        return UNKNOWN_CONFIDENCE
    return min(max(value, 0.0), 1.0)


def _shown_regions(row: ImageRow, doubtful: Sequence[Label], blind: bool) -> list[ShownRegion]:
    """Return the regions, the most doubtful first; in the order of the row if `blind`."""
    regions = row.regions if blind else sorted(row.regions, key=_lowest_confidence)
    return [
        ShownRegion(
            mark=region.region_id,
            region_id=region.region_id,
            box_xyxy=region.box_xyxy,
            texts=_texts(region),
            source_label=region.corpus_label,
            detector_label=None if blind else region.detector_label,
            reasons=_reasons(((_NAMES.get(label.kind, ""), label) for label in region.labels), doubtful),
            doubtful=any(_is_in(label, doubtful) for label in region.labels),
        )
        for region in regions
    ]


def _show_masks(regions: Iterable[ShownRegion], row: ImageRow) -> None:
    """Give regions their masks. One that is empty, or cannot be read, can be neither seen nor painted."""
    masks = {region.region_id: region.mask_rle for region in row.regions}
    for region in regions:
        mask_rle = masks[region.region_id]
        if mask_rle is not None and is_mask_of(mask_rle, (row.width, row.height)):
            region.mask_rle = mask_rle


def _lowest_confidence(region: Region) -> float:
    """Return the lowest confidence of a region's labels that people are asked about; else 1."""
    asked = [label for label in region.labels if label.decision in (Decision.REVIEW, None)]
    return min((_confidence(label) for label in asked if label.source is Source.MODEL), default=1.0)


def _doubtful_labels(row: ImageRow) -> list[Label]:
    """Return the labels that stand out: in review, and not only because all labels of their kind are."""
    labels = row.all_labels()
    accepted = {label.kind for label in labels if label.decision in (Decision.ACCEPT, Decision.AUDIT)}
    asked = [label for label in labels if label.decision is Decision.REVIEW and is_for_people(label)]
    return [label for label in asked if label.kind in accepted or _confidence(label) < _SURE]


def _is_in(label: Label, labels: Iterable[Label]) -> bool:
    return any(label is other for other in labels)


def _texts(region: Region) -> dict[LabelKind, str]:
    answered = {label.kind for label in region.labels if label.source is not Source.CORPUS}
    texts = {kind: getattr(region, TEXT_COLUMNS[kind]) for kind in TEXT_COLUMNS}
    return {kind: text or "" for kind, text in texts.items() if text is not None or kind in answered}


def _reasons(named: Iterable[tuple[str, Label]], doubtful: Sequence[Label]) -> list[str]:
    """Return why labels are doubtful: a line for each, with its name (if any) before its reasons."""
    lines = []
    for name, label in named:
        reasons = [reason for reason in label.reasons if reason != BEYOND_BUDGET][:MOST_REASONS]
        if reasons and _is_in(label, doubtful):
            words = "; ".join(shortened(reason, _MAX_REASON_CHARACTERS) for reason in reasons)
            lines.append(f"{shortened(name)}: {words}" if name else words)
    return lines


def _question(answer: Answer, boxes: Mapping[str, str]) -> str:
    return answer.question.rstrip("?").replace(REGION, boxes.get(answer.region_id or "", "the box"))
