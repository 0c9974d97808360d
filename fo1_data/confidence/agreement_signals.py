"""Signals from two answers about one region: do the captions of the named regions agree with the phrase?

Captions and groundings come from different questions, so if they contradict each other, one of them is
wrong. No extra question is needed if a run labels both kinds. Compares words, not meanings.
"""

import re
from collections.abc import Collection, Sequence

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


def agreement_signals(
    phrase: str, named: Collection[int], captions: Sequence[str | None]
) -> dict[str, float]:
    """How well the phrase's words separate the captions of the `named` regions from those of the others.

    `named`: region indices that the answer names. `captions[i]`: the caption of region i, or None.
    Returns no signals if there is no caption, or if the phrase has no head words.
    """
    head = head_words(phrase)
    shares = {
        index: len(head & _words(caption)) / len(head)
        for index, caption in enumerate(captions)
        if caption is not None and head
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


def shared_words(phrase: str, answer: str) -> float | None:
    """The share of the phrase's head words that another description of the same thing holds; None if it has
    no head words."""
    head = head_words(phrase)
    return len(head & _words(answer)) / len(head) if head else None


def head_words(phrase: str) -> frozenset[str]:
    """The words for the phrase's main object: singular, without articles and without the words that
    follow a relation ("left of ...")."""
    words = [word.casefold() for word in _WORD.findall(phrase)]
    end = next((index for index, word in enumerate(words) if index and word in _RELATIONS), len(words))
    return frozenset(_singular(word) for word in words[:end] if word not in _NO_CONTENT)


def _words(caption: str) -> frozenset[str]:
    return frozenset(_singular(word.casefold()) for word in _WORD.findall(caption))


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
