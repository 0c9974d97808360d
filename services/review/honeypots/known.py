"""The known answers of a honeypot, and how an annotation is judged by them. Pure functions.

A known answer is of one text of a region that the reviewer is shown: what gold says of the region it matches,
or what people made of it in an earlier review. A region that gold does not have is not judged.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from fo1_data.judging.matching import GoldIndex
from fo1_data.judging.texts import text_right
from fo1_data.judging.words import words_of
from schemas.corpus import CorpusRegion
from schemas.images import ImageRow
from schemas.labels import LabelKind, Source
from schemas.regions import Region
from services.label_studio.annotated import AnnotatedRegion, ParsedAnnotation
from services.label_studio.shown import ShownImage, ShownRegion
from services.review.inbox.agreement import MATCH_IOU, iou


class KnownText(BaseModel):
    """What is right for one text. `equal`: texts that it may equal. `words`: or all words of one of these."""

    model_config = ConfigDict(extra="forbid")

    equal: list[str] = []
    words: list[str] = []

    def is_right(self, kind: LabelKind, text: str) -> bool:
        """Whether a text is right, without regard to case and punctuation; a read text may have slips."""
        if kind is LabelKind.OCR and any(text_right(text, known) for known in self.equal):
            return True
        found = words_of(text)
        if any(found == words_of(known) for known in self.equal):
            return True
        return any(set(words_of(known)) <= set(found) for known in self.words)


class KnownAnswers(BaseModel):
    """The known texts by the mark of the shown region and by kind."""

    model_config = ConfigDict(extra="forbid")

    texts: dict[str, dict[LabelKind, KnownText]] = {}

    def packed(self) -> bytes:
        """Return the document, compressed."""
        return zlib.compress(self.model_dump_json(exclude_defaults=True).encode(), 6)

    def is_wrong(self, shown: ShownImage) -> bool:
        """Whether any of the shown texts is wrong, so that confirming them all is a mistake."""
        regions = {region.mark: region for region in shown.regions}
        return any(
            not known.is_right(kind, regions[mark].texts[kind])
            for mark, kinds in self.texts.items()
            for kind, known in kinds.items()
        )


@dataclass(frozen=True)
class Score:
    """How many known answers an annotation has right, of how many that it was asked for."""

    right: int
    asked: int


def unpack_known(data: bytes) -> KnownAnswers:
    """Return the document that `packed` has compressed."""
    return KnownAnswers.model_validate_json(zlib.decompress(data))


def known_by_gold(row: ImageRow, shown: ShownImage, gold: GoldIndex) -> KnownAnswers:
    """What gold knows of the regions that are shown of a row."""
    pair = gold.pair(row)
    if pair is None:
        return KnownAnswers()
    regions = pair.gold.regions or []
    known = {
        region.region_id: _texts_of_gold(regions[index])
        for region, index in zip(row.regions, pair.gold_of, strict=True)
        if index is not None
    }
    return _of_shown(shown, known)


def known_by_people(corrected: ImageRow, shown: ShownImage) -> KnownAnswers:
    """What people said of the regions that are shown: `corrected` is the row after their corrections."""
    known: dict[str, dict[LabelKind, KnownText]] = {}
    for region in shown.regions:
        same = _region_at(region, corrected.regions)
        labels = same.labels if same is not None else []
        human = [label for label in labels if label.annotator is not None or label.source is Source.HUMAN]
        known[region.region_id] = {label.kind: KnownText(equal=[label.text]) for label in human}
    return _of_shown(shown, known)


def score_annotation(known: KnownAnswers, shown: ShownImage, annotated: ParsedAnnotation) -> Score:
    """Judge an annotation. A deleted region has all its texts wrong, unless it was drawn again.

    A region that is called wrong, with a text left as it was, says that this text is wrong.
    """
    shown_marks = {region.mark: region for region in shown.regions}
    right = asked = 0
    for mark, kinds in known.texts.items():
        if mark in annotated.marks_not_read:
            continue
        region = annotated.regions.get(mark) or _drawn_again(shown_marks, mark, annotated)
        for kind, text in kinds.items():
            asked += 1
            right += region is not None and _is_right(text, kind, shown_marks[mark], region)
    return Score(right, asked)


def _is_right(known: KnownText, kind: LabelKind, shown: ShownRegion, region: AnnotatedRegion) -> bool:
    text, before = region.texts.get(kind, ""), shown.texts[kind]
    if region.verdict is False and words_of(text) == words_of(before):
        return not known.is_right(kind, before)
    return known.is_right(kind, text)


def _texts_of_gold(region: CorpusRegion) -> dict[LabelKind, KnownText]:
    texts = {
        LabelKind.BRIEF_CAPTION: KnownText(
            equal=[text for text in (region.caption, region.label) if text],
            words=[region.label] if region.label and not region.caption else [],
        ),
        LabelKind.DETAILED_CAPTION: KnownText(equal=[region.detailed_caption or ""]),
        LabelKind.OCR: KnownText(equal=[region.text or ""]),
    }
    return {kind: known for kind, known in texts.items() if any(known.equal)}


def _of_shown(shown: ShownImage, known: Mapping[str, Mapping[LabelKind, KnownText]]) -> KnownAnswers:
    texts = {
        region.mark: {kind: text for kind, text in known[region.region_id].items() if kind in region.texts}
        for region in shown.regions
        if region.region_id in known
    }
    return KnownAnswers(texts={mark: kinds for mark, kinds in texts.items() if kinds})


def _region_at(shown: ShownRegion, regions: list[Region]) -> Region | None:
    """The region of this id; else, if it was moved, the one that overlaps most."""
    same = next((region for region in regions if region.region_id == shown.region_id), None)
    if same is not None or not regions:
        return same
    best = max(regions, key=lambda region: iou(region.box_xyxy, shown.box_xyxy))
    return best if iou(best.box_xyxy, shown.box_xyxy) >= MATCH_IOU else None


def _drawn_again(
    shown: Mapping[str, ShownRegion], mark: str, annotated: ParsedAnnotation
) -> AnnotatedRegion | None:
    new = [region for other, region in annotated.regions.items() if other not in shown]
    alike = [region for region in new if iou(region.box_xyxy, shown[mark].box_xyxy) >= MATCH_IOU]
    return max(alike, key=lambda region: iou(region.box_xyxy, shown[mark].box_xyxy), default=None)
