"""Phrases that are not in an image, to learn absence from: near misses first.

Candidates are the labels, captions and phrases of the whole training set. A candidate is absent from an
image where no region's words hold all of its words; a near miss shares a word with something that is
there, as "red circle" does with "red square". Only images whose regions all have words are judged.
"""

from collections.abc import Iterable

import numpy as np

from fo1_data.evaluation.words import words_of
from schemas.corpus import CorpusImage, CorpusPhrase, CorpusRegion

MOST_PHRASES = 20_000
_LONGEST_WORDS = 6


class PhraseBook:
    """The phrases that a training set speaks of, each with its words."""

    def __init__(self, entries: Iterable[CorpusImage]) -> None:
        found: dict[str, frozenset[str]] = {}
        for entry in entries:
            for text in _texts(entry):
                words = frozenset(words_of(text))
                if words and len(words) <= _LONGEST_WORDS:
                    found.setdefault(text.casefold(), words)
            if len(found) >= MOST_PHRASES:
                break
        self.phrases = sorted(found)
        self._words = [found[text] for text in self.phrases]

    def absent(
        self, entry: CorpusImage, rng: np.random.Generator, most: int, near_miss_share: float
    ) -> list[CorpusPhrase]:
        """Up to `most` phrases that the image does not show, `near_miss_share` of them near misses as far
        as there are any; none where the image's regions do not all say what they are."""
        spoken = [frozenset(words_of(_said(region))) for region in entry.regions or []]
        if not spoken or not all(spoken) or not self.phrases:
            return []
        known = {phrase.text.casefold() for phrase in entry.phrases}
        present = frozenset().union(*spoken)
        near: list[str] = []
        far: list[str] = []
        # A few tries a phrase wanted: the book may be long.
        for place in rng.permutation(len(self.phrases))[: 40 * most].tolist():
            text, words = self.phrases[place], self._words[place]
            if text not in known and not any(words <= one for one in spoken):
                (near if words & present else far).append(text)
        num_near = min(len(near), int(rng.binomial(most, near_miss_share)))
        num_far = min(len(far), most - num_near)
        chosen = near[: most - num_far] if num_far < most - num_near else near[:num_near]
        return [CorpusPhrase(text=text, region_indices=[]) for text in [*chosen, *far[:num_far]]]


def _texts(entry: CorpusImage) -> Iterable[str]:
    for region in entry.regions or []:
        yield from (text for text in (region.label, region.caption) if text)
    yield from (phrase.text for phrase in entry.phrases)


def _said(region: CorpusRegion) -> str:
    return f"{region.label or ''} {region.caption or ''}"
