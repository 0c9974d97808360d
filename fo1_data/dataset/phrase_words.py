"""The words of a phrase and of a caption, as they are compared: without case, singular. No meanings."""

import re

_WORD = re.compile(r"[^\W_]+")
# The words after one of these describe another object: "cup left of the plate".
_RELATIONS = frozenset(
    {
        "above", "across", "against", "along", "among", "around", "at", "behind", "below", "beneath",
        "beside", "between", "by", "from", "in", "inside", "into", "left", "near", "next", "of", "off",
        "on", "onto", "outside", "over", "right", "that", "to", "under", "underneath", "upon", "which",
        "who", "with", "within", "without",
    }
)  # fmt: skip
_NO_CONTENT = frozenset(
    {
        "a", "an", "the", "this", "that", "these", "those", "any", "all", "some", "object", "objects",
        "thing", "things",
    }
)  # fmt: skip


def head_words(phrase: str) -> frozenset[str]:
    """The words for the phrase's main object: singular, without articles and without the words that
    follow a relation ("left of ...")."""
    words = [word.casefold() for word in _WORD.findall(phrase)]
    end = next((index for index, word in enumerate(words) if index and word in _RELATIONS), len(words))
    return frozenset(singular(word) for word in words[:end] if word not in _NO_CONTENT)


def words_of(caption: str) -> frozenset[str]:
    """The words of a caption, singular."""
    return frozenset(singular(word.casefold()) for word in _WORD.findall(caption))


def singular(word: str) -> str:
    """The word without a plain `s` at its end."""
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
