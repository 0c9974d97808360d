"""The texts of a corpus image: all of them, the names of its regions, and whether they mention a place."""

from collections.abc import Iterable, Iterator

from fo1_data.dataset.phrase_words import singular
from fo1_data.judging.words import words_of
from schemas.corpus import CorpusImage, CorpusRegion

_SIDES = frozenset(
    ("left", "right", "leftmost", "rightmost", "east", "west", "clockwise", "counterclockwise")
)
_PLACES = _SIDES.union(
    ("corner", "edge", "border", "middle", "center", "centre", "top", "bottom", "upper", "lower", "side")
)
_ARTICLES = frozenset({"a", "an", "the"})


def names_of(region: CorpusRegion) -> list[str]:
    """The names of a region: its class, its caption."""
    return [text for text in (region.label, region.caption) if text]


def name_of(region: CorpusRegion) -> str | None:
    """The main name of a region in lower case: its caption, else its class; None if it has neither."""
    name = region.caption or region.label
    return name.casefold() if name else None


def texts_of(entry: CorpusImage) -> Iterator[str]:
    """Every text of an image that a question or an answer may contain."""
    if entry.caption:
        yield entry.caption
    for region in entry.regions or []:
        yield from names_of(region)
        if region.detailed_caption:
            yield region.detailed_caption
    yield from (phrase.text for phrase in entry.phrases)
    yield from (count.text for count in entry.counts)
    for answer in entry.answers:
        yield from filter(None, (answer.question, answer.answer, answer.reasoning))


def mention_side(texts: Iterable[str]) -> bool:
    """Whether mirroring the image could make any of the texts false."""
    return any(_SIDES & set(words_of(text)) for text in texts)


def mention_place(texts: Iterable[str]) -> bool:
    """Whether any of the texts depends on where in the image something is."""
    return any(_PLACES & set(words_of(text)) for text in texts)


def naming_words(text: str) -> frozenset[str]:
    """The words of a text without articles, singular."""
    return frozenset(singular(word) for word in words_of(text) if word not in _ARTICLES)
