"""What a dataset's row teaches: its settled labels in the form of gold, and how far each is to be trusted.

Settled is what no person must still look at. Of several labels of one phrase a person's is taken, else the
surest. What the corpus itself says stands in for an answer that is not settled, and is gold.
"""

from collections.abc import Iterable
from typing import NamedTuple

from fo1_data.dataset.human_labels import caption_label, is_locked
from fo1_data.training.samples.questions import Trust, TrustKey, weakest
from schemas.corpus import CorpusAnswer, CorpusCount, CorpusExample, CorpusImage, CorpusPhrase, CorpusRegion
from schemas.images import Grounding, ImageRow
from schemas.labels import Decision, Label, LabelKind, Source
from schemas.regions import Region

_POINTING = (LabelKind.GROUND, LabelKind.DETECT)


class _Said(NamedTuple):
    """What one label says of a phrase: the places of the regions it names, or how many there are."""

    phrase: str
    named: list[int] | None
    number: int | None
    label: Label


def read_row(row: ImageRow) -> tuple[CorpusImage, dict[TrustKey, Trust]]:
    """The row in the form of gold, less what is still to be reviewed, and the trust in each answer; what is
    not in the latter is gold."""
    reading = _Reading(row)
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


class _Reading:
    """A row being read; `trust` fills on the way."""

    def __init__(self, row: ImageRow) -> None:
        self._row = row
        self._place = {region.region_id: index for index, region in enumerate(row.regions)}
        self.trust: dict[TrustKey, Trust] = {}

    def region(self, index: int, region: Region) -> CorpusRegion:
        """What a region is called and what is said of it."""
        return CorpusRegion(
            box_xyxy=region.box_xyxy,
            label=_class_of(region, self._row.groundings),
            caption=self._text(index, region, LabelKind.BRIEF_CAPTION, region.brief_caption),
            detailed_caption=self._text(index, region, LabelKind.DETAILED_CAPTION, region.detailed_caption),
            text=self._text(index, region, LabelKind.OCR, region.text),
        )

    def phrases(self) -> list[CorpusPhrase]:
        """Each phrase once, with the regions it names; a count that names all it counts tells them too.

        Of one that is not settled it is not known which they are.
        """
        said = [
            _Said(part.phrase, self._places(part.region_ids), None, part.label)
            for part in self._row.groundings
            if part.kind in _POINTING
        ]
        said += [
            _Said(part.phrase, self._places(part.region_ids), part.count, part.label)
            for part in self._row.counts
            if len(part.region_ids) == part.count
        ]
        chosen = _surest(said)
        for one in chosen:
            for kind in (LabelKind.GROUND, LabelKind.COUNT):
                self.trust[kind, None, one.phrase] = _trust(one.label)
        self._spelled = {one.phrase.casefold(): one.phrase for one in chosen}
        open_ones = dict.fromkeys(one.phrase for one in said if one.phrase.casefold() not in self._spelled)
        return [
            *(CorpusPhrase(text=one.phrase, region_indices=one.named) for one in chosen),
            *(CorpusPhrase(text=text) for text in open_ones),
        ]

    def counts(self) -> list[CorpusCount]:
        """How many there are of each phrase, whether or not it is known which; after `phrases`."""
        chosen = _surest(_Said(part.phrase, None, part.count, part.label) for part in self._row.counts)
        for one in chosen:
            phrase = self._spelled.get(one.phrase.casefold(), one.phrase)
            self.trust[LabelKind.COUNT, None, phrase] = _trust(one.label)
        return [CorpusCount(text=one.phrase, count=one.number or 0) for one in chosen]

    def caption(self) -> tuple[str | None, list[CorpusPhrase]]:
        """The image's caption and its grounded phrases; nothing where none of them is settled."""
        row, label = self._row, caption_label(self._row)
        parts = [
            part
            for part in row.groundings
            if part.kind is LabelKind.GROUNDED_CAPTION and part.phrase in (row.caption or "")
        ]
        settled = [part for part in parts if is_settled(part.label)]
        if not settled or (label is None and len(settled) < len(parts)):
            return None, []
        whole = weakest(_trust(part.label) for part in settled) if label is None else _trust(label)
        if whole is not None:
            self.trust[LabelKind.GROUNDED_CAPTION, None, None] = whole
        phrases = [
            CorpusPhrase(text=part.phrase, region_indices=self._places(part.region_ids)) for part in settled
        ]
        return row.caption, phrases

    def answers(self) -> list[CorpusAnswer]:
        """Free questions with their answers."""
        found = []
        for part in self._row.answers:
            index = None if part.region_id is None else self._place.get(part.region_id)
            if not is_settled(part.label) or (part.region_id is not None and index is None):
                continue
            self.trust[LabelKind.ASK, index, part.question] = _trust(part.label)
            found.append(
                CorpusAnswer(
                    question=part.question, answer=part.answer, reasoning=part.reasoning, region_index=index
                )
            )
        return found

    def examples(self) -> list[CorpusExample]:
        """Examples with the regions of their kind."""
        found = []
        for part in self._row.groundings:
            index = self._place.get(part.phrase)
            if part.kind is LabelKind.VISUAL_EXAMPLE and index is not None and is_settled(part.label):
                self.trust[LabelKind.VISUAL_EXAMPLE, index, None] = _trust(part.label)
                found.append(CorpusExample(region_index=index, region_indices=self._places(part.region_ids)))
        return found

    def _text(self, index: int, region: Region, kind: LabelKind, answer: str | None) -> str | None:
        """The answer of a kind where it is settled, else what the corpus says."""
        label = next((one for one in reversed(region.labels) if _is_answer(one, kind)), None)
        if answer is not None and (label is None or is_settled(label)):
            if label is not None:
                self.trust[kind, index, None] = _trust(label)
            return answer
        if kind is LabelKind.BRIEF_CAPTION:
            return region.source_caption
        return next(
            (one.text for one in region.labels if one.kind is kind and not _is_answer(one, kind)), None
        )

    def _places(self, region_ids: Iterable[str]) -> list[int]:
        return [self._place[one] for one in region_ids if one in self._place]


def is_settled(label: Label) -> bool:
    """False where a person must still look at the label."""
    return label.decision != Decision.REVIEW


def _class_of(region: Region, groundings: Iterable[Grounding]) -> str | None:
    """The corpus' class of a region, unless people have found it to be another one."""
    named = [
        part.phrase
        for part in groundings
        if part.kind is LabelKind.DETECT and is_locked(part.label) and region.region_id in part.region_ids
    ]
    return region.source_label if not named or region.source_label in named else named[-1]


def _surest(said: Iterable[_Said]) -> list[_Said]:
    """Of each phrase the settled label to believe: a person's, else the surest, else the last."""
    chosen: dict[str, _Said] = {}
    for one in said:
        if is_settled(one.label):
            key = one.phrase.casefold()
            other = chosen.get(key)
            if other is None or _sureness(one.label) >= _sureness(other.label):
                chosen[key] = one
    return list(chosen.values())


def _sureness(label: Label) -> tuple[bool, float]:
    return is_locked(label), 0.0 if label.confidence is None else label.confidence


def _trust(label: Label) -> Trust:
    return Trust(is_locked(label), label.confidence)


def _is_answer(label: Label, kind: LabelKind) -> bool:
    return label.kind is kind and label.source is not Source.CORPUS
