"""What is said of an image, in words: all of it, what it names, whether it speaks of a side or a place."""

from collections.abc import Iterable, Iterator

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
    """What a region is called: its class, its caption."""
    return [text for text in (region.label, region.caption) if text]


def name_of(region: CorpusRegion) -> str | None:
    """The one name of a region, small: its caption, else its class; None where it has neither."""
    name = region.caption or region.label
    return name.casefold() if name else None


def texts_of(entry: CorpusImage) -> Iterator[str]:
    """Every text that may be asked or answered about an image."""
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


def speaks_of_side(texts: Iterable[str]) -> bool:
    """Whether a mirror would make any of the texts false."""
    return any(_SIDES & set(words_of(text)) for text in texts)


def speaks_of_place(texts: Iterable[str]) -> bool:
    """Whether any of the texts is true of where in its image something lies."""
    return any(_PLACES & set(words_of(text)) for text in texts)


def naming_words(text: str) -> frozenset[str]:
    """The words that tell what a text speaks of, in the singular."""
    words = [one for one in words_of(text) if one not in _ARTICLES]
    return frozenset(
        one[:-1] if len(one) > 3 and one.endswith("s") and not one.endswith("ss") else one for one in words
    )
