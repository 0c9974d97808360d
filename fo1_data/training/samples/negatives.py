"""Absent phrases: phrases of the training set that an image does not show, to learn absence from.

Candidates are the labels, captions and phrases of the whole training set. A candidate counts as absent if no
text of the image contains all of its words, and if it does not contain all words of a name of something in
the image either (a "dog" may well be a "brown dog"). A near miss has a word in common with something in the
image, as "red circle" with "red square". Articles and plurals are ignored. An image of which a region has no
name gets no absent phrases.
"""

from collections.abc import Iterable, Set
from dataclasses import dataclass

import numpy as np

from fo1_data.training.samples.entry_texts import names_of, naming_words, texts_of
from schemas.corpus import CorpusImage, CorpusPhrase

MAX_PHRASES = 20_000
_MAX_WORDS = 6


class PhraseBook:
    """The phrases of a training set, at most 20,000 of at most six words each."""

    def __init__(self, entries: Iterable[CorpusImage]) -> None:
        phrases: dict[str, tuple[str, frozenset[str]]] = {}
        for entry in entries:
            for text in _phrases_of(entry):
                words = naming_words(text)
                if words and len(words) <= _MAX_WORDS:
                    phrases.setdefault(text.casefold(), (text, words))
            if len(phrases) >= MAX_PHRASES:
                break
        # In their original case, like phrases that are present: case must not give the answer away.
        in_order = [phrases[key] for key in sorted(phrases)]
        self.phrases = [text for text, _ in in_order]
        self._words = [words for _, words in in_order]

    def draw_absent(
        self, entry: CorpusImage, rng: np.random.Generator, num_phrases: int, near_miss_share: float
    ) -> list[CorpusPhrase]:
        """Draw up to `num_phrases` absent phrases, a share of `near_miss_share` near misses if there are any.

        Returns none if a region of the image has no name.
        """
        shown = _ShownWords.of(entry)
        if shown is None or not self.phrases:
            return []
        present_words = frozenset().union(*shown.present)
        near: list[str] = []
        far: list[str] = []
        # Only some tries per phrase, because the book may be long.
        for index in rng.permutation(len(self.phrases))[: 40 * num_phrases].tolist():
            text, words = self.phrases[index], self._words[index]
            if not shown.may_hold(text, words):
                (near if words & present_words else far).append(text)
        num_near = min(len(near), int(rng.binomial(num_phrases, near_miss_share)))
        num_far = min(len(far), num_phrases - num_near)
        chosen = near[: num_phrases - num_far] if num_far < num_phrases - num_near else near[:num_near]
        return [CorpusPhrase(text=text, region_indices=[]) for text in [*chosen, *far[:num_far]]]


@dataclass(frozen=True)
class _ShownWords:
    """What an image is known to show or may show, as the words that name it.

    `phrases`: asked of it, present or absent; `present`: in it; `mentioned`: in its texts, but for absent
    phrases and counts of none.
    """

    phrases: Set[str]
    present: Set[frozenset[str]]
    mentioned: Set[frozenset[str]]

    @classmethod
    def of(cls, entry: CorpusImage) -> "_ShownWords | None":
        """None if a region of the image has no name, or it has no regions."""
        region_names = [[naming_words(text) for text in names_of(region)] for region in entry.regions or []]
        if not region_names or not all(map(any, region_names)):
            return None
        present = {words for names in region_names for words in names if words}
        present |= {naming_words(phrase.text) for phrase in entry.phrases if phrase.region_indices != []}
        present |= {naming_words(count.text) for count in entry.counts if count.count}
        present.discard(frozenset())
        denied = {phrase.text for phrase in entry.phrases if phrase.region_indices == []}
        denied |= {count.text for count in entry.counts if not count.count}
        mentioned = {naming_words(text) for text in texts_of(entry) if text not in denied}
        return cls({phrase.text.casefold() for phrase in entry.phrases}, present, mentioned)

    def may_hold(self, text: str, words: frozenset[str]) -> bool:
        """Whether the image may show what a phrase with these words means, or was asked for it."""
        return (
            text.casefold() in self.phrases
            or any(words <= others for others in self.mentioned)
            or any(name <= words for name in self.present)
        )


def _phrases_of(entry: CorpusImage) -> Iterable[str]:
    for region in entry.regions or []:
        yield from names_of(region)
    yield from (phrase.text for phrase in entry.phrases)
