"""Which regions of a large image count as a phrase: those that their captions do not contradict.

A phrase is asked in every tile. Most tiles show nothing of it, and in some of these the model names what
comes near it, so that a count grows with the number of tiles. The captions of the same regions are a second
answer. A word is *told* if captions hold it for nearly all regions that sure answers name by it. A region is
contradicted if its caption lacks a told word of the phrase. Words that captions leave out, or say otherwise
("sedan" of a "car"), are not told and contradict nothing. Compares words, not meanings. Pure functions.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fo1_data.dataset.phrase_words import head_words, words_of

# An answer is sure if its least sure token has this log-probability.
SURE_LOGPROB = math.log(0.9)
# A word is told by so many regions or more, of which at most one in ten lacks it.
LEAST_REGIONS = 8
_TOLD_SHARE = 0.9


@dataclass(frozen=True)
class Naming:
    """An answer about a phrase: the ids of the regions that it names, and whether it is sure."""

    phrase: str
    region_ids: Sequence[str]
    is_sure: bool


class CaptionCheck:
    """The captions of an image's regions, by their ids, and the words that they tell.

    namings: all answers about phrases that name regions. Regions without a caption are never contradicted.
    """

    def __init__(self, captions: Mapping[str, str], namings: Iterable[Naming]) -> None:
        self._words = {region_id: words_of(caption) for region_id, caption in captions.items()}
        self.told = self._told(namings)

    def agreeing(self, region_ids: Iterable[str], phrase: str) -> list[str]:
        """The regions whose captions, if they have any, hold all told words of the phrase."""
        told = head_words(phrase) & self.told
        return [one for one in region_ids if one not in self._words or told <= self._words[one]]

    def _told(self, namings: Iterable[Naming]) -> frozenset[str]:
        named: dict[str, set[str]] = defaultdict(set)
        for naming in namings:
            if naming.is_sure:
                for word in head_words(naming.phrase):
                    named[word].update(one for one in naming.region_ids if one in self._words)
        return frozenset(word for word, regions in named.items() if self._is_told(word, regions))

    def _is_told(self, word: str, regions: set[str]) -> bool:
        num_telling = sum(word in self._words[region_id] for region_id in regions)
        return len(regions) >= LEAST_REGIONS and num_telling >= _TOLD_SHARE * len(regions)
