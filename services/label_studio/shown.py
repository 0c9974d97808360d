"""What a reviewer is shown of one image: the ground that corrections are told against.

Made of a dataset's row; kept compressed in the outbox, so that a review outlives the dataset's folder.
Boxes: absolute pixels of the EXIF-oriented image, x_min y_min x_max y_max. Every region has a `mark`,
which is its result id in Label Studio: the region's id, made unique where two regions share one.
"""

import math
import zlib
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from fo1_data.confidence.routing import BEYOND_BUDGET
from schemas.images import Answer, Count, Grounding, ImageRow
from schemas.labels import Decision, Label, LabelKind, Source
from schemas.regions import TEXT_COLUMNS, Box, Region

TEXT_KINDS = tuple(TEXT_COLUMNS)
# A model's wrong answers are mostly short and unsure: without calibration its own words are all there is.
_UNKNOWN_CONFIDENCE = 0.5
_MAX_WORDS = 40  # characters


class ShownRegion(BaseModel):
    """A box with its texts by label kind (`""` where a text was looked for and none is there).

    `source_label`: its class in the corpus.
    """

    model_config = ConfigDict(extra="forbid")

    mark: str
    region_id: str
    box_xyxy: Box
    texts: dict[LabelKind, str] = {}
    source_label: str | None = None
    reasons: list[str] = []


class ShownPhrase(BaseModel):
    """A phrase and the regions (by `mark`) it names; none: said to be absent."""

    model_config = ConfigDict(extra="forbid")

    kind: LabelKind
    phrase: str
    marks: list[str]
    region_ids: list[str]

    @property
    def example_mark(self) -> str | None:
        """Of a visual example the mark of its region: its phrase is the id, which the first one of it has."""
        return self.phrase if self.kind is LabelKind.VISUAL_EXAMPLE else None


class ShownCount(BaseModel):
    """How many of a phrase there are."""

    model_config = ConfigDict(extra="forbid")

    phrase: str
    count: int
    region_ids: list[str]


class ShownAnswer(BaseModel):
    """A free question with its answer; `mark` is null where it was asked of the whole image."""

    model_config = ConfigDict(extra="forbid")

    question: str
    answer: str
    mark: str | None = None


class ShownImage(BaseModel):
    """One image as a reviewer sees it. `reasons` are those of the labels of the whole image."""

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

    def packed(self) -> bytes:
        """The document, compressed."""
        return zlib.compress(self.model_dump_json(exclude_defaults=True).encode(), 6)


def unpack(data: bytes) -> ShownImage:
    """The document of `packed`."""
    return ShownImage.model_validate_json(zlib.decompress(data))


def box_words(shown: ShownImage) -> dict[str, str]:
    """What boxes (by `mark`) are called where people read of them: their number, and caption or class."""
    found = {}
    for number, region in enumerate(shown.regions, start=1):
        caption = region.texts.get(LabelKind.BRIEF_CAPTION) or region.source_label or ""
        words = " ".join(caption.split())
        if len(words) > _MAX_WORDS:
            words = f"{words[:_MAX_WORDS].rstrip()}…"
        found[region.mark] = f"box {number} ({words})" if words else f"box {number}"
    return found


def is_asked(label: Label) -> bool:
    """Whether routing asks people about a label: sent to them within the budget, or drawn for the audit."""
    if label.decision is Decision.AUDIT:
        return True
    return label.decision is Decision.REVIEW and BEYOND_BUDGET not in label.reasons


def only_asked(row: ImageRow) -> ImageRow:
    """The row without the answers that people are not asked about. Every box stays, to be seen."""
    regions = []
    for region in row.regions:
        labels = [label for label in region.labels if is_asked(label)]
        asked = {TEXT_COLUMNS[label.kind] for label in labels if label.kind in TEXT_COLUMNS}
        silent = {column: None for column in TEXT_COLUMNS.values() if column not in asked}
        regions.append(region.model_copy(update={"labels": labels, **silent}))
    parts = {
        "regions": regions,
        "groundings": [part for part in row.groundings if is_asked(part.label)],
        "counts": [part for part in row.counts if is_asked(part.label)],
        "answers": [part for part in row.answers if is_asked(part.label)],
        "caption": None,
    }
    return row.model_copy(update=parts)


def shown_image(row: ImageRow, blind: bool = False) -> ShownImage:
    """What is shown of `row`. `blind`: without the reasons and the score, so that they sway nobody."""
    regions = _shown_regions(row, blind)
    marks: dict[str, str] = {}
    for region in regions:
        marks.setdefault(region.region_id, region.mark)
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
                marks=[marks[region_id] for region_id in part.region_ids if region_id in marks],
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
                mark=None if part.region_id is None else marks[part.region_id],
            )
            for part in row.answers
            if part.region_id is None or part.region_id in marks
        ],
        caption=row.caption,
    )
    if not blind:
        parts: list[Grounding | Count | Answer] = [*row.groundings, *row.counts, *row.answers]
        shown.reasons = _reasons(part.label for part in parts)
        shown.score = 1.0 - doubt_of(row)
    return shown


def doubt_of(row: ImageRow) -> float:
    """How doubtful a row is, 0 to 1: one less the lowest confidence of the labels people are asked about.

    Where nothing is calibrated, the mean probability of an answer's tokens stands in for its confidence.
    """
    answered = row.answered_labels()
    doubted = [label for label in answered if label.decision in (Decision.REVIEW, Decision.AUDIT)]
    known = [_trust(label) for label in doubted or answered]
    return 1.0 - min(known, default=_UNKNOWN_CONFIDENCE)


def _trust(label: Label) -> float:
    value = label.confidence
    if value is None:
        mean = next((one.value for one in label.signals if one.name == "logprob_mean"), None)
        value = math.exp(min(mean, 0.0)) if mean is not None else None
    if value is None or not math.isfinite(value):
        return _UNKNOWN_CONFIDENCE
    return min(max(value, 0.0), 1.0)


def _shown_regions(row: ImageRow, blind: bool) -> list[ShownRegion]:
    used: dict[str, int] = {}
    found = []
    for region in row.regions:
        times = used[region.region_id] = used.get(region.region_id, 0) + 1
        found.append(
            ShownRegion(
                mark=region.region_id if times == 1 else f"{region.region_id}#{times}",
                region_id=region.region_id,
                box_xyxy=region.box_xyxy,
                texts=_texts(region),
                source_label=region.source_label,
                reasons=[] if blind else _reasons(region.labels),
            )
        )
    return found


def _texts(region: Region) -> dict[LabelKind, str]:
    answered = {label.kind for label in region.labels if label.source is not Source.CORPUS}
    texts = {kind: getattr(region, TEXT_COLUMNS[kind]) for kind in TEXT_KINDS}
    return {kind: text or "" for kind, text in texts.items() if text is not None or kind in answered}


def _reasons(labels: Iterable[Label]) -> list[str]:
    """Why the labels that are not accepted are doubted, in a few words each."""
    told = []
    for label in labels:
        if label.decision is Decision.REVIEW:
            trust = "" if label.confidence is None else f", confidence {label.confidence:.2f}"
            why = ", ".join(label.reasons) or "to be reviewed"
            told.append(f"{label.kind.value.replace('_', ' ')}: {why}{trust}")
    return told
