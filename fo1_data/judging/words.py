"""Words of texts, and how far two sequences are apart."""

import re
from collections.abc import Sequence

_WORD = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """The words of a text in lower case."""
    return _WORD.findall(text.casefold())


def edit_distance(a: Sequence[object], b: Sequence[object]) -> int:
    """Levenshtein's distance of two texts or lists: insertions, deletions and replacements."""
    previous = list(range(len(b) + 1))
    for row, left in enumerate(a, start=1):
        current = [row]
        for column, right in enumerate(b, start=1):
            replaced = previous[column - 1] + (left != right)
            current.append(min(replaced, previous[column] + 1, current[-1] + 1))
        previous = current
    return previous[-1]
