"""What a detector is told to look for: words of the run, and those that the corpus has for an image."""

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.corpus import CorpusImage

# What is looked for in an image for which there are no words.
DEFAULT_WORDS = ("object",)


@dataclass(frozen=True)
class SoughtWords:
    """`fixed`: looked for in every image. `own_phrases`, `own_counts`: whether the phrases of an image, and
    the words that its counts name, are looked for in that image as well."""

    fixed: tuple[str, ...] = ()
    own_phrases: bool = False
    own_counts: bool = False

    def of(self, entry: CorpusImage) -> tuple[str, ...]:
        """The words to look for in an image, each once, in order; at least one."""
        words = list(self.fixed)
        if self.own_counts:
            words += [count.text for count in entry.counts]
        if self.own_phrases:
            words += [phrase.text for phrase in entry.phrases]
        return _each_once(words) or DEFAULT_WORDS

    def of_a_probe(self) -> tuple[str, ...]:
        """The words to try the detector with, before there is an image."""
        return _each_once(self.fixed) or DEFAULT_WORDS


def _each_once(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(stripped for word in words if (stripped := word.strip())))
