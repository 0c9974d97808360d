"""What a person changed in the counts of an image: the lines of one text field. Pure functions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from schemas.corrections import CorrectionAction, CorrectionValue
from services.label_studio.counts import counts_text, parse_counts
from services.label_studio.shown import ShownCount


@dataclass(frozen=True)
class CountChange:
    """What is said of one count, as fields of a correction: another number, or whether it is right."""

    action: CorrectionAction
    phrase: str
    before: CorrectionValue | None
    after: CorrectionValue | None = None
    right: bool | None = None


def count_changes(shown: Sequence[ShownCount], text: str) -> Iterator[CountChange]:
    """Yield counts changed, confirmed or deleted; a deleted line is a wrong count. `text`: of the field."""
    if text == counts_text(shown):
        yield from (_verdict(part, right=True) for part in shown)
        return
    by_phrase = {part.phrase: part for part in shown}
    edited = parse_counts(text, by_phrase)
    for phrase, count in edited.numbers.items():
        part = by_phrase.get(phrase)
        if part is not None and part.count == count:
            yield _verdict(part, right=True)
        else:
            before = _value(part) if part is not None else None
            yield CountChange(CorrectionAction.RECOUNTED, phrase, before, CorrectionValue(count=count))
    for phrase, part in by_phrase.items():
        if not edited.not_read and phrase not in edited.numbers and phrase not in edited.unnumbered:
            yield _verdict(part, right=False)


def _verdict(part: ShownCount, right: bool) -> CountChange:
    return CountChange(CorrectionAction.VERDICT, part.phrase, _value(part), right=right)


def _value(part: ShownCount) -> CorrectionValue:
    return CorrectionValue(count=part.count, region_ids=part.region_ids)
