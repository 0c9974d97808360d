"""What a reviewer is shown of one image. Annotations are compared with it to find corrections.

Made from a dataset's row and kept compressed in the outbox, so that a review outlives the dataset's folder.
Boxes: absolute pixels of the EXIF-oriented image, x_min y_min x_max y_max. Every region has a `mark`, its
result id in Label Studio: the region's id. Equal boxes of older reviews have marks such as `ID#2`, which
Label Studio cuts at the `#`; they are read with the ids and marks that they would have now.
"""

import math
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Self

from pydantic import BaseModel, ConfigDict, model_validator

from fo1_data.confidence.reasons import MOST_REASONS
from fo1_data.confidence.review_cost import is_for_people
from fo1_data.confidence.routing import BEYOND_BUDGET
from schemas.images import Answer, ImageRow
from schemas.labels import Decision, Label, LabelKind, Source
from schemas.regions import TEXT_COLUMNS, Box, Region, number_equal_ids
from services.label_studio.labelling_config import ANSWERS, CAPTION, COUNTS, PHRASES, TEXT_FIELDS

TEXT_KINDS = tuple(TEXT_COLUMNS)
# The box, in a question about one.
REGION = "{region}"
_UNKNOWN_CONFIDENCE = 0.5
_MAX_WORDS_CHARACTERS = 40
_MAX_REASON_CHARACTERS = 60
# Where no label of a kind is accepted, all of them are in review: below this confidence one stands out.
_SURE = 0.8
# The names of a region's labels before their reasons; the caption, which is next to them, has none.
_NAMES = {LabelKind.DETAILED_CAPTION: "detailed caption", LabelKind.OCR: "text"}


class ShownRegion(BaseModel):
    """A box with its texts by label kind (`""`: the model was asked and answered no text).

    `source_label`: its class in the corpus. `doubtful`: drawn so that it stands out.
    """

    model_config = ConfigDict(extra="forbid")

    mark: str
    region_id: str
    box_xyxy: Box
    texts: dict[LabelKind, str] = {}
    source_label: str | None = None
    reasons: list[str] = []
    doubtful: bool = False


class ShownPhrase(BaseModel):
    """A phrase and the regions (by `mark`) it names; no regions: the phrase is absent from the image."""

    model_config = ConfigDict(extra="forbid")

    kind: LabelKind
    phrase: str
    marks: list[str]
    region_ids: list[str]

    @property
    def example_mark(self) -> str | None:
        """The mark of a visual example's region: the phrase is the region's id; None for other kinds."""
        return self.phrase if self.kind is LabelKind.VISUAL_EXAMPLE else None


class ShownCount(BaseModel):
    """How many of a phrase there are."""

    model_config = ConfigDict(extra="forbid")

    phrase: str
    count: int
    region_ids: list[str]


class ShownAnswer(BaseModel):
    """A free question with its answer. `mark`: the region it is about, null for the whole image."""

    model_config = ConfigDict(extra="forbid")

    question: str
    answer: str
    mark: str | None = None


class ShownImage(BaseModel):
    """One image as a reviewer sees it. `reasons`: of the labels of the whole image."""

    model_config = ConfigDict(extra="forbid")

    image_id: str
    width: int
    height: int
    title: str
    regions: list[ShownRegion] = []
    phrases: list[ShownPhrase] = []
    counts: list[ShownCount] = []
    answers: list[ShownAnswer] = []
    caption: str | None = None
    reasons: list[str] = []
    score: float = _UNKNOWN_CONFIDENCE

    @model_validator(mode="after")
    def _number_equal_regions(self) -> Self:
        """Give equal boxes ids and marks of their own; phrases and answers keep their regions."""
        region_ids = number_equal_ids(region.region_id for region in self.regions)
        if region_ids == [region.region_id for region in self.regions]:
            return self
        marks = {region.mark: new for region, new in zip(self.regions, region_ids, strict=True)}
        for region in self.regions:
            region.mark = region.region_id = marks[region.mark]
        for part in self.phrases:
            part.marks = [marks[mark] for mark in part.marks]
            part.region_ids = part.marks or part.region_ids
        for answer in self.answers:
            answer.mark = marks.get(answer.mark or "")
        return self

    def packed(self) -> bytes:
        """Return the document, compressed."""
        return zlib.compress(self.model_dump_json(exclude_defaults=True).encode(), 6)


def unpack(data: bytes) -> ShownImage:
    """Return the document that `packed` has compressed."""
    return ShownImage.model_validate_json(zlib.decompress(data))


def box_words(shown: ShownImage) -> dict[str, str]:
    """Return the name of each box (by `mark`) in texts for people: its number, and its caption or class."""
    names = {}
    for number, region in enumerate(shown.regions, start=1):
        caption = region.texts.get(LabelKind.BRIEF_CAPTION) or region.source_label or ""
        words = _shortened(caption)
        names[region.mark] = f"box {number} ({words})" if words else f"box {number}"
    return names


def fields_of(shown: ShownImage) -> set[str]:
    """Return the names of the fields of a project that show this image whole."""
    fields = {TEXT_FIELDS[kind] for region in shown.regions for kind in region.texts}
    parts = {PHRASES: shown.phrases, CAPTION: shown.caption, COUNTS: shown.counts, ANSWERS: shown.answers}
    return fields | {name for name, part in parts.items() if part}


def without_fields(shown: ShownImage, silent: Collection[str]) -> ShownImage:
    """Return what is shown without what the `silent` fields hold: an annotation says nothing about it."""
    kinds = {kind for kind, name in TEXT_FIELDS.items() if name not in silent}
    regions = [
        region.model_copy(
            update={"texts": {kind: text for kind, text in region.texts.items() if kind in kinds}}
        )
        for region in shown.regions
    ]
    return shown.model_copy(
        update={
            "regions": regions,
            "phrases": [] if PHRASES in silent else shown.phrases,
            "caption": None if CAPTION in silent else shown.caption,
            "counts": [] if COUNTS in silent else shown.counts,
            "answers": [] if ANSWERS in silent else shown.answers,
        }
    )


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


def shown_image(row: ImageRow, blind: bool = False) -> ShownImage:
    """Return what is shown of `row`. `blind`: without reasons and score, so that they influence nobody."""
    doubtful = [] if blind else _doubtful_labels(row)
    regions = _shown_regions(row, doubtful, blind)
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
    return 1.0 - min(confidences, default=_UNKNOWN_CONFIDENCE)


def _confidence(label: Label) -> float:
    value = label.confidence
    if value is None:
        mean = next((signal.value for signal in label.signals if signal.name == "logprob_mean"), None)
        value = math.exp(min(mean, 0.0)) if mean is not None else None
    if value is None or not math.isfinite(value):
        return _UNKNOWN_CONFIDENCE
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
            source_label=region.source_label,
            reasons=_reasons(((_NAMES.get(label.kind, ""), label) for label in region.labels), doubtful),
            doubtful=any(_is_in(label, doubtful) for label in region.labels),
        )
        for region in regions
    ]


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
    texts = {kind: getattr(region, TEXT_COLUMNS[kind]) for kind in TEXT_KINDS}
    return {kind: text or "" for kind, text in texts.items() if text is not None or kind in answered}


def _reasons(named: Iterable[tuple[str, Label]], doubtful: Sequence[Label]) -> list[str]:
    """Return why labels are doubtful: a line for each, with its name (if any) before its reasons."""
    lines = []
    for name, label in named:
        reasons = [reason for reason in label.reasons if reason != BEYOND_BUDGET][:MOST_REASONS]
        if reasons and _is_in(label, doubtful):
            words = "; ".join(_shortened(reason, _MAX_REASON_CHARACTERS) for reason in reasons)
            lines.append(f"{_shortened(name)}: {words}" if name else words)
    return lines


def _question(answer: Answer, boxes: Mapping[str, str]) -> str:
    return answer.question.rstrip("?").replace(REGION, boxes.get(answer.region_id or "", "the box"))


def _shortened(text: str, max_characters: int = _MAX_WORDS_CHARACTERS) -> str:
    words = " ".join(text.split())
    return words if len(words) <= max_characters else f"{words[:max_characters].rstrip()}…"
