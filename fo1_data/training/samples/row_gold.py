"""A dataset's row as gold to train on: its settled labels, and the trust in each.

A label is settled if no review is pending for it. Of several labels of one phrase, a person's is taken, else
the one with the highest confidence. The corpus' own label replaces an answer that is not settled; it is gold.
"""

from collections.abc import Iterable
from typing import NamedTuple

from fo1_data.dataset.human_labels import is_locked
from fo1_data.training.samples.image_labels import LabelKey, LabelTrust, least_trusted
from schemas.corpus import CorpusAnswer, CorpusCount, CorpusExample, CorpusImage, CorpusPhrase, CorpusRegion
from schemas.images import Grounding, ImageRow
from schemas.labels import Decision, Label, LabelKind, Source
from schemas.regions import Region

_POINTING = (LabelKind.GROUND, LabelKind.DETECT)


class _PhraseLabel(NamedTuple):
    """A label of a phrase: the indices of its regions, or their number, or both."""

    phrase: str
    region_indices: list[int] | None
    num_regions: int | None
    label: Label


def row_to_gold(row: ImageRow) -> tuple[CorpusImage, dict[LabelKey, LabelTrust]]:
    """The settled labels of a row in the form of gold, and the trust in them; a label without one is gold."""
    reading = _RowReading(row)
    caption, caption_phrases = reading.caption()
    gold = CorpusImage(
        uri=row.image.path or row.uri,
        width=row.width,
        height=row.height,
        regions=[reading.region(index, region) for index, region in enumerate(row.regions)],
        caption=caption,
        caption_phrases=caption_phrases,
        phrases=reading.phrases(),
        counts=reading.counts(),
        answers=reading.answers(),
        examples=reading.examples(),
    )
    return gold, reading.trust


class _RowReading:
    """A row being read; `trust` is filled by the methods."""

    def __init__(self, row: ImageRow) -> None:
        self._row = row
        self._index_of = {region.region_id: index for index, region in enumerate(row.regions)}
        self.trust: dict[LabelKey, LabelTrust] = {}

    def region(self, index: int, region: Region) -> CorpusRegion:
        """A region with its class, captions and text."""
        return CorpusRegion(
            box_xyxy=region.box_xyxy,
            label=_class_of(region, self._row.groundings),
            caption=self._text(index, region, LabelKind.BRIEF_CAPTION, region.brief_caption),
            detailed_caption=self._text(index, region, LabelKind.DETAILED_CAPTION, region.detailed_caption),
            text=self._text(index, region, LabelKind.OCR, region.text),
        )

    def phrases(self) -> list[CorpusPhrase]:
        """Each phrase once, with its regions, also taken from a count that names all regions it counts.

        The regions of a phrase that has no settled label are None (not known).
        """
        labels = [
            _PhraseLabel(part.phrase, self._indices(part.region_ids), None, part.label)
            for part in self._row.groundings
            if part.kind in _POINTING
        ]
        labels += [
            _PhraseLabel(part.phrase, self._indices(part.region_ids), part.count, part.label)
            for part in self._row.counts
            if len(part.region_ids) == part.count
        ]
        settled = _choose_labels(labels)
        for entry in settled:
            for kind in (LabelKind.GROUND, LabelKind.COUNT):
                self.trust[kind, None, entry.phrase] = _trust(entry.label)
        self._spelling = {entry.phrase.casefold(): entry.phrase for entry in settled}
        unsettled = dict.fromkeys(
            entry.phrase for entry in labels if entry.phrase.casefold() not in self._spelling
        )
        return [
            *(CorpusPhrase(text=entry.phrase, region_indices=entry.region_indices) for entry in settled),
            *(CorpusPhrase(text=phrase) for phrase in unsettled),
        ]

    def counts(self) -> list[CorpusCount]:
        """The number of regions of each phrase, whether or not the regions are known.

        Must run after `phrases`, whose spelling of a phrase it uses.
        """
        settled = _choose_labels(
            _PhraseLabel(part.phrase, None, part.count, part.label) for part in self._row.counts
        )
        for entry in settled:
            phrase = self._spelling.get(entry.phrase.casefold(), entry.phrase)
            self.trust[LabelKind.COUNT, None, phrase] = _trust(entry.label)
        return [CorpusCount(text=entry.phrase, count=entry.num_regions or 0) for entry in settled]

    def caption(self) -> tuple[str | None, list[CorpusPhrase]]:
        """The image's caption and its grounded phrases; nothing if none of the phrases is settled."""
        row, label = self._row, self._row.caption_label
        parts = [
            part
            for part in row.groundings
            if part.kind is LabelKind.GROUNDED_CAPTION and part.phrase in (row.caption or "")
        ]
        settled = [part for part in parts if is_settled(part.label)]
        if not settled or (label is None and len(settled) < len(parts)):
            return None, []
        trust = least_trusted(_trust(part.label) for part in settled) if label is None else _trust(label)
        if trust is not None:
            self.trust[LabelKind.GROUNDED_CAPTION, None, None] = trust
        phrases = [
            CorpusPhrase(text=part.phrase, region_indices=self._indices(part.region_ids)) for part in settled
        ]
        return row.caption, phrases

    def answers(self) -> list[CorpusAnswer]:
        """Free questions with their settled answers."""
        answers = []
        for part in self._row.answers:
            index = None if part.region_id is None else self._index_of.get(part.region_id)
            if not is_settled(part.label) or (part.region_id is not None and index is None):
                continue
            self.trust[LabelKind.ASK, index, part.question] = _trust(part.label)
            answers.append(
                CorpusAnswer(
                    question=part.question, answer=part.answer, reasoning=part.reasoning, region_index=index
                )
            )
        return answers

    def examples(self) -> list[CorpusExample]:
        """Visual examples with the regions that show the same."""
        examples = []
        for part in self._row.groundings:
            index = self._index_of.get(part.phrase)
            if part.kind is LabelKind.VISUAL_EXAMPLE and index is not None and is_settled(part.label):
                self.trust[LabelKind.VISUAL_EXAMPLE, index, None] = _trust(part.label)
                examples.append(
                    CorpusExample(region_index=index, region_indices=self._indices(part.region_ids))
                )
        return examples

    def _text(self, index: int, region: Region, kind: LabelKind, answer: str | None) -> str | None:
        """The answer of a kind if it is settled, else the corpus' own text."""
        label = next((label for label in reversed(region.labels) if _is_answer(label, kind)), None)
        if answer is not None and (label is None or is_settled(label)):
            if label is not None:
                self.trust[kind, index, None] = _trust(label)
            return answer
        if kind is LabelKind.BRIEF_CAPTION:
            return region.source_caption
        return next(
            (own.text for own in region.labels if own.kind is kind and not _is_answer(own, kind)), None
        )

    def _indices(self, region_ids: Iterable[str]) -> list[int]:
        return [self._index_of[region_id] for region_id in region_ids if region_id in self._index_of]


def is_settled(label: Label) -> bool:
    """False if the label waits for review by a person."""
    return label.decision != Decision.REVIEW


def _class_of(region: Region, groundings: Iterable[Grounding]) -> str | None:
    """The corpus' class of a region, unless a person gave it another one."""
    human_classes = [
        part.phrase
        for part in groundings
        if part.kind is LabelKind.DETECT and is_locked(part.label) and region.region_id in part.region_ids
    ]
    if not human_classes or region.corpus_label in human_classes:
        return region.corpus_label
    return human_classes[-1]


def _choose_labels(labels: Iterable[_PhraseLabel]) -> list[_PhraseLabel]:
    """One settled label per phrase: a person's, else that with the highest confidence, else the last."""
    chosen: dict[str, _PhraseLabel] = {}
    for entry in labels:
        if is_settled(entry.label):
            key = entry.phrase.casefold()
            other = chosen.get(key)
            if other is None or _rank(entry.label) >= _rank(other.label):
                chosen[key] = entry
    return list(chosen.values())


def _rank(label: Label) -> tuple[bool, float]:
    return is_locked(label), 0.0 if label.confidence is None else label.confidence


def _trust(label: Label) -> LabelTrust:
    return LabelTrust(is_locked(label), label.confidence)


def _is_answer(label: Label, kind: LabelKind) -> bool:
    return label.kind is kind and label.source is not Source.CORPUS
