"""Free questions as a reviewer edits them: one text entry each, the question above and its answer below.

The first line of an entry is its heading: a number, and the question with the box it is about in words.
Entries are matched to answers by their heading; if somebody has changed or removed it, by the number; else
by the entry's place, as long as there are as many entries as were shown. Pure functions.
"""

import re
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher

from services.label_studio.shown import REGION, ShownAnswer, ShownImage, box_words

# A heading that somebody has edited is still more similar to the original than any answer is.
_MIN_SIMILARITY = 0.6
_COMPARED_CHARACTERS = 500
_NUMBER = re.compile(r"\s*(\d{1,6})\.(?=\s|$)")


def answer_entries(shown: ShownImage) -> list[str]:
    """Return the entry of every answer, in the order of `shown.answers`."""
    parts = zip(_headings(shown), shown.answers, strict=True)
    return [f"{heading}\n{part.answer}" if part.answer else heading for heading, part in parts]


def parse_answers(entries: Sequence[str], shown: ShownImage) -> tuple[dict[int, str], list[str]]:
    """Return the answers in entries, by index in `shown.answers`, and the entries that match none.

    Emptied and deleted answers are "". If an entry matches no answer, it may be any of the missing ones, so
    these are left out.
    """
    headings = _headings(shown)
    answers: dict[int, str] = {}
    unmatched = list(enumerate(entries))
    for rule in _RULES if headings else ():
        remaining = []
        for place, entry in unmatched:
            index = rule(entry, place, len(entries), headings)
            if index is None or index in answers:
                remaining.append((place, entry))
            else:
                answers[index] = _answer_in(entry, headings[index])
        unmatched = remaining
    without_question = [entry for _, entry in unmatched if entry.strip()]
    missing = [] if without_question else range(len(headings))
    return {**dict.fromkeys(missing, ""), **answers}, without_question


def _headings(shown: ShownImage) -> list[str]:
    boxes = box_words(shown)
    return [f"{number}. {_in_words(part, boxes)}".strip() for number, part in enumerate(shown.answers, 1)]


def _in_words(part: ShownAnswer, boxes: dict[str, str]) -> str:
    """Return the question on one line, with the box that it is about."""
    question = part.question
    if part.mark is not None:
        box = boxes[part.mark]
        question = question.replace(REGION, box) if REGION in question else f"{box}: {question}"
    return " ".join(question.split())


# The rules map an entry, its place, the number of entries and the headings to the index of an answer.
def _by_heading(entry: str, place: int, num_entries: int, headings: Sequence[str]) -> int | None:
    index = _by_number(entry, place, num_entries, headings)
    return index if index is not None and _has_heading(entry, headings[index]) else None


def _by_number(entry: str, place: int, num_entries: int, headings: Sequence[str]) -> int | None:
    match = _NUMBER.match(entry)
    index = int(match[1]) - 1 if match else -1
    return index if 0 <= index < len(headings) else None


def _by_place(entry: str, place: int, num_entries: int, headings: Sequence[str]) -> int | None:
    return place if num_entries == len(headings) else None


_RULES: tuple[Callable[[str, int, int, Sequence[str]], int | None], ...] = (
    _by_heading,
    _by_number,
    _by_place,
)


def _has_heading(entry: str, heading: str) -> bool:
    rest = entry[len(heading) :]
    return entry.startswith(heading) and (not rest or rest[0].isspace())


def _answer_in(entry: str, heading: str) -> str:
    """Return the text below the heading of an entry, or the whole entry if its heading was replaced."""
    if _has_heading(entry, heading):
        rest = entry[len(heading) :]
        return rest[1:] if rest.startswith("\n") else rest.strip()
    first_line, _, rest = entry.partition("\n")
    if _similarity(first_line, heading) >= _MIN_SIMILARITY:
        return rest
    return entry.strip().removeprefix(heading.partition(" ")[0]).strip()


def _similarity(a: str, b: str) -> float:
    first, second = (text[:_COMPARED_CHARACTERS].casefold() for text in (a, b))
    return SequenceMatcher(None, first, second).ratio()
