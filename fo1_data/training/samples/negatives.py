"""Phrases that are not in an image, to learn absence from: near misses first.

Candidates are the labels, captions and phrases of the whole training set. A candidate is absent from an
image where nothing that is said of the image holds all of its words, nor is a name of something there all
held by it: a dog may well be a brown dog. A near miss shares a word with something that is there, as "red
circle" does with "red square". Articles and plurals make no difference. Only images whose regions all have
words are judged.
"""

from collections.abc import Iterable

import numpy as np

from fo1_data.training.samples.said import names_of, naming_words, texts_of
from schemas.corpus import CorpusImage, CorpusPhrase

MOST_PHRASES = 20_000
_LONGEST_WORDS = 6


class PhraseBook:
    """The phrases that a training set speaks of, each with its words."""

    def __init__(self, entries: Iterable[CorpusImage]) -> None:
        found: dict[str, tuple[str, frozenset[str]]] = {}
        for entry in entries:
            for text in _phrases_of(entry):
                words = naming_words(text)
                if words and len(words) <= _LONGEST_WORDS:
                    found.setdefault(text.casefold(), (text, words))
            if len(found) >= MOST_PHRASES:
                break
        # As they were written: phrases that are there are asked for so too, and case must tell nothing.
        written = [found[text] for text in sorted(found)]
        self.phrases = [text for text, _ in written]
        self._words = [words for _, words in written]

    def absent(
        self, entry: CorpusImage, rng: np.random.Generator, most: int, near_miss_share: float
    ) -> list[CorpusPhrase]:
        """Up to `most` phrases that the image does not show, `near_miss_share` of them near misses as far
        as there are any; none where the image's regions do not all say what they are."""
        of_regions = [[naming_words(text) for text in names_of(region)] for region in entry.regions or []]
        if not of_regions or not all(map(any, of_regions)) or not self.phrases:
            return []
        known = {phrase.text.casefold() for phrase in entry.phrases}
        there = {words for texts in of_regions for words in texts if words}
        there |= {naming_words(phrase.text) for phrase in entry.phrases if phrase.region_indices != []}
        there |= {naming_words(count.text) for count in entry.counts if count.count}
        there.discard(frozenset())
        denied = {phrase.text for phrase in entry.phrases if phrase.region_indices == []}
        denied |= {count.text for count in entry.counts if not count.count}
        spoken = {naming_words(text) for text in texts_of(entry) if text not in denied}
        present = frozenset().union(*there)
        near: list[str] = []
        far: list[str] = []
        # A few tries a phrase wanted: the book may be long.
        for place in rng.permutation(len(self.phrases))[: 40 * most].tolist():
            text, words = self.phrases[place], self._words[place]
            if text.casefold() not in known and not (
                any(words <= one for one in spoken) or any(one <= words for one in there)
            ):
                (near if words & present else far).append(text)
        num_near = min(len(near), int(rng.binomial(most, near_miss_share)))
        num_far = min(len(far), most - num_near)
        chosen = near[: most - num_far] if num_far < most - num_near else near[:num_near]
        return [CorpusPhrase(text=text, region_indices=[]) for text in [*chosen, *far[:num_far]]]


def _phrases_of(entry: CorpusImage) -> Iterable[str]:
    for region in entry.regions or []:
        yield from names_of(region)
    yield from (phrase.text for phrase in entry.phrases)
