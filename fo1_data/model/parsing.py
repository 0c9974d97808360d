"""Answers of the model, as text, to labels. Total: any string parses to something.

Indices are those the answer names, within the prompt's regions; an index that no region has is
counted, never raised: it is a sign that the answer is worth less.
"""

import re
from dataclasses import dataclass, field

from schemas.labels import MOST_COUNT

_SPAN = re.compile(r"<ground>(.*?)</ground>\s*<objects>(.*?)(?:</objects>|(?=<ground>)|$)", re.DOTALL)
_OBJECTS = re.compile(r"<objects>(.*?)(?:</objects>|$)", re.DOTALL)
_REGION = re.compile(r"<region(\d+)>")
_TAGS = re.compile(r"</?(?:ground|objects|think|answer)>|<region\d+>|<\|[^|<>]*\|>")
_NUMBER = re.compile(r"\d+")
_ANSWER = re.compile(r"<answer>(.*?)(?:</answer>|$)", re.DOTALL)
_THINK = re.compile(r"<think>(.*?)(?:</think>|$)", re.DOTALL)


@dataclass(frozen=True)
class Span:
    """A phrase and the regions it names: unique, in the order of the answer."""

    phrase: str
    indices: list[int]
    out_of_range: int = 0


@dataclass(frozen=True)
class Grounded:
    """An answer that points: its plain text and its spans."""

    text: str
    spans: list[Span] = field(default_factory=list)


def parse_caption(answer: str) -> str:
    """A caption: the answer without markup, white space folded."""
    return " ".join(_TAGS.sub(" ", answer).split())


def parse_grounded(answer: str, num_regions: int) -> Grounded:
    """A caption with `<ground>phrase</ground><objects><regionI>...</objects>` spans in it."""
    spans = [
        _span(" ".join(phrase.split()), objects, num_regions) for phrase, objects in _SPAN.findall(answer)
    ]
    return Grounded(parse_caption(_SPAN.sub(lambda m: m.group(1), answer)), spans)


def parse_pointing(answer: str, phrase: str, num_regions: int) -> Span:
    """Which regions an answer to "detect {phrase}" names, over all its `<objects>` lists."""
    listed = "".join(_OBJECTS.findall(answer)) or answer
    return _span(phrase, listed, num_regions)


def parse_count(answer: str, phrase: str, num_regions: int) -> tuple[int, Span]:
    """The number an answer ends with, and the regions it names; without a number, how many they are."""
    span = parse_pointing(answer, phrase, num_regions)
    numbers = _NUMBER.findall(_TAGS.sub(" ", _OBJECTS.sub(" ", answer)))
    return (min(int(numbers[-1]), MOST_COUNT) if numbers else len(span.indices)), span


def parse_reasoned(answer: str) -> tuple[str, str | None]:
    """An answer and, apart from it, the reasoning in `<think>`.

    Where the rest marks its `<answer>`, that alone is the answer; reasoning that never ends leaves none.
    """
    thoughts = [" ".join(thought.split()) for thought in _THINK.findall(answer)]
    rest = _THINK.sub(" ", answer)
    return parse_caption(" ".join(_ANSWER.findall(rest)) or rest), " ".join(thoughts) or None


def _span(phrase: str, objects: str, num_regions: int) -> Span:
    named = [int(digits[:6]) for digits in _REGION.findall(objects)]
    inside = list(dict.fromkeys(index for index in named if index < num_regions))
    return Span(phrase, inside, sum(index >= num_regions for index in named))
