"""Answers to rows: the model's labels of an image, beside what its corpus says of it.

The chunks of an image with over 100 boxes are united here: detections, groundings and counts are those of
all chunks, and the image's caption is that of the first chunk.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fo1_data.confidence.agreement_signals import agreement_signals
from fo1_data.confidence.answer_signals import answer_signals, content_tokens, span_tokens
from fo1_data.confidence.box_signals import box_signals
from fo1_data.confidence.signals import FEATURES, as_signals, most_doubtful
from fo1_data.corpus.images import DecodedImage
from fo1_data.corpus.region_meta import with_region_metas
from fo1_data.labelling.questions import LabelQuestion
from fo1_data.model.engine.generation import Generation
from fo1_data.model.engine.questions import OpenImage
from fo1_data.model.parsing import Span, parse_caption, parse_count, parse_grounded, parse_reasoned
from fo1_data.proposals.proposer import Proposals
from schemas.corpus import CorpusImage, CorpusRegion
from schemas.images import Answer, Count, Grounding, ImageRow
from schemas.labels import MOST_COUNT, Label, LabelKind, Source
from schemas.regions import TEXT_COLUMNS, Region, make_region_id, number_equal_ids


@dataclass(frozen=True)
class AnsweredQuestion:
    """A question with its answer."""

    question: LabelQuestion
    generation: Generation


@dataclass(frozen=True)
class LabelEvidence:
    """A label and the answers it was read from. regions: indices of the regions it describes or names."""

    label: Label
    answers: tuple[AnsweredQuestion, ...]
    regions: tuple[int, ...]


def make_regions(image: DecodedImage, proposals: Proposals) -> list[Region]:
    """The regions shown to the model, in order, with what the corpus or the detector says of each."""
    corpus_regions = proposals.regions
    boxes = proposals.boxes_xyxy.tolist()
    region_ids = number_equal_ids(make_region_id(image.image_id, box) for box in boxes)
    regions = []
    for index, (box, region_id) in enumerate(zip(boxes, region_ids, strict=True)):
        source = corpus_regions[index] if corpus_regions is not None else None
        detected = proposals.labels[index] if proposals.labels is not None else None
        regions.append(
            Region(
                region_id=region_id,
                index=index,
                box_xyxy=tuple(box),
                objectness=float(proposals.objectness[index]) if proposals.objectness is not None else None,
                box_source=Source.MODEL if corpus_regions is None else Source.CORPUS,
                source_label=source.label if source else detected,
                source_caption=source.caption if source else None,
                labels=_corpus_labels(source) if source else [],
                mask_rle=proposals.masks[index] if proposals.masks is not None else None,
                track_id=proposals.track_ids[index] if proposals.track_ids is not None else None,
            )
        )
    return regions


def _corpus_labels(source: CorpusRegion) -> list[Label]:
    """Texts of the corpus that have no column of their own, because the columns hold answers."""
    texts = {LabelKind.DETAILED_CAPTION: source.detailed_caption, LabelKind.OCR: source.text}
    return [
        Label(kind=kind, text=text, source=Source.CORPUS) for kind, text in texts.items() if text is not None
    ]


def fill_row(
    row: ImageRow, entry: CorpusImage, image: OpenImage, answers: Sequence[AnsweredQuestion]
) -> list[LabelEvidence]:
    """Put all answers about an image into its row, then the texts that only the corpus has.

    Returns each label with the answers it was read from.
    """
    filling = _Filling(row, image)
    pointed: dict[tuple[LabelKind, str], list[AnsweredQuestion]] = {}
    for answered in answers:
        question = answered.question
        if question.kind.per_region:
            filling.caption_region(answered)
        elif question.kind is LabelKind.GROUNDED_CAPTION:
            filling.ground_caption(answered)
        elif question.kind is LabelKind.ASK:
            filling.answer(answered)
        elif question.kind is LabelKind.VISUAL_EXAMPLE:
            example = row.regions[question.region or 0]
            pointed.setdefault((question.kind, example.region_id), []).append(answered)
        else:
            pointed.setdefault((question.kind, question.phrase or ""), []).append(answered)
    for (kind, phrase), chunks in pointed.items():
        filling.point(kind, phrase, chunks)
    filling.compare()
    _add_corpus_texts(row, entry, filling.captions)
    return filling.evidence


class _Filling:
    """A row being filled. Regions are given by their index in the image."""

    def __init__(self, row: ImageRow, image: OpenImage) -> None:
        self.row, self.image = row, image
        self.captions: list[str] = []
        self.evidence: list[LabelEvidence] = []
        self._boxes = box_signals(
            [region.box_xyxy for region in row.regions],
            (row.width, row.height),
            [region.objectness for region in row.regions],
        )

    def caption_region(self, answered: AnsweredQuestion) -> None:
        index = answered.question.region or 0
        text = parse_caption(answered.generation.text)
        region = self.row.regions[index]
        setattr(region, TEXT_COLUMNS[answered.question.kind], text)
        features = dict(zip(FEATURES, self.image.region_features[index].tolist(), strict=True))
        signals = {**answer_signals(answered.generation), **self._boxes[index], **features}
        region.labels.append(self._label(answered.question.kind, text, signals, [answered], [index]))

    def ground_caption(self, answered: AnsweredQuestion) -> None:
        """Add the spans of a grounded caption, each with the signals of its own part of the answer."""
        chunk, generation = answered.question.chunk, answered.generation
        parsed = parse_grounded(generation.text, self.image.regions_in(chunk))
        self.captions.append(parsed.text)
        parts = span_tokens(generation)
        whole = [content_tokens(generation)] * len(parsed.spans)
        for span, tokens in zip(parsed.spans, parts if len(parts) == len(whole) else whole, strict=True):
            signals = answer_signals(generation, span.out_of_range, tokens)
            self._ground(LabelKind.GROUNDED_CAPTION, span.phrase, signals, [answered], [span])

    def answer(self, answered: AnsweredQuestion) -> None:
        """Add the answer to the user's own question, with its reasoning apart."""
        question, generation = answered.question, answered.generation
        text, reasoning = parse_reasoned(generation.text)
        regions = [question.region] if question.region is not None else []
        signals = self._with_boxes(answer_signals(generation), regions)
        self.row.answers.append(
            Answer(
                question=question.phrase or question.question.text,
                region_id=self.row.regions[regions[0]].region_id if regions else None,
                answer=text,
                reasoning=reasoning,
                label=self._label(question.kind, text, signals, [answered], regions),
            )
        )

    def point(self, kind: LabelKind, phrase: str, chunks: Sequence[AnsweredQuestion]) -> None:
        """Add the regions that a phrase names in all chunks: a grounding, or a count.

        The phrase of a visual example is the id of its region, which is not among the regions it names.
        """
        total, spans = 0, []
        for answered in chunks:
            question = answered.question
            num_regions = self.image.regions_in(question.chunk)
            count, span = parse_count(answered.generation.text, phrase, num_regions)
            if kind is LabelKind.VISUAL_EXAMPLE:
                span = _without(span, self.image.locate(question.region or 0)[1])
            total += count
            spans.append(span)
        tables = [answer_signals(answered.generation) for answered in chunks]
        tables.sort(key=lambda table: table["logprob_min"])
        signals = most_doubtful(tables)
        if "out_of_range" in signals:
            signals["out_of_range"] = sum(span.out_of_range for span in spans)
            signals["num_named"] = sum(len(span.indices) for span in spans)
        if kind is not LabelKind.COUNT:
            self._ground(kind, phrase, signals, chunks, spans)
            return
        regions = self._regions(chunks, spans)
        label = self._label(kind, str(total), self._with_boxes(signals, regions), chunks, regions)
        self.row.counts.append(
            Count(phrase=phrase, count=min(total, MOST_COUNT), region_ids=self._ids(regions), label=label)
        )

    def compare(self) -> None:
        """Add how well the phrases that name regions agree with the regions' captions, once all are there."""
        captions = [region.brief_caption for region in self.row.regions]
        for evidence in self.evidence:
            if evidence.label.kind.names_regions:
                phrase = evidence.answers[0].question.phrase or evidence.label.text
                values = agreement_signals(phrase, set(evidence.regions), captions)
                evidence.label.signals = [*evidence.label.signals, *as_signals(values)]

    def _ground(
        self,
        kind: LabelKind,
        phrase: str,
        signals: dict[str, float],
        chunks: Sequence[AnsweredQuestion],
        spans: Sequence[Span],
    ) -> None:
        regions = self._regions(chunks, spans)
        label = self._label(kind, phrase, self._with_boxes(signals, regions), chunks, regions)
        self.row.groundings.append(
            Grounding(phrase=phrase, kind=kind, region_ids=self._ids(regions), label=label)
        )

    def _label(
        self,
        kind: LabelKind,
        text: str,
        signals: dict[str, float],
        answers: Sequence[AnsweredQuestion],
        regions: Sequence[int],
    ) -> Label:
        label = Label(kind=kind, text=text, signals=as_signals(signals))
        self.evidence.append(LabelEvidence(label, tuple(answers), tuple(regions)))
        return label

    def _with_boxes(self, signals: dict[str, float], regions: Sequence[int]) -> dict[str, float]:
        return signals | most_doubtful([self._boxes[index] for index in regions])

    def _regions(self, chunks: Sequence[AnsweredQuestion], spans: Sequence[Span]) -> list[int]:
        return [
            self.image.chunk_starts[answered.question.chunk] + index
            for answered, span in zip(chunks, spans, strict=True)
            for index in span.indices
        ]

    def _ids(self, regions: Sequence[int]) -> list[str]:
        return [self.row.regions[index].region_id for index in regions]


def _without(span: Span, index: int) -> Span:
    return replace(span, indices=[other for other in span.indices if other != index])


def _add_corpus_texts(row: ImageRow, entry: CorpusImage, captions: list[str]) -> None:
    """The image caption is the answer if there is one, else the corpus', which is kept beside an answer."""
    answer = next((caption for caption in captions if caption), None)
    row.caption = answer if answer is not None else entry.caption
    row.source_caption = entry.caption if answer is not None else None
    meta = entry.meta
    if any(region.box_source is not Source.CORPUS for region in row.regions) or not row.regions:
        meta = with_region_metas(meta, None)  # what the corpus says of its own boxes
    row.meta = json.dumps(meta, ensure_ascii=False, sort_keys=True) if meta else None
