"""Which labels are right compared with gold, by one rule for each kind.

| kind | right if |
| --- | --- |
| `brief_caption`, `detailed_caption` | the caption agrees with gold, by the matcher `exact` or `words` |
| `ocr` | the edit distance is at most a tenth of the gold text's length (surrounding spaces ignored) |
| `detect`, `ground`, `grounded_caption` | the named regions are exactly gold's, matched by IoU 0.5 or more |
| `count` | the number is gold's |
| `ask`, `visual_example` | never judged by gold, only by people |

A label is not judged if gold has nothing to compare it with: a region without a gold box, a phrase that
gold does not list. A box that overlaps a gold box by IoU 0.5 or more is about that gold box, also if another
region fits it better. A label without a verdict is `missed` if gold judges labels of its kind in the image:
figures of error count it as wrong, since a label must not leave the count because its box is none of gold's.
`fo1_data.evaluation` uses the same matching.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fo1_data.dataset.label_parts import LabelPart, label_parts
from fo1_data.judging.matching import MATCH_IOU, Pair
from fo1_data.judging.phrases import gold_regions, named_regions
from fo1_data.judging.texts import CaptionMatch, brief_caption_right, says, text_right
from schemas.corpus import CorpusImage, CorpusRegion
from schemas.images import Count, Grounding
from schemas.labels import LabelKind, Source


@dataclass(frozen=True)
class Judged:
    """A label of a judged image with its verdict; `right` is None if it was not judged.

    `certifies`: the label is of a random sample and may count as evidence of the error rate. `eligible`:
    routing may accept it; False for labels that an earlier routing sent to review. `missed`: the sample that
    measures errors holds the label, but nothing judges it.
    """

    part: LabelPart
    right: bool | None
    certifies: bool = True
    eligible: bool = True
    missed: bool = False

    @property
    def evidence(self) -> bool | None:
        """The verdict that figures of error use: a missed label counts as wrong."""
        return False if self.missed else self.right


def judge_pairs(pairs: Iterable[Pair], how: CaptionMatch) -> list[Judged]:
    """Every label of a model in images that have gold, judged."""
    return [judged for pair in pairs for judged in _judge_pair(pair, how)]


def _judge_pair(pair: Pair, how: CaptionMatch) -> list[Judged]:
    parts = [part for part in label_parts(pair.row) if part.label.source is Source.MODEL]
    # Regions with equal boxes have equal ids.
    places = {id(region): place for place, region in enumerate(pair.row.regions)}
    verdicts = [judge(pair, part, how, places) for part in parts]
    judged_kinds = {part.kind for part, right in zip(parts, verdicts, strict=True) if right is not None}
    judged_kinds |= _text_kinds_of(pair.gold)
    return [
        Judged(part, right, missed=right is None and part.kind in judged_kinds)
        for part, right in zip(parts, verdicts, strict=True)
    ]


def _text_kinds_of(gold: CorpusImage) -> set[LabelKind]:
    """The kinds of texts that gold has in an image: all of them if it says that nothing is there."""
    if gold.regions is None:
        return set()
    has_text = {
        LabelKind.BRIEF_CAPTION: any(region.caption or region.label for region in gold.regions),
        LabelKind.DETAILED_CAPTION: any(region.detailed_caption for region in gold.regions),
        LabelKind.OCR: any(region.text is not None for region in gold.regions),
    }
    return {kind for kind, present in has_text.items() if present or not gold.regions}


def judge(pair: Pair, part: LabelPart, how: CaptionMatch, places: Mapping[int, int]) -> bool | None:
    """Whether a label of the pair's row is right; None if gold does not say.

    `places`: index of each region of the row by the `id` of the object.
    """
    if part.region is not None:
        gold = _gold_region(pair, places[id(part.region)])
        return None if gold is None else _text_right(part.kind, part.label.text, gold, how)
    if isinstance(part.part, Count):
        gold_counts = {count.text.casefold(): count.count for count in pair.gold.counts}
        number = gold_counts.get(part.subject.casefold())
        return None if number is None else part.part.count == number
    if isinstance(part.part, Grounding) and part.kind is not LabelKind.VISUAL_EXAMPLE:
        expected = gold_regions(pair, part.subject)
        return None if expected is None else named_regions(pair, part.part.region_ids) == expected
    return None


def _gold_region(pair: Pair, index: int) -> CorpusRegion | None:
    place = pair.gold_of[index]
    if place is None and pair.overlaps.shape[1]:
        nearest = int(pair.overlaps[index].argmax())
        place = nearest if pair.overlaps[index, nearest] >= MATCH_IOU else None
    return pair.gold.regions[place] if place is not None and pair.gold.regions else None


def _text_right(kind: LabelKind, text: str, gold: CorpusRegion, how: CaptionMatch) -> bool | None:
    if kind is LabelKind.BRIEF_CAPTION:
        return brief_caption_right(text, gold, how)
    if kind is LabelKind.DETAILED_CAPTION:
        return says(text, (gold.detailed_caption,), how) if gold.detailed_caption else None
    if kind is LabelKind.OCR and gold.text is not None:
        return text_right(text, gold.text)
    return None
