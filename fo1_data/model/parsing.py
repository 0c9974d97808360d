"""Parses answers of the model, as text, to labels. Every string parses; nothing raises.

Region indices count within the prompt. An index beyond the prompt's regions is counted, because it is a sign
of a less reliable answer.
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
    """A phrase and its regions, unique and in the order of the answer.

    out_of_range: the number of indices beyond the prompt's regions.
    """

    phrase: str
    indices: list[int]
    out_of_range: int = 0


@dataclass(frozen=True)
class Grounded:
    """A grounded answer: its plain text and its spans."""

    text: str
    spans: list[Span] = field(default_factory=list)


def parse_caption(answer: str) -> str:
    """A caption: the answer without markup, with single spaces."""
    while _TAGS.search(answer):  # what stood around a tag may make another one
        answer = _TAGS.sub(" ", answer)
    return " ".join(answer.split())


def parse_grounded(answer: str, num_regions: int) -> Grounded:
    """A caption with spans of the form `<ground>phrase</ground><objects><regionI>...</objects>`."""
    spans = [
        _span(" ".join(phrase.split()), objects, num_regions) for phrase, objects in _SPAN.findall(answer)
    ]
    return Grounded(parse_caption(_SPAN.sub(lambda m: m.group(1), answer)), spans)


def parse_pointing(answer: str, phrase: str, num_regions: int) -> Span:
    """The regions in all `<objects>` lists of an answer to "detect {phrase}"."""
    listed = "".join(_OBJECTS.findall(answer)) or answer
    return _span(phrase, listed, num_regions)


def parse_count(answer: str, phrase: str, num_regions: int) -> tuple[int, Span]:
    """The last number of an answer, and its regions; without a number, the count of the regions."""
    span = parse_pointing(answer, phrase, num_regions)
    numbers = _NUMBER.findall(_TAGS.sub(" ", _OBJECTS.sub(" ", answer)))
    return (_at_most(numbers[-1]) if numbers else len(span.indices)), span


def parse_reasoned(answer: str) -> tuple[str, str | None]:
    """The answer, and apart from it the reasoning in `<think>` (None if there is none).

    If the text outside of the reasoning has an `<answer>`, only this is the answer. Reasoning without an end
    leaves an empty answer.
    """
    reasoning = " ".join(" ".join(_THINK.findall(answer)).split())
    rest = _THINK.sub(" ", answer)
    return parse_caption(" ".join(_ANSWER.findall(rest)) or rest), reasoning or None


def _at_most(digits: str) -> int:
    """A number, at most `MOST_COUNT`; of many digits only some are read."""
    digits = digits.lstrip("0") or "0"
    return MOST_COUNT if len(digits) > len(str(MOST_COUNT)) else min(int(digits), MOST_COUNT)


def _span(phrase: str, objects: str, num_regions: int) -> Span:
    indices = [int(digits[:6]) for digits in _REGION.findall(objects)]
    in_range = list(dict.fromkeys(index for index in indices if index < num_regions))
    return Span(phrase, in_range, sum(index >= num_regions for index in indices))
