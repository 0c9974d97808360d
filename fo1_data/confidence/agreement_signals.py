"""Signals from two answers about one region: do the captions of the named regions agree with the phrase?

Captions and groundings come from different questions, so if they contradict each other, one of them is
wrong. No extra question is needed if a run labels both kinds. Compares words, not meanings.
"""

from collections.abc import Collection, Sequence

from fo1_data.dataset.phrase_words import head_words, words_of


def agreement_signals(
    phrase: str, named: Collection[int], captions: Sequence[str | None]
) -> dict[str, float]:
    """How well the phrase's words separate the captions of the `named` regions from those of the others.

    `named`: region indices that the answer names. `captions[i]`: the caption of region i, or None.
    Returns no signals if there is no caption, or if the phrase has no head words.
    """
    head = head_words(phrase)
    shares = {
        index: len(head & words_of(caption)) / len(head)
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
    return len(head & words_of(answer)) / len(head) if head else None
