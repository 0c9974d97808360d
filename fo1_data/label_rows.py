"""Answers to rows: what the model said about an image, beside what its corpus said.

Chunks of one image (over 100 boxes) are put together here: detections, groundings and counts are
united, and the image's caption is the first chunk's.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from fo1_data.confidence.signals import answer_signals
from fo1_data.corpus.images import DecodedImage
from fo1_data.label_questions import PlannedQuestion
from fo1_data.model.engine import OpenImage
from fo1_data.model.generation import Generation
from fo1_data.model.parsing import Span, parse_caption, parse_count, parse_grounded, parse_pointing
from fo1_data.proposals.proposer import Proposals
from schemas.corpus import CorpusImage, CorpusRegion
from schemas.images import Count, Grounding, ImageRow
from schemas.labels import Label, LabelKind, Source
from schemas.regions import Region, make_region_id

# Where each caption kind's text stands in a region.
_COLUMN = {
    LabelKind.BRIEF_CAPTION: "brief_caption",
    LabelKind.DETAILED_CAPTION: "detailed_caption",
    LabelKind.OCR: "text",
}


@dataclass(frozen=True)
class Answered:
    """A question with its answer."""

    question: PlannedQuestion
    generation: Generation


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


def fill_row(row: ImageRow, entry: CorpusImage, image: OpenImage, answers: Sequence[Answered]) -> None:
    """Put all answers about an image into its row, then what only the corpus says."""
    captions: list[str] = []
    pointed: dict[tuple[LabelKind, str], list[Answered]] = {}
    for answered in answers:
        question = answered.question
        if question.kind.per_region:
            _caption_region(row.regions[question.region or 0], answered)
        elif question.kind is LabelKind.GROUNDED_CAPTION:
            captions.append(_ground_caption(row, image, answered))
        else:
            pointed.setdefault((question.kind, question.phrase or ""), []).append(answered)
    for (kind, phrase), chunks in pointed.items():
        if kind is LabelKind.COUNT:
            row.counts.append(_count(row, image, phrase, chunks))
        else:
            row.groundings.append(_grounding(row, image, kind, phrase, chunks))
    _add_corpus_texts(row, entry, captions)


def _caption_region(region: Region, answered: Answered) -> None:
    text = parse_caption(answered.generation.text)
    setattr(region, _COLUMN[answered.question.kind], text)
    region.labels.append(
        Label(kind=answered.question.kind, text=text, signals=answer_signals(answered.generation))
    )


def _ground_caption(row: ImageRow, image: OpenImage, answered: Answered) -> str:
    """Add a grounded caption's spans to the row; returns its plain text."""
    chunk = answered.question.chunk
    parsed = parse_grounded(answered.generation.text, image.regions_in(chunk))
    for span in parsed.spans:
        label = Label(
            kind=LabelKind.GROUNDED_CAPTION,
            text=span.phrase,
            signals=answer_signals(answered.generation, span.out_of_range),
        )
        row.groundings.append(
            Grounding(
                phrase=span.phrase, kind=label.kind, region_ids=_ids(row, image, chunk, span), label=label
            )
        )
    return parsed.text


def _grounding(
    row: ImageRow, image: OpenImage, kind: LabelKind, phrase: str, chunks: Sequence[Answered]
) -> Grounding:
    spans = [
        parse_pointing(one.generation.text, phrase, image.regions_in(one.question.chunk)) for one in chunks
    ]
    ids = [
        i for one, span in zip(chunks, spans, strict=True) for i in _ids(row, image, one.question.chunk, span)
    ]
    weakest = _weakest(chunks)
    signals = answer_signals(weakest.generation, sum(span.out_of_range for span in spans))
    return Grounding(
        phrase=phrase, kind=kind, region_ids=ids, label=Label(kind=kind, text=phrase, signals=signals)
    )


def _count(row: ImageRow, image: OpenImage, phrase: str, chunks: Sequence[Answered]) -> Count:
    total, ids, out_of_range = 0, [], 0
    for one in chunks:
        chunk = one.question.chunk
        number, span = parse_count(one.generation.text, phrase, image.regions_in(chunk))
        total += number
        ids += _ids(row, image, chunk, span)
        out_of_range += span.out_of_range
    signals = answer_signals(_weakest(chunks).generation, out_of_range)
    label = Label(kind=LabelKind.COUNT, text=str(total), signals=signals)
    return Count(phrase=phrase, count=min(total, 2**31 - 1), region_ids=ids, label=label)


def _weakest(chunks: Sequence[Answered]) -> Answered:
    """The chunk whose answer is least sure: a label over chunks is as good as that one."""
    return min(chunks, key=lambda one: min(one.generation.logprobs, default=0.0))


def _ids(row: ImageRow, image: OpenImage, chunk: int, span: Span) -> list[str]:
    start = image.chunk_starts[chunk]
    return [row.regions[start + index].region_id for index in span.indices]


def _add_corpus_texts(row: ImageRow, entry: CorpusImage, captions: list[str]) -> None:
    """The image's caption is the corpus' where none was asked for; else that one is kept in `meta`."""
    meta = dict(entry.meta or {})
    said = next((caption for caption in captions if caption), None)
    row.caption = said if said is not None else entry.caption
    if said is not None and entry.caption is not None:
        meta["source_caption"] = entry.caption
    row.meta = json.dumps(meta, ensure_ascii=False, sort_keys=True) if meta else None
