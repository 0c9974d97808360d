"""When a caption or a read text is right compared with the gold text."""

from collections.abc import Sequence
from typing import Literal

from fo1_data.judging.words import edit_distance, words_of
from schemas.corpus import CorpusRegion

CaptionMatch = Literal["exact", "words"]


MOST_CHARACTER_ERROR = 0.1


def says(caption: str, gold_texts: Sequence[str | None], how: CaptionMatch) -> bool:
    """Whether a caption agrees with gold. `gold_texts`: in order of preference.

    `exact`: its words are those of the first gold text. `words`: it has all words of any gold text.
    """
    accepted_words = [words_of(text) for text in gold_texts if text]
    if how == "exact":
        return bool(accepted_words) and words_of(caption) == accepted_words[0]
    caption_words = set(words_of(caption))
    return any(set(words) <= caption_words for words in accepted_words)


def brief_caption_right(caption: str, gold: CorpusRegion, how: CaptionMatch) -> bool | None:
    """Whether a brief caption is right; None if gold has neither caption nor label."""
    if not gold.caption and not gold.label:
        return None
    return says(caption, (gold.caption, gold.label), how)


def text_right(text: str, gold_text: str) -> bool:
    """Whether a read text is right: its edit distance is at most a tenth of the gold text's length.

    Surrounding spaces are ignored.
    """
    expected = gold_text.strip()
    return edit_distance(text.strip(), expected) <= MOST_CHARACTER_ERROR * len(expected)
