"""Signals of two answers about one region: does what a phrase names look, by its caption, like the phrase?

Captions and groundings come from different questions, so where they contradict each other one of them
is wrong. Costs nothing where both kinds were asked for. Words are compared, not meanings.
"""

import re
from collections.abc import Collection, Sequence

_WORD = re.compile(r"[^\W_]+")
# What follows one of these is said of another thing: "cup left of the plate".
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


def agreement_signals(
    phrase: str, named: Collection[int], captions: Sequence[str | None]
) -> dict[str, float]:
    """How far the captions of the regions `named` hold the phrase's words, and those of the others do not.

    captions[i]: of region i, None where none was given. Empty where no caption, or no word, is there.
    """
    wanted = head_words(phrase)
    shares = {
        index: len(wanted & _words(caption)) / len(wanted)
        for index, caption in enumerate(captions)
        if caption is not None and wanted
    }
    if not shares:
        return {}
    inside = [share for index, share in shares.items() if index in named]
    outside = [share for index, share in shares.items() if index not in named]
    return {
        **({"caption_agreement": min(inside)} if inside else {}),
        "caption_elsewhere": max(outside, default=0.0),
        "captions_left_out": float(sum(share >= 1 for share in outside)),
    }


def head_words(phrase: str) -> frozenset[str]:
    """The words of what a phrase is about, without articles and what comes after a relation."""
    words = [word.casefold() for word in _WORD.findall(phrase)]
    until = next((place for place, word in enumerate(words) if place and word in _RELATIONS), len(words))
    return frozenset(_singular(word) for word in words[:until] if word not in _NO_CONTENT)


def _words(caption: str) -> frozenset[str]:
    return frozenset(_singular(word.casefold()) for word in _WORD.findall(caption))


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
