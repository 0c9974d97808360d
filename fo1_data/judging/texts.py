"""TODO-DOC."""

from collections.abc import Sequence
from typing import Literal

from fo1_data.judging.words import edit_distance, words_of
from schemas.corpus import CorpusRegion

CaptionMatch = Literal["exact", "words"]


MOST_CHARACTER_ERROR = 0.1


def says(caption: str, gold_texts: Sequence[str | None], how: CaptionMatch) -> bool:
    """Whether a caption says what gold says; `gold_texts` in order of preference."""
    known = [words_of(text) for text in gold_texts if text]
    if how == "exact":
        return bool(known) and words_of(caption) == known[0]
    spoken = set(words_of(caption))
    return any(set(words) <= spoken for words in known)


def brief_caption_right(caption: str, gold: CorpusRegion, how: CaptionMatch) -> bool | None:
    """Whether a brief caption is right; None where gold says nothing."""
    if not gold.caption and not gold.label:
        return None
    return says(caption, (gold.caption, gold.label), how)


def text_right(text: str, gold_text: str) -> bool:
    """Whether a read text is right: at most a tenth of gold's characters would have to be changed.

    Spaces around either are left out.
    """
    wanted = gold_text.strip()
    return edit_distance(text.strip(), wanted) <= MOST_CHARACTER_ERROR * len(wanted)
