"""Counts as a reviewer edits them: one line each, `phrase = number`. Pure functions.

A line of a phrase that was shown may have a colon for the equals sign, as people write it.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from services.label_studio.shown import ShownCount

_LINE = re.compile(r"(.*\S)\s*([=:＝：])\s*(\d{1,9})")


@dataclass
class EditedCounts:
    """Edited counts: `numbers` by phrase, and the phrases whose lines have no number (they say nothing).

    `not_read`: lines without a meaning. While there are any, a missing line says nothing either.
    """

    numbers: dict[str, int] = field(default_factory=dict)
    unnumbered: set[str] = field(default_factory=set)
    not_read: list[str] = field(default_factory=list)


def counts_text(counts: Sequence[ShownCount]) -> str:
    """Return the counts as a reviewer edits them: one per line."""
    return "\n".join(f"{' '.join(part.phrase.splitlines())} = {part.count}" for part in counts)


def parse_counts(text: str, phrases: Iterable[str] = ()) -> EditedCounts:
    """Parse the lines of a text. `phrases`: those that were shown."""
    names = {_words(phrase): phrase for phrase in phrases}
    counts = EditedCounts()
    for line in text.splitlines():
        words = _words(line)
        bare = names.get(words) or names.get(words.rstrip("=:＝： "))
        if bare is not None:
            counts.unnumbered.add(bare)
        elif words and not _add_numbered(counts, words, names):
            counts.not_read.append(line.strip())
    return counts


def _add_numbered(counts: EditedCounts, line: str, names: Mapping[str, str]) -> bool:
    """Add a line with a number; return False if it has none, or the phrase has another number already."""
    match = _LINE.fullmatch(line)
    if match is None or (match[2] != "=" and match[1] not in names):
        return False
    number = int(match[3])
    return counts.numbers.setdefault(names.get(match[1], match[1]), number) == number


def _words(text: str) -> str:
    return " ".join(text.split())
