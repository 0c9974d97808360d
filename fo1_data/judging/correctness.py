"""Which labels are right compared with gold, by one rule for each kind.

| kind | right if |
| --- | --- |
| `brief_caption`, `detailed_caption` | the caption agrees with gold, by the matcher `exact` or `words` |
| `ocr` | the edit distance is at most a tenth of the gold text's length (surrounding spaces ignored) |
| `detect`, `ground`, `grounded_caption` | the named regions are exactly gold's, matched by IoU 0.5 or more |
| `count` | the number is gold's |
| `ask`, `visual_example` | never judged by gold, only by people |

A label is not judged if gold has nothing to compare it with: a region without a gold box, a phrase that
gold does not list. `fo1_data.evaluation` uses the same matching.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from fo1_data.dataset.label_parts import LabelPart, label_parts
from fo1_data.judging.matching import Pair
from fo1_data.judging.phrases import gold_regions, named_regions
from fo1_data.judging.texts import CaptionMatch, brief_caption_right, says, text_right
from schemas.corpus import CorpusRegion
from schemas.images import Count, Grounding
from schemas.labels import LabelKind, Source


@dataclass(frozen=True)
class Judged:
    """A label of a judged image with its verdict; `right` is None if it was not judged.

    `certifies`: the label is of a random sample and may count as evidence of the error rate. `eligible`:
    routing may accept it; False for labels that an earlier routing sent to review.
    """

    part: LabelPart
    right: bool | None
    certifies: bool = True
    eligible: bool = True


def judge_pairs(pairs: Iterable[Pair], how: CaptionMatch) -> list[Judged]:
    """Every label of a model in images that have gold, judged."""
    return [
        Judged(part, judge(pair, part, how))
        for pair in pairs
        for part in label_parts(pair.row)
        if part.label.source is Source.MODEL
    ]


def judge(pair: Pair, part: LabelPart, how: CaptionMatch) -> bool | None:
    """Whether a label of the pair's row is right; None if gold does not say."""
    if part.region is not None:
        gold = _gold_region(pair, part)
        return None if gold is None else _text_right(part.kind, part.label.text, gold, how)
    if isinstance(part.part, Count):
        gold_counts = {count.text.casefold(): count.count for count in pair.gold.counts}
        number = gold_counts.get(part.subject.casefold())
        return None if number is None else part.part.count == number
    if isinstance(part.part, Grounding) and part.kind is not LabelKind.VISUAL_EXAMPLE:
        expected = gold_regions(pair.gold, part.subject)
        return None if expected is None else named_regions(pair, part.part.region_ids) == expected
    return None


def _gold_region(pair: Pair, part: LabelPart) -> CorpusRegion | None:
    places = zip(pair.row.regions, pair.gold_of, strict=True)
    place = next((gold for region, gold in places if region is part.region), None)
    return pair.gold.regions[place] if place is not None and pair.gold.regions else None


def _text_right(kind: LabelKind, text: str, gold: CorpusRegion, how: CaptionMatch) -> bool | None:
    if kind is LabelKind.BRIEF_CAPTION:
        return brief_caption_right(text, gold, how)
    if kind is LabelKind.DETAILED_CAPTION:
        return says(text, (gold.detailed_caption,), how) if gold.detailed_caption else None
    if kind is LabelKind.OCR and gold.text is not None:
        return text_right(text, gold.text)
    return None
