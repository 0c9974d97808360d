"""Free questions as a reviewer edits them: one entry each, the question above and its answer below it.

An entry's first line is its heading: its number, and the question with the box it is about in words. The
heading tells which answer an entry is; where somebody has changed or removed it, the number does, and else
the entry's place, as long as there are as many entries as were shown. Pure functions.
"""

import re
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher

from services.label_studio.shown import ShownAnswer, ShownImage, box_words

REGION = "{region}"
# A heading that somebody has corrected is still closer to what it was than an answer is.
_SAME_HEADING = 0.6
_COMPARED_CHARACTERS = 500
_NUMBER = re.compile(r"\s*(\d{1,6})\.(?=\s|$)")


def answer_entries(shown: ShownImage) -> list[str]:
    """The entry of every answer, in the order of `shown.answers`."""
    parts = zip(_headings(shown), shown.answers, strict=True)
    return [f"{heading}\n{part.answer}" if part.answer else heading for heading, part in parts]


def read_answers(entries: Sequence[str], shown: ShownImage) -> dict[int, str]:
    """The answers that entries hold, by their place in `shown.answers`; emptied and deleted ones are "".

    Where an entry cannot be told it may be any of the missing ones: these are absent then.
    """
    headings = _headings(shown)
    found: dict[int, str] = {}
    left = list(enumerate(entries))
    for rule in _RULES if headings else ():
        untold = []
        for at, entry in left:
            place = rule(entry, at, len(entries), headings)
            if place is None or place in found:
                untold.append((at, entry))
            else:
                found[place] = _answer_in(entry, headings[place])
        left = untold
    missing = [] if any(entry.strip() for _, entry in left) else range(len(headings))
    return {**dict.fromkeys(missing, ""), **found}


def _headings(shown: ShownImage) -> list[str]:
    boxes = box_words(shown)
    return [f"{number}. {_in_words(part, boxes)}".strip() for number, part in enumerate(shown.answers, 1)]


def _in_words(part: ShownAnswer, boxes: dict[str, str]) -> str:
    """The question on one line, with the box that it is about."""
    question = part.question
    if part.mark is not None:
        box = boxes[part.mark]
        question = question.replace(REGION, box) if REGION in question else f"{box}: {question}"
    return " ".join(question.split())


def _by_heading(entry: str, at: int, number: int, headings: Sequence[str]) -> int | None:
    place = _by_number(entry, at, number, headings)
    return place if place is not None and _has_heading(entry, headings[place]) else None


def _by_number(entry: str, at: int, number: int, headings: Sequence[str]) -> int | None:
    told = _NUMBER.match(entry)
    place = int(told[1]) - 1 if told else -1
    return place if 0 <= place < len(headings) else None


def _by_place(entry: str, at: int, number: int, headings: Sequence[str]) -> int | None:
    return at if number == len(headings) else None


_RULES: tuple[Callable[[str, int, int, Sequence[str]], int | None], ...] = (
    _by_heading,
    _by_number,
    _by_place,
)


def _has_heading(entry: str, heading: str) -> bool:
    rest = entry[len(heading) :]
    return entry.startswith(heading) and (not rest or rest[0].isspace())


def _answer_in(entry: str, heading: str) -> str:
    """What an entry says below its heading; all of it where the heading was replaced."""
    if _has_heading(entry, heading):
        rest = entry[len(heading) :]
        return rest[1:] if rest.startswith("\n") else rest.strip()
    first, _, rest = entry.partition("\n")
    if _alike(first, heading) >= _SAME_HEADING:
        return rest
    return entry.strip().removeprefix(heading.partition(" ")[0]).strip()


def _alike(one: str, other: str) -> float:
    first, second = (text[:_COMPARED_CHARACTERS].casefold() for text in (one, other))
    return SequenceMatcher(None, first, second).ratio()
