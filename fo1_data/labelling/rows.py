"""Answers to rows: what the model said about an image, beside what its corpus said.

Chunks of one image (over 100 boxes) are put together here: detections, groundings and counts are
united, and the image's caption is the first chunk's.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fo1_data.confidence.agreement_signals import agreement_signals
from fo1_data.confidence.answer_signals import answer_signals, content_tokens, span_tokens
from fo1_data.confidence.box_signals import box_signals
from fo1_data.confidence.signals import FEATURES, as_signals, most_doubtful
from fo1_data.corpus.images import DecodedImage
from fo1_data.labelling.questions import PlannedQuestion
from fo1_data.model.engine.engine import OpenImage
from fo1_data.model.engine.generation import Generation
from fo1_data.model.parsing import Span, parse_caption, parse_count, parse_grounded, parse_reasoned
from fo1_data.proposals.proposer import Proposals
from schemas.corpus import CorpusImage, CorpusRegion
from schemas.images import Answer, Count, Grounding, ImageRow
from schemas.labels import MOST_COUNT, Label, LabelKind, Source
from schemas.regions import TEXT_COLUMNS, Region, make_region_id

# Kinds whose phrase says in words what the regions it names are; an example or a question does not.
_NAMING = frozenset({LabelKind.DETECT, LabelKind.GROUND, LabelKind.GROUNDED_CAPTION, LabelKind.COUNT})


@dataclass(frozen=True)
class Answered:
    """A question with its answer."""

    question: PlannedQuestion
    generation: Generation


@dataclass(frozen=True)
class Said:
    """A label and the answers it was read from; `regions` are those it is about or names, by index."""

    label: Label
    answers: tuple[Answered, ...]
    regions: tuple[int, ...]


def make_regions(image: DecodedImage, proposals: Proposals) -> list[Region]:
    """The regions shown to the model, in order, with what the corpus says of each."""
    given = proposals.regions
    regions = []
    for index, box in enumerate(proposals.boxes_xyxy.tolist()):
        source = given[index] if given is not None else None
        regions.append(
            Region(
                region_id=make_region_id(image.image_id, box),
                index=index,
                box_xyxy=tuple(box),
                objectness=float(proposals.objectness[index]) if proposals.objectness is not None else None,
                box_source=Source.MODEL if given is None else Source.CORPUS,
                source_label=source.label if source else None,
                source_caption=source.caption if source else None,
                labels=_corpus_labels(source) if source else [],
            )
        )
    return regions


def _corpus_labels(source: CorpusRegion) -> list[Label]:
    """Texts of the corpus that have no column of their own: the columns are for answers."""
    texts = {LabelKind.DETAILED_CAPTION: source.detailed_caption, LabelKind.OCR: source.text}
    return [
        Label(kind=kind, text=text, source=Source.CORPUS) for kind, text in texts.items() if text is not None
    ]


def fill_row(row: ImageRow, entry: CorpusImage, image: OpenImage, answers: Sequence[Answered]) -> list[Said]:
    """Put all answers about an image into its row, then what only the corpus says.

    Returns each label that was made, with the answers it was read from.
    """
    filling = _Filling(row, image)
    pointed: dict[tuple[LabelKind, str], list[Answered]] = {}
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
    return filling.said


class _Filling:
    """A row being filled. Regions are told by their index in the image."""

    def __init__(self, row: ImageRow, image: OpenImage) -> None:
        self.row, self.image = row, image
        self.captions: list[str] = []
        self.said: list[Said] = []
        self._boxes = box_signals(
            [region.box_xyxy for region in row.regions],
            (row.width, row.height),
            [region.objectness for region in row.regions],
        )

    def caption_region(self, answered: Answered) -> None:
        index = answered.question.region or 0
        text = parse_caption(answered.generation.text)
        region = self.row.regions[index]
        setattr(region, TEXT_COLUMNS[answered.question.kind], text)
        features = dict(zip(FEATURES, self.image.region_features[index].tolist(), strict=True))
        signals = {**answer_signals(answered.generation), **self._boxes[index], **features}
        region.labels.append(self._label(answered.question.kind, text, signals, [answered], [index]))

    def ground_caption(self, answered: Answered) -> None:
        """Add a grounded caption's spans, each with the signals of its own stretch of the answer."""
        chunk, generation = answered.question.chunk, answered.generation
        parsed = parse_grounded(generation.text, self.image.regions_in(chunk))
        self.captions.append(parsed.text)
        stretches = span_tokens(generation)
        whole = [content_tokens(generation)] * len(parsed.spans)
        for span, tokens in zip(
            parsed.spans, stretches if len(stretches) == len(whole) else whole, strict=True
        ):
            signals = answer_signals(generation, span.out_of_range, tokens)
            self._ground(LabelKind.GROUNDED_CAPTION, span.phrase, signals, [answered], [span])

    def answer(self, answered: Answered) -> None:
        """Add the answer to the user's own question, its reasoning apart."""
        question, generation = answered.question, answered.generation
        text, reasoning = parse_reasoned(generation.text)
        regions = [question.region] if question.region is not None else []
        signals = self._with_boxes(answer_signals(generation), regions)
        self.row.answers.append(
            Answer(
                question=question.phrase or question.text,
                region_id=self.row.regions[regions[0]].region_id if regions else None,
                answer=text,
                reasoning=reasoning,
                label=self._label(question.kind, text, signals, [answered], regions),
            )
        )

    def point(self, kind: LabelKind, phrase: str, chunks: Sequence[Answered]) -> None:
        """Add what a phrase names over all chunks: a grounding, or a count.

        The phrase of an example is the id of its region, which does not count among what it names.
        """
        total, spans = 0, []
        for one in chunks:
            number, span = parse_count(one.generation.text, phrase, self.image.regions_in(one.question.chunk))
            if kind is LabelKind.VISUAL_EXAMPLE:
                span = _without(span, self.image.locate(one.question.region or 0)[1])
            total += number
            spans.append(span)
        tables = [answer_signals(one.generation) for one in chunks]
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
        """Add to what names regions by a phrase how well it agrees with captions, once all are there."""
        captions = [region.brief_caption for region in self.row.regions]
        for one in self.said:
            if one.label.kind in _NAMING:
                phrase = one.answers[0].question.phrase or one.label.text
                values = agreement_signals(phrase, set(one.regions), captions)
                one.label.signals = [*one.label.signals, *as_signals(values)]

    def _ground(
        self,
        kind: LabelKind,
        phrase: str,
        signals: dict[str, float],
        chunks: Sequence[Answered],
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
        answers: Sequence[Answered],
        regions: Sequence[int],
    ) -> Label:
        label = Label(kind=kind, text=text, signals=as_signals(signals))
        self.said.append(Said(label, tuple(answers), tuple(regions)))
        return label

    def _with_boxes(self, signals: dict[str, float], regions: Sequence[int]) -> dict[str, float]:
        return signals | most_doubtful([self._boxes[index] for index in regions])

    def _regions(self, chunks: Sequence[Answered], spans: Sequence[Span]) -> list[int]:
        return [
            self.image.chunk_starts[one.question.chunk] + index
            for one, span in zip(chunks, spans, strict=True)
            for index in span.indices
        ]

    def _ids(self, regions: Sequence[int]) -> list[str]:
        return [self.row.regions[index].region_id for index in regions]


def _without(span: Span, index: int) -> Span:
    return replace(span, indices=[one for one in span.indices if one != index])


def _add_corpus_texts(row: ImageRow, entry: CorpusImage, captions: list[str]) -> None:
    """The image's caption is the corpus' where none was asked for; else that one is kept in `meta`."""
    meta = dict(entry.meta or {})
    said = next((caption for caption in captions if caption), None)
    row.caption = said if said is not None else entry.caption
    if said is not None and entry.caption is not None:
        meta["source_caption"] = entry.caption
    row.meta = json.dumps(meta, ensure_ascii=False, sort_keys=True) if meta else None
